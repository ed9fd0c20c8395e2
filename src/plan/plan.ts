/** What a new configuration changes for requests and users, group by group. Pure. */
import { describeChanges } from '../config/changes.ts';
import { GroupRows, groupsOf, NO_GROUP, OTHER_GROUP, type ReachedRow, spellings } from '../config/groups.ts';
import { compareSteps, violationsOf } from '../config/invariant-rules.ts';
import type { Config } from '../config/schema.ts';
import { percentages } from '../config/split-weights.ts';
import { guardedRoute } from '../routing/guard.ts';
import { describeInvariant, groupClassOf } from '../routing/invariants.ts';
import type { Route } from '../routing/route.ts';
import { compileTable, type RoutingTable } from '../routing/table.ts';
import { type UserMoves, userMoves } from './user-moves.ts';

export interface Plan {
  /** Some request or user goes elsewhere than before. */
  readonly changed: boolean;
  /** The new table breaks a promise. */
  readonly broken: boolean;
  readonly groups: readonly GroupPlan[];
  readonly invariants: readonly InvariantState[];
  /** Changes that decide who goes where besides weights: matches, the group's field, pins, addresses of backends. */
  readonly rules: readonly string[];
  /** Changes that move nobody. */
  readonly otherChanges: readonly string[];
}

/** Groups to which the same happens. */
export interface GroupPlan {
  /** As written in the table; `(none)` without a group, `(other)` for values that no row names. */
  readonly groups: readonly string[];
  readonly rows: readonly RowPlan[];
}

export interface RowPlan {
  /** Name of the row before and after; they differ where another one takes the group's requests. */
  readonly before: string;
  readonly after: string;
  /** Not all requests of the group come here: the row asks for more than the group. */
  readonly partly: boolean;
  readonly backends: readonly ShareChange[];
  readonly pin: PinChange | undefined;
  /** Of users whom nobody remembers; undefined when users are not pinned both before and after. */
  readonly users: UserMoves | undefined;
  /** Requests that go to another backend, in percent, where no pin decides. */
  readonly requestsMoved: number | undefined;
  /** Something besides the shares differs: who takes over on failure, or which pins are kept. */
  readonly failover: boolean;
  readonly changed: boolean;
}

export interface ShareChange {
  readonly name: string;
  /** Percent; undefined: not in the split. */
  readonly before: number | undefined;
  readonly after: number | undefined;
}

export interface PinChange {
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** Of the row after; `none` without a pin. */
  readonly store: 'none' | 'memory' | 'redis';
  /** What stores remember counts no more: another pin, generation or way to know users. */
  readonly void: boolean;
  /** Backends whose remembered users must move. */
  readonly voidBackends: readonly string[];
}

export interface InvariantState {
  readonly text: string;
  readonly state: 'kept' | 'broken' | 'forced' | 'removed';
  readonly messages: readonly string[];
}

export interface Planned {
  readonly plan: Plan;
  readonly before: RoutingTable;
  readonly after: RoutingTable;
}

export function planChange(from: Config, to: Config): Planned {
  const before = compileTable(from);
  const after = compileTable(to);
  const spelling = spellings(to, from);
  const was = new GroupRows(from);
  const is = new GroupRows(to);
  const groups = new Map<string, { names: string[]; rows: RowPlan[] }>();
  for (const group of new Set([...groupsOf(to), ...groupsOf(from)])) {
    const rows = passagesOf(group, was.rowsOf(group), is.rowsOf(group), before, after);
    // Equal in every figure, so told once.
    const key = JSON.stringify(rows);
    const label =
      group === NO_GROUP ? '(none)' : group === OTHER_GROUP ? '(other)' : (spelling.get(group) ?? group);
    const alike = groups.get(key);
    if (alike === undefined) groups.set(key, { names: [label], rows });
    else alike.names.push(label);
  }
  const changes = describeChanges(from, to);
  const rules = changes.filter(({ path }) => decidesWhere(path)).map(({ text }) => text);
  const otherChanges = changes
    .filter(({ path }) => !decidesWhere(path) && !isWeight(path))
    .map(({ text }) => text);
  const plans = [...groups.values()].map(({ names, rows }): GroupPlan => ({ groups: names, rows }));
  const invariants = invariantStates(from, to);
  return {
    plan: {
      changed: rules.length > 0 || plans.some(({ rows }) => rows.some(({ changed }) => changed)),
      broken: invariants.some(({ state }) => state === 'broken'),
      groups: plans,
      invariants,
      rules,
      otherChanges,
    },
    before,
    after,
  };
}

function passagesOf(
  group: string,
  from: readonly ReachedRow[],
  to: readonly ReachedRow[],
  before: RoutingTable,
  after: RoutingTable,
): RowPlan[] {
  const facts = { group, groups: undefined };
  const pairs = new Map<string, RowPlan>();
  // A row that comes or goes is compared with the one that took, or takes, its requests.
  for (const name of new Set([...to, ...from].map(({ route }) => route.name))) {
    const old = from.find(({ route }) => route.name === name) ?? from.at(-1);
    const next = to.find(({ route }) => route.name === name) ?? to.at(-1);
    if (old === undefined || next === undefined) continue;
    const first = guardedRoute(before.routes[old.index]!, groupClassOf(before.groups, facts));
    const second = guardedRoute(after.routes[next.index]!, groupClassOf(after.groups, facts));
    const partly = to.length > 1 && next !== to.at(-1) ? true : from.length > 1 && old !== from.at(-1);
    pairs.set(`${old.index} ${next.index}`, compareRows(first, second, partly));
  }
  return [...pairs.values()];
}

/** One row before and after, as the requests of one group see it. */
export function compareRows(before: Route, after: Route, partly: boolean): RowPlan {
  const was = sharesOf(before);
  const is = sharesOf(after);
  const names = [...is.keys(), ...[...was.keys()].filter((name) => !is.has(name))];
  const backends = names.map((name): ShareChange => ({ name, before: was.get(name), after: is.get(name) }));
  const pinned = before.pin !== undefined && after.pin !== undefined;
  const users = pinned ? userMoves(before, after) : undefined;
  const shift = backends.reduce((sum, { before: a = 0, after: b = 0 }) => sum + Math.max(0, b - a), 0);
  const pin = pinChange(before, after);
  const failover = !sameFailover(before, after);
  const moved = users === undefined ? shift > 1e-9 : users.moved > 0 || shift > 1e-9;
  return {
    before: before.name,
    after: after.name,
    partly,
    backends,
    pin,
    users,
    requestsMoved: pinned ? undefined : shift,
    failover,
    changed: moved || failover || pin?.void === true || pin?.before !== pin?.after,
  };
}

function sharesOf({ split }: Route): ReadonlyMap<string, number> {
  const percents = percentages(split.shares);
  return new Map(split.names.map((name, i) => [name, percents[i]!]));
}

function pinChange(before: Route, after: Route): PinChange | undefined {
  const [was, is] = [before.pin, after.pin];
  if (was === undefined && is === undefined) return undefined;
  const store = is?.config.store ?? 'none';
  const replaced =
    was !== undefined &&
    is !== undefined &&
    (was.name !== is.name ||
      was.salt !== is.salt ||
      was.config.store !== store ||
      was.config.generation !== is.config.generation ||
      JSON.stringify(was.config.by) !== JSON.stringify(is.config.by));
  const voidBackends = before.split.names.filter((name, i) => {
    const now = after.split.names.indexOf(name);
    return before.split.keeps[i]! && !(now !== -1 && after.split.keeps[now]!);
  });
  return {
    before: was?.name,
    after: is?.name,
    store,
    void: replaced,
    voidBackends: store === 'none' ? [] : voidBackends,
  };
}

/** By name, and as proportions: neither order nor scale matters. */
function sameFailover(before: Route, after: Route): boolean {
  const facts = ({ split }: Route) => {
    const percents = percentages(split.weights);
    const rows = split.names.map(
      (name, i) => [name, Math.round(percents[i]! * 1e9), split.keeps[i]] as const,
    );
    const used = rows.filter(([, weight, keeps]) => weight > 0 || keeps);
    return JSON.stringify(used.sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return facts(before) === facts(after);
}

/** A name in a path as `describeChanges` writes it: routes go by name. */
const NAME = String.raw`(?:\.[A-Za-z0-9_-]+|\["[^"]*"\])`;
const WEIGHTS = new RegExp(`^routes${NAME}\\.(split|main|rollback|pin)\\b`);
const RULES = [
  /^(groupHeader|ambiguousGroup|unknownGroup|trust)\b/,
  /^routes$/,
  new RegExp(`^routes${NAME}(\\.match\\b|$)`),
  new RegExp(`^backends${NAME}\\.(url|servers|drain)\\b`),
  new RegExp(`^pins${NAME}\\.(by|issueCookie|salt|generation|onUnavailable)\\b`),
];

/** Weights, pins and the rest of a row are judged by what they do. */
function isWeight(path: string): boolean {
  return WEIGHTS.test(path) || path === 'invariants';
}

function decidesWhere(path: string): boolean {
  return RULES.some((rule) => rule.test(path));
}

function invariantStates(from: Config, to: Config): InvariantState[] {
  const violations = violationsOf(to);
  const steps = compareSteps(from, to);
  const states = to.invariants.map((invariant, index): InvariantState => {
    const text = describeInvariant(invariant);
    const messages = [...violations, ...steps.violations]
      .filter((violation) => violation.invariant === index)
      .map(({ message }) => message);
    if (messages.length > 0) return { text, state: 'broken', messages };
    const forced = steps.forced.find(({ reason }) => reason === invariant.force);
    if (forced === undefined) return { text, state: 'kept', messages: [] };
    return { text, state: 'forced', messages: [`because ${forced.reason}`, ...forced.steps] };
  });
  const kept = new Set(states.map(({ text }) => text));
  const removed = from.invariants.map(describeInvariant).filter((text) => !kept.has(text));
  return [...states, ...removed.map((text): InvariantState => ({ text, state: 'removed', messages: [] }))];
}
