/** Which row of the table a request matches: first match wins. */
import type { FieldMatch, Match, Route, RoutingTable } from './table.ts';

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
}

/** The last row matches everything, so there always is one. */
export function matchRoute(table: RoutingTable, facts: RequestFacts): Route {
  const { routes } = table;
  for (let i = 0; i < routes.length; i++) {
    const route = routes[i]!;
    if (route.match === undefined || mismatch(route.match, facts) === undefined) return route;
  }
  throw new Error('the routing table has no row that matches everything');
}

/** Why a row does not match, in words for `explain`; undefined when it does. */
export function mismatch(match: Match, facts: RequestFacts): string | undefined {
  if (match.groups !== undefined && !groupMatches(match.groups, facts)) {
    return facts.group === ''
      ? `the request has no group; the row wants ${match.groups.join(' or ')}`
      : `group ${facts.groups?.join(', ') ?? facts.group} is not ${match.groups.join(' or ')}`;
  }
  if (match.methods !== undefined && !match.methods.includes(facts.method)) {
    return `method ${facts.method} is not ${match.methods.join(' or ')}`;
  }
  if (match.hosts !== undefined && !match.hosts.some((host) => hostMatches(host, facts.host))) {
    return `host ${facts.host || '(none)'} is not ${match.hosts.join(' or ')}`;
  }
  if (match.paths !== undefined && !match.paths.some((path) => facts.path.startsWith(path))) {
    return `the path does not begin with ${match.paths.join(' or ')}`;
  }
  for (const field of match.headers) {
    if (!fieldMatches(field, facts.rawHeaders)) return `${field.label} ${describeField(field)}`;
  }
  return undefined;
}

function groupMatches(wanted: readonly string[], facts: RequestFacts): boolean {
  if (facts.groups === undefined) return facts.group !== '' && wanted.includes(facts.group);
  return facts.groups.some((group) => wanted.includes(group));
}

function hostMatches(pattern: string, host: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === host;
  return host.length > pattern.length - 1 && host.endsWith(pattern.slice(1));
}

/** A field that comes several times matches when one of its lines does. */
function fieldMatches(field: FieldMatch, rawHeaders: readonly string[]): boolean {
  let found = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== field.name.length || name.toLowerCase() !== field.name) continue;
    found = true;
    if (field.present === undefined && valueMatches(field, rawHeaders[i + 1]!)) return true;
  }
  return field.present === found;
}

function valueMatches(field: FieldMatch, raw: string): boolean {
  const value = field.ignoreCase ? raw.toLowerCase() : raw;
  if (field.exact !== undefined && value !== field.exact) return false;
  if (field.prefix !== undefined && !value.startsWith(field.prefix)) return false;
  return field.regex === undefined || field.regex.matcher(raw).find();
}

function describeField(field: FieldMatch): string {
  if (field.present === true) return 'is missing';
  if (field.present === false) return 'is there, and must not be';
  const wants: string[] = [];
  if (field.exact !== undefined) wants.push(`is not "${field.exact}"`);
  if (field.prefix !== undefined) wants.push(`does not begin with "${field.prefix}"`);
  if (field.regex !== undefined) wants.push(`does not match /${field.regex.pattern()}/`);
  return wants.join(' or ') || 'is missing';
}
