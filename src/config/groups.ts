/** Which rows of a table the requests of a group can reach, as far as the configuration alone can tell. Pure. */
import type { Config, RouteConfig } from './schema.ts';

/** A group as it is compared: lower case, and the bytes of its UTF-8, since that is how fields come. */
export function groupKey(written: string): string {
  const text = written.trim();
  return (/^[\x20-\x7e]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1')).toLowerCase();
}

/** Requests without a group. */
export const NO_GROUP = '';

/** Stands for every value that neither a row nor an invariant names. No field can hold this character. */
export const OTHER_GROUP = '\0';

/** What an invariant writes for requests that no row names, and for all. */
export const DEFAULT_GROUP = 'default';
export const EVERY_GROUP = '*';

type MatchConfig = NonNullable<RouteConfig['match']>;
type Alternative = Exclude<MatchConfig, readonly unknown[]>;
type Conditions = Omit<Alternative, 'and' | 'not'>;

/** The groups that rows name, wherever they do, in the order in which they do. */
export function namedGroups(config: Pick<Config, 'routes'>): ReadonlySet<string> {
  const names = new Set<string>();
  const add = ({ group }: Conditions) => {
    for (const value of listOf(group)) names.add(groupKey(value));
  };
  for (const { match } of config.routes) {
    for (const alternative of listOf(match)) {
      add(alternative);
      for (const inner of [...listOf(alternative.and), ...listOf(alternative.not)]) add(inner);
    }
  }
  return names;
}

/** The groups that invariants name and no row does. */
export function promisedGroups(config: Pick<Config, 'routes' | 'invariants'>): ReadonlySet<string> {
  const named = namedGroups(config);
  const groups = new Set<string>();
  for (const { never, maxShare } of config.invariants) {
    for (const written of [...listOf(never?.group), ...listOf(maxShare?.group)]) {
      const group = groupKey(written);
      if (group !== DEFAULT_GROUP && group !== EVERY_GROUP && !named.has(group)) groups.add(group);
    }
  }
  return groups;
}

/** Every kind of request by group: what rows and invariants name, none, and any other value. */
export function groupsOf(config: Pick<Config, 'routes' | 'invariants'>): string[] {
  return [...namedGroups(config), ...promisedGroups(config), NO_GROUP, OTHER_GROUP];
}

/** Whether an invariant for `written` (as in the file) holds for requests of `group`. */
export function isMeant(
  written: string | readonly string[],
  group: string,
  named: ReadonlySet<string>,
): boolean {
  return listOf(written).some((text) => {
    const key = groupKey(text);
    return key === EVERY_GROUP || key === group || (key === DEFAULT_GROUP && !named.has(group));
  });
}

export interface ReachedRow {
  readonly index: number;
  readonly route: RouteConfig;
  /** Takes every request of the group that comes this far, so that no later row gets one. */
  readonly sure: boolean;
}

/** The rows that requests of `group` can get to, in order; the last one takes all that come there. */
export function rowsOf(config: Pick<Config, 'routes' | 'unknownGroup'>, group: string): ReachedRow[] {
  const rows: ReachedRow[] = [];
  const unknown = group !== NO_GROUP && namedGroups(config).size > 0 && !namedGroups(config).has(group);
  for (const [index, route] of config.routes.entries()) {
    if (route.match === undefined && unknown && config.unknownGroup !== undefined) {
      const instead = config.routes.findIndex(({ name }) => name === config.unknownGroup);
      if (instead !== -1) {
        rows.push({ index: instead, route: config.routes[instead]!, sure: true });
        return rows;
      }
    }
    const sure = surelyTakes(route.match, group);
    if (sure || mayTake(route.match, group)) rows.push({ index, route, sure });
    if (sure) return rows;
  }
  return rows;
}

/** Some request of the group may match: what is asked besides the group is taken for possible. */
export function mayTake(match: RouteConfig['match'], group: string): boolean {
  if (match === undefined) return true;
  return listOf(match).some(
    (alternative) =>
      mayHold(alternative, group) &&
      listOf(alternative.and).every((inner) => mayHold(inner, group)) &&
      listOf(alternative.not).every((inner) => !surelyHolds(inner, group)),
  );
}

/** Every request of the group matches: one of the ways asks for nothing else. */
export function surelyTakes(match: RouteConfig['match'], group: string): boolean {
  if (match === undefined) return true;
  return listOf(match).some(
    (alternative) =>
      surelyHolds(alternative, group) &&
      listOf(alternative.and).every((inner) => surelyHolds(inner, group)) &&
      listOf(alternative.not).every((inner) => !mayHold(inner, group)),
  );
}

function mayHold({ group: wanted }: Conditions, group: string): boolean {
  return wanted === undefined || listOf(wanted).some((text) => groupKey(text) === group);
}

function surelyHolds(conditions: Conditions, group: string): boolean {
  return mayHold(conditions, group) && !asksForMore(conditions);
}

/** Conditions besides the group. */
function asksForMore(conditions: Conditions): boolean {
  return Object.entries(conditions).some(
    ([key, value]) =>
      key !== 'group' &&
      key !== 'and' &&
      key !== 'not' &&
      value !== undefined &&
      !(typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0),
  );
}

export function listOf<T extends string | object>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
