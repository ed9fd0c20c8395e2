/** One upstream of a backend: a URL, the endpoints that its host stands for, and the checks of each. */

import type { HealthConfig, ServerUrl } from '../config/schema.ts';
import { endpointLabel, type HealthState, type ResolutionState, type Standing } from './endpoint.ts';
import type { EndpointHealth } from './health.ts';
import { isDecided, type NameState } from './name-state.ts';
import type { Probe } from './probe-target.ts';
import { isDenial } from './resolution.ts';
import { srvFactors, srvRanks, type Target } from './server-weights.ts';
import type { SharedCheck, SharedChecks } from './shared-checks.ts';
import type { SharedName, SharedNames } from './shared-names.ts';

/** An address and port that a server stands for. */
export interface SourceEndpoint {
  readonly label: string;
  readonly address: string;
  readonly port: number;
  /** Among those of the server, see `srvFactors` and `srvRanks`. */
  readonly factor: number;
  readonly rank: number;
  /** Undefined where checks are off. */
  readonly check: SharedCheck | undefined;
  /** When it came in, epoch milliseconds. */
  readonly since: number;
}

export interface Shared {
  readonly names: SharedNames<ServerSource>;
  readonly checks: SharedChecks<ServerSource>;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export class ServerSource {
  readonly backend: string;
  readonly url: ServerUrl;
  /** What stands in the certificate of its endpoints, for https. */
  readonly serverName: string;
  /** Host field of requests that came without one, and of checks. */
  readonly authority: string;
  readonly #shared: Shared;
  readonly #name: SharedName;
  #health: HealthConfig;
  #established = false;
  #endpoints = new Map<string, SourceEndpoint>();
  /** Endpoints that DNS denies and checks have found down, until DNS answers again. */
  readonly #refuted = new Set<string>();

  constructor(backend: string, url: ServerUrl, health: HealthConfig, shared: Shared) {
    this.backend = backend;
    this.url = url;
    this.serverName = url.srv ? serviceOf(url.host) : url.host;
    this.authority = url.srv ? this.serverName : url.authority;
    this.#health = health;
    this.#shared = shared;
    this.#name = shared.names.acquire(this, url);
    this.update();
  }

  get name(): NameState {
    return this.#name.state;
  }

  get resolution(): Standing<ResolutionState> {
    return this.name;
  }

  /** By `address:port`. */
  get endpoints(): ReadonlyMap<string, SourceEndpoint> {
    return this.#endpoints;
  }

  /** The name has been asked for, and every address has been checked. */
  get ready(): boolean {
    if (this.name.state === 'pending') return false;
    for (const { check } of this.#endpoints.values()) if (check?.loop.tried === false) return false;
    return true;
  }

  /**
   * Whether it can stand for itself: it has been ready with addresses, or DNS says now that there are none. A name that
   * does not exist empties the backend, as the file says; one that DNS could not be asked for just now takes nothing
   * away from what serves.
   */
  get established(): boolean {
    if (this.#established) return true;
    if (!this.ready || !isDecided(this.name)) return false;
    this.#established = this.#endpoints.size > 0;
    return true;
  }

  /** Whether its checks show more than that somebody accepts connections. */
  get checksByHttp(): boolean {
    return this.#health.path !== undefined;
  }

  /** Another way of checking takes effect at once and goes on from what is known. */
  useHealth(health: HealthConfig): void {
    if (JSON.stringify(health) === JSON.stringify(this.#health)) return;
    this.#health = health;
    this.update();
  }

  /** Brings the endpoints in line with the name and the settings; those that stay keep everything. */
  update(): void {
    const former = this.#endpoints;
    const next = new Map<string, SourceEndpoint>();
    this.#refute();
    const targets = this.#targets();
    const factors = srvFactors(targets);
    const ranks = srvRanks(targets);
    for (const [i, { address, port }] of targets.entries()) {
      const label = endpointLabel(address, port);
      if (next.has(label)) continue;
      const check = this.#acquire(label, address, port, former.get(label)?.check?.loop.health);
      const since = former.get(label)?.since ?? this.#shared.now();
      next.set(label, { label, address, port, factor: factors[i]!, rank: ranks[i]!, check, since });
    }
    this.#endpoints = next;
    // After the new ones were acquired, so that a check that stays is not stopped in between.
    this.#release(former, next);
  }

  reportFailure(label: string): void {
    this.#endpoints.get(label)?.check?.loop.reportFailure();
    this.#name.askSoon();
  }

  /** Asks for the name before its TTL has passed. */
  askSoon(): void {
    this.#name.askSoon();
  }

  close(): void {
    this.#shared.names.release(this, this.url);
    this.#release(this.#endpoints, new Map());
    this.#endpoints = new Map();
  }

  #targets(): (Target & { readonly address: string; readonly port: number })[] {
    const targets = this.name.targets.map(({ address, port, weight, priority }) => ({
      address,
      port: port ?? this.url.port,
      weight,
      priority,
    }));
    if (this.#refuted.size === 0) return targets;
    return targets.filter(({ address, port }) => !this.#refuted.has(endpointLabel(address, port)));
  }

  /**
   * An address that is down while DNS says that there is none is given up: a pod of another service may get it next, and
   * would pass a TCP check. As long as DNS only cannot be asked, it stays.
   */
  #refute(): void {
    const { state, failure } = this.name;
    if (state !== 'stale') this.#refuted.clear();
    else if (isDenial(failure!)) {
      for (const endpoint of this.#endpoints.values()) {
        if (healthOf(endpoint) === 'down') this.#refuted.add(endpoint.label);
      }
    }
  }

  #acquire(
    label: string,
    address: string,
    port: number,
    known: EndpointHealth | undefined,
  ): SharedCheck | undefined {
    if (!this.#health.enabled) return undefined;
    return this.#shared.checks.acquire(this, label, this.#probe(address, port), this.#health, known);
  }

  #release(former: ReadonlyMap<string, SourceEndpoint>, next: ReadonlyMap<string, SourceEndpoint>): void {
    for (const { label, check } of former.values()) {
      if (check !== undefined && next.get(label)?.check !== check) {
        this.#shared.checks.release(this, check.key);
      }
    }
  }

  #probe(address: string, endpointPort: number): Probe {
    const { timeout, path, method, status, host, headers, body } = this.#health;
    const port = this.#health.port ?? endpointPort;
    if (path === undefined) return { kind: 'tcp', address, port, timeout };
    return {
      kind: 'http',
      scheme: this.url.scheme,
      address,
      port,
      timeout,
      method,
      path,
      host: host ?? this.authority,
      serverName: this.serverName,
      status,
      headers: headers ?? {},
      body,
    };
  }
}

export function healthOf({ check }: SourceEndpoint): HealthState {
  return check === undefined ? 'up' : check.loop.health.state;
}

/** `_http._tcp.shop.default.svc` → `shop.default.svc`: no certificate and no Host field holds the labels before it. */
function serviceOf(host: string): string {
  const service = host.replace(/^(_[^.]*\.)+/, '');
  return service === '' ? host : service;
}
