/** What somebody asks for, judged against the table at hand before it becomes an override. Pure. */
import { isIPv6 } from 'node:net';
import { GroupRows, groupKey, NO_GROUP, namedGroups } from '../config/groups.ts';
import { violationsOf } from '../config/invariant-rules.ts';
import { suggestion } from '../config/nearest.ts';
import type { Config } from '../config/schema.ts';
import { applyOverrides, routeOf, weightsWith } from './apply.ts';
import { MAX_ACTIVE, type Override, type OverrideTarget, targetKey } from './override.ts';

export interface SplitRequest {
  /** A row's name, or a group of which all requests meet one row. */
  readonly route: string;
  readonly weights: Readonly<Record<string, number>>;
}

export interface DrainRequest {
  readonly backend: string;
  /** `address:port`, or an address with all of its ports. */
  readonly endpoint?: string | undefined;
}

/** `conflict`: it could be done and would do harm. */
export interface Refusal {
  readonly kind: 'unknown' | 'conflict';
  readonly message: string;
}

export type Judged<T> = { readonly value: T } | { readonly refusal: Refusal };

/** What is known of the moment. */
export interface Circumstances {
  readonly config: Config;
  /** Those that hold. */
  readonly active: readonly Override[];
  /** Labels of the endpoints of each backend. */
  readonly endpoints: ReadonlyMap<string, readonly string[]>;
}

/** @param force also where it leaves requests without any backend */
export function judgeSplit(
  request: SplitRequest,
  circumstances: Circumstances,
): Judged<Extract<OverrideTarget, { kind: 'split' }>> {
  const { config } = circumstances;
  const found = routeNamed(config, request.route);
  if (typeof found !== 'string') return found;
  const route = routeOf(config, found)!;
  const names = Object.keys(route.split);
  for (const name of Object.keys(request.weights)) {
    if (!names.includes(name))
      return unknown(`route ${found} has no ${name}${suggestion(name, names, 'backends')}`);
  }
  if (Object.keys(request.weights).length === 0) return unknown('no weight is given; write BACKEND=WEIGHT');
  const weights = weightsWith(route, config.backends, request.weights);
  if (Object.values(weights).every((weight) => weight === 0)) {
    return conflict(`that leaves no backend of route ${found} a weight: all of its requests would fail`);
  }
  const target = { kind: 'split', route: found, weights: { ...request.weights } } as const;
  const broken = brokenPromise(config, found, weights);
  if (broken !== undefined) return conflict(broken);
  return tooMany(target, circumstances) ?? { value: target };
}

/** @param force also where it leaves requests without any backend */
export function judgeDrain(
  request: DrainRequest,
  circumstances: Circumstances,
  force: boolean,
): Judged<Extract<OverrideTarget, { kind: 'drain' }>> {
  const { config, active } = circumstances;
  const { backend } = request;
  if (!Object.hasOwn(config.backends, backend)) {
    return unknown(
      `there is no backend ${backend}${suggestion(backend, Object.keys(config.backends), 'backends')}`,
    );
  }
  const labels = circumstances.endpoints.get(backend) ?? [];
  if (request.endpoint !== undefined && !labels.some((label) => isNamed(label, request.endpoint!))) {
    const known = labels.slice(0, 8).join(', ');
    return unknown(`${backend} has no endpoint ${request.endpoint}; it has ${known || 'none at the moment'}`);
  }
  const target: Extract<OverrideTarget, { kind: 'drain' }> =
    request.endpoint === undefined
      ? { kind: 'drain', backend }
      : { kind: 'drain', backend, endpoint: request.endpoint };
  if (!force) {
    const left = labels.filter(
      (label) =>
        request.endpoint !== undefined &&
        !isNamed(label, request.endpoint) &&
        !active.some(({ target: other }) => coversEndpoint(other, backend, label)),
    );
    const stranded = left.length > 0 ? [] : strandedRoutes(circumstances, backend);
    if (stranded.length > 0) {
      return conflict(
        `that would leave route ${stranded.join(' and ')} without any backend: all of its requests would fail; say force if you mean it`,
      );
    }
  }
  return tooMany(target, circumstances) ?? { value: target };
}

/** The active override of a drain; a refusal says what else drains it. */
export function judgeUndrain(request: DrainRequest, { config, active }: Circumstances): Judged<Override> {
  const key = targetKey({
    kind: 'drain',
    backend: request.backend,
    ...(request.endpoint === undefined ? {} : { endpoint: request.endpoint }),
  });
  const found = active.find(({ target }) => targetKey(target) === key);
  if (found !== undefined) return { value: found };
  const drain = config.backends[request.backend]?.drain;
  if (drain === true || (Array.isArray(drain) && drain.length > 0)) {
    return unknown(
      `nobody drained this by hand; the file does: change drain of backend ${request.backend} there`,
    );
  }
  return unknown(`nobody drained ${request.endpoint ?? request.backend} by hand`);
}

/** By id, or by the route or group whose split it holds. */
export function findOverride(text: string, { config, active }: Circumstances): Judged<Override> {
  const byId = active.find(({ id }) => id === text);
  if (byId !== undefined) return { value: byId };
  const route = routeNamed(config, text);
  const bySplit = active.find(({ target }) => target.kind === 'split' && target.route === route);
  if (bySplit !== undefined) return { value: bySplit };
  const known = active.map(({ id }) => id).join(', ');
  return unknown(`no override ${text} holds${known === '' ? '; none does' : `; there are ${known}`}`);
}

function routeNamed(config: Config, text: string): string | { readonly refusal: Refusal } {
  if (routeOf(config, text) !== undefined) return text;
  const group = text === 'default' ? NO_GROUP : groupKey(text);
  if (group !== NO_GROUP && !namedGroups(config).has(group)) {
    const names = config.routes.map(({ name }) => name);
    return unknown(`there is no route or group ${text}${suggestion(text, names, 'routes')}`);
  }
  const rows = new GroupRows(config).rowsOf(group);
  const [only] = rows;
  if (rows.length === 1) return only!.route.name;
  return unknown(
    `requests of group ${text} meet several routes: ${rows.map(({ route }) => route.name).join(', ')}; name one of them`,
  );
}

/** The first promise to a group that the row would break with these weights, in words. */
function brokenPromise(
  config: Config,
  route: string,
  weights: Readonly<Record<string, number>>,
): string | undefined {
  const after: Config = {
    ...config,
    routes: config.routes.map((row) => {
      if (row.name !== route) return row;
      const { rollback: _, ...rest } = row;
      return { ...rest, split: { ...weights } };
    }),
  };
  const known = new Set(violationsOf(config).map(({ message }) => message));
  return violationsOf(after).find(({ message }) => !known.has(message))?.message;
}

/** Routes whose every backend with a weight is drained once this one is. */
function strandedRoutes({ config, active }: Circumstances, backend: string): string[] {
  const { config: overridden } = applyOverrides(config, active);
  const isOut = (name: string) => name === backend || overridden.backends[name]?.drain === true;
  return overridden.routes
    .filter((route) => {
      const weights =
        overridden.heldWeights?.[route.name]?.weights ?? weightsWith(route, config.backends, {});
      const names = Object.keys(weights).filter((name) => weights[name]! > 0);
      return names.includes(backend) && names.every(isOut);
    })
    .map(({ name }) => name);
}

function coversEndpoint(target: OverrideTarget, backend: string, label: string): boolean {
  if (target.kind !== 'drain' || target.backend !== backend) return false;
  return target.endpoint === undefined || isNamed(label, target.endpoint);
}

/** @param text an address, or address and port as `label` has them */
function isNamed(label: string, text: string): boolean {
  if (label === text) return true;
  const address = isIPv6(text) ? `[${text}]` : text;
  return label.slice(0, label.lastIndexOf(':')) === address;
}

function tooMany(
  target: OverrideTarget,
  { active }: Circumstances,
): { readonly refusal: Refusal } | undefined {
  const key = targetKey(target);
  if (active.length < MAX_ACTIVE || active.some((one) => targetKey(one.target) === key)) return undefined;
  return conflict(`${MAX_ACTIVE} overrides hold already; end some first`);
}

function unknown(message: string): { readonly refusal: Refusal } {
  return { refusal: { kind: 'unknown', message } };
}

function conflict(message: string): { readonly refusal: Refusal } {
  return { refusal: { kind: 'conflict', message } };
}
