/** Which row takes a request. */
import { guardedRoute } from './guard.ts';
import { type GroupClass, groupClassOf } from './invariants.ts';
import { matchRoute, type RequestFacts } from './match.ts';
import type { Route } from './route.ts';
import type { RoutingTable } from './table.ts';

/**
 * The first row that matches, save that a group which no row names goes to the row for such groups instead of the one
 * without a match. Promises to the group are not in it yet: `guardedRoute` adds them.
 */
export function routeOf(table: RoutingTable, facts: RequestFacts, { unknown }: GroupClass): Route {
  const route = matchRoute(table, facts);
  return unknown && route === table.defaultRoute ? (table.unknownRoute ?? route) : route;
}

/** The row as the request sees it, promises to its group included. */
export function routeRequest(table: RoutingTable, facts: RequestFacts): Route {
  const group = groupClassOf(table.groups, facts);
  return guardedRoute(routeOf(table, facts, group), group);
}
