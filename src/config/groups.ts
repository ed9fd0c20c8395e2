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
  /** `unknownGroup` leads here, whatever the row's own match says. */
  readonly instead: boolean;
}

/** What some conditions ask of the group, and whether they ask for anything else. */
interface GroupTest {
  readonly groups: ReadonlySet<string> | undefined;
  readonly more: boolean;
}

interface GroupTests extends GroupTest {
  readonly and: readonly GroupTest[];
  readonly not: readonly GroupTest[];
}

/** The rows of a table, taken apart once so that they can be asked for many groups. */
export class GroupRows {
  readonly named: ReadonlySet<string>;
  readonly #routes: readonly RouteConfig[];
  readonly #tests: readonly (readonly GroupTests[] | undefined)[];
  /** Index of the row for unknown groups; -1: there is none. */
  readonly #unknown: number;

  constructor(config: Pick<Config, 'routes' | 'unknownGroup'>) {
    this.named = namedGroups(config);
    this.#routes = config.routes;
    this.#unknown = config.routes.findIndex(({ name }) => name === config.unknownGroup);
    this.#tests = config.routes.map(({ match }) =>
      match === undefined
        ? undefined
        : listOf(match).map((alternative) => ({
            ...testOf(alternative),
            and: listOf(alternative.and).map(testOf),
            not: listOf(alternative.not).map(testOf),
          })),
    );
  }

  /** The rows that requests of `group` can get to, in order; the last one takes all that come there. */
  rowsOf(group: string): ReachedRow[] {
    const rows: ReachedRow[] = [];
    const unknown = group !== NO_GROUP && this.named.size > 0 && !this.named.has(group);
    for (const [index, route] of this.#routes.entries()) {
      const tests = this.#tests[index];
      if (tests === undefined) {
        const instead = unknown && this.#unknown !== -1;
        const last = instead ? this.#unknown : index;
        rows.push({
          index: last,
          route: this.#routes[last]!,
          sure: true,
          instead: instead && last !== index,
        });
        return rows;
      }
      const sure = tests.some((test) => surelyTakes(test, group));
      if (sure || tests.some((test) => mayTake(test, group)))
        rows.push({ index, route, sure, instead: false });
      if (sure) return rows;
    }
    return rows;
  }
}

/** Some request of the group may match: what is asked besides the group is taken for possible. */
function mayTake(test: GroupTests, group: string): boolean {
  return (
    mayHold(test, group) &&
    test.and.every((inner) => mayHold(inner, group)) &&
    test.not.every((inner) => !surelyHolds(inner, group))
  );
}

/** Every request of the group matches: nothing else is asked. */
function surelyTakes(test: GroupTests, group: string): boolean {
  return (
    surelyHolds(test, group) &&
    test.and.every((inner) => surelyHolds(inner, group)) &&
    test.not.every((inner) => !mayHold(inner, group))
  );
}

function mayHold({ groups }: GroupTest, group: string): boolean {
  return groups === undefined || groups.has(group);
}

function surelyHolds(test: GroupTest, group: string): boolean {
  return !test.more && mayHold(test, group);
}

function testOf(conditions: Conditions): GroupTest {
  const { group } = conditions;
  return {
    groups: group === undefined ? undefined : new Set(listOf(group).map(groupKey)),
    more: asksForMore(conditions),
  };
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

/** Groups in a sentence, as they are written in the table where that is known. */
export function describeGroups(groups: readonly string[], spelling: ReadonlyMap<string, string>): string {
  const named = groups.filter((group) => group !== NO_GROUP && group !== OTHER_GROUP);
  const parts: string[] = [];
  if (named.length > 0) {
    const names = named.map((group) => spelling.get(group) ?? group).join(', ');
    parts.push(`requests of group ${names}`);
  }
  const [none, other] = [groups.includes(NO_GROUP), groups.includes(OTHER_GROUP)];
  if (none && other) parts.push('requests of no group that a row names');
  else if (none) parts.push('requests without a group');
  else if (other) parts.push('requests of groups that no row names');
  return parts.join(' and ');
}

/** Groups as people wrote them first, by how they are compared. */
export function spellings(
  ...configs: readonly Pick<Config, 'routes' | 'invariants'>[]
): ReadonlyMap<string, string> {
  const written = new Map<string, string>();
  const add = (value: string | readonly string[] | undefined) => {
    for (const text of listOf(value))
      if (!written.has(groupKey(text))) written.set(groupKey(text), text.trim());
  };
  for (const { routes, invariants } of configs) {
    for (const { match } of routes) {
      for (const alternative of listOf(match)) {
        add(alternative.group);
        for (const inner of [...listOf(alternative.and), ...listOf(alternative.not)]) add(inner.group);
      }
    }
    for (const { never, maxShare } of invariants) {
      add(never?.group);
      add(maxShare?.group);
    }
  }
  return written;
}

export function listOf<T extends string | object>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
