/** The routing table: an immutable snapshot compiled from one configuration and swapped whole. */
import { RE2JS } from 're2js';
import type { BackendConfig, Config, PinConfig, RouteConfig } from '../config/schema.ts';
import { BearerClaim } from '../pinning/bearer-claim.ts';
import { CookieIssuer } from '../pinning/issued-cookie.ts';
import { type BucketLayout, layOut } from './bucket.ts';

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
  readonly responseHeadTimeout: number;
  readonly idleTimeout: number;
}

/** Parallel arrays in the order of the configuration. */
export interface Split {
  readonly names: readonly string[];
  readonly backendIds: readonly number[];
  readonly weights: readonly number[];
  /** Index of the backend that is not a canary. */
  readonly main: number;
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

/** Everything that is set must hold. */
export interface Match {
  /** Lower case. */
  readonly groups: readonly string[] | undefined;
  /** Lower case; `*.` stands for every name below. */
  readonly hosts: readonly string[] | undefined;
  readonly paths: readonly string[] | undefined;
  readonly methods: readonly string[] | undefined;
  readonly headers: readonly FieldMatch[];
}

export interface FieldMatch {
  /** As written in the configuration. */
  readonly label: string;
  /** Lower case. */
  readonly name: string;
  readonly present: boolean | undefined;
  readonly exact: string | undefined;
  readonly prefix: string | undefined;
  /** Linear-time (RE2); a backtracking expression would let one request stop the process. */
  readonly regex: RE2JS | undefined;
  readonly ignoreCase: boolean;
}

export function compileTable(config: Config): RoutingTable {
  const backends = Object.entries(config.backends).map(
    ([name, backend], id): Backend => ({ id, name, config: backend }),
  );
  const ids = new Map(backends.map((backend) => [backend.name, backend.id]));
  const routes = config.routes.map((route, index) => compileRoute(route, index, config, ids));
  return {
    config,
    service: config.service,
    groupHeader: config.groupHeader.toLowerCase(),
    ambiguousGroup: config.ambiguousGroup,
    backends,
    routes,
    groupsOnly: routes.every(({ match }) => match === undefined || matchesGroupAlone(match)),
  };
}

function compileRoute(
  route: RouteConfig,
  index: number,
  config: Config,
  ids: ReadonlyMap<string, number>,
): Route {
  const names = Object.keys(route.split);
  const weights = Object.values(route.split);
  const main = mainBackend(names, weights, route.main);
  const pin = route.pin === undefined ? undefined : compilePin(route.pin, config);
  return {
    index,
    name: route.name,
    match: route.match === undefined ? undefined : compileMatch(route.match),
    split: {
      names,
      weights,
      backendIds: names.map((name) => {
        const id = ids.get(name);
        if (id === undefined) throw new Error(`routes[${index}].split names the unknown backend "${name}"`);
        return id;
      }),
      main,
      layout: layOut(names, weights, main),
    },
    pin,
    responseHeadTimeout: route.timeouts?.responseHead ?? config.timeouts.responseHead,
    idleTimeout: route.timeouts?.idle ?? config.timeouts.idle,
  };
}

/** The named one, else the heaviest; between equals the first by name, so that reordering changes nothing. */
function mainBackend(
  names: readonly string[],
  weights: readonly number[],
  named: string | undefined,
): number {
  if (named !== undefined) return names.indexOf(named);
  let main = 0;
  for (let i = 1; i < names.length; i++) {
    const heavier = weights[i]! - weights[main]!;
    if (heavier > 0 || (heavier === 0 && names[i]! < names[main]!)) main = i;
  }
  return main;
}

function compilePin(name: string, config: Config): Pin {
  const pin = config.pins[name];
  if (pin === undefined) throw new Error(`there is no pin "${name}"`);
  const salt = pin.salt ?? config.service;
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

function compileMatch(match: NonNullable<RouteConfig['match']>): Match {
  return {
    groups: list(match.group)?.map((group) => group.trim().toLowerCase()),
    hosts: list(match.host)?.map((host) => host.toLowerCase()),
    paths: list(match.path),
    methods: list(match.method),
    headers: Object.entries(match.headers ?? {}).map(([label, value]): FieldMatch => {
      const rule = typeof value === 'string' ? { exact: value, ignoreCase: false } : value;
      const fold = (text: string | undefined) => (rule.ignoreCase ? text?.toLowerCase() : text);
      return {
        label,
        name: label.toLowerCase(),
        present: 'present' in rule ? rule.present : undefined,
        exact: fold(rule.exact),
        prefix: fold('prefix' in rule ? rule.prefix : undefined),
        regex:
          'regex' in rule && rule.regex !== undefined
            ? RE2JS.compile(rule.regex, rule.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
            : undefined,
        ignoreCase: rule.ignoreCase,
      };
    }),
  };
}

function matchesGroupAlone(match: Match): boolean {
  return (
    match.hosts === undefined &&
    match.paths === undefined &&
    match.methods === undefined &&
    match.headers.length === 0
  );
}

function list(value: string | readonly string[] | undefined): readonly string[] | undefined {
  return typeof value === 'string' ? [value] : value;
}
