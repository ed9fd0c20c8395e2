/** Which row of the table a request matches: first match wins. */
import type { Comparison, Conditions, Match, NamedTest } from './conditions.ts';
import { endOfValue, trimBlanks, unclosedQuote } from './field-values.ts';
import type { Route } from './route.ts';
import type { RoutingTable } from './table.ts';

/** What routing may look at. The same object is made from a live request and by `pointsman explain`. */
export interface RequestFacts {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Lower case, without port. */
  readonly host: string;
  /** Lower case; '' when there is none. */
  readonly group: string;
  /** More than one group, in the order sent; only with `ambiguousGroup: any`. */
  readonly groups: readonly string[] | undefined;
  /** Flat list of names and values as they came. */
  readonly rawHeaders: readonly string[];
  /** Address of the client; '' when it is not known. */
  readonly client: string;
}

/** The last row matches everything, so there always is one. */
export function matchRoute(table: RoutingTable, facts: RequestFacts): Route {
  const { routes } = table;
  for (let i = 0; i < routes.length; i++) {
    const route = routes[i]!;
    if (route.match === undefined || matches(route.match, facts)) return route;
  }
  throw new Error('the routing table has no row that matches everything');
}

export function matches(match: Match, facts: RequestFacts): boolean {
  for (let i = 0; i < match.length; i++) {
    if (failing(match[i]!, facts) === undefined) return true;
  }
  return false;
}

/**
 * Why a row does not match, in words for `explain`; undefined when it does.
 *
 * @param showValues also what fields, cookies and parameters must be, which are at times tokens
 */
export function mismatch(match: Match, facts: RequestFacts, showValues: boolean): string | undefined {
  const reasons: string[] = [];
  for (const conditions of match) {
    const failure = failing(conditions, facts);
    if (failure === undefined) return undefined;
    reasons.push(describe(failure, conditions, facts, showValues));
  }
  return [...new Set(reasons)].join('; nor: ');
}

/** The condition that fails: a key of `Conditions`, or the test of a field, cookie or parameter. */
type Failure =
  | 'group'
  | 'method'
  | 'host'
  | 'paths'
  | 'path'
  | 'client'
  | NegatedFailure
  | NamedTest
  | Conditions;
type NegatedFailure = { readonly negated: Conditions };

/** The first condition that does not hold; undefined when all do. Allocates nothing unless it explains a `not`. */
function failing(conditions: Conditions, facts: RequestFacts): Failure | undefined {
  const { groups, methods, hosts, paths, path, clients, headers, cookies, query, and, not } = conditions;
  if (groups !== undefined && !groupMatches(groups, facts)) return 'group';
  if (methods !== undefined && !methods.includes(facts.method)) return 'method';
  if (hosts !== undefined && !hostMatches(hosts, facts.host)) return 'host';
  if (paths !== undefined && !startsWithAny(facts.path, paths)) return 'paths';
  if (path !== undefined && !compares(path, pathOf(facts.path))) return 'path';
  if (clients !== undefined && !clients.has(facts.client)) return 'client';
  for (let i = 0; i < headers.length; i++) {
    if (!headerMatches(headers[i]!, facts.rawHeaders)) return headers[i]!;
  }
  for (let i = 0; i < cookies.length; i++) {
    if (!cookieMatches(cookies[i]!, facts.rawHeaders)) return cookies[i]!;
  }
  for (let i = 0; i < query.length; i++) {
    if (!parameterMatches(query[i]!, facts.path)) return query[i]!;
  }
  for (let i = 0; i < and.length; i++) {
    const failure = failing(and[i]!, facts);
    // With the conditions it belongs to, whose values the words need.
    if (failure !== undefined) return typeof failure === 'string' ? and[i]! : failure;
  }
  for (let i = 0; i < not.length; i++) {
    if (failing(not[i]!, facts) === undefined) return { negated: not[i]! };
  }
  return undefined;
}

function groupMatches(wanted: readonly string[], facts: RequestFacts): boolean {
  if (facts.groups === undefined) return facts.group !== '' && wanted.includes(facts.group);
  for (let i = 0; i < facts.groups.length; i++) if (wanted.includes(facts.groups[i]!)) return true;
  return false;
}

function hostMatches(patterns: readonly string[], host: string): boolean {
  for (let i = 0; i < patterns.length; i++) {
    const pattern = patterns[i]!;
    if (!pattern.startsWith('*.')) {
      if (pattern === host) return true;
    } else if (host.length > pattern.length - 1 && host.endsWith(pattern.slice(1))) return true;
  }
  return false;
}

function pathOf(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

/** A field that comes several times matches when one of its lines, or of the values in them, does. */
function headerMatches(test: NamedTest, rawHeaders: readonly string[]): boolean {
  let found = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== test.name.length || name.toLowerCase() !== test.name) continue;
    found = true;
    if (test.present !== undefined) continue;
    const line = rawHeaders[i + 1]!;
    if (test.list ? anyOfList(test, line) : compares(test, line)) return true;
  }
  return test.present !== undefined && test.present === found;
}

/** An empty field has no value at all, as HAProxy sees it. */
function anyOfList(test: NamedTest, line: string): boolean {
  const unclosed = unclosedQuote(line);
  for (let from = 0; from <= line.length; ) {
    const end = endOfValue(line, from, unclosed);
    if (compares(test, trimBlanks(line, from, end))) return true;
    from = end + 1;
  }
  return false;
}

/** Pairs as RFC 6265, 5.4 sends them; values as they stand, quotes included. */
function cookieMatches(test: NamedTest, rawHeaders: readonly string[]): boolean {
  let found = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') continue;
    const line = rawHeaders[i + 1]!;
    for (let from = 0; from < line.length; ) {
      let end = line.indexOf(';', from);
      if (end === -1) end = line.length;
      const equals = line.indexOf('=', from);
      if (equals !== -1 && equals < end && trimBlanks(line, from, equals) === test.name) {
        found = true;
        if (test.present === undefined && compares(test, trimBlanks(line, equals + 1, end))) return true;
      }
      from = end + 1;
    }
  }
  return test.present !== undefined && test.present === found;
}

/** Parameters of the query, as sent: neither names nor values are percent-decoded. */
function parameterMatches(test: NamedTest, target: string): boolean {
  let found = false;
  const query = target.indexOf('?');
  for (let from = query === -1 ? target.length : query + 1; from < target.length; ) {
    let end = target.indexOf('&', from);
    if (end === -1) end = target.length;
    let equals = target.indexOf('=', from);
    if (equals === -1 || equals > end) equals = end;
    if (equals - from === test.name.length && target.startsWith(test.name, from)) {
      found = true;
      const value = equals === end ? '' : target.slice(equals + 1, end);
      if (test.present === undefined && compares(test, value)) return true;
    }
    from = end + 1;
  }
  return test.present !== undefined && test.present === found;
}

function compares(comparison: Comparison, raw: string): boolean {
  const { exact, prefix, suffix, contains, regex } = comparison;
  const value = comparison.ignoreCase ? raw.toLowerCase() : raw;
  if (exact !== undefined && !exact.includes(value)) return false;
  if (prefix !== undefined && !startsWithAny(value, prefix)) return false;
  if (suffix !== undefined && !endsWithAny(value, suffix)) return false;
  if (contains !== undefined && !containsAny(value, contains)) return false;
  return regex === undefined || findsAny(raw, regex);
}

function startsWithAny(value: string, parts: readonly string[]): boolean {
  for (let i = 0; i < parts.length; i++) if (value.startsWith(parts[i]!)) return true;
  return false;
}

function endsWithAny(value: string, parts: readonly string[]): boolean {
  for (let i = 0; i < parts.length; i++) if (value.endsWith(parts[i]!)) return true;
  return false;
}

function containsAny(value: string, parts: readonly string[]): boolean {
  for (let i = 0; i < parts.length; i++) if (value.includes(parts[i]!)) return true;
  return false;
}

function findsAny(value: string, expressions: NonNullable<Comparison['regex']>): boolean {
  for (let i = 0; i < expressions.length; i++) if (expressions[i]!.matcher(value).find()) return true;
  return false;
}

function describe(
  failure: Failure,
  conditions: Conditions,
  facts: RequestFacts,
  showValues: boolean,
): string {
  if (typeof failure === 'object') {
    if ('negated' in failure) return `it has what the row excludes: ${summary(failure.negated)}`;
    if ('label' in failure) {
      return `${kindOf(failure, conditions)}${failure.label} ${describeTest(failure, showValues)}`;
    }
    return describe(failing(failure, facts)!, failure, facts, showValues);
  }
  switch (failure) {
    case 'group': {
      const wanted = conditions.groups!.join(' or ');
      return facts.group === ''
        ? `the request has no group; the row wants ${wanted}`
        : `group ${facts.groups?.join(', ') ?? facts.group} is not ${wanted}`;
    }
    case 'method':
      return `method ${facts.method} is not ${conditions.methods!.join(' or ')}`;
    case 'host':
      return `host ${facts.host || '(none)'} is not ${conditions.hosts!.join(' or ')}`;
    case 'paths':
      return `the path does not begin with ${conditions.paths!.join(' or ')}`;
    case 'path':
      return `the path ${describeComparison(conditions.path!)}`;
    case 'client':
      return `client ${facts.client || '(unknown)'} is not in ${conditions.clients!.ranges.join(' or ')}`;
  }
}

function kindOf(test: NamedTest, { and, cookies, query }: Conditions): string {
  if (cookies.includes(test) || and.some((inner) => inner.cookies.includes(test))) return 'cookie ';
  return query.includes(test) || and.some((inner) => inner.query.includes(test)) ? 'query parameter ' : '';
}

function describeTest(test: NamedTest, showValues: boolean): string {
  if (test.present === true) return 'is missing';
  if (test.present === false) return 'is there, and must not be';
  if (!showValues) return 'is not what the row wants';
  return describeComparison(test) || 'is missing';
}

function describeComparison({ exact, prefix, suffix, contains, regex }: Comparison): string {
  const wants: string[] = [];
  const quoted = (texts: readonly string[]) => texts.map((text) => `"${text}"`).join(' or ');
  if (exact !== undefined) wants.push(`is not ${quoted(exact)}`);
  if (prefix !== undefined) wants.push(`does not begin with ${quoted(prefix)}`);
  if (suffix !== undefined) wants.push(`does not end with ${quoted(suffix)}`);
  if (contains !== undefined) wants.push(`does not hold ${quoted(contains)}`);
  if (regex !== undefined) {
    wants.push(`does not match ${regex.map((expression) => `/${expression.pattern()}/`).join(' or ')}`);
  }
  return wants.join(' or ');
}

/** What some conditions look at, in a few words. */
function summary(conditions: Conditions): string {
  const { groups, methods, hosts, paths, path, clients, headers, cookies, query } = conditions;
  const words: string[] = [];
  if (groups !== undefined) words.push(`group ${groups.join(' or ')}`);
  if (methods !== undefined) words.push(`method ${methods.join(' or ')}`);
  if (hosts !== undefined) words.push(`host ${hosts.join(' or ')}`);
  if (paths !== undefined) words.push(`a path that begins with ${paths.join(' or ')}`);
  if (path !== undefined) words.push('such a path');
  if (clients !== undefined) words.push(`a client in ${clients.ranges.join(' or ')}`);
  for (const { label } of headers) words.push(`such a ${label}`);
  for (const { label } of cookies) words.push(`such a cookie ${label}`);
  for (const { label } of query) words.push(`such a query parameter ${label}`);
  return words.join(' and ') || 'anything';
}
