/** Conditions → the `match` of a row. */
import { type Atom, either, type MatchAlternative, type MatchConditions } from './atoms.ts';
import { type Condition, keyOf, type Term } from './logic.ts';

/** Undefined for a condition that every request meets. */
export function matchOf(condition: Condition): MatchAlternative | MatchAlternative[] | undefined {
  if (condition.some((term) => term.length === 0)) return undefined;
  const alternatives = joined(condition).map(alternativeOf);
  return alternatives.length === 1 ? alternatives[0]! : alternatives;
}

/** Terms that differ in one positive test alone, where its two forms can be one list, become one. */
function joined(condition: Condition): Term[] {
  const terms = [...condition];
  for (let i = 0; i < terms.length; i++) {
    for (let j = i + 1; j < terms.length; j++) {
      const one = join(terms[i]!, terms[j]!);
      if (one === undefined) continue;
      terms[i] = one;
      terms.splice(j, 1);
      j = i;
    }
  }
  return terms;
}

function join(a: Term, b: Term): Term | undefined {
  if (a.length !== b.length) return undefined;
  const keys = new Set(b.map(keyOf));
  const apart = a.filter((literal) => !keys.has(keyOf(literal)));
  const own = new Set(a.map(keyOf));
  const other = b.filter((literal) => !own.has(keyOf(literal)));
  if (apart.length !== 1 || other.length !== 1 || apart[0]!.negated || other[0]!.negated) return undefined;
  const atom = either(apart[0]!.atom, other[0]!.atom);
  return atom === undefined ? undefined : a.map((one) => (one === apart[0] ? { atom, negated: false } : one));
}

function alternativeOf(term: Term): MatchAlternative {
  const main: MatchConditions = {};
  const further: MatchConditions[] = [];
  const excluded: MatchConditions[] = [];
  for (const { atom, negated } of term) {
    if (negated) excluded.push(place(atom, {})!);
    else if (place(atom, main) === undefined) {
      const room = further.find((conditions) => place(atom, conditions) !== undefined);
      if (room === undefined) further.push(place(atom, {})!);
    }
  }
  return {
    ...main,
    ...(further.length === 0 ? {} : { and: oneOrMany(further) }),
    ...(excluded.length === 0 ? {} : { not: oneOrMany(excluded) }),
  };
}

/** Writes the test into `conditions`; undefined when its place there is taken. */
function place(atom: Atom, conditions: MatchConditions): MatchConditions | undefined {
  const target = conditions as Record<string, unknown>;
  if ('name' in atom) {
    const named = (target[atom.kind] ?? {}) as Record<string, unknown>;
    const same = (name: string) => name.toLowerCase() === atom.name.toLowerCase();
    if (Object.keys(named).some(same)) return undefined;
    target[atom.kind] = { ...named, [atom.name]: shortest(atom.comparing) };
    return conditions;
  }
  if (target[atom.kind] !== undefined) return undefined;
  if ('values' in atom) target[atom.kind] = oneOrMany(atom.values);
  else {
    const { prefix, ...rest } = atom.comparing;
    const plain =
      prefix !== undefined &&
      Object.keys(rest).length === 0 &&
      [prefix].flat().every((text) => text.startsWith('/') && !text.includes('?'));
    target['path'] = plain ? oneOrMany([prefix].flat()) : listsUnwrapped(atom.comparing);
  }
  return conditions;
}

/** A value alone where that says the same. */
function shortest(comparing: object): unknown {
  const unwrapped = listsUnwrapped(comparing);
  const keys = Object.keys(unwrapped);
  return keys.length === 1 && keys[0] === 'exact' ? unwrapped['exact'] : unwrapped;
}

function listsUnwrapped(comparing: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(comparing).map(([key, value]) => [
      key,
      Array.isArray(value) && value.length === 1 ? value[0] : value,
    ]),
  );
}

function oneOrMany<T>(values: readonly T[]): T | T[] {
  return values.length === 1 ? values[0]! : [...values];
}
