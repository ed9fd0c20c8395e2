/** HAProxy's string matching methods → the comparisons of a row. */
import { RE2JS } from 're2js';
import type { NamedComparing } from './atoms.ts';
import { parseIntegers } from './integers.ts';
import type { Call } from './sample.ts';

export interface Matching {
  /** Of `-m` or of the name's ending; undefined: whole strings. */
  readonly method: string | undefined;
  readonly ignoreCase: boolean;
}

export type Comparison =
  | { readonly test: NamedComparing; readonly never?: false }
  /** No value can ever match. */
  | { readonly never: true }
  | { readonly why: string };

const KEYS = { str: 'exact', beg: 'prefix', end: 'suffix', sub: 'contains' } as const;

/** Longest repeat of RE2. */
const MAX_REPEAT = 1_000;
const MAX_EXPRESSION = 1_024;

export function comparingOf(
  { method = 'str', ignoreCase }: Matching,
  patterns: readonly string[],
  converters: readonly Call[],
): Comparison {
  if (method === 'found') return { test: { present: true } };
  const other = converters.find(({ name }) => name !== 'lower' && name !== 'upper');
  if (other !== undefined) return { why: `the converter ${other.name} in a test` };
  if (patterns.length === 0) return { never: true };
  if (patterns.length > 256) return { why: `${patterns.length} patterns; a row takes at most 256` };
  const folds = converters.at(-1)?.name;
  // After `lower` a pattern with capitals never matches; the others match in any case.
  const usable =
    ignoreCase || folds === undefined ? patterns : patterns.filter((text) => isFolded(text, folds));
  if (usable.length === 0) return { never: true };
  const folded = ignoreCase || folds !== undefined;
  const option = folded ? { ignoreCase: true } : {};
  switch (method) {
    case 'str':
    case 'beg':
    case 'end':
    case 'sub': {
      // Everything begins with, ends with and holds the empty text.
      if (method !== 'str' && usable.includes('')) return { test: { present: true } };
      return { test: { [KEYS[method]]: usable, ...option } };
    }
    case 'reg':
      return expressions(usable, option);
    case 'dir':
      return expressions(words(usable, '/?'), option);
    case 'dom':
      return expressions(words(usable, '/?.:'), option);
    case 'len':
      return lengths(patterns);
    default:
      return { why: `the matching method ${method}` };
  }
}

function isFolded(text: string, converter: string): boolean {
  return text === (converter === 'lower' ? text.toLowerCase() : text.toUpperCase());
}

function expressions(sources: readonly string[], option: { ignoreCase?: boolean }): Comparison {
  if (sources.length === 0) return { never: true };
  for (const source of sources) {
    if (source.length > MAX_EXPRESSION) return { why: 'an expression longer than 1024 characters' };
    try {
      RE2JS.compile(source, option.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    } catch {
      return {
        why: `the expression ${source} is not possible in RE2, which has neither look-around nor back-references`,
      };
    }
    if (source === '') return { test: { present: true } };
  }
  return { test: { regex: [...sources], ...option } };
}

/** Expressions for whole words between delimiters, those at the ends of the pattern taken off. */
function words(patterns: readonly string[], delimiters: string): string[] {
  const bare = patterns.map((text) => {
    let from = 0;
    let to = text.length;
    while (from < to && delimiters.includes(text[from]!)) from++;
    while (to > from && delimiters.includes(text[to - 1]!)) to--;
    return text.slice(from, to);
  });
  return bare
    .filter((text) => text !== '')
    .map((text) => `(?:^|[${delimiters}])${RE2JS.quote(text)}(?:$|[${delimiters}])`);
}

function lengths(patterns: readonly string[]): Comparison {
  const intervals = parseIntegers(patterns);
  if (typeof intervals === 'string') return { why: intervals };
  const sources: string[] = [];
  for (const { min, max } of intervals) {
    const from = Math.max(0, min);
    if (max < from) continue;
    if (from > MAX_REPEAT || (Number.isFinite(max) && max > MAX_REPEAT)) {
      return { why: `lengths above ${MAX_REPEAT}` };
    }
    sources.push(`^(?s:.{${from},${Number.isFinite(max) ? max : ''}})$`);
  }
  return sources.length === 0 ? { never: true } : { test: { regex: sources } };
}
