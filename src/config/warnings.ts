/** What a good configuration most likely does not mean. Only what an operator would want to know at once. */
import { listOf } from './groups.ts';
import { childOf, keyOffsetOf, type LocatedNode, nodeAt, offsetOf } from './located.ts';
import type { Fault, KeyPath } from './problems.ts';
import { type Config, healthOf, type RouteConfig } from './schema.ts';
import { tableWarnings } from './table-warnings.ts';
import { formatDuration } from './units.ts';

export function configWarnings(config: Config, root: LocatedNode): Fault[] {
  return [
    ...unreachableRoutes(config, root),
    ...unusedNames(config, root),
    ...slowChecks(config, root),
    ...checksWithoutPath(config, root),
    ...tableWarnings(config, root),
  ];
}

function unreachableRoutes(config: Config, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  /** What earlier rows take whole: conditions → index of the row. */
  const taken = new Map<string, number>();
  const takenGroups = new Map<string, number>();
  let all: number | undefined;
  for (const [index, route] of config.routes.entries()) {
    const conditions = conditionsOf(route.match);
    const groups = groupsAlone(route.match);
    const covered =
      groups?.every((group) => takenGroups.has(group)) === true ? takenGroups.get(groups[0]!) : undefined;
    const earlier = all ?? taken.get(conditions) ?? covered;
    if (earlier !== undefined) {
      const path = ['routes', index];
      const message =
        all === undefined
          ? `is never reached: routes[${earlier}] matches the same requests; move or remove one of the two`
          : `is never reached: routes[${all}] matches everything; move this row above it, or remove it`;
      faults.push({ offset: offsetOf(root, path), path, message });
    }
    if (conditions === '{}') all ??= index;
    if (!taken.has(conditions)) taken.set(conditions, index);
    for (const group of groups ?? []) if (!takenGroups.has(group)) takenGroups.set(group, index);
  }
  return faults;
}

type Alternative = Exclude<NonNullable<RouteConfig['match']>, readonly unknown[]>;
type Tests = Alternative['headers'] | Alternative['cookies'];

/** Equal for two matches that mean the same, written in whatever order and, where it does not matter, case. */
function conditionsOf(match: RouteConfig['match']): string {
  const ways = match === undefined ? ['{}'] : listOf<Alternative>(match).map(canonical);
  // Where everything meets one way, the others are idle.
  return ways.includes('{}') ? '{}' : [...new Set(ways)].sort().join(' or ');
}

function canonical(match: Alternative): string {
  const { group, host, path, method, client } = match;
  const conditions: Record<string, unknown> = {};
  if (group !== undefined) conditions['group'] = sorted(group, (text) => text.trim().toLowerCase());
  if (host !== undefined) conditions['host'] = sorted(host, (text) => text.toLowerCase());
  if (path !== undefined) {
    conditions['path'] = typeof path === 'string' || Array.isArray(path) ? sorted(path) : path;
  }
  if (method !== undefined) conditions['method'] = sorted(method);
  if (client !== undefined) conditions['client'] = sorted(client);
  for (const [kind, tests] of [
    ['headers', canonicalTests(match.headers, (name) => name.toLowerCase())],
    ['cookies', canonicalTests(match.cookies)],
    ['query', canonicalTests(match.query)],
  ] as const) {
    if (tests.length > 0) conditions[kind] = tests;
  }
  for (const kind of ['and', 'not'] as const) {
    const inner = listOf<Alternative>(match[kind]);
    if (inner.length > 0) conditions[kind] = inner.map(canonical).sort();
  }
  return JSON.stringify(conditions);
}

function canonicalTests(tests: Tests, fold = (name: string) => name): string[] {
  return Object.entries(tests ?? {})
    .map(([name, test]) => {
      const rule =
        typeof test === 'string' || Array.isArray(test) ? { exact: test, ignoreCase: false } : test;
      return JSON.stringify([fold(name), { ...rule, list: 'list' in rule && rule.list }]);
    })
    .sort();
}

/** Its groups, when a row matches by group and nothing else. */
function groupsAlone(match: RouteConfig['match']): readonly string[] | undefined {
  const groups: string[] = [];
  for (const { group, headers, ...rest } of listOf<Alternative>(match)) {
    if (group === undefined || Object.keys(headers ?? {}).length > 0) return undefined;
    if (Object.values(rest).some((value) => value !== undefined)) return undefined;
    groups.push(...sorted(group, (text) => text.trim().toLowerCase()));
  }
  return groups.length === 0 ? undefined : groups;
}

function sorted(value: string | readonly string[], fold = (text: string) => text): string[] {
  return (typeof value === 'string' ? [value] : value).map(fold).sort();
}

function unusedNames(config: Config, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const warn = (path: KeyPath, message: string) => {
    faults.push({ offset: keyOffsetOf(root, path), path, message });
  };
  const backends = new Set(config.routes.flatMap((route) => Object.keys(route.split)));
  const rates = Object.values(config.limits.rates);
  const pins = new Set([
    ...config.routes.map((route) => route.pin),
    ...rates.map(({ by }) => (typeof by === 'string' ? undefined : by.pin)),
  ]);
  for (const name of Object.keys(config.backends)) {
    if (!backends.has(name)) warn(['backends', name], 'no route uses this backend');
  }
  for (const name of Object.keys(config.pins)) {
    if (!pins.has(name)) warn(['pins', name], 'no route uses this pin');
  }
  const isUsed =
    config.acting !== undefined ||
    config.routes.some(({ guard, pin }) => guard === 'act' || pin !== undefined) ||
    Object.keys(config.sets).length > 0 ||
    rates.some(({ store }) => store === 'redis');
  if (config.redis !== undefined && !isUsed) {
    warn(
      ['redis'],
      'no route has a pin, no rate has store: redis, and there are neither sets nor acting nor a guard that acts, so Redis is not used',
    );
  }
  return faults;
}

function slowChecks(config: Config, root: LocatedNode): Fault[] {
  const paths: KeyPath[] = [
    ['health'],
    ...Object.keys(config.backends).map((name) => ['backends', name, 'health']),
  ];
  return paths.flatMap((path) => {
    const health = path.length === 1 ? config.health : healthOf(config, path[1] as string);
    const key = ['timeout', 'interval'].find((name) => childOf(nodeAt(root, path), name) !== undefined);
    if (key === undefined || !health.enabled || health.timeout <= health.interval) return [];
    const here = [...path, key];
    const message = `a check may take ${formatDuration(health.timeout)}, longer than the interval of ${formatDuration(health.interval)}, so checks of one endpoint fall behind; make timeout at most interval`;
    return [{ offset: offsetOf(root, here), path: here, message: fromEnvironment(root, path) ?? message }];
  });
}

/** The message without values, when one of them came from the environment. */
function fromEnvironment(root: LocatedNode, path: KeyPath): string | undefined {
  const secret = [path, ['health']].some((where) =>
    ['timeout', 'interval'].some((key) => {
      const node = childOf(nodeAt(root, where), key);
      return node?.kind === 'scalar' && node.variables.length > 0;
    }),
  );
  return secret ? 'a check may take longer than the interval; make timeout at most interval' : undefined;
}

function checksWithoutPath(config: Config, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const anyPath =
    config.health.path !== undefined ||
    Object.values(config.backends).some(({ health }) => health?.path !== undefined);
  const warn = (path: KeyPath) => {
    for (const key of ['method', 'host', 'headers', 'status', 'body']) {
      if (childOf(nodeAt(root, path), key) === undefined) continue;
      const here = [...path, key];
      const message = 'has no effect on a TCP check; add path to check with HTTP';
      faults.push({ offset: keyOffsetOf(root, here), path: here, message });
    }
  };
  if (!anyPath) warn(['health']);
  for (const name of Object.keys(config.backends)) {
    if (healthOf(config, name).path === undefined) warn(['backends', name, 'health']);
  }
  return faults;
}
