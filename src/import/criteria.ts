/** One ACL criterion, such as `hdr(X-Group) -m str -i FREE`, as a test of a request. */
import { atom, type NamedComparing } from './atoms.ts';
import { comparingOf, type Matching } from './comparing.ts';
import { coveredOf, holds, parseIntegers } from './integers.ts';
import type { Word } from './lexer.ts';
import { type Condition, FALSE, TRUE } from './logic.ts';
import { parseNetwork } from './networks.ts';
import { parseSample, type Sample } from './sample.ts';

export type Factor =
  | { readonly kind: 'condition'; readonly condition: Condition; readonly how?: string }
  /** True for `hits` draws of `draws`. */
  | { readonly kind: 'dice'; readonly hits: number; readonly draws: number }
  /** Whether a backend has a server that is up; '' stands for the backend at hand. */
  | { readonly kind: 'alive'; readonly backend: string; readonly alive: boolean; readonly how?: string }
  | { readonly kind: 'unsupported'; readonly why: string }
  /** HAProxy refuses it. */
  | { readonly kind: 'fault'; readonly column: number; readonly message: string };

export interface CriterionContext {
  /** Lines of a pattern file; undefined when it cannot be read. */
  readonly readLines: (file: string) => readonly string[] | undefined;
  /** The expression that a variable was set to, when that is unconditional. */
  readonly variable: (name: string) => Sample | undefined;
  readonly bindPorts: readonly number[];
  readonly bindsTls: boolean;
}

interface Parsed {
  readonly sample: Sample;
  readonly matching: Matching;
  readonly patterns: readonly string[];
}

const DERIVED = /^(.+)_(beg|dir|dom|end|len|reg|sub)$/;
const MATCHINGS: ReadonlySet<string> = new Set([
  'found',
  'bool',
  'int',
  'ip',
  'bin',
  'len',
  'str',
  'sub',
  'reg',
  'beg',
  'end',
  'dir',
  'dom',
]);

export function readCriterion(words: readonly Word[], context: CriterionContext): Factor {
  const parsed = parseCriterion(words, context);
  return 'kind' in parsed ? parsed : factorOf(parsed, context, words[0]!.column);
}

function parseCriterion(words: readonly Word[], context: CriterionContext): Parsed | Factor {
  const [first, ...rest] = words;
  const sample = parseSample(first!.text);
  if (typeof sample === 'string') return { kind: 'fault', column: first!.column, message: sample };
  const derived = DERIVED.exec(sample.fetch.name);
  let matching = derived === null ? undefined : derived[2];
  let ignoreCase = false;
  const patterns: string[] = [];
  let at = 0;
  for (; at < rest.length; at++) {
    const flag = rest[at]!.text;
    if (flag === '--') {
      at++;
      break;
    }
    if (flag === '-i') ignoreCase = true;
    else if (flag === '-m') {
      const method = rest[++at];
      if (method === undefined || !MATCHINGS.has(method.text)) {
        const column = (method ?? rest[at - 1]!).column;
        return { kind: 'fault', column, message: `unknown matching method '${method?.text ?? ''}'` };
      }
      matching = method.text;
    } else if (flag === '-f' || flag === '-M') {
      if (flag === '-M') continue;
      const file = rest[++at];
      const lines = file === undefined ? undefined : context.readLines(file.text);
      if (lines === undefined) {
        return {
          kind: 'fault',
          column: (file ?? first!).column,
          message: `cannot read the pattern file '${file?.text ?? ''}'; run the import where HAProxy finds it`,
        };
      }
      const keysAlone = rest.some(({ text }) => text === '-M');
      patterns.push(...(keysAlone ? lines.map((line) => line.split(/\s/)[0]!) : lines));
    } else if (flag === '-n') continue;
    else if (flag === '-u') at++;
    else if (/^-[a-zA-Z]$/.test(flag)) {
      return { kind: 'fault', column: rest[at]!.column, message: `unknown flag '${flag}'` };
    } else break;
  }
  patterns.push(...rest.slice(at).map(({ text }) => text));
  const fetch = derived === null ? sample.fetch : { ...sample.fetch, name: derived[1]! };
  const converted = resolveVariable({ ...sample, fetch }, context);
  return { sample: converted, matching: { method: matching, ignoreCase }, patterns };
}

function resolveVariable(sample: Sample, context: CriterionContext): Sample {
  if (sample.fetch.name !== 'var') return sample;
  const set = context.variable(sample.fetch.args[0] ?? '');
  if (set === undefined) return sample;
  return { fetch: set.fetch, converters: [...set.converters, ...sample.converters] };
}

function factorOf(parsed: Parsed, context: CriterionContext, column: number): Factor {
  const { sample, matching, patterns } = parsed;
  const { name, args } = sample.fetch;
  const [argument = ''] = args;
  switch (name) {
    case 'hdr':
    case 'req.hdr':
    case 'fhdr':
    case 'req.fhdr':
      return header(parsed, name.endsWith('fhdr'));
    case 'cook':
    case 'req.cook':
    case 'urlp':
    case 'url_param':
      if (argument === '' || args.length > 1) return unsupported(`${name} with these arguments`);
      return named(parsed, name.includes('cook') ? 'cookies' : 'query', argument, false);
    case 'path':
      return path(parsed);
    case 'url':
      if (
        matching.method === 'beg' &&
        patterns.every((text) => !text.includes('?') && text.startsWith('/'))
      ) {
        return path(parsed);
      }
      return unsupported('url looks at path and query together; test path and urlp() apart');
    case 'method':
      return method(patterns);
    case 'src':
      return source(patterns);
    case 'hdr_cnt':
    case 'req.hdr_cnt':
    case 'req.fhdr_cnt':
      return count(argument, patterns, column);
    case 'rand':
      return dice(args, patterns, column);
    case 'nbsrv':
      return alive(argument, patterns, column);
    case 'always_true':
    case 'always_false':
      return constant(isTrue(patterns) === (name === 'always_true'));
    case 'ssl_fc':
      if (context.bindsTls)
        return unsupported('whether the client speaks TLS; end TLS in front of Pointsman');
      return constant(!isTrue(patterns));
    case 'dst_port':
      return port(context, patterns, column);
    default:
      return unsupported(`${name}${args.length > 0 ? '()' : ''} cannot be tested by a row`);
  }
}

function unsupported(why: string): Factor {
  return { kind: 'unsupported', why };
}

function constant(value: boolean): Factor {
  return { kind: 'condition', condition: value ? TRUE : FALSE };
}

function isTrue(patterns: readonly string[]): boolean {
  return patterns.length === 0 || !['0', 'false', 'no', 'off'].includes(patterns[0]!);
}

function header(parsed: Parsed, wholeLines: boolean): Factor {
  const { args } = parsed.sample.fetch;
  const [name = ''] = args;
  if (name === '') return unsupported('a test of any field; name one');
  if (args.length > 1) return unsupported(`the ${args[1]}. value of a field; a row looks at all of them`);
  const [converter, ...more] = parsed.sample.converters;
  const cutsPort =
    converter?.name === 'host_only' || (converter?.name === 'field' && converter.args.join(',') === '1,:');
  if (name.toLowerCase() === 'host' && cutsPort) return host(parsed, more);
  return named(parsed, 'headers', name, !wholeLines && name.toLowerCase() !== 'host');
}

/** Host without port, as `match.host` compares it. */
function host({ sample, matching, patterns }: Parsed, converters: Sample['converters']): Factor {
  const lowers = converters.length === 1 && converters[0]!.name === 'lower';
  if (sample.converters.length > 1 && !lowers) return unsupported('these converters of Host');
  const suffix = matching.method === 'end' && patterns.every((text) => text.startsWith('.'));
  if (!suffix && (matching.method ?? 'str') !== 'str')
    return unsupported('this comparison of Host without port');
  const values = patterns
    .filter((text) => !lowers || text === text.toLowerCase() || matching.ignoreCase)
    .map((text) => (suffix ? `*${text}` : text).toLowerCase());
  if (values.length === 0) return constant(false);
  if (!values.every((text) => /^(\*\.)?[a-z0-9._-]{1,253}$/.test(text)))
    return unsupported('these host names');
  return {
    kind: 'condition',
    condition: [[{ atom: atom({ kind: 'host', values }), negated: false }]],
    ...(lowers || matching.ignoreCase ? {} : { how: 'hosts are compared in any case' }),
  };
}

function named(
  { sample, matching, patterns }: Parsed,
  kind: 'headers' | 'cookies' | 'query',
  name: string,
  list: boolean,
): Factor {
  const comparing = comparingOf(matching, patterns, sample.converters);
  if ('why' in comparing) return unsupported(comparing.why);
  if (comparing.never === true) return constant(false);
  const test: NamedComparing = { ...comparing.test };
  // A part without comma or blanks at its ends lies within one value of a list whenever it lies within the line.
  const parts = [test.contains ?? []].flat();
  const within =
    parts.length > 0 &&
    Object.keys(test).every((key) => key === 'contains' || key === 'ignoreCase') &&
    parts.every((part) => !part.includes(',') && part.trim() === part);
  const whole = !list || within || test.present !== undefined;
  const one = atom({ kind, name, comparing: whole ? test : { ...test, list: true } });
  return { kind: 'condition', condition: [[{ atom: one, negated: false }]] };
}

function path({ sample, matching, patterns }: Parsed): Factor {
  if (matching.method === 'found') return constant(true);
  const comparing = comparingOf(matching, patterns, sample.converters);
  if ('why' in comparing) return unsupported(comparing.why);
  if (comparing.never === true) return constant(false);
  const one = atom({ kind: 'path', comparing: comparing.test });
  return { kind: 'condition', condition: [[{ atom: one, negated: false }]] };
}

function method(patterns: readonly string[]): Factor {
  const values = patterns.filter((text) => /^[A-Z-]{1,32}$/.test(text));
  if (values.length === 0) return constant(false);
  return { kind: 'condition', condition: [[{ atom: atom({ kind: 'method', values }), negated: false }]] };
}

function source(patterns: readonly string[]): Factor {
  if (patterns.length === 0) return constant(false);
  const values = patterns.map(parseNetwork);
  const bad = values.indexOf(undefined);
  if (bad !== -1) return unsupported(`'${patterns[bad]}' is no address or network; write it as 10.0.0.0/8`);
  const one = atom({ kind: 'client', values: values as string[] });
  return { kind: 'condition', condition: [[{ atom: one, negated: false }]] };
}

function count(name: string, patterns: readonly string[], column: number): Factor {
  const intervals = parseIntegers(patterns);
  if (typeof intervals === 'string') return { kind: 'fault', column, message: intervals };
  const [none, one, many] = [holds(intervals, 0), holds(intervals, 1), holds(intervals, 1_000_000)];
  if (name === '' || one !== many || none === one)
    return unsupported('a count of values other than none or any');
  const present = atom({ kind: 'headers', name, comparing: { present: one } });
  return { kind: 'condition', condition: [[{ atom: present, negated: false }]] };
}

function dice(args: readonly string[], patterns: readonly string[], column: number): Factor {
  const draws = args[0] === undefined || args[0] === '' ? 2 ** 32 : Number(args[0]);
  if (!Number.isInteger(draws) || draws < 1) {
    return {
      kind: 'fault',
      column,
      message: `rand(${args.join(',')}) needs a positive number; rand(100) draws 0 to 99`,
    };
  }
  const intervals = parseIntegers(patterns);
  if (typeof intervals === 'string') return { kind: 'fault', column, message: intervals };
  return { kind: 'dice', hits: coveredOf(intervals, draws), draws };
}

function alive(backend: string, patterns: readonly string[], column: number): Factor {
  const intervals = parseIntegers(patterns);
  if (typeof intervals === 'string') return { kind: 'fault', column, message: intervals };
  const none = holds(intervals, 0);
  if (none === holds(intervals, 1_000_000)) return constant(none);
  const exact = none ? !holds(intervals, 1) : holds(intervals, 1);
  return {
    kind: 'alive',
    backend,
    alive: !none,
    ...(exact
      ? {}
      : { how: 'a backend counts as gone when none of its servers is left, not below that number' }),
  };
}

function port({ bindPorts }: CriterionContext, patterns: readonly string[], column: number): Factor {
  const intervals = parseIntegers(patterns);
  if (typeof intervals === 'string') return { kind: 'fault', column, message: intervals };
  const [only] = bindPorts;
  if (only === undefined || bindPorts.length > 1) return unsupported('the port that the client came to');
  return constant(holds(intervals, only));
}
