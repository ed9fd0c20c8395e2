/** `http-request` and `http-response` rules on fields → header rules of rows. */

import { FRAMING_FIELDS, parseValue } from '../config/schema/header-rules.ts';
import type { ConfigInput } from '../config/schema.ts';
import type { Acls } from './conditions.ts';
import { type ProxySection, textsOf } from './proxies.ts';
import type { Report } from './report.ts';
import { parseSample } from './sample.ts';
import type { Statement } from './statement.ts';

export type RulesInput = NonNullable<ConfigInput['routes'][number]['request']>;

interface FieldEdit {
  readonly name: string;
  removed: boolean;
  readonly set: string | undefined;
  readonly added: readonly string[];
}

/** What a row does to the fields of one direction, as HAProxy's rules in their order come out. */
export class HeaderEdits {
  readonly #fields = new Map<string, FieldEdit>();

  apply(action: string, name: string, value: string): void {
    const key = name.toLowerCase();
    const known = this.#fields.get(key);
    if (action === 'del-header') {
      this.#fields.set(key, { name, removed: true, set: undefined, added: [] });
    } else if (action === 'set-header') {
      this.#fields.set(key, { name, removed: false, set: value, added: [] });
    } else {
      const base = known ?? { name, removed: false, set: undefined, added: [] };
      this.#fields.set(key, { ...base, added: [...base.added, value] });
    }
  }

  rules(): RulesInput | undefined {
    const fields = [...this.#fields.values()];
    if (fields.length === 0) return undefined;
    const remove = fields.filter(({ removed }) => removed).map(({ name }) => name);
    const set = fields.flatMap(({ name, set: value }) =>
      value === undefined ? [] : [[name, value] as const],
    );
    const add = fields.flatMap(({ name, added }) =>
      added.length === 0 ? [] : [[name, added.length === 1 ? added[0]! : [...added]] as const],
    );
    return {
      ...(remove.length === 0 ? {} : { remove }),
      ...(set.length === 0 ? {} : { set: Object.fromEntries(set) }),
      ...(add.length === 0 ? {} : { add: Object.fromEntries(add) }),
    };
  }
}

const ACTIONS: ReadonlySet<string> = new Set(['set-header', 'add-header', 'del-header']);

const ADVICE: Readonly<Record<string, string>> = {
  deny: 'refuse requests in the service, or in front of Pointsman',
  reject: 'refuse requests in the service, or in front of Pointsman',
  tarpit: 'refuse requests in the service, or in front of Pointsman',
  redirect: 'redirect in the service, or in front of Pointsman',
  return: 'answer in the service',
  auth: 'ask for passwords in the service, or in front of Pointsman',
  'replace-path': 'paths are passed on as they are',
  'set-path': 'paths are passed on as they are',
  'replace-uri': 'paths are passed on as they are',
  'set-query': 'paths are passed on as they are',
  'set-uri': 'paths are passed on as they are',
  'use-service': 'metrics are on the admin port, under /metrics',
};

/** @param routedBy lower-case names of the fields that rows look at */
export function readHeaderEdits(
  proxy: ProxySection,
  keyword: 'http-request' | 'http-response',
  edits: HeaderEdits,
  acls: Acls,
  routedBy: ReadonlySet<string>,
  report: Report,
): void {
  for (const statement of proxy.statements) {
    const words = textsOf(statement);
    if (words[0] !== keyword) continue;
    const action = words[1] ?? '';
    if (action.startsWith('set-var')) {
      if (!report.has(statement)) report.translated(statement, 'the variable is put in where it is used');
      continue;
    }
    if (action === 'use-service' && words[2] === 'prometheus-exporter') {
      report.approximated(statement, ADVICE['use-service']!);
      continue;
    }
    if (action === 'capture') {
      report.approximated(statement, 'the access log has fields of its own');
      continue;
    }
    if (!ACTIONS.has(action)) {
      const advice = ADVICE[action.replace(/\(.*/, '')] ?? 'do it in the service, or in front of Pointsman';
      report.unsupported(statement, `${keyword} ${action}: ${advice}`);
      continue;
    }
    edit(
      statement,
      edits,
      acls,
      keyword === 'http-request' && proxy.kind !== 'backend' ? routedBy : NONE,
      report,
    );
  }
}

const NONE: ReadonlySet<string> = new Set();

function edit(
  statement: Statement,
  edits: HeaderEdits,
  acls: Acls,
  routedBy: ReadonlySet<string>,
  report: Report,
): void {
  const at = statement.words.findIndex(({ text }, i) => i > 2 && (text === 'if' || text === 'unless'));
  const [, action = '', name = '', format = ''] = textsOf(statement).slice(0, at === -1 ? undefined : at);
  const condition = acls.read(statement, at === -1 ? [] : statement.words.slice(at));
  const always = condition.choices.some(
    ({ term, dice, alive }) => term.length + dice.length + alive.length === 0,
  );
  if (condition.why === undefined && condition.choices.length === 0) {
    report.translated(statement, 'its condition never holds here');
    return;
  }
  if (condition.why !== undefined || !always) {
    report.unsupported(
      statement,
      'a change of fields under a condition; give such requests a row of their own, with the rule in it',
    );
    return;
  }
  if (routedBy.has(name.toLowerCase())) {
    report.unsupported(
      statement,
      `it changes ${name} before the rules look at it; rows see the field as the client sent it`,
    );
    return;
  }
  const lower = name.toLowerCase();
  if (
    (FRAMING_FIELDS.has(lower) && !(lower === 'host' && action === 'set-header')) ||
    lower === 'x-request-id'
  ) {
    report.unsupported(statement, `${name} frames the message or is Pointsman's own`);
    return;
  }
  const value = action === 'del-header' ? '' : fieldValueOf(format);
  if (typeof value !== 'string') {
    report.unsupported(statement, value.why);
    return;
  }
  if (lower === 'host' && value.includes('%{')) {
    report.unsupported(statement, 'Host with a value that is not fixed');
    return;
  }
  edits.apply(action, name, value);
  report.translated(statement);
}

const ALIASES: Readonly<Record<string, string>> = {
  ci: '%{client.address}',
  cp: '%{client.port}',
  b: '%{route}',
  ID: '%{request.id}',
  HM: '%{request.method}',
  HU: '%{request.path}',
};

/** A log-format string as a value of a rule. */
export function fieldValueOf(format: string): string | { readonly why: string } {
  let value = '';
  for (let at = 0; at < format.length; ) {
    const rest = format.slice(at);
    const alias = /^%(?:\{[^}]*\})?([A-Za-z]{1,4})/.exec(rest);
    const sample = /^%(?:\{[^}]*\})?\[((?:[^\]"]|"[^"]*")*)\]/.exec(rest);
    if (rest.startsWith('%%')) {
      value += '%';
      at += 2;
    } else if (sample !== null) {
      const variable = variableOf(sample[1]!);
      if (variable === undefined)
        return { why: `the value ${sample[0]}; there are fixed texts and a few variables` };
      value += variable;
      at += sample[0].length;
    } else if (alias !== null) {
      const variable = ALIASES[alias[1]!];
      if (variable === undefined)
        return { why: `the value ${alias[0]}; there are fixed texts and a few variables` };
      value += variable;
      at += alias[0].length;
    } else if (rest.startsWith('%')) return { why: 'a lone % in a value' };
    else {
      value += rest.startsWith('{') && value.endsWith('%') ? '%{' : rest[0];
      at++;
    }
  }
  if (!/^[\x20-\x7e\t]*$/.test(value)) return { why: 'a value with a character that no field may hold' };
  const parsed = parseValue(value);
  return typeof parsed === 'string' ? { why: `the value ${parsed}` } : value;
}

function variableOf(text: string): string | undefined {
  const sample = parseSample(text.trim());
  if (typeof sample === 'string' || sample.converters.length > 0) return undefined;
  const { name, args } = sample.fetch;
  const [argument = ''] = args;
  const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(argument);
  switch (name) {
    case 'src':
      return '%{client.address}';
    case 'src_port':
      return '%{client.port}';
    case 'unique-id':
    case 'uuid':
      return '%{request.id}';
    case 'method':
      return '%{request.method}';
    case 'be_name':
      return '%{route}';
    case 'hdr':
    case 'req.hdr':
    case 'req.fhdr':
      return token && args.length === 1 ? `%{header:${argument}}` : undefined;
    case 'cook':
    case 'req.cook':
      return token && args.length === 1 ? `%{cookie:${argument}}` : undefined;
    case 'str':
      return argument.includes('%{') ? undefined : argument;
    default:
      return undefined;
  }
}
