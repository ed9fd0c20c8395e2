/**
 * The forwarding side of one process: the snapshot that requests are decided by, and what all requests share.
 * Nothing here knows where configuration and endpoints come from; the process that owns it hands them in.
 */
import type { Logger } from 'pino';
import { selectEndpoint } from '../backends/balance.ts';
import type { BackendEndpoints } from '../backends/endpoint.ts';
import type { Config, RouteConfig } from '../config/schema.ts';
import type { AccessLog } from '../observe/access-log.ts';
import type { Cell } from '../observe/ledger.ts';
import { NO_LABEL, type RowCells, type TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { PinStore } from '../pinning/store.ts';
import type { PinStores } from '../pinning/stores.ts';
import { newRotation, type Rotation } from '../routing/split.ts';
import { compileTable, type Route, type RoutingTable } from '../routing/table.ts';
import { Deadlines } from './deadlines.ts';
import { compileHeaderRules, type HeaderRules } from './header-rules.ts';
import { compilePolicy, type ForwardPolicy } from './policy.ts';
import { type Endpoint, type Upstream, Upstreams } from './upstreams.ts';

export interface ForwarderEdges {
  readonly log: Logger;
  readonly accessLog: AccessLog;
  readonly metrics: TrafficMetrics;
  readonly pinStores: PinStores;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** An endpoint refused or reset a connection; whoever checks it may want to look at once. */
  readonly onEndpointFailure: (backend: string, address: string, port: number) => void;
}

/** What one request sees from its head to its end, however many reloads happen meanwhile. */
export interface Snapshot {
  readonly table: RoutingTable;
  readonly policy: ForwardPolicy;
  /** By backend id. */
  readonly upstreams: readonly Upstream[];
  /** By route index. */
  readonly routes: readonly LiveRoute[];
}

/** A row of the table with what it needs to be used. */
export interface LiveRoute {
  readonly route: Route;
  readonly upstreams: readonly Upstream[];
  readonly rotation: Rotation;
  /** By index in the split. */
  readonly cells: readonly RowCells[];
  readonly noBackendCells: RowCells;
  readonly pinStore: PinStore | undefined;
  readonly pinCells: PinCells | undefined;
  /** Undefined, as they nearly always are: the fields are passed on as they are. */
  readonly requestRules: HeaderRules | undefined;
  readonly responseRules: HeaderRules | undefined;
  /** By index in the split: whether the backend has an endpoint that may take requests. */
  readonly usable: (index: number) => boolean;
}

/** Lookups by result: no user, one that a cookie was just issued for, the store knew, the hash decided. */
export interface PinCells {
  readonly anonymous: Cell;
  readonly issued: Cell;
  readonly remembered: Cell;
  readonly hash: Cell;
}

export class Forwarder {
  readonly edges: ForwarderEdges;
  readonly deadlines: Deadlines;
  /** Cells of requests that never got a route. */
  readonly unroutedCells: RowCells;
  snapshot: Snapshot;
  /** No keep-alive any more: connections end with their next response. */
  draining = false;
  readonly #upstreams: Upstreams;

  constructor(config: Config, edges: ForwarderEdges) {
    this.edges = edges;
    this.deadlines = new Deadlines(edges.now);
    this.unroutedCells = edges.metrics.rowCells(NO_LABEL, NO_LABEL);
    // To the sweep is exact enough for the age of a connection, and costs nothing.
    this.#upstreams = new Upstreams(edges.metrics, () => this.deadlines.coarseNow);
    this.snapshot = this.#compile(config, undefined);
  }

  /** Swaps the snapshot whole. Requests under way keep theirs; unchanged backends keep connections and health. */
  applyConfig(config: Config): void {
    this.snapshot = this.#compile(config, this.snapshot);
    this.edges.accessLog.configure(config.accessLog);
  }

  applyEndpoints(endpoints: readonly BackendEndpoints[]): void {
    this.#upstreams.update(this.snapshot.table.config, endpoints);
    const { table } = this.snapshot;
    this.edges.metrics.retain({
      hasRoute: (name) => table.routes.some((route) => route.name === name),
      hasBackend: (name) => this.#upstreams.hasBackend(name),
      hasEndpoint: (backend, label) => this.#upstreams.hasEndpoint(backend, label),
    });
  }

  /**
   * The endpoint of `upstream` for a request, by its balancing method.
   *
   * @param tried endpoints the request failed on
   */
  selectEndpoint(upstream: Upstream, tried: readonly Endpoint[]): Endpoint | undefined {
    return selectEndpoint(
      upstream.config.balance,
      upstream.usable,
      upstream.rotation++,
      this.edges.random,
      tried,
    );
  }

  /** The cells that a request counts in, by how far it came; `index` -1: no backend was chosen. */
  cellsOf(live: LiveRoute | undefined, index: number): RowCells {
    if (live === undefined) return this.unroutedCells;
    return index === -1 ? live.noBackendCells : live.cells[index]!;
  }

  close(): void {
    this.#upstreams.drain();
    this.deadlines.close();
  }

  #compile(config: Config, before: Snapshot | undefined): Snapshot {
    const table = compileTable(config);
    const upstreams = this.#upstreams.apply(table);
    const { metrics, pinStores, random } = this.edges;
    pinStores.apply(config);
    const routes = table.routes.map((route) => {
      const rotation = sameSplit(before, route) ?? newRotation(route.split.weights, random());
      return makeLive(route, config.routes[route.index]!, upstreams, rotation, metrics, pinStores);
    });
    return {
      table,
      policy: compilePolicy(config, { host: !table.groupsOnly, client: table.needsClient }, before?.policy),
      upstreams,
      routes,
    };
  }
}

/**
 * Outside of the class, so that `usable` closes over nothing but the upstreams: a closure made where the snapshot
 * before is in scope would keep that one, and through it every one since the start.
 */
function makeLive(
  route: Route,
  config: RouteConfig,
  all: readonly Upstream[],
  rotation: Rotation,
  metrics: TrafficMetrics,
  pinStores: PinStores,
): LiveRoute {
  const upstreams = route.split.backendIds.map((id) => all[id]!);
  const { pin } = route;
  return {
    route,
    upstreams,
    rotation,
    cells: route.split.names.map((backend) => metrics.rowCells(route.name, backend)),
    noBackendCells: metrics.rowCells(route.name, NO_LABEL),
    pinStore: pin === undefined ? undefined : pinStores.of(pin),
    pinCells:
      pin === undefined
        ? undefined
        : {
            anonymous: metrics.pins(pin.name, 'anonymous'),
            issued: metrics.pins(pin.name, 'issued'),
            remembered: metrics.pins(pin.name, 'remembered'),
            hash: metrics.pins(pin.name, 'hash'),
          },
    requestRules: compileHeaderRules(config.request),
    responseRules: compileHeaderRules(config.response),
    usable: usableOf(upstreams),
  };
}

function usableOf(upstreams: readonly Upstream[]): (index: number) => boolean {
  return (index) => upstreams[index]!.usable.length > 0;
}

/** A row whose weights did not change goes on where it stood, or reloads would disturb its exact shares. */
function sameSplit(before: Snapshot | undefined, route: Route): Rotation | undefined {
  const earlier = before?.routes.find((live) => live.route.name === route.name);
  if (earlier === undefined) return undefined;
  const { names, weights } = earlier.route.split;
  const same =
    names.length === route.split.names.length &&
    names.every((name, i) => name === route.split.names[i] && weights[i] === route.split.weights[i]);
  return same ? earlier.rotation : undefined;
}
