/** The endpoints as the forwarding side sees them: their pools, load and health, kept across reloads. */
import {
  type BackendEndpoints,
  type EndpointState,
  endpointLabel,
  type HealthState,
} from '../backends/endpoint.ts';
import type { BackendConfig, Config } from '../config/schema.ts';
import type { BackendCells, EndpointCells, TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { Backend, RoutingTable } from '../routing/table.ts';
import { EndpointPool, type PoolOptions } from './endpoint-pool.ts';

export interface Endpoint {
  readonly label: string;
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  /** Name in the certificate, for https. */
  readonly serverName: string;
  /** Host for requests that came without one. */
  readonly authority: string;
  readonly pool: EndpointPool;
  readonly cells: EndpointCells;
  health: HealthState;
  /** Requests under way. */
  inFlight: number;
}

/** One backend of the table; the same object as long as its name stays. */
export class Upstream {
  readonly name: string;
  config: BackendConfig;
  cells: BackendCells;
  /** Counter for round robin; starts anywhere, so that many proxies do not begin with the same endpoint. */
  rotation = Math.floor(Math.random() * 1024);
  /** What may take requests: those that are up; none being up, those not checked yet. */
  usable: readonly Endpoint[] = [];
  #endpoints = new Map<string, Endpoint>();

  constructor(backend: Backend, cells: BackendCells) {
    this.name = backend.name;
    this.config = backend.config;
    this.cells = cells;
  }

  get endpoints(): IterableIterator<Endpoint> {
    return this.#endpoints.values();
  }

  hasEndpoint(label: string): boolean {
    return this.#endpoints.has(label);
  }

  reconfigure(backend: Backend, cells: BackendCells, options: (endpoint: Endpoint) => PoolOptions): void {
    this.config = backend.config;
    this.cells = cells;
    for (const endpoint of this.#endpoints.values()) endpoint.pool.options = options(endpoint);
  }

  /** Replaces the list; endpoints that stay keep pool and load, those that leave drain. */
  update(states: BackendEndpoints['endpoints'], create: (state: EndpointState) => Endpoint): void {
    const next = new Map<string, Endpoint>();
    for (const state of states) {
      const { health } = state;
      const label = endpointLabel(state.address, state.port);
      const known = this.#endpoints.get(label);
      const endpoint = known !== undefined && isSamePeer(known, state) ? known : create(state);
      // What stays open to a dead endpoint would fail the first requests after its return.
      if (health === 'down' && endpoint.health !== 'down') endpoint.pool.closeIdle();
      endpoint.health = health;
      next.set(label, endpoint);
    }
    for (const [label, endpoint] of this.#endpoints) {
      if (next.get(label) !== endpoint) endpoint.pool.drain();
    }
    this.#endpoints = next;
    const up = [...next.values()].filter((endpoint) => endpoint.health === 'up');
    this.usable = up.length > 0 ? up : [...next.values()].filter(({ health }) => health === 'unchecked');
  }

  drain(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.pool.drain();
    this.#endpoints.clear();
    this.usable = [];
  }
}

export class Upstreams {
  readonly #metrics: TrafficMetrics;
  readonly #now: () => number;
  #byName = new Map<string, Upstream>();

  constructor(metrics: TrafficMetrics, now: () => number) {
    this.#metrics = metrics;
    this.#now = now;
  }

  /** @returns the upstreams by backend id of `table` */
  apply(table: RoutingTable): readonly Upstream[] {
    const next = new Map<string, Upstream>();
    const list = table.backends.map((backend) => {
      const cells = this.#metrics.backendCells(backend.name);
      const upstream = this.#byName.get(backend.name) ?? new Upstream(backend, cells);
      upstream.reconfigure(backend, cells, (endpoint) => poolOptions(table.config, backend.config, endpoint));
      next.set(backend.name, upstream);
      return upstream;
    });
    for (const [name, upstream] of this.#byName) if (next.get(name) !== upstream) upstream.drain();
    this.#byName = next;
    return list;
  }

  update(config: Config, endpoints: readonly BackendEndpoints[]): void {
    for (const { backend, endpoints: states } of endpoints) {
      const upstream = this.#byName.get(backend);
      upstream?.update(states, (state) => this.#createEndpoint(config, upstream, state));
    }
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
  }

  #createEndpoint(config: Config, upstream: Upstream, state: EndpointState): Endpoint {
    const { scheme, address, port, serverName, authority, health } = state;
    const label = endpointLabel(address, port);
    const options = poolOptions(config, upstream.config, state);
    const events = {
      onOpened: () => {
        upstream.cells.connects.value++;
        upstream.cells.connections.value++;
      },
      onClosed: () => {
        upstream.cells.connections.value--;
      },
    };
    return {
      label,
      scheme,
      address,
      port,
      serverName,
      authority,
      pool: new EndpointPool(options, events, this.#now),
      cells: this.#metrics.endpointCells(upstream.name, label),
      health,
      inFlight: 0,
    };
  }
}

/** Another scheme or name in the certificate is another peer, though address and port are the same. */
function isSamePeer(endpoint: Endpoint, { scheme, serverName }: EndpointState): boolean {
  return endpoint.scheme === scheme && (scheme === 'http' || endpoint.serverName === serverName);
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
  };
}
