/** Whether a table keeps what its invariants promise, in itself and against the table before it. Pure. */
import {
  DEFAULT_GROUP,
  describeGroups,
  GroupRows,
  groupKey,
  groupsOf,
  isMeant,
  listOf,
  type ReachedRow,
  spellings,
} from './groups.ts';
import { childOf, keyOffsetOf, type LocatedNode, type LocatedScalar } from './located.ts';
import { suggestion } from './nearest.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';
import type { Config, RouteConfig } from './schema.ts';
import { percentages, splitWeights } from './split-weights.ts';

export type InvariantRule = 'never' | 'maxShare' | 'maxStep';

export const INVARIANT_RULES: readonly InvariantRule[] = ['never', 'maxShare', 'maxStep'];

/** A promise that a table breaks. */
export interface Violation {
  readonly rule: InvariantRule;
  /** In `invariants`. */
  readonly invariant: number;
  /** What in the table breaks it. */
  readonly path: KeyPath;
  readonly message: string;
}

/** Of promises to groups; steps need the table before, see `compareSteps`. */
export function violationsOf(config: Config): Violation[] {
  if (config.invariants.length === 0) return [];
  const rows = new GroupRows(config);
  const spelling = spellings(config);
  const reached = groupsOf(config).map((group) => ({ group, rows: rows.rowsOf(group) }));
  return config.invariants.flatMap(({ never, maxShare }, invariant) => {
    const violations: Violation[] = [];
    for (const { row, groups } of rowsOfGroups(never?.group ?? maxShare?.group, reached, rows.named)) {
      const who = describeGroups(groups, spelling);
      const why = reasonFor(row, groups);
      const { names, weights, shares } = splitWeights(row.route, config.backends);
      const percents = percentages(shares);
      for (const [i, name] of names.entries()) {
        const path = ['routes', row.index, 'split', name];
        if (listOf(never?.backend).includes(name) && (weights[i]! > 0 || shares[i]! > 0)) {
          const message = `${who} reach ${name} here, and invariants[${invariant}] says never: ${why}; take ${name} out of this split, or let a row above take them`;
          violations.push({ rule: 'never', invariant, path, message });
        }
        if (maxShare?.backend === name && percents[i]! > maxShare.percent + 1e-9) {
          const message = `${who} reach ${name} here with ${percent(percents[i]!)}, and invariants[${invariant}] allows ${percent(maxShare.percent)}: ${why}; lower its weight, or let a row above take them`;
          violations.push({ rule: 'maxShare', invariant, path, message });
        }
      }
    }
    return violations;
  });
}

interface RowOfGroups {
  readonly row: ReachedRow;
  readonly groups: readonly string[];
}

/** By row, so that one mistake in it is told once. */
function rowsOfGroups(
  written: string | readonly string[] | undefined,
  reached: readonly { readonly group: string; readonly rows: readonly ReachedRow[] }[],
  named: ReadonlySet<string>,
): RowOfGroups[] {
  if (written === undefined) return [];
  const byRow = new Map<number, { row: ReachedRow; groups: string[] }>();
  for (const { group, rows } of reached) {
    if (!isMeant(written, group, named)) continue;
    for (const row of rows) {
      const known = byRow.get(row.index);
      if (known === undefined) byRow.set(row.index, { row, groups: [group] });
      else known.groups.push(group);
    }
  }
  return [...byRow.values()].sort((a, b) => a.row.index - b.row.index);
}

function reasonFor({ route, instead }: ReachedRow, groups: readonly string[]): string {
  if (instead) return 'unknownGroup sends them to this row';
  if (route.match === undefined)
    return 'this row takes whatever no row above takes, and none takes all of these';
  const asks = listOf(route.match).some(({ group }) =>
    listOf(group).some((text) => groups.includes(groupKey(text))),
  );
  return asks
    ? 'this row asks for that group'
    : 'this row asks for no group, and none above takes all of these';
}

/** Of one reload: what goes further than `maxStep` allows, and what a `force` let pass. */
export interface StepReport {
  readonly violations: readonly Violation[];
  /** For the log. */
  readonly forced: readonly { readonly reason: string; readonly steps: readonly string[] }[];
}

interface Step {
  readonly path: KeyPath;
  readonly points: number;
  /** `canary 5 % → 30 % in row free, for requests of group FREE` */
  readonly text: string;
}

export function compareSteps(before: Config, after: Config): StepReport {
  const limits = after.invariants.flatMap(({ maxStep, force }, invariant) =>
    maxStep === undefined ? [] : [{ maxStep, force, invariant }],
  );
  if (limits.length === 0) return { violations: [], forced: [] };
  const known = new Set(before.invariants.map(({ force }) => force));
  const steps = stepsBetween(before, after);
  const violations: Violation[] = [];
  const forced: { reason: string; steps: string[] }[] = [];
  for (const { maxStep, force, invariant } of limits) {
    const over = steps.filter(({ points }) => points > maxStep + 1e-9);
    if (over.length === 0) continue;
    // A reason that was there before was for an earlier step; else one that is forgotten would end the promise.
    if (force !== undefined && !known.has(force)) {
      forced.push({ reason: force, steps: over.map(({ text }) => text) });
      continue;
    }
    const stale = force === undefined ? '' : ', a new reason, since this one was for an earlier reload';
    for (const { path, points, text } of over) {
      const message = `${text}: ${round(points)} points, and invariants[${invariant}] allows ${round(maxStep)} a reload; go there in steps, or say why not in its key force${stale}`;
      violations.push({ rule: 'maxStep', invariant, path, message });
    }
  }
  return { violations, forced };
}

/** Every change of a backend's share in a row, for the groups that reach it. */
function stepsBetween(before: Config, after: Config): Step[] {
  const was = new GroupRows(before);
  const is = new GroupRows(after);
  const spelling = spellings(after, before);
  const found = new Map<string, { step: Omit<Step, 'text'>; text: string; groups: string[] }>();
  for (const group of new Set([...groupsOf(after), ...groupsOf(before)])) {
    const from = was.rowsOf(group);
    const to = is.rowsOf(group);
    // A row that comes or goes is compared with the one that took, or takes, its requests.
    for (const name of new Set([...to, ...from].map(({ route }) => route.name))) {
      const old = from.find(({ route }) => route.name === name) ?? from.at(-1);
      const next = to.find(({ route }) => route.name === name) ?? to.at(-1);
      if (old === undefined || next === undefined) continue;
      const oldShares = sharesByName(old.route, before);
      const nextShares = sharesByName(next.route, after);
      // Rolling back is never too large a step; coming back from it is one.
      const { rollback: _, ...forward } = next.route;
      const unrolled = sharesByName(forward, after);
      for (const backend of new Set([...nextShares.keys(), ...oldShares.keys()])) {
        const a = oldShares.get(backend) ?? 0;
        const b = nextShares.get(backend) ?? 0;
        const points = Math.min(Math.abs(b - a), Math.abs((unrolled.get(backend) ?? 0) - a));
        if (points === 0) continue;
        const split = ['routes', next.index, 'split'];
        const path = nextShares.has(backend) ? [...split, backend] : split;
        const text = `${backend} goes from ${percent(a)} to ${percent(b)} in row ${next.route.name}`;
        const key = `${next.index} ${old.index} ${backend}`;
        const earlier = found.get(key);
        if (earlier === undefined) {
          found.set(key, { step: { path, points }, text, groups: [group] });
        } else earlier.groups.push(group);
      }
    }
  }
  return [...found.values()].map(({ step, text, groups }) => ({
    ...step,
    text: `${text} for ${describeGroups(groups, spelling)}`,
  }));
}

function sharesByName(
  route: Pick<RouteConfig, 'split' | 'rollback'>,
  config: Config,
): ReadonlyMap<string, number> {
  const { names, shares } = splitWeights(route, config.backends);
  const percents = percentages(shares);
  return new Map(names.map((name, i) => [name, percents[i]!]));
}

/** Violations at their places in the file. */
export function violationFaults(violations: readonly Violation[], root: LocatedNode): Fault[] {
  return violations.map(({ path, message }) => ({ offset: keyOffsetOf(root, path), path, message }));
}

/** What is wrong with the invariants themselves, and with `unknownGroup`; also of files that the schema refuses. */
export function invariantRuleFaults(root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const fault = (node: { readonly offset: number }, path: KeyPath, message: string) => {
    faults.push({ offset: node.offset, path, message });
  };
  const backends = namesIn(childOf(root, 'backends'));
  const invariants = childOf(root, 'invariants');
  for (const [index, item] of (invariants?.kind === 'list' ? invariants.items : []).entries()) {
    if (item.kind !== 'map') continue;
    const here = ['invariants', index];
    const rules = INVARIANT_RULES.filter((rule) => item.entries.has(rule));
    if (rules.length !== 1) {
      const message =
        rules.length === 0
          ? 'promises nothing; give one of never, maxShare or maxStep'
          : `has ${rules.join(' and ')}; write them as items of their own`;
      fault(item, here, message);
    }
    const force = item.entries.get('force');
    if (force !== undefined && !item.entries.has('maxStep')) {
      fault(
        { offset: force.keyOffset },
        [...here, 'force'],
        'belongs beside maxStep; no other promise can be forced',
      );
    }
    for (const rule of ['never', 'maxShare']) {
      const promise = childOf(item, rule);
      for (const [path, name] of textsAt(promise, 'backend')) {
        if (backends === undefined || backends.has(name.value)) continue;
        const message =
          name.variables.length > 0
            ? 'there is no backend of that name'
            : `there is no backend ${quote(name.value)}${suggestion(name.value, backends, 'backends')}`;
        fault(name, [...here, rule, ...path], message);
      }
      for (const [path, group] of textsAt(promise, 'group')) {
        if (group.value.trim() === '' && group.value !== '') {
          fault(group, [...here, rule, ...path], 'must not be blank');
        } else if (groupKey(group.value) === DEFAULT_GROUP && groupsInRows(root).has(DEFAULT_GROUP)) {
          const message =
            'could mean the group of that name, which a row asks for, or requests that no row names; rename the group';
          fault(group, [...here, rule, ...path], message);
        }
      }
    }
  }
  faults.push(...unknownGroupFaults(root));
  return faults;
}

function unknownGroupFaults(root: LocatedNode): Fault[] {
  const name = childOf(root, 'unknownGroup');
  const routes = childOf(root, 'routes');
  if (!isText(name) || routes?.kind !== 'list') return [];
  const names = routes.items.map((route) => childOf(route, 'name')).filter(isText);
  if (names.some(({ value }) => value === name.value)) return [];
  const known = names.map(({ value }) => value);
  const message =
    name.variables.length > 0
      ? 'there is no route of that name'
      : `there is no route ${quote(name.value)}${suggestion(name.value, known, 'routes')}`;
  return [{ offset: name.offset, path: ['unknownGroup'], message }];
}

/** Groups that rows ask for in their own conditions. */
function groupsInRows(root: LocatedNode): ReadonlySet<string> {
  const groups = new Set<string>();
  const routes = childOf(root, 'routes');
  for (const route of routes?.kind === 'list' ? routes.items : []) {
    const match = childOf(route, 'match');
    for (const alternative of match?.kind === 'list' ? match.items : [match]) {
      for (const [, group] of textsAt(alternative, 'group')) groups.add(groupKey(group.value));
    }
  }
  return groups;
}

type Text = LocatedScalar & { readonly value: string };

function* textsAt(node: LocatedNode | undefined, key: string): Iterable<[KeyPath, Text]> {
  const value = childOf(node, key);
  if (isText(value)) yield [[key], value];
  if (value?.kind !== 'list') return;
  for (const [index, item] of value.items.entries()) if (isText(item)) yield [[key, index], item];
}

function isText(node: LocatedNode | undefined): node is Text {
  return node?.kind === 'scalar' && typeof node.value === 'string';
}

function namesIn(node: LocatedNode | undefined): ReadonlySet<string> | undefined {
  return node?.kind === 'map' ? new Set(node.entries.keys()) : undefined;
}

function percent(value: number): string {
  return `${round(value)} %`;
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}
