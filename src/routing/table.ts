/** The routing table: an immutable snapshot compiled from one configuration and swapped whole. */
import type { BackendConfig, Config, RouteConfig } from '../config/schema.ts';
import { setOf, setOfRoute } from '../config/sets.ts';
import { mainBackend, middleBackend, splitWeights } from '../config/split-weights.ts';
import { compilePin } from '../pinning/pin.ts';
import { type Conditions, compileMatch, matchesClient, matchesGroupAlone } from './conditions.ts';
import { compileSplit, withGuards } from './guard.ts';
import { compileGroups, type Groups } from './invariants.ts';
import type { Fate, Route } from './route.ts';

export interface RoutingTable {
  readonly config: Config;
  readonly service: string;
  /** Lower case. */
  readonly groupHeader: string;
  readonly ambiguousGroup: Config['ambiguousGroup'];
  readonly backends: readonly Backend[];
  readonly routes: readonly Route[];
  /** True when routes match by group alone, or not at all: then no other fact of the request is needed. */
  readonly groupsOnly: boolean;
  /** Some route looks at the address of the client. */
  readonly needsClient: boolean;
  readonly groups: Groups;
  /** The first row without a match. */
  readonly defaultRoute: Route | undefined;
  /** Takes requests of groups that no row names, instead of `defaultRoute`. */
  readonly unknownRoute: Route | undefined;
}

export interface Backend {
  /** Index in `RoutingTable.backends`. */
  readonly id: number;
  readonly name: string;
  readonly config: BackendConfig;
}

export function compileTable(config: Config): RoutingTable {
  const backends = Object.entries(config.backends).map(
    ([name, backend], id): Backend => ({ id, name, config: backend }),
  );
  const ids = new Map(backends.map((backend) => [backend.name, backend.id]));
  const groups = compileGroups(config);
  const routes = config.routes.map((route, index) => compileRoute(route, index, config, ids, groups));
  return {
    config,
    service: config.service,
    groupHeader: config.groupHeader.toLowerCase(),
    ambiguousGroup: config.ambiguousGroup,
    backends,
    routes,
    groupsOnly: routes.every(({ match }) => match === undefined || matchesGroupAlone(match)),
    needsClient: routes.some(({ match }) => match !== undefined && matchesClient(match)),
    groups,
    defaultRoute: routes.find(({ match }) => match === undefined),
    unknownRoute: routes.find(({ name }) => name === config.unknownGroup),
  };
}

function compileRoute(
  config: RouteConfig,
  index: number,
  all: Config,
  ids: ReadonlyMap<string, number>,
  groups: Groups,
): Route {
  const match = config.match === undefined ? undefined : compileMatch(config.match);
  const weights = splitWeights(config, all.backends, all.heldWeights?.[config.name]?.weights);
  const backendIds = weights.names.map((name) => {
    const id = ids.get(name);
    if (id === undefined) throw new Error(`routes[${index}].split names the unknown backend "${name}"`);
    return id;
  });
  const route: Route = {
    index,
    name: config.name,
    match,
    split: compileSplit(weights, backendIds, mainBackend(config, all.backends), middleBackend(config)),
    pin: config.pin === undefined ? undefined : compilePin(config.pin, all, setOfRoute(all, config)),
    held: all.heldWeights?.[config.name] !== undefined,
    shield: config.shield,
    responseHeadTimeout: config.timeouts?.responseHead ?? all.timeouts.responseHead,
    idleTimeout: config.timeouts?.idle ?? all.timeouts.idle,
    readsGroupField: match !== undefined && readsField(match, all.groupHeader.toLowerCase()),
    fates: compileFates(weights.names, all, ids),
    guarded: undefined,
    limits: undefined,
  };
  return withGuards(route, groups);
}

function readsField(match: readonly Conditions[], lowerName: string): boolean {
  return match.some(
    ({ headers, and, not }) =>
      headers.some(({ name }) => name === lowerName) ||
      readsField(and, lowerName) ||
      readsField(not, lowerName),
  );
}

function compileFates(
  names: readonly string[],
  config: Config,
  ids: ReadonlyMap<string, number>,
): Route['fates'] {
  const fates = names.map((name): Fate => {
    const set = setOf(config, name);
    if (set === undefined) return undefined;
    if (config.lostSets?.[set.name] !== undefined) return 'lost';
    const others = set.members.filter((member) => member !== name);
    return others.length === 0 ? undefined : others.map((other) => ids.get(other)!);
  });
  return fates.some((fate) => fate !== undefined) ? fates : undefined;
}
