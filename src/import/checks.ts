/** How a backend's servers are checked. */
import type { ConfigInput } from '../config/schema.ts';
import { lastOf, optionOf, type ProxySection, statementsOf, textsOf } from './proxies.ts';
import { parseTime, writeDuration } from './quantities.ts';
import type { Report } from './report.ts';
import type { ServerOptions } from './server-options.ts';

export type HealthInput = NonNullable<ConfigInput['backends'][string]['health']>;

/** What holds for all servers of a backend; `{}` is a TCP connect. */
export function readCheck(proxy: ProxySection, report: Report): HealthInput {
  const option = optionOf(proxy, 'httpchk');
  const rules = statementsOf(proxy, 'http-check');
  const tcp = optionOf(proxy, 'tcp-check');
  if (tcp !== undefined) report.translated(tcp);
  for (const rule of statementsOf(proxy, 'tcp-check')) {
    const plain = rule.words.length === 2 && rule.words[1]!.text === 'connect';
    if (plain) report.translated(rule);
    else report.unsupported(rule, 'checks that talk over TCP; use an HTTP check, or the TCP connect');
  }
  if (option === undefined) {
    for (const rule of rules) report.translated(rule, 'has no effect without option httpchk');
    return {};
  }
  report.translated(option);
  const check: HealthInput = { path: '/', method: 'OPTIONS' };
  readHttpchk(check, option, report);
  for (const rule of rules) readRule(check, rule, report);
  return check;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readHttpchk(check: Mutable<HealthInput>, option: ProxySection['own'][number], report: Report): void {
  const [, , first, second, third, fourth] = textsOf(option);
  if (first === undefined) return;
  if (second === undefined) setPath(check, first, option, report);
  else {
    setMethod(check, first, option, report);
    setPath(check, second, option, report);
  }
  // The old idiom: further fields behind the version.
  const [, ...fields] = (third ?? '').split('\r\n');
  const lines = fourth === undefined ? fields : [...fields, `Host: ${fourth}`];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) setField(check, line.slice(0, colon).trim(), line.slice(colon + 1).trim(), option, report);
  }
}

function setMethod(
  check: Mutable<HealthInput>,
  method: string,
  rule: ProxySection['own'][number],
  report: Report,
): void {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') check.method = method;
  else {
    check.method = 'GET';
    report.approximated(rule, `checks use GET, HEAD or OPTIONS; GET stands for ${method}`);
  }
}

function setPath(
  check: Mutable<HealthInput>,
  path: string,
  rule: ProxySection['own'][number],
  report: Report,
): void {
  if (/^\/[\x21-\x7e]*$/.test(path)) check.path = path;
  else report.unsupported(rule, `the path '${path}' of a check; write a fixed path that begins with /`);
}

function setField(
  check: Mutable<HealthInput>,
  name: string,
  value: string,
  rule: ProxySection['own'][number],
  report: Report,
): void {
  if (value.includes('%[') || !/^[\x20-\x7e\t]*$/.test(value)) {
    report.unsupported(rule, `the field ${name} of checks with a value that is not fixed`);
  } else if (name.toLowerCase() === 'host') {
    if (/^[A-Za-z0-9._:[\]-]{1,253}$/.test(value)) check.host = value;
  } else if (name.toLowerCase() !== 'connection') check.headers = { ...check.headers, [name]: value };
}

function readRule(check: Mutable<HealthInput>, rule: ProxySection['own'][number], report: Report): void {
  const [, action, ...words] = textsOf(rule);
  report.translated(rule);
  switch (action) {
    case 'send':
      readSend(check, words, rule, report);
      return;
    case 'expect':
      readExpect(check, words, rule, report);
      return;
    case 'send-state':
      report.approximated(rule, 'checks do not tell the upstream its state');
      return;
    case 'disable-on-404':
      report.unsupported(rule, 'a 404 that drains; drain the backend in the configuration');
      return;
    case 'connect':
      if (words.length > 0) report.unsupported(rule, 'connections of checks with options of their own');
      return;
    default:
      report.unsupported(rule, `http-check ${action ?? ''}; a check is one request with one expectation`);
  }
}

function readSend(
  check: Mutable<HealthInput>,
  words: readonly string[],
  rule: ProxySection['own'][number],
  report: Report,
): void {
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === 'hdr') {
      setField(check, words[at + 1] ?? '', words[at + 2] ?? '', rule, report);
      at += 2;
      continue;
    }
    const value = words[++at] ?? '';
    if (word === 'meth') setMethod(check, value, rule, report);
    else if (word === 'uri') setPath(check, value, rule, report);
    else if (word !== 'ver') report.unsupported(rule, `'${word}' of a check`);
  }
}

function readExpect(
  check: Mutable<HealthInput>,
  words: readonly string[],
  rule: ProxySection['own'][number],
  report: Report,
): void {
  const rest = [...words];
  while (
    rest.length > 0 &&
    /^(min-recv|comment|ok-status|error-status|tout-status|on-success|on-error|status-code)$/.test(rest[0]!)
  ) {
    rest.splice(0, 2);
  }
  const negated = rest[0] === '!';
  if (negated) rest.shift();
  const [kind = '', pattern = ''] = rest;
  const every = ['1xx', '2xx', '3xx', '4xx', '5xx'];
  if (kind === 'status') {
    const status = statusesOf(pattern, negated);
    if (status === undefined)
      report.unsupported(rule, `the statuses ${pattern}; name codes or whole classes`);
    else check.status = status;
  } else if (kind === 'rstatus') {
    const digit = /^\^?\[?([1-5](?:-[1-5]|[1-5]*))\]?(?:\[0-9\]\[0-9\]|\.\.|\\d\\d|\.\*)?\$?$/.exec(pattern);
    const classes = digit === null ? [] : classDigits(digit[1]!).map((one) => `${one}xx`);
    if (classes.length === 0)
      report.unsupported(rule, `statuses by the expression ${pattern}; name codes or classes`);
    else check.status = negated ? every.filter((one) => !classes.includes(one)) : classes;
  } else if (kind === 'string' && !negated && pattern !== '') {
    check.body = pattern;
    check.status = every;
  } else report.unsupported(rule, `'expect ${kind}' of a check; there are status and string`);
}

function classDigits(text: string): number[] {
  const range = /^(\d)-(\d)$/.exec(text);
  if (range === null) return [...text].map(Number);
  return Array.from({ length: Number(range[2]) - Number(range[1]) + 1 }, (_, i) => Number(range[1]) + i);
}

/** `200,204,300-399` → codes, and classes where all of one are there. */
function statusesOf(pattern: string, negated: boolean): (number | string)[] | undefined {
  const codes = new Set<number>();
  for (const part of pattern.split(',')) {
    const range = /^(\d{3})(?:-(\d{3}))?$/.exec(part.trim());
    if (range === null) return undefined;
    for (let code = Number(range[1]); code <= Number(range[2] ?? range[1]); code++) codes.add(code);
  }
  const wanted = (code: number) => codes.has(code) !== negated;
  const status: (number | string)[] = [];
  for (let hundred = 100; hundred <= 500; hundred += 100) {
    const own = Array.from({ length: 100 }, (_, i) => hundred + i).filter(wanted);
    if (own.length === 100) status.push(`${hundred / 100}xx`);
    else status.push(...own);
  }
  return status.length === 0 || status.length > 100 ? undefined : status;
}

/** The whole `health` of one server. */
export function healthOf(proxy: ProxySection, check: HealthInput, options: ServerOptions): HealthInput {
  if (!options.check && options.track === undefined) return { enabled: false };
  const { inter, fastinter, downinter, rise, fall, checkPort } = options;
  const interval = (ms: number) => writeDuration(Math.min(3_600_000, Math.max(50, ms)));
  const given = textsOf(lastOf(proxy, 'timeout', 'check') ?? { file: '', line: 0, words: [] })[2];
  const timeout = (given === undefined ? undefined : parseTime(given)) ?? inter;
  return {
    interval: interval(inter),
    timeout: writeDuration(Math.min(600_000, Math.max(10, timeout))),
    rise: Math.min(100, rise),
    fall: Math.min(100, fall),
    ...(fastinter === undefined ? {} : { fastInterval: interval(fastinter) }),
    ...(downinter === undefined ? {} : { downInterval: interval(downinter) }),
    ...(checkPort === undefined ? {} : { port: checkPort }),
    ...check,
  };
}
