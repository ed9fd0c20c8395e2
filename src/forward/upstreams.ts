/** The backends as the forwarding side sees them, with their endpoints, kept across reloads. */
import type { Admission } from '../admission/admission.ts';
import { availabilityOf } from '../backends/availability.ts';
import { Balancer } from '../backends/balance.ts';
import { type BackendEndpoints, type EndpointState, endpointLabel } from '../backends/endpoint.ts';
import type { OutlierCause } from '../backends/outlier.ts';
import { type BackendConfig, type Config, type OutlierConfig, outlierOf } from '../config/schema.ts';
import type { BackendCells, TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { Backend, RoutingTable } from '../routing/table.ts';
import { Endpoint } from './endpoint.ts';
import { EndpointPool, type PoolOptions } from './endpoint-pool.ts';

/** Goes up with every change of an endpoint or of the settings that judge them. */
export interface Revision {
  value: number;
}

export interface UpstreamEdges {
  readonly metrics: TrafficMetrics;
  /** Has room for a connection, or has not. */
  readonly admission: Pick<Admission, 'admitUpstream' | 'upstreamClosed'>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The same, not exact: where that is enough. */
  readonly coarseNow: () => number;
  /** Epoch milliseconds. */
  readonly epochNow: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** An endpoint refused or reset a connection, or did not answer; whoever checks it may want to look at once. */
  readonly onEndpointFailure: (backend: string, address: string, port: number) => void;
  /** As many requests in a row as the configuration says have failed on an endpoint. */
  readonly onOutlier: (backend: string, address: string, port: number, cause: OutlierCause) => void;
}

/** One backend of the table; the same object as long as its name stays. */
export class Upstream {
  readonly name: string;
  config: BackendConfig;
  cells: BackendCells;
  /** What may take requests: see `availabilityOf`. */
  available: Balancer<Endpoint>;
  /** All that are not drained: what a backend in panic uses. */
  fleet: Balancer<Endpoint>;
  healthyPercent = 0;
  readonly #edges: UpstreamEdges;
  #outlier: OutlierConfig;
  #endpoints = new Map<string, Endpoint>();

  constructor(backend: Backend, outlier: OutlierConfig, cells: BackendCells, edges: UpstreamEdges) {
    this.name = backend.name;
    this.config = backend.config;
    this.cells = cells;
    this.#outlier = outlier;
    this.#edges = edges;
    this.available = this.#balancer([], undefined);
    this.fleet = this.#balancer([], undefined);
  }

  hasEndpoint(label: string): boolean {
    return this.#endpoints.has(label);
  }

  reconfigure(
    backend: Backend,
    outlier: OutlierConfig,
    cells: BackendCells,
    options: (endpoint: Endpoint) => PoolOptions,
  ): void {
    this.config = backend.config;
    this.cells = cells;
    this.#outlier = outlier;
    for (const endpoint of this.#endpoints.values()) endpoint.pool.options = options(endpoint);
    this.#judge();
  }

  /**
   * Replaces the list; endpoints that stay keep pool and load, those that leave drain.
   *
   * @returns endpoints that went out of service: what waits for a connection to them should look elsewhere
   */
  update(states: BackendEndpoints['endpoints'], create: (state: EndpointState) => Endpoint): Endpoint[] {
    const left: Endpoint[] = [];
    const next = new Map<string, Endpoint>();
    for (const state of states) {
      const label = endpointLabel(state.address, state.port);
      const known = this.#endpoints.get(label);
      const endpoint = known?.isSamePeer(state) === true ? known : create(state);
      if (endpoint.take(state, this.#warmingFrom(state))) left.push(endpoint);
      next.set(label, endpoint);
    }
    for (const [label, endpoint] of this.#endpoints) {
      if (next.get(label) === endpoint) continue;
      endpoint.pool.drain();
      left.push(endpoint);
    }
    this.#endpoints = next;
    this.#judge();
    return left;
  }

  sweepIdleSockets(now: number): void {
    for (const { pool } of this.#endpoints.values()) pool.sweep(now);
  }

  /** @returns false when none of its connections lies idle */
  closeOneIdle(): boolean {
    for (const { pool } of this.#endpoints.values()) if (pool.closeOneIdle()) return true;
    return false;
  }

  /** A response has come. Answers of a gateway, which say that what is behind it is missing, count against it. */
  onAnswer(endpoint: Endpoint, status: number): void {
    endpoint.connectFailures = 0;
    if (status < 502 || status > 504) {
      endpoint.gatewayFailures = 0;
      return;
    }
    if (++endpoint.gatewayFailures < this.#outlier.gatewayFailures) return;
    endpoint.gatewayFailures = 0;
    this.#onOutlier(endpoint, 'gateway');
  }

  /** A response broke off: worth a look, and no more, since it did answer. */
  onBroken({ address, port }: Endpoint): void {
    this.#edges.onEndpointFailure(this.name, address, port);
  }

  /** An attempt brought no response, and the endpoint is to blame: it refused, reset, or did not answer in time. */
  onNoAnswer(endpoint: Endpoint): void {
    const { address, port } = endpoint;
    this.#edges.onEndpointFailure(this.name, address, port);
    endpoint.connectFailures++;
    if (endpoint.connectFailures % this.#outlier.connectFailures === 0) this.#onOutlier(endpoint, 'connect');
  }

  drain(): Endpoint[] {
    const left = [...this.#endpoints.values()];
    for (const endpoint of left) endpoint.pool.drain();
    this.#endpoints.clear();
    this.#judge();
    return left;
  }

  #onOutlier({ address, port }: Endpoint, cause: OutlierCause): void {
    if (this.#outlier.enabled) this.#edges.onOutlier(this.name, address, port, cause);
  }

  #judge(): void {
    const { available, fleet, healthyPercent } = availabilityOf([...this.#endpoints.values()]);
    this.available = this.#balancer(available, this.available);
    this.fleet = this.#balancer(fleet, this.fleet);
    this.healthyPercent = healthyPercent;
  }

  #balancer(endpoints: readonly Endpoint[], former: Balancer<Endpoint> | undefined): Balancer<Endpoint> {
    const { balance: method, slowStart } = this.config;
    return new Balancer(endpoints, { method, slowStart, random: this.#edges.random }, former);
  }

  #warmingFrom({ warmingSince }: EndpointState): number {
    if (warmingSince === 0) return Number.NEGATIVE_INFINITY;
    const { now, epochNow } = this.#edges;
    return now() - Math.max(0, epochNow() - warmingSince);
  }
}

export class Upstreams {
  readonly revision: Revision = { value: 0 };
  readonly #edges: UpstreamEdges;
  #byName = new Map<string, Upstream>();

  constructor(edges: UpstreamEdges) {
    this.#edges = edges;
  }

  /** @returns the upstreams by backend id of `table` */
  apply(table: RoutingTable): readonly Upstream[] {
    const next = new Map<string, Upstream>();
    const left: Endpoint[] = [];
    const list = table.backends.map((backend) => {
      const cells = this.#edges.metrics.backendCells(backend.name);
      const outlier = outlierOf(table.config, backend.name);
      const upstream = this.#byName.get(backend.name) ?? new Upstream(backend, outlier, cells, this.#edges);
      upstream.reconfigure(backend, outlier, cells, (endpoint) =>
        poolOptions(table.config, backend.config, endpoint),
      );
      next.set(backend.name, upstream);
      return upstream;
    });
    for (const [name, upstream] of this.#byName) {
      if (next.get(name) !== upstream) left.push(...upstream.drain());
    }
    this.#byName = next;
    this.#changed(left);
    return list;
  }

  update(config: Config, endpoints: readonly BackendEndpoints[]): void {
    const left: Endpoint[] = [];
    for (const { backend, endpoints: states } of endpoints) {
      const upstream = this.#byName.get(backend);
      if (upstream === undefined) continue;
      left.push(...upstream.update(states, (state) => this.#createEndpoint(config, upstream, state)));
    }
    this.#changed(left);
  }

  hasEndpoint(backend: string, label: string): boolean {
    return this.#byName.get(backend)?.hasEndpoint(label) ?? false;
  }

  hasBackend(backend: string): boolean {
    return this.#byName.has(backend);
  }

  /** Closes all idle connections; those under way end with their requests. */
  drain(): void {
    for (const upstream of this.#byName.values()) upstream.drain();
    this.revision.value++;
  }

  sweepIdleSockets(now: number): void {
    for (const upstream of this.#byName.values()) upstream.sweepIdleSockets(now);
  }

  /** For another connection, when no file is left for it. */
  #closeOneIdle(): boolean {
    for (const upstream of this.#byName.values()) if (upstream.closeOneIdle()) return true;
    return false;
  }

  /** Only once every list is the new one: what waited is sent elsewhere at once. */
  #changed(left: readonly Endpoint[]): void {
    this.revision.value++;
    for (const endpoint of left) endpoint.pool.dismissWaiting();
  }

  #createEndpoint(config: Config, upstream: Upstream, state: EndpointState): Endpoint {
    const { admission } = this.#edges;
    const events = {
      admit: () => admission.admitUpstream(() => this.#closeOneIdle()),
      onGone: () => admission.upstreamClosed(),
      onOpened: () => {
        upstream.cells.connects.value++;
        upstream.cells.connections.value++;
      },
      onClosed: () => {
        upstream.cells.connections.value--;
      },
      onWaiting: (change: 1 | -1) => {
        upstream.cells.queued.value += change;
      },
    };
    const pool = new EndpointPool(poolOptions(config, upstream.config, state), events, this.#edges.coarseNow);
    if (state.drained) pool.drain();
    const label = endpointLabel(state.address, state.port);
    return new Endpoint(state, pool, this.#edges.metrics.endpointCells(upstream.name, label));
  }
}

type ConnectFacts = Pick<EndpointState, 'scheme' | 'address' | 'port' | 'serverName'>;

function poolOptions(config: Config, backend: BackendConfig, connect: ConnectFacts): PoolOptions {
  const { scheme, address, port, serverName } = connect;
  return {
    scheme,
    address,
    port,
    serverName,
    connectTimeout: config.timeouts.connect,
    keepAlive: backend.keepAlive,
    maxAge: backend.maxConnectionAge,
    maxConnections: backend.maxConnections,
    maxPending: backend.maxPending,
    maxHeaderSize: config.limits.headSize,
    pipelining: backend.pipelining,
  };
}
