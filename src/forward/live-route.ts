/** Which row of a snapshot serves a request, promises to its group included. */
import type { UnknownGroups } from '../observe/unknown-groups.ts';
import { guardedRoute } from '../routing/guard.ts';
import { groupClassOf } from '../routing/invariants.ts';
import type { RequestFacts } from '../routing/match.ts';
import { routeOf } from '../routing/route-request.ts';
import { newRotation } from '../routing/split.ts';
import type { LiveRoute, Snapshot } from './snapshot.ts';

/**
 * Where nothing is promised this costs one look into a map more than the match.
 *
 * @param random uniform in [0, 1)
 */
export function liveRouteOf(
  { table, routes }: Snapshot,
  facts: RequestFacts,
  unknownGroups: UnknownGroups,
  random: () => number,
): LiveRoute {
  const group = groupClassOf(table.groups, facts);
  const route = routeOf(table, facts, group);
  const live = routes[route.index]!;
  if (group.unknown && !route.readsGroupField) {
    for (const value of facts.groups ?? [facts.group]) unknownGroups.count(value);
  }
  if (group.index !== -1) return live.guarded?.[group.index] ?? live;
  const guarded = guardedRoute(route, group);
  return guarded === route ? live : joined(live, guarded, random);
}

/** For one request that names several groups, so with a rotation of its own, which it turns once. */
function joined(live: LiveRoute, route: LiveRoute['route'], random: () => number): LiveRoute {
  const use = live.use.for(route.split);
  return { ...live, route, use, usable: use.usable, rotation: newRotation(route.split.shares, random()) };
}

/** The promise that keeps a request from a backend that could take it, in words for the log; undefined when none does. */
export function withheldBy({ route, upstreams }: LiveRoute): string | undefined {
  if (route.limits === undefined) return undefined;
  const limit = route.limits.find(
    (one, i) => one !== undefined && upstreams[i]!.available.endpoints.length > 0,
  );
  return limit === undefined ? undefined : `invariants[${limit.index}]: ${limit.text}`;
}
