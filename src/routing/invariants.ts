/**
 * What the table promises to groups, compiled so that it cannot be broken by what happens later: for the requests of
 * such a group a row has another split, in which the backends that it must not meet have no weight and keep no pin.
 * Spill, retries, pins and weights set by hand all go by the split, so none of them needs to know.
 */
import {
  DEFAULT_GROUP,
  EVERY_GROUP,
  groupKey,
  groupsOf,
  isMeant,
  listOf,
  NO_GROUP,
  namedGroups,
  OTHER_GROUP,
} from '../config/groups.ts';
import type { Config, InvariantConfig } from '../config/schema.ts';

/** Promises to groups; `maxStep` is about reloads and not among them. */
export type Invariant = NeverInvariant | ShareInvariant;

interface NeverInvariant {
  readonly kind: 'never';
  /** In the list of the configuration. */
  readonly index: number;
  readonly backends: readonly string[];
  /** `never ENTERPRISE → internal, canary` */
  readonly text: string;
}

interface ShareInvariant {
  readonly kind: 'maxShare';
  readonly index: number;
  readonly backends: readonly string[];
  readonly percent: number;
  /** `maxShare FREE → canary 10 %` */
  readonly text: string;
}

/** Groups to whose requests the same promises are made. */
export interface GroupClass {
  /** In `Groups.classes`; -1 when it was made for one request that names several groups. */
  readonly index: number;
  /** Values that no row names, in a table that names any. */
  readonly unknown: boolean;
  readonly invariants: readonly Invariant[];
}

export interface Groups {
  /** Whatever rows or invariants name; lower case. */
  readonly byName: ReadonlyMap<string, GroupClass>;
  readonly none: GroupClass;
  /** Any other value. */
  readonly other: GroupClass;
  readonly classes: readonly GroupClass[];
}

export function compileGroups(config: Pick<Config, 'routes' | 'invariants'>): Groups {
  const named = namedGroups(config);
  const classes: GroupClass[] = [];
  const classOf = (group: string): GroupClass => {
    const invariants = invariantsOf(config, group, named);
    const unknown = group !== NO_GROUP && named.size > 0 && !named.has(group);
    const alike = classes.find(
      (known) =>
        known.unknown === unknown &&
        known.invariants.length === invariants.length &&
        known.invariants.every(({ index }, i) => index === invariants[i]!.index),
    );
    if (alike !== undefined) return alike;
    const made = { index: classes.length, unknown, invariants };
    classes.push(made);
    return made;
  };
  const byName = new Map<string, GroupClass>();
  for (const group of groupsOf(config)) {
    if (group !== NO_GROUP && group !== OTHER_GROUP) byName.set(group, classOf(group));
  }
  return { byName, none: classOf(NO_GROUP), other: classOf(OTHER_GROUP), classes };
}

/** One look into a map; only a request that names several groups costs more. */
export function groupClassOf(
  groups: Groups,
  facts: { readonly group: string; readonly groups: readonly string[] | undefined },
): GroupClass {
  if (facts.groups !== undefined) return joined(facts.groups.map((group) => classOf(groups, group)));
  return classOf(groups, facts.group);
}

function classOf(groups: Groups, group: string): GroupClass {
  if (group === '') return groups.none;
  return groups.byName.get(group) ?? groups.other;
}

/** A request of several groups gets the promises of each. */
function joined(classes: readonly GroupClass[]): GroupClass {
  const byIndex = new Map(classes.flatMap(({ invariants }) => invariants.map((one) => [one.index, one])));
  return {
    index: -1,
    unknown: classes.every(({ unknown }) => unknown),
    invariants: [...byIndex.values()].sort((a, b) => a.index - b.index),
  };
}

/** The promises made to requests of `group`, in the order of the configuration. */
export function invariantsOf(
  config: Pick<Config, 'invariants'>,
  group: string,
  named: ReadonlySet<string>,
): Invariant[] {
  return config.invariants.flatMap(({ never, maxShare }, index): Invariant[] => {
    if (never !== undefined && isMeant(never.group, group, named)) {
      const backends = listOf(never.backend);
      return [
        { kind: 'never', index, backends, text: `never ${spelt(never.group)} → ${backends.join(', ')}` },
      ];
    }
    if (maxShare !== undefined && isMeant(maxShare.group, group, named)) {
      const { backend, percent } = maxShare;
      return [
        { kind: 'maxShare', index, backends: [backend], percent, text: describeInvariant({ maxShare }) },
      ];
    }
    return [];
  });
}

/** `never ENTERPRISE → internal, canary`, `maxShare FREE → canary 10 %`, `maxStep 10` */
export function describeInvariant({
  never,
  maxShare,
  maxStep,
}: Pick<InvariantConfig, 'never' | 'maxShare' | 'maxStep'>): string {
  if (never !== undefined) return `never ${spelt(never.group)} → ${listOf(never.backend).join(', ')}`;
  if (maxShare !== undefined)
    return `maxShare ${spelt(maxShare.group)} → ${maxShare.backend} ${maxShare.percent} %`;
  return `maxStep ${maxStep}`;
}

function spelt(groups: string | readonly string[]): string {
  return listOf(groups)
    .map((group) => {
      const key = groupKey(group);
      if (key === EVERY_GROUP) return 'every group';
      return key === DEFAULT_GROUP ? 'the default group' : group.trim();
    })
    .join(', ');
}

/** What is left of the weights of a split under the promises made to a group. */
export interface GuardedWeights {
  readonly weights: readonly number[];
  readonly shares: readonly number[];
  readonly keeps: readonly boolean[];
  /** By index in the split: the weights under which the backend has the largest share it may have; else undefined. */
  readonly widest: readonly (readonly number[] | undefined)[] | undefined;
  /** By index in the split: the promise that takes something away from the backend. */
  readonly limits: readonly (Invariant | undefined)[];
}

/** Undefined when the promises are about no backend of the split. */
export function guardWeights(
  names: readonly string[],
  before: {
    readonly weights: readonly number[];
    readonly shares: readonly number[];
    readonly keeps: readonly boolean[];
  },
  invariants: readonly Invariant[],
): GuardedWeights | undefined {
  const limits = names.map((name) => strictest(invariants.filter(({ backends }) => backends.includes(name))));
  if (limits.every((limit) => limit === undefined)) return undefined;
  const isBounded = (limit: Invariant | undefined) =>
    limit?.kind === 'never' || (limit?.kind === 'maxShare' && limit.percent < 100);
  const weights = before.weights.map((weight, i) => (isBounded(limits[i]) ? 0 : weight));
  const open = before.shares.map((share, i) => (limits[i]?.kind === 'never' ? 0 : share));
  const most = limits.map((limit) => (limit?.kind === 'maxShare' ? limit.percent / 100 : 1));
  const shares = withinBounds(open, most);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const widest = names.map((_, i): readonly number[] | undefined => {
    if (most[i] === 1) return undefined;
    const widened = ((total - shares[i]!) * most[i]!) / (1 - most[i]!);
    return shares.map((share, j) => (j === i ? widened : share));
  });
  return {
    weights,
    shares,
    keeps: before.keeps.map((keeps, i) => keeps && limits[i]?.kind !== 'never'),
    widest: widest.some((one) => one !== undefined) ? widest : undefined,
    limits,
  };
}

/** Cuts shares that are above their bound: only weights set by hand can be, a file that says so is refused. */
function withinBounds(shares: readonly number[], most: readonly number[]): number[] {
  const cut = new Set<number>();
  const within = [...shares];
  for (;;) {
    const total = within.reduce((sum, share) => sum + share, 0);
    const above = within.findIndex((share, i) => !cut.has(i) && share > most[i]! * total * (1 + 1e-9));
    if (above === -1) return within;
    cut.add(above);
    // All that were cut get just their bound of the new total, which the others make up.
    let others = 0;
    let bounds = 0;
    for (const [i, share] of shares.entries()) {
      if (cut.has(i)) bounds += most[i]!;
      else others += share;
    }
    const whole = bounds < 1 ? others / (1 - bounds) : 0;
    for (const i of cut) within[i] = most[i]! * whole;
  }
}

/** `never` before any share, and the smaller share before the larger. */
function strictest(invariants: readonly Invariant[]): Invariant | undefined {
  let found: Invariant | undefined;
  for (const one of invariants) {
    if (found === undefined || percentOf(one) < percentOf(found)) found = one;
  }
  return found;
}

function percentOf(invariant: Invariant): number {
  return invariant.kind === 'never' ? -1 : invariant.percent;
}
