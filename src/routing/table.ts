/** The routing table: an immutable snapshot compiled from one configuration and swapped whole. */
import type { BackendConfig, Config, PinConfig, RouteConfig } from '../config/schema.ts';
import { type ReleaseSet, setOf, setOfRoute } from '../config/sets.ts';
import { mainBackend, middleBackend, splitWeights } from '../config/split-weights.ts';
import { BearerClaim } from '../pinning/bearer-claim.ts';
import { CookieIssuer } from '../pinning/issued-cookie.ts';
import type { BucketLayout } from './bucket.ts';
import { type Conditions, compileMatch, type Match, matchesClient, matchesGroupAlone } from './conditions.ts';
import { compileSplit, withGuards } from './guard.ts';
import { compileGroups, type Groups, type Invariant } from './invariants.ts';

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

export interface Route {
  readonly index: number;
  readonly name: string;
  readonly match: Match | undefined;
  readonly split: Split;
  readonly pin: Pin | undefined;
  /** Its weights are not those of the file, but hold for a while: stores are to remember nothing of that. */
  readonly held: boolean;
  /** A canary's failure is answered by the main backend, where that cannot repeat an effect. */
  readonly shield: boolean;
  readonly responseHeadTimeout: number;
  readonly idleTimeout: number;
  /** Some of its tests look at the field of the group, so that it names values in its own way. */
  readonly readsGroupField: boolean;
  /**
   * By index in the split: of a member of a release set, the ids of the other members. It is used only while all of them
   * can be; `lost`: a member in the table of another service cannot. Undefined, as a whole or for a backend, where there
   * is no set.
   */
  readonly fates: readonly Fate[] | undefined;
  /**
   * By index of a group's class: the same row for requests to whose group something is promised. Undefined, as a
   * whole or for a class, where no promise is about a backend of the split.
   */
  readonly guarded: readonly (Route | undefined)[] | undefined;
  /** In such a row, by index in the split: the promise that takes something away from the backend. */
  readonly limits: readonly (Invariant | undefined)[] | undefined;
}

export type Fate = readonly number[] | 'lost' | undefined;

/** Parallel arrays in the order of the configuration. */
export interface Split {
  readonly names: readonly string[];
  readonly backendIds: readonly number[];
  /** In this proportion backends take over when others fail; 0: never. Without those that are rolled back. */
  readonly weights: readonly number[];
  /** The weights while nothing fails: 0 for `backup` backends, unless there are no others. */
  readonly shares: readonly number[];
  /** Whether a user whom a store remembers there stays. */
  readonly keeps: readonly boolean[];
  /** Index of the backend that is not a canary. */
  readonly main: number;
  /** Index of the backend between the canaries in the layout: `main` when it is named, else the last by name. */
  readonly middle: number;
  readonly layout: BucketLayout;
  /** By index: of a backend whose share is bounded, the users that it may keep at most; undefined where all. */
  readonly widest: readonly (Widest | undefined)[] | undefined;
}

/** The split in which a backend has the largest share that it may have. */
export interface Widest {
  readonly shares: readonly number[];
  readonly layout: BucketLayout;
}

export interface Pin {
  readonly name: string;
  readonly config: PinConfig;
  /** Of the hash: a new generation hashes every user anew. */
  readonly salt: string;
  /** Where the user's id is looked for, in order. */
  readonly sources: readonly PinSource[];
  /** Undefined: a request that names no user stays without one. */
  readonly cookie: CookieIssuer | undefined;
}

/** Names of fields in lower case. */
export type PinSource =
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'cookie'; readonly name: string }
  | { readonly kind: 'bearerClaim'; readonly claim: BearerClaim }
  | { readonly kind: 'clientAddress'; readonly trustedHops: number };

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

/** @param set that the row takes part in: its salt, since the same users must meet all members */
export function compilePin(name: string, config: Config, set: ReleaseSet | undefined): Pin {
  const pin = config.pins[name];
  if (pin === undefined) throw new Error(`there is no pin "${name}"`);
  const salt = set === undefined ? (pin.salt ?? config.service) : `set:${set.name}`;
  return {
    name,
    config: pin,
    salt: pin.generation === 1 ? salt : `${salt}\0${pin.generation}`,
    sources: pin.by.map(compileSource),
    cookie: pin.issueCookie === undefined ? undefined : compileCookie(pin.issueCookie, config.service),
  };
}

function compileSource(source: PinConfig['by'][number]): PinSource {
  if ('header' in source) return { kind: 'header', name: source.header.toLowerCase() };
  if ('cookie' in source) return { kind: 'cookie', name: source.cookie };
  if ('bearerClaim' in source) return { kind: 'bearerClaim', claim: new BearerClaim(source.bearerClaim) };
  return { kind: 'clientAddress', trustedHops: source.clientAddress.trustedHops };
}

function compileCookie(cookie: NonNullable<PinConfig['issueCookie']>, service: string): CookieIssuer {
  const { name = `pointsman-${service}`, ttl, sameSite, secure, path, domain, keys } = cookie;
  return new CookieIssuer({ name, ttl, sameSite, secure, path, domain, keys }, service);
}
