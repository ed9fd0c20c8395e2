/** One endpoint as the forwarding side sees it: its pool, its load, and what the primary says of it. */
import type { Balanced } from '../backends/balance.ts';
import { type EndpointState, endpointLabel, type HealthState } from '../backends/endpoint.ts';
import type { EndpointCells } from '../observe/traffic-metrics.ts';
import type { EndpointPool } from './endpoint-pool.ts';

export class Endpoint implements Balanced {
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
  weight: number;
  tier: number;
  drained: boolean;
  ejected: boolean;
  /** Monotonic milliseconds; -Infinity: it has its full share. */
  warmingFrom = Number.NEGATIVE_INFINITY;
  turn = 0;
  /** Requests under way. */
  inFlight = 0;
  /** Answers 502, 503 or 504 in a row. */
  gatewayFailures = 0;
  /** Attempts in a row that brought no response: refused, reset, timed out. */
  connectFailures = 0;

  constructor(state: EndpointState, pool: EndpointPool, cells: EndpointCells) {
    this.label = endpointLabel(state.address, state.port);
    this.scheme = state.scheme;
    this.address = state.address;
    this.port = state.port;
    this.serverName = state.serverName;
    this.authority = state.authority;
    this.pool = pool;
    this.cells = cells;
    this.health = state.health;
    this.weight = state.weight;
    this.tier = state.tier;
    this.drained = state.drained;
    this.ejected = state.ejected;
  }

  /** Another scheme or name in the certificate is another peer, though address and port are the same. */
  isSamePeer({ scheme, serverName }: EndpointState): boolean {
    return this.scheme === scheme && (scheme === 'http' || this.serverName === serverName);
  }

  /**
   * @param warmingFrom monotonic milliseconds; -Infinity: it has its full share
   * @returns whether it went out of service by that: what waits for it should look elsewhere
   */
  take(state: EndpointState, warmingFrom: number): boolean {
    const served = isInService(this);
    // What stays open to a dead endpoint would fail the first requests after its return.
    if (state.health === 'down' && this.health !== 'down') this.pool.closeIdle();
    if (state.drained && !this.drained) this.pool.drain();
    if (!state.drained && this.drained) this.pool.revive();
    this.health = state.health;
    this.weight = state.weight;
    this.tier = state.tier;
    this.drained = state.drained;
    this.ejected = state.ejected;
    this.warmingFrom = warmingFrom;
    const serves = isInService(this);
    if (serves && !served) {
      // What it did before it went says nothing of how it came back.
      this.gatewayFailures = 0;
      this.connectFailures = 0;
    }
    return served && !serves;
  }
}

function isInService({ health, drained, ejected }: Endpoint): boolean {
  return health !== 'down' && !drained && !ejected;
}
