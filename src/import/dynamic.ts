/** `use_backend` by an expression, such as `%[req.hdr(X),lower,map_str(groups.map,free)]` → one rule for each value. */

import { type Atom, atom, type NamedComparing } from './atoms.ts';
import { comparingOf } from './comparing.ts';
import type { CriterionContext } from './criteria.ts';
import { parseSample, type Sample } from './sample.ts';

export interface Entry {
  /** Undefined: whatever the value is. */
  readonly atom: Atom | undefined;
  readonly backend: string;
}

export interface DynamicTargets {
  readonly entries: readonly Entry[];
  /** In what the result differs. */
  readonly how: string | undefined;
}

const METHODS: Readonly<Record<string, string>> = {
  map: 'str',
  map_str: 'str',
  map_beg: 'beg',
  map_end: 'end',
  map_sub: 'sub',
  map_reg: 'reg',
  map_dom: 'dom',
  map_dir: 'dir',
};

/**
 * @param format   text with one `%[…]` in it
 * @param backends names of all there are
 * @returns why it cannot be, when it is a string
 */
export function dynamicTargets(
  format: string,
  backends: Iterable<string>,
  context: CriterionContext,
): DynamicTargets | string {
  const parts = /^([^%]*)%\[(.+)\]([^%]*)$/.exec(format);
  if (parts === null) return 'a name of a backend that is made of more than one expression';
  const [, before = '', expression = '', after = ''] = parts;
  const parsed = parseSample(expression);
  if (typeof parsed === 'string') return parsed;
  const sample = resolved(parsed, context);
  const last = sample.converters.at(-1);
  const map = last === undefined ? undefined : METHODS[last.name];
  const keyed = map === undefined ? sample : { ...sample, converters: sample.converters.slice(0, -1) };
  const pairs: { key: string; backend: string }[] = [];
  if (map === undefined) {
    for (const name of backends) {
      if (name.length <= before.length + after.length || !name.startsWith(before) || !name.endsWith(after))
        continue;
      pairs.push({ key: name.slice(before.length, name.length - after.length), backend: name });
    }
  } else {
    const lines = context.readLines(last!.args[0] ?? '');
    if (lines === undefined)
      return `the map file '${last!.args[0] ?? ''}' cannot be read; run the import where HAProxy finds it`;
    for (const line of lines) {
      const match = /^(\S+)\s+(.*?)\s*$/.exec(line);
      if (match !== null) pairs.push({ key: match[1]!, backend: `${before}${match[2]}${after}` });
    }
    // The longest beginning counts, wherever it stands in the file.
    if (map === 'beg') pairs.sort((a, b) => b.key.length - a.key.length);
    if (map === 'str')
      for (const [i, { key }] of [...pairs].entries())
        if (pairs.findIndex((pair) => pair.key === key) < i)
          pairs[i] = pairs.find((pair) => pair.key === key)!;
  }
  const entries: Entry[] = [];
  for (const { key, backend } of pairs) {
    const test = testOf(keyed, map ?? 'str', key);
    if (typeof test === 'string') return test;
    if (test !== undefined) entries.push({ atom: test, backend });
  }
  const fallback = last?.args[1];
  if (map !== undefined && fallback !== undefined)
    entries.push({ atom: undefined, backend: `${before}${fallback}${after}` });
  const many =
    ['hdr', 'req.hdr'].includes(sample.fetch.name) && sample.fetch.args[0]?.toLowerCase() !== 'host';
  return {
    entries,
    how: many
      ? 'of several values in one request HAProxy takes the last, and the rows the first that they know'
      : undefined,
  };
}

function resolved(sample: Sample, context: CriterionContext): Sample {
  if (sample.fetch.name !== 'var') return sample;
  const set = context.variable(sample.fetch.args[0] ?? '');
  return set === undefined
    ? sample
    : { fetch: set.fetch, converters: [...set.converters, ...sample.converters] };
}

/** Undefined when no value can be the key. */
function testOf({ fetch, converters }: Sample, method: string, key: string): Atom | undefined | string {
  const { name, args } = fetch;
  const [argument = ''] = args;
  const [converter, ...more] = converters;
  const host = argument.toLowerCase() === 'host';
  const cutsPort =
    converter?.name === 'host_only' || (converter?.name === 'field' && converter.args.join(',') === '1,:');
  if (
    ['hdr', 'req.hdr'].includes(name) &&
    host &&
    (cutsPort || more.some(({ name: other }) => other === 'field'))
  ) {
    const value = key.toLowerCase();
    if (method !== 'str' || !/^[a-z0-9._-]{1,253}$/.test(value))
      return 'this comparison of Host without port';
    return atom({ kind: 'host', values: [value] });
  }
  const comparing = comparingOf({ method, ignoreCase: false }, [key], converters);
  if ('why' in comparing) return comparing.why;
  if (comparing.never === true) return undefined;
  const test: NamedComparing = comparing.test;
  switch (name) {
    case 'hdr':
    case 'req.hdr':
      return atom({ kind: 'headers', name: argument, comparing: host ? test : { ...test, list: true } });
    case 'req.fhdr':
      return atom({ kind: 'headers', name: argument, comparing: test });
    case 'cook':
    case 'req.cook':
      return atom({ kind: 'cookies', name: argument, comparing: test });
    case 'urlp':
    case 'url_param':
      return atom({ kind: 'query', name: argument, comparing: test });
    case 'path':
      return atom({ kind: 'path', comparing: test });
    case 'method':
      return /^[A-Z-]{1,32}$/.test(key) ? atom({ kind: 'method', values: [key] }) : undefined;
    default:
      return `a backend named by ${name}; there are fields, cookies, query parameters, paths and methods`;
  }
}
