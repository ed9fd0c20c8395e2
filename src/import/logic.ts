/** Conditions as alternatives of conjunctions, with the little algebra that moving rows about needs. */
import type { Atom } from './atoms.ts';

export interface Literal {
  readonly atom: Atom;
  readonly negated: boolean;
}

/** All of them hold. */
export type Term = readonly Literal[];

/** One of them holds. `[[]]` is true, `[]` is false. */
export type Condition = readonly Term[];

/** Larger conditions are not handled: nobody could read what they become. */
export const MAX_TERMS = 64;

export const TRUE: Condition = [[]];
export const FALSE: Condition = [];

export function keyOf({ atom, negated }: Literal): string {
  return `${negated ? '!' : ''}${atom.key}`;
}

/** Undefined when the result is too large. */
export function and(a: Condition, b: Condition): Condition | undefined {
  if (a.length * b.length > MAX_TERMS * 16) return undefined;
  const terms: Term[] = [];
  for (const left of a) {
    for (const right of b) {
      const term = conjunction(left, right);
      if (term !== undefined) terms.push(term);
    }
  }
  return bounded(simplified(terms));
}

export function or(a: Condition, b: Condition): Condition | undefined {
  return bounded(simplified([...a, ...b]));
}

export function not(condition: Condition): Condition | undefined {
  let result: Condition | undefined = TRUE;
  for (const term of condition) {
    const inverse = term.map((literal): Term => [{ ...literal, negated: !literal.negated }]);
    result = and(result, inverse);
    if (result === undefined) return undefined;
  }
  return result;
}

/** Undefined when the two exclude each other. */
export function conjunction(a: Term, b: Term): Term | undefined {
  const literals = new Map(a.map((literal) => [keyOf(literal), literal]));
  for (const literal of b) {
    if (literals.has(keyOf({ ...literal, negated: !literal.negated }))) return undefined;
    if (!literals.has(keyOf(literal))) literals.set(keyOf(literal), literal);
  }
  const all = [...literals.values()];
  return all.some((one, i) => all.slice(i + 1).some((other) => exclude(one, other))) ? undefined : all;
}

/** Every request that meets `a` meets `b`. */
export function implies(a: Term, b: Term): boolean {
  const keys = new Set(a.map(keyOf));
  return b.every((literal) => keys.has(keyOf(literal)));
}

/** A request has one method and one path: two different ones cannot both be. */
function exclude(a: Literal, b: Literal): boolean {
  if (a.negated || b.negated) return false;
  const [left, right] = [a.atom.only, b.atom.only];
  if (left === undefined || right === undefined || left.what !== right.what) return false;
  return !left.values.some((value) => right.values.includes(value));
}

/** Without terms that another one covers, and with literals joined that stand alone and mean one list. */
function simplified(terms: readonly Term[]): Condition {
  const kept: Term[] = [];
  for (const term of terms) {
    if (kept.some((other) => implies(term, other))) continue;
    for (let i = kept.length - 1; i >= 0; i--) if (implies(kept[i]!, term)) kept.splice(i, 1);
    kept.push(term);
  }
  return kept;
}

function bounded(condition: Condition): Condition | undefined {
  return condition.length > MAX_TERMS ? undefined : condition;
}
