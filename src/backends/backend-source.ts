/** Where one backend's endpoints come from: one URL, the addresses of its host, and the checks of each. */

import type { HealthConfig, ServerUrl } from '../config/schema.ts';
import type { EndpointState, EndpointStatus, HealthState } from './endpoint.ts';
import type { NameState } from './name-state.ts';
import type { Probe } from './probe.ts';
import type { SharedCheck, SharedChecks } from './shared-checks.ts';
import type { SharedName, SharedNames } from './shared-names.ts';

interface Endpoint {
  readonly address: string;
  /** Undefined where checks are off. */
  readonly check: SharedCheck | undefined;
  /** When it came in, epoch milliseconds. */
  readonly since: number;
}

export interface Shared {
  readonly names: SharedNames<BackendSource>;
  readonly checks: SharedChecks<BackendSource>;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export class BackendSource {
  readonly backend: string;
  readonly url: ServerUrl;
  readonly #shared: Shared;
  readonly #name: SharedName;
  #health: HealthConfig;
  /** By address. */
  #endpoints = new Map<string, Endpoint>();

  constructor(backend: string, url: ServerUrl, health: HealthConfig, shared: Shared) {
    this.backend = backend;
    this.url = url;
    this.#health = health;
    this.#shared = shared;
    this.#name = shared.names.acquire(this, url.host);
    this.update();
  }

  get name(): NameState {
    return this.#name.state;
  }

  /** The name has been asked for, and every address has been checked. */
  get ready(): boolean {
    if (this.name.state === 'pending') return false;
    for (const { check } of this.#endpoints.values()) if (check?.loop.tried === false) return false;
    return true;
  }

  get size(): number {
    return this.#endpoints.size;
  }

  /** Another way of checking takes effect at once and goes on from what is known. */
  useHealth(health: HealthConfig): void {
    if (JSON.stringify(health) === JSON.stringify(this.#health)) return;
    this.#health = health;
    this.update();
  }

  /** Brings the endpoints in line with the addresses and the settings; those that stay keep everything. */
  update(): void {
    const former = this.#endpoints;
    const next = new Map<string, Endpoint>();
    for (const address of this.name.addresses)
      next.set(address, this.#endpoint(address, former.get(address)));
    this.#endpoints = next;
    // After the new ones were acquired, so that a check that stays is not stopped in between.
    this.#release(former, next);
  }

  reportFailure(address: string): void {
    this.#endpoints.get(address)?.check?.loop.reportFailure();
    this.#name.askSoon();
  }

  /** Asks for the name before its TTL has passed. */
  askSoon(): void {
    this.#name.askSoon();
  }

  close(): void {
    this.#shared.names.release(this, this.url.host);
    this.#release(this.#endpoints, new Map());
    this.#endpoints = new Map();
  }

  countUp(): number {
    let up = 0;
    for (const endpoint of this.#endpoints.values()) if (healthOf(endpoint) === 'up') up++;
    return up;
  }

  endpoints(): EndpointState[] {
    return [...this.#endpoints.values()].map((endpoint) => this.#state(endpoint));
  }

  statuses(): EndpointStatus[] {
    return [...this.#endpoints.values()].map((endpoint) => {
      const state = this.#state(endpoint);
      const { check, since: cameIn } = endpoint;
      if (check === undefined) return { ...state, reason: 'checks are off', since: cameIn, checks: [] };
      const { reason, since, checks } = check.loop.health;
      return { ...state, reason, since, checks };
    });
  }

  #state(endpoint: Endpoint): EndpointState {
    const { scheme, host, port, authority } = this.url;
    return {
      address: endpoint.address,
      port,
      scheme,
      serverName: host,
      authority,
      health: healthOf(endpoint),
      weight: 1,
      tier: 0,
      drained: false,
      ejected: false,
      warmingSince: 0,
    };
  }

  #endpoint(address: string, former: Endpoint | undefined): Endpoint {
    const check = this.#health.enabled
      ? this.#shared.checks.acquire(this, this.#probe(address), this.#health, former?.check?.loop.health)
      : undefined;
    if (former !== undefined && former.check === check) return former;
    return { address, check, since: former?.since ?? this.#shared.now() };
  }

  #release(former: ReadonlyMap<string, Endpoint>, next: ReadonlyMap<string, Endpoint>): void {
    for (const { address, check } of former.values()) {
      if (check !== undefined && next.get(address)?.check !== check) {
        this.#shared.checks.release(this, check.key);
      }
    }
  }

  #probe(address: string): Probe {
    const { scheme, host, port, authority } = this.url;
    const { timeout, path, method, status } = this.#health;
    if (path === undefined) return { kind: 'tcp', address, port, timeout };
    return {
      kind: 'http',
      scheme,
      address,
      port,
      timeout,
      method,
      path,
      host: this.#health.host ?? authority,
      serverName: host,
      status,
    };
  }
}

function healthOf({ check }: Endpoint): HealthState {
  return check === undefined ? 'up' : check.loop.health.state;
}
