/** Frontends, backends and listens with what they inherit (Configuration Manual, 4). */
import { suggestion } from '../config/nearest.ts';
import type { Section } from './sections.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

export interface ProxySection {
  readonly kind: 'frontend' | 'backend' | 'listen';
  readonly name: string;
  readonly head: Statement;
  /** What it inherits, then its own. */
  readonly statements: readonly Statement[];
  readonly own: readonly Statement[];
}

export interface Proxies {
  readonly all: readonly ProxySection[];
  /** By name: frontends and listens, backends and listens. */
  readonly frontends: ReadonlyMap<string, ProxySection>;
  readonly backends: ReadonlyMap<string, ProxySection>;
}

/** Rules are inherited from a section that has a name alone. */
const RULES: ReadonlySet<string> = new Set([
  'acl',
  'http-request',
  'http-response',
  'http-after-response',
  'tcp-request',
]);

interface Defaults {
  readonly name: string;
  readonly statements: readonly Statement[];
}

export function readProxies(sections: readonly Section[], verdicts: Verdicts): Proxies {
  const defaults = new Map<string, Defaults>();
  let latest: Defaults | undefined;
  const all: ProxySection[] = [];
  const frontends = new Map<string, ProxySection>();
  const backends = new Map<string, ProxySection>();
  for (const section of sections) {
    const { kind, head } = section;
    if (kind === 'defaults') {
      const [name, from] = defaultsHead(head);
      const base = from === undefined ? undefined : baseOf(head, from, defaults, verdicts);
      latest = { name, statements: [...(base?.statements ?? []), ...section.statements] };
      if (name === '') continue;
      if (defaults.has(name)) {
        verdicts.refuse(head, head.words[1]!.column, `defaults section '${name}' is already there`);
      }
      defaults.set(name, latest);
      continue;
    }
    if (kind !== 'frontend' && kind !== 'backend' && kind !== 'listen') continue;
    const fromAt = head.words.findIndex(({ text }, i) => i > 1 && text === 'from');
    const base =
      fromAt === -1 ? latest : baseOf(head, head.words[fromAt + 1]?.text ?? '', defaults, verdicts);
    const inherited = (base?.statements ?? []).filter(
      ({ words }) => base!.name !== '' || !RULES.has(words[0]!.text),
    );
    const proxy: ProxySection = {
      kind,
      name: section.name,
      head,
      statements: [...inherited, ...section.statements],
      own: section.statements,
    };
    all.push(proxy);
    if (kind !== 'backend') register(proxy, frontends, verdicts);
    if (kind !== 'frontend') register(proxy, backends, verdicts);
  }
  return { all, frontends, backends };
}

function defaultsHead(head: Statement): [name: string, from: string | undefined] {
  const words = head.words.slice(1).map(({ text }) => text);
  const at = words.indexOf('from');
  return [at === 0 ? '' : (words[0] ?? ''), at === -1 ? undefined : (words[at + 1] ?? '')];
}

function baseOf(
  head: Statement,
  name: string,
  defaults: ReadonlyMap<string, Defaults>,
  verdicts: Verdicts,
): Defaults | undefined {
  const base = defaults.get(name);
  if (base === undefined) {
    const near = suggestion(name, defaults.keys(), 'defaults sections');
    const { column } = head.words.find(({ text }) => text === 'from')!;
    verdicts.refuse(head, column, `unable to find the defaults section '${name}'${near}`);
  }
  return base;
}

function register(proxy: ProxySection, known: Map<string, ProxySection>, verdicts: Verdicts): void {
  const first = known.get(proxy.name);
  if (first === undefined) known.set(proxy.name, proxy);
  else {
    const place = `${first.head.file}:${first.head.line}`;
    const message = `${proxy.kind} '${proxy.name}' has the same name as ${first.kind} '${first.name}' declared at ${place}`;
    verdicts.refuse(proxy.head, proxy.head.words[1]?.column ?? 1, message);
  }
}

/** Texts of a statement's words. */
export function textsOf(statement: Statement): string[] {
  return statement.words.map(({ text }) => text);
}

/** The statements that begin with these words, in order. */
export function statementsOf(proxy: ProxySection, ...keywords: readonly string[]): Statement[] {
  return proxy.statements.filter(({ words }) => keywords.every((keyword, i) => words[i]?.text === keyword));
}

/** The one that counts: the last. */
export function lastOf(proxy: ProxySection, ...keywords: readonly string[]): Statement | undefined {
  return statementsOf(proxy, ...keywords).at(-1);
}

/** The `option NAME …` in force; undefined when it is off: not set, or taken back by `no option` or `default option`. */
export function optionOf(proxy: ProxySection, name: string): Statement | undefined {
  let set: Statement | undefined;
  for (const statement of proxy.statements) {
    const [first, second, third] = statement.words;
    if (first?.text === 'option' && second?.text === name) set = statement;
    if (
      (first?.text === 'no' || first?.text === 'default') &&
      second?.text === 'option' &&
      third?.text === name
    ) {
      set = undefined;
    }
  }
  return set;
}
