/** Single tests of a request, in the terms of a row's `match`. */
import type { ConfigInput } from '../config/schema.ts';

type MatchInput = NonNullable<ConfigInput['routes'][number]['match']>;
export type MatchAlternative = Exclude<MatchInput, readonly unknown[]>;
export type MatchConditions = Omit<MatchAlternative, 'and' | 'not'>;
export type Comparing = Extract<NonNullable<MatchConditions['path']>, { exact?: unknown }>;

export type Atom = {
  /** Equal for tests that are the same. */
  readonly key: string;
  /** What a request has one of, and which values pass. */
  readonly only: { readonly what: string; readonly values: readonly string[] } | undefined;
} & (
  | { readonly kind: 'group' | 'host' | 'method' | 'client'; readonly values: readonly string[] }
  | { readonly kind: 'path'; readonly comparing: Comparing }
  | {
      readonly kind: 'headers' | 'cookies' | 'query';
      readonly name: string;
      readonly comparing: NamedComparing;
    }
);

/** `present` alone, or comparisons. */
export type NamedComparing = Comparing & { readonly present?: boolean; readonly list?: boolean };

type Unkeyed<T> = T extends unknown ? Omit<T, 'key' | 'only'> : never;

export function atom(parts: Unkeyed<Atom>): Atom {
  const name = 'name' in parts && parts.kind === 'headers' ? { name: parts.name.toLowerCase() } : {};
  return { ...parts, key: JSON.stringify({ ...parts, ...name }), only: onlyOf(parts) } as Atom;
}

function onlyOf(parts: Unkeyed<Atom>): Atom['only'] {
  if (parts.kind === 'method' || parts.kind === 'host') {
    // A pattern with a star covers others.
    if (parts.values.some((value) => value.startsWith('*.'))) return undefined;
    return { what: parts.kind, values: parts.values };
  }
  if (parts.kind !== 'path' || parts.comparing.ignoreCase) return undefined;
  const { exact, ...rest } = parts.comparing;
  if (exact === undefined || Object.keys(rest).length > 0) return undefined;
  return { what: 'path', values: [exact].flat() };
}

/** Two tests of the same kind that differ in their values alone, as one test for either; undefined when they cannot be one. */
export function either(a: Atom, b: Atom): Atom | undefined {
  if (a.kind !== b.kind) return undefined;
  if ('values' in a && 'values' in b) {
    return atom({ kind: a.kind, values: [...new Set([...a.values, ...b.values])] });
  }
  if (!('comparing' in a) || !('comparing' in b)) return undefined;
  if ('name' in a && 'name' in b && a.name.toLowerCase() !== b.name.toLowerCase()) return undefined;
  const comparing = eitherComparing(a.comparing, b.comparing);
  return comparing === undefined ? undefined : atom({ ...stripped(a), comparing } as Unkeyed<Atom>);
}

function stripped(full: Atom): object {
  const { key: _key, only: _only, ...rest } = full;
  return rest;
}

const COMPARISONS = ['exact', 'prefix', 'suffix', 'contains', 'regex'] as const;

function eitherComparing(a: NamedComparing, b: NamedComparing): NamedComparing | undefined {
  if ((a.ignoreCase ?? false) !== (b.ignoreCase ?? false) || (a.list ?? false) !== (b.list ?? false)) {
    return undefined;
  }
  const [left, right] = [COMPARISONS.filter((key) => a[key]), COMPARISONS.filter((key) => b[key])];
  const [kind] = left;
  if (left.length !== 1 || right.length !== 1 || kind === undefined || kind !== right[0]) return undefined;
  return { ...a, [kind]: [...new Set([a[kind]!, b[kind]!].flat())] };
}
