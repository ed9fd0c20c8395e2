/** Rules in the order of a frontend → rows in the order of a table, one for each backend wherever order allows. */
import type { Alive, Choice } from './conditions.ts';
import { and, type Condition, conjunction, FALSE, implies, not, or, type Term } from './logic.ts';
import { complement, ONE, plus, type Rational, ratio, times, ZERO } from './rational.ts';
import type { Statement } from './statement.ts';

/** A backend of HAProxy, or one server of it. */
export interface Target {
  readonly backend: string;
  readonly server: string | undefined;
}

/** Where requests go that meet `term`, with a chance and as long as backends live. */
export interface Step {
  readonly term: Term;
  readonly chance: Rational;
  readonly needs: readonly Alive[];
  readonly target: Target;
  readonly statement: Statement;
}

export interface Share {
  readonly target: Target;
  readonly weight: Rational;
  /** Only while no other share has a server left. */
  readonly backup: boolean;
}

export interface Row {
  readonly condition: Condition;
  readonly shares: readonly Share[];
  readonly statements: readonly Statement[];
}

/** Beyond this the rules are refused: the table would be longer than anybody reads. */
const MAX_ROWS = 500;

export function stepOf(choice: Choice, target: Target, statement: Statement): Step {
  const chance = choice.dice.reduce((all, { hits, draws }) => times(all, ratio(hits, draws)), ONE);
  return { term: choice.term, chance, needs: choice.alive, target, statement };
}

/**
 * @param last where everything goes that no step takes
 * @returns undefined when there would be too many rows
 */
export function rowsOf(steps: readonly Step[], last: Step): readonly Row[] | undefined {
  const rows = rowsFrom([...steps, last], 0, [], []);
  return rows === undefined ? undefined : united(rows);
}

/** @param gone what earlier rows have taken whole */
function rowsFrom(
  steps: readonly Step[],
  from: number,
  under: Term,
  gone: readonly Term[],
): Row[] | undefined {
  const rows: Row[] = [];
  const taken = [...gone];
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!;
    const term = conjunction(under, step.term);
    if (term === undefined || step.chance.n === 0n) continue;
    if (taken.some((earlier) => implies(term, earlier))) continue;
    if (isCertain(step))
      rows.push({ condition: [term], shares: [whole(step.target)], statements: [step.statement] });
    else {
      const rest = rowsFrom(steps, i + 1, term, taken);
      if (rest === undefined) return undefined;
      for (const row of rest) {
        const statements = [step.statement, ...row.statements];
        rows.push({ condition: row.condition, shares: mixed(step, row.shares), statements });
      }
    }
    taken.push(term);
    if (rows.length > MAX_ROWS) return undefined;
    if (implies(under, step.term)) break;
  }
  return rows;
}

function isCertain({ chance, needs }: Step): boolean {
  return chance.n === chance.d && needs.length === 0;
}

function whole(target: Target): Share {
  return { target, weight: ONE, backup: false };
}

/** What a step with a chance, or with a look at who lives, leaves to those after it. */
function mixed({ chance, needs, target }: Step, rest: readonly Share[]): readonly Share[] {
  const gone = needs.find(({ alive }) => !alive);
  if (gone !== undefined) {
    // The step is for when a backend is gone: it stands behind that backend.
    const concerned = rest.some((share) => share.target.backend === gone.backend);
    return concerned ? summed([...rest, { target, weight: ONE, backup: true }]) : rest;
  }
  if (chance.n === chance.d) {
    return summed([whole(target), ...rest.map((share) => ({ ...share, backup: true }))]);
  }
  // A share without servers goes to the others anyway, so that a guard against that is fulfilled.
  const left = complement(chance);
  return summed([
    { target, weight: chance, backup: false },
    ...rest.map((share) => (share.backup ? share : { ...share, weight: times(share.weight, left) })),
  ]);
}

function summed(shares: readonly Share[]): readonly Share[] {
  const sums = new Map<string, Share>();
  for (const share of shares) {
    const key = JSON.stringify([share.target, share.backup]);
    const known = sums.get(key);
    sums.set(key, { ...share, weight: plus(known?.weight ?? ZERO, share.weight) });
  }
  // A backup that serves anyway is none.
  const serving = new Set(
    [...sums.values()].filter(({ backup }) => !backup).map(({ target }) => JSON.stringify(target)),
  );
  return [...sums.values()].filter(({ backup, target }) => !backup || !serving.has(JSON.stringify(target)));
}

function keyOf(row: Row): string {
  const shares = row.shares.map(({ target, weight, backup }) => [target, `${weight.n}/${weight.d}`, backup]);
  return JSON.stringify(shares);
}

/** Rows of the same shares become one, by excluding from one what rows between them take first. */
function united(all: readonly Row[]): readonly Row[] {
  const rows = [...all];
  joinNeighbours(rows);
  foldIntoLast(rows);
  foldIntoFirst(rows);
  return rows.filter((row, i) => i === rows.length - 1 || row.condition.length > 0);
}

function joinNeighbours(rows: Row[]): void {
  for (let i = rows.length - 2; i >= 0; i--) {
    const [row, next] = [rows[i]!, rows[i + 1]!];
    if (keyOf(row) !== keyOf(next)) continue;
    const condition = i + 1 === rows.length - 1 ? next.condition : or(row.condition, next.condition);
    if (condition === undefined) continue;
    rows.splice(i, 2, { ...next, condition, statements: [...row.statements, ...next.statements] });
  }
}

/** A row that does what the last one does: later rows let its requests pass instead. */
function foldIntoLast(rows: Row[]): void {
  const key = keyOf(rows.at(-1)!);
  for (let k = rows.length - 2; k >= 0; k--) {
    if (keyOf(rows[k]!) !== key) continue;
    const outside = not(rows[k]!.condition);
    const between = rows
      .slice(k + 1, -1)
      .map((row) => (outside === undefined ? undefined : and(row.condition, outside)));
    if (outside === undefined || between.some((condition) => condition === undefined)) continue;
    const last = rows.at(-1)!;
    rows.splice(
      k,
      rows.length - k,
      ...between.map((condition, i) => ({ ...rows[k + 1 + i]!, condition: condition ?? FALSE })),
      { ...last, statements: [...rows[k]!.statements, ...last.statements] },
    );
  }
}

/** A row that does what an earlier one does moves up to it, without what the rows between would have taken. */
function foldIntoFirst(rows: Row[]): void {
  for (let i = 0; i < rows.length - 1; i++) {
    for (let j = i + 1; j < rows.length - 1; j++) {
      if (keyOf(rows[j]!) !== keyOf(rows[i]!)) continue;
      let moved: Condition | undefined = rows[j]!.condition;
      for (let m = i + 1; m < j && moved !== undefined; m++) {
        const outside = not(rows[m]!.condition);
        moved = outside === undefined ? undefined : and(moved, outside);
      }
      const condition = moved === undefined ? undefined : or(rows[i]!.condition, moved);
      if (condition === undefined) continue;
      rows[i] = {
        ...rows[i]!,
        condition,
        statements: [...rows[i]!.statements, ...rows[j]!.statements],
      };
      rows.splice(j, 1);
      j--;
    }
  }
}
