/** What a row asks of a request, compiled from the configuration once per reload. */
import { BlockList, isIPv6 } from 'node:net';
import { RE2JS } from 're2js';
import type { RouteConfig } from '../config/schema.ts';

/** Alternatives, at least one; a request matches when one holds. */
export type Match = readonly Conditions[];

/** Everything that is set must hold. */
export interface Conditions {
  /** Lower case. */
  readonly groups: readonly string[] | undefined;
  /** Lower case; `*.` stands for every name below. */
  readonly hosts: readonly string[] | undefined;
  /** Beginnings of path and query. */
  readonly paths: readonly string[] | undefined;
  /** Of the path without its query. */
  readonly path: Comparison | undefined;
  readonly methods: readonly string[] | undefined;
  readonly headers: readonly NamedTest[];
  readonly cookies: readonly NamedTest[];
  readonly query: readonly NamedTest[];
  readonly clients: AddressRanges | undefined;
  /** All must hold. */
  readonly and: readonly Conditions[];
  /** None may hold. */
  readonly not: readonly Conditions[];
}

/** Every list that is there must have one entry that fits the value. */
export interface Comparison {
  readonly exact: readonly string[] | undefined;
  readonly prefix: readonly string[] | undefined;
  readonly suffix: readonly string[] | undefined;
  readonly contains: readonly string[] | undefined;
  /** Linear-time (RE2); a backtracking expression would let one request stop the process. */
  readonly regex: readonly RE2JS[] | undefined;
  readonly ignoreCase: boolean;
}

/** A field, a cookie or a query parameter, and what it must be. */
export interface NamedTest extends Comparison {
  /** As written in the configuration. */
  readonly label: string;
  /** Of fields in lower case. */
  readonly name: string;
  readonly present: boolean | undefined;
  /** Of fields: each value of a comma-separated list counts, not the line. */
  readonly list: boolean;
}

export class AddressRanges {
  readonly ranges: readonly string[];
  readonly #list = new BlockList();

  constructor(ranges: readonly string[]) {
    this.ranges = ranges;
    for (const range of ranges) {
      const [address = '', bits] = range.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    return this.#list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
}

type MatchConfig = NonNullable<RouteConfig['match']>;
type AlternativeConfig = Exclude<MatchConfig, readonly unknown[]>;
type ConditionsConfig = Omit<AlternativeConfig, 'and' | 'not'>;
type TestConfig =
  | NonNullable<ConditionsConfig['headers']>[string]
  | NonNullable<ConditionsConfig['cookies']>[string];
type ComparisonConfig = Exclude<NonNullable<ConditionsConfig['path']>, string | readonly string[]>;

const NONE: readonly never[] = [];

export function compileMatch(match: MatchConfig): Match {
  return many(match).map(compileAlternative);
}

/** True of a match that looks at nothing but the group. */
export function matchesGroupAlone(match: Match): boolean {
  return match.every((conditions) => {
    const { hosts, paths, path, methods, headers, cookies, query, clients, and, not } = conditions;
    return (
      hosts === undefined &&
      paths === undefined &&
      path === undefined &&
      methods === undefined &&
      clients === undefined &&
      headers.length + cookies.length + query.length === 0 &&
      matchesGroupAlone(and) &&
      matchesGroupAlone(not)
    );
  });
}

/** True of a match that looks at the address of the client. */
export function matchesClient(match: Match): boolean {
  return match.some(
    ({ clients, and, not }) => clients !== undefined || matchesClient(and) || matchesClient(not),
  );
}

function compileAlternative(alternative: AlternativeConfig): Conditions {
  const { and, not, ...conditions } = alternative;
  return {
    ...compileConditions(conditions),
    and: and === undefined ? NONE : many(and).map(compileConditions),
    not: not === undefined ? NONE : many(not).map(compileConditions),
  };
}

function compileConditions(conditions: ConditionsConfig): Conditions {
  const { path } = conditions;
  const comparesPath = typeof path === 'object' && !Array.isArray(path);
  return {
    groups: list(conditions.group)?.map((group) => bytes(group.trim()).toLowerCase()),
    hosts: list(conditions.host)?.map((host) => host.toLowerCase()),
    paths: comparesPath ? undefined : list(path as string | string[] | undefined)?.map(bytes),
    path: comparesPath ? compileComparison(path as ComparisonConfig) : undefined,
    methods: list(conditions.method),
    headers: compileTests(conditions.headers, (name) => name.toLowerCase()),
    cookies: compileTests(conditions.cookies, (name) => name),
    query: compileTests(conditions.query, (name) => name),
    clients: conditions.client === undefined ? undefined : new AddressRanges(list(conditions.client)!),
    and: NONE,
    not: NONE,
  };
}

function compileTests(
  tests: Readonly<Record<string, TestConfig>> | undefined,
  nameOf: (label: string) => string,
): readonly NamedTest[] {
  if (tests === undefined) return NONE;
  return Object.entries(tests).map(([label, test]): NamedTest => {
    const rule = typeof test === 'string' || Array.isArray(test) ? { exact: test, ignoreCase: false } : test;
    return {
      ...compileComparison(rule as ComparisonConfig),
      label,
      name: nameOf(label),
      present: 'present' in rule ? rule.present : undefined,
      list: 'list' in rule && rule.list === true,
    };
  });
}

function compileComparison(comparison: ComparisonConfig): Comparison {
  const { exact, prefix, suffix, contains, regex, ignoreCase } = comparison;
  const texts = (value: string | readonly string[] | undefined) =>
    list(value)?.map((text) => (ignoreCase ? bytes(text).toLowerCase() : bytes(text)));
  return {
    exact: texts(exact),
    prefix: texts(prefix),
    suffix: texts(suffix),
    contains: texts(contains),
    regex: list(regex)?.map((source) => RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)),
    ignoreCase,
  };
}

/** Fields come as bytes, shown as Latin-1; a text of the configuration means the bytes of its UTF-8. */
function bytes(text: string): string {
  return /^[\x20-\x7e\t]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

function list<T extends string>(value: T | readonly T[] | undefined): readonly T[] | undefined {
  return typeof value === 'string' ? [value] : value;
}

function many<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}
