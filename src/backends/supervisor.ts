/**
 * Keeps the addresses and the health of all backends: one question per name and one check per unique upstream, however
 * many backends and routes use them. Lives in the primary alone.
 */
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import {
  type BackendConfig,
  type Config,
  type HealthConfig,
  healthOf,
  type ResolverConfig,
} from '../config/schema.ts';
import { formatDuration } from '../config/units.ts';
import { CheckLoop } from './check-loop.ts';
import { type Clock, systemClock } from './clock.ts';
import {
  type BackendEndpoints,
  type BackendStatus,
  type EndpointStatus,
  endpointLabel,
  type HealthState,
  type ResolutionState,
} from './endpoint.ts';
import { type EndpointHealth, initialHealth } from './health.ts';
import { type NameState, staticName } from './name-state.ts';
import { NameWatch } from './name-watch.ts';
import { type Probe, probe } from './probe.ts';
import { DnsResolver, type NameResolver } from './resolver.ts';

export type SupervisorEvent =
  | {
      readonly type: 'health';
      readonly backend: string;
      readonly endpoint: string;
      readonly health: HealthState;
    }
  | { readonly type: 'check'; readonly backend: string; readonly ok: boolean }
  | { readonly type: 'resolution'; readonly backend: string; readonly state: ResolutionState };

export interface SupervisorEdges {
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** The lists that changed; never called from within `apply`, several changes of one turn come together. */
  readonly onEndpoints: (endpoints: BackendEndpoints[]) => void;
  readonly onEvent?: (event: SupervisorEvent) => void;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Default: DNS by the settings of the configuration. */
  readonly makeResolver?: (config: ResolverConfig) => NameResolver;
}

/** Where a backend's endpoints come from. */
interface Source {
  readonly host: string;
  readonly port: number;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  readonly health: HealthConfig;
}

interface Entry {
  readonly name: string;
  /** As configured. */
  wanted: Source;
  /** In use: the one before, until the wanted one is resolved and checked. */
  active: Source;
  /** What was reported last, to report changes alone. */
  reported: string;
}

export class BackendSupervisor {
  readonly #edges: SupervisorEdges;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #names = new Map<string, NameWatch>();
  readonly #static = new Map<string, NameState>();
  /** By what is checked, and how. */
  readonly #loops = new Map<string, CheckLoop>();
  #resolver: { readonly settings: string; readonly resolver: NameResolver } | undefined;
  #waiting: (() => void)[] = [];
  #reportQueued = false;
  #closed = false;

  constructor(edges: SupervisorEdges) {
    this.#edges = edges;
    this.#clock = edges.clock ?? systemClock;
    this.#random = edges.random ?? Math.random;
  }

  /** Starts, or takes over a reload: what did not change keeps its addresses, health and schedule. */
  apply(config: Config): void {
    this.#useResolver(config.resolver);
    const bounds = { minTtl: config.resolver.minTtl, maxTtl: config.resolver.maxTtl };
    for (const [name, backend] of Object.entries(config.backends)) {
      const wanted = sourceOf(backend, healthOf(config, name));
      const entry = this.#entries.get(name);
      if (entry === undefined) {
        this.#entries.set(name, { name, wanted, active: wanted, reported: '' });
      } else {
        entry.wanted = wanted;
        // Only another address needs to be found first; another way of checking takes effect at once.
        if (sameTarget(entry.active, wanted)) entry.active = wanted;
      }
      this.#watchName(wanted.host, bounds);
    }
    for (const name of this.#entries.keys()) {
      if (!Object.hasOwn(config.backends, name)) this.#entries.delete(name);
    }
    this.#settle();
  }

  endpoints(): BackendEndpoints[] {
    return [...this.#entries.values()].map((entry) => this.#endpointsOf(entry));
  }

  status(): BackendStatus[] {
    return [...this.#entries.values()].map(({ name, active }) => {
      const { state, reason, since, answeredAt, ttlMs } = this.#nameState(active.host);
      return {
        name,
        resolution: { state, reason, since, answeredAt, ttlMs },
        endpoints: this.#addresses(active).map((address) => this.#endpointStatus(active, address)),
      };
    });
  }

  /** The data path could not connect to an endpoint, or was cut off: it is checked at once, its name asked for soon. */
  reportFailure(backend: string, address: string, port: number): void {
    const entry = this.#entries.get(backend);
    if (entry === undefined || entry.active.port !== port) return;
    this.#loops.get(loopKey(entry.active, address))?.reportFailure();
    this.#names.get(entry.active.host)?.askSoon();
  }

  checkNow(): void {
    for (const name of this.#names.values()) name.ask();
    for (const loop of this.#loops.values()) loop.checkNow();
  }

  /** Resolves when every backend has been resolved, or failed to be, and every endpoint has been checked once. */
  whenSettled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#closed = true;
    for (const name of this.#names.values()) name.stop();
    for (const loop of this.#loops.values()) loop.stop();
    this.#resolver?.resolver.close();
    this.#entries.clear();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  // ---- names ----

  #useResolver(config: ResolverConfig): void {
    const settings = JSON.stringify(config);
    if (this.#resolver?.settings === settings) return;
    const before = this.#resolver?.resolver;
    const resolver = this.#edges.makeResolver?.(config) ?? new DnsResolver({ config, clock: this.#clock });
    this.#resolver = { settings, resolver };
    for (const name of this.#names.values()) {
      name.use(resolver, { minTtl: config.minTtl, maxTtl: config.maxTtl });
    }
    before?.close();
  }

  #watchName(host: string, bounds: { minTtl: number; maxTtl: number }): void {
    if (isIP(host) !== 0) {
      if (!this.#static.has(host)) this.#static.set(host, staticName(host, this.#clock.now()));
      return;
    }
    if (this.#names.has(host)) return;
    const edges = { clock: this.#clock, random: this.#random };
    const watch = new NameWatch(host, this.#resolver!.resolver, bounds, edges, (before, after) =>
      this.#onResolution(host, before, after),
    );
    this.#names.set(host, watch);
    watch.ask();
  }

  #nameState(host: string): NameState {
    return this.#names.get(host)?.state ?? this.#static.get(host) ?? staticName(host, 0);
  }

  #onResolution(host: string, before: NameState, after: NameState): void {
    if (this.#closed) return;
    const backends = [...this.#entries.values()].filter(({ wanted }) => wanted.host === host);
    if (before.state !== after.state) {
      const line = {
        host,
        backends: backends.map(({ name }) => name),
        from: before.state,
        to: after.state,
        reason: after.reason,
        lasted: lasted(before.since, this.#clock.now()),
      };
      if (after.state === 'resolved') this.#edges.log.info(line, 'name resolved');
      else this.#edges.log.warn(line, 'name not resolved');
      for (const { name } of backends) {
        this.#edges.onEvent?.({ type: 'resolution', backend: name, state: after.state });
      }
    }
    const gone = before.addresses.filter((address) => !after.addresses.includes(address));
    const added = after.addresses.filter((address) => !before.addresses.includes(address));
    if (before.answeredAt !== undefined && (gone.length > 0 || added.length > 0)) {
      this.#edges.log.info({ host, added, removed: gone }, 'addresses changed');
    }
    this.#settle();
  }

  // ---- checks ----

  /** Brings checks and reports in line with what is configured and resolved. */
  #settle(): void {
    const needed = new Set<string>();
    for (const entry of this.#entries.values()) {
      this.#check(entry.wanted, needed);
      if (entry.active !== entry.wanted && this.#isReady(entry.wanted)) entry.active = entry.wanted;
      if (entry.active !== entry.wanted) this.#check(entry.active, needed);
    }
    for (const [key, loop] of this.#loops) {
      if (needed.has(key)) continue;
      loop.stop();
      this.#loops.delete(key);
    }
    this.#dropUnusedNames();
    this.#queueReport();
    if (!this.#isSettled()) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #check(source: Source, needed: Set<string>): void {
    if (!source.health.enabled) return;
    for (const address of this.#addresses(source)) {
      const key = loopKey(source, address);
      needed.add(key);
      if (this.#loops.has(key)) continue;
      // Checked another way from now on: what is known of the endpoint stays.
      const health = this.#knownHealth(source, address) ?? initialHealth(this.#clock.now());
      const edges = { clock: this.#clock, random: this.#random, probe };
      const loop = new CheckLoop(
        probeOf(source, address),
        source.health,
        health,
        edges,
        (result, before, after) =>
          this.#onCheck(key, endpointLabel(address, source.port), result.ok, before, after),
      );
      this.#loops.set(key, loop);
      loop.start();
    }
  }

  #knownHealth(source: Source, address: string): EndpointHealth | undefined {
    const prefix = `${endpointKey(source, address)} `;
    for (const [key, loop] of this.#loops) if (key.startsWith(prefix)) return loop.health;
    return undefined;
  }

  #onCheck(key: string, endpoint: string, ok: boolean, before: EndpointHealth, after: EndpointHealth): void {
    if (this.#closed) return;
    const backends = [...this.#entries.values()].filter((entry) =>
      this.#addresses(entry.active).some((address) => loopKey(entry.active, address) === key),
    );
    for (const { name } of backends) this.#edges.onEvent?.({ type: 'check', backend: name, ok });
    if (before.state !== after.state) {
      const line = {
        endpoint,
        backends: backends.map(({ name }) => name),
        from: before.state,
        to: after.state,
        reason: after.reason,
        lasted: lasted(before.since, after.since),
      };
      if (after.state === 'up') this.#edges.log.info(line, 'endpoint is up');
      else this.#edges.log.warn(line, 'endpoint is down');
      for (const { name } of backends) {
        this.#edges.onEvent?.({ type: 'health', backend: name, endpoint, health: after.state });
      }
    }
    // Every other check changes nothing but its own record.
    if (before.state !== after.state || this.#waiting.length > 0 || this.#hasTransition()) this.#settle();
  }

  #hasTransition(): boolean {
    for (const { active, wanted } of this.#entries.values()) if (active !== wanted) return true;
    return false;
  }

  /** Asked about its name, and about every address. */
  #isReady(source: Source): boolean {
    if (this.#nameState(source.host).state === 'pending') return false;
    if (!source.health.enabled) return true;
    return this.#addresses(source).every(
      (address) => this.#loops.get(loopKey(source, address))?.tried === true,
    );
  }

  #isSettled(): boolean {
    for (const { wanted } of this.#entries.values()) if (!this.#isReady(wanted)) return false;
    return true;
  }

  #dropUnusedNames(): void {
    const used = new Set(
      [...this.#entries.values()].flatMap(({ active, wanted }) => [active.host, wanted.host]),
    );
    for (const [host, watch] of this.#names) {
      if (used.has(host)) continue;
      watch.stop();
      this.#names.delete(host);
    }
    for (const host of this.#static.keys()) if (!used.has(host)) this.#static.delete(host);
  }

  // ---- what others see ----

  #addresses(source: Source): readonly string[] {
    return this.#nameState(source.host).addresses;
  }

  #endpointStatus(source: Source, address: string): EndpointStatus {
    const { port } = source;
    const health = this.#loops.get(loopKey(source, address))?.health;
    if (health === undefined || !source.health.enabled) {
      const since = this.#nameState(source.host).since;
      return { address, port, health: 'up', reason: 'checks are off', since, checks: [] };
    }
    const { state, reason, since, checks } = health;
    return { address, port, health: state, reason, since, checks };
  }

  #endpointsOf({ name, active }: Entry): BackendEndpoints {
    return {
      backend: name,
      endpoints: this.#addresses(active).map((address) => {
        const { health } = this.#endpointStatus(active, address);
        return { address, port: active.port, health };
      }),
    };
  }

  #queueReport(): void {
    if (this.#reportQueued || this.#closed) return;
    this.#reportQueued = true;
    queueMicrotask(() => {
      this.#reportQueued = false;
      if (this.#closed) return;
      const changed: BackendEndpoints[] = [];
      for (const entry of this.#entries.values()) {
        const list = this.#endpointsOf(entry);
        const text = JSON.stringify(list.endpoints);
        if (text === entry.reported) continue;
        entry.reported = text;
        changed.push(list);
      }
      if (changed.length > 0) this.#edges.onEndpoints(changed);
    });
  }
}

function sourceOf(backend: BackendConfig, health: HealthConfig): Source {
  const { host, port, scheme, authority } = backend.url;
  return { host, port, scheme, authority, health };
}

function sameTarget(a: Source, b: Source): boolean {
  return a.host === b.host && a.port === b.port && a.scheme === b.scheme;
}

/** One endpoint, however it is checked. */
function endpointKey(source: Source, address: string): string {
  return `${source.scheme}://${endpointLabel(address, source.port)}`;
}

/** What is checked and how: equal keys share one check. Host matters only to an HTTP check. */
function loopKey(source: Source, address: string): string {
  const { health } = source;
  const host = health.path === undefined ? '' : (health.host ?? source.authority);
  return `${endpointKey(source, address)} ${host} ${JSON.stringify(health)}`;
}

function probeOf(source: Source, address: string): Probe {
  const { health, port, scheme } = source;
  if (health.path === undefined) return { kind: 'tcp', address, port, timeout: health.timeout };
  return {
    kind: 'http',
    scheme,
    address,
    port,
    timeout: health.timeout,
    method: health.method,
    path: health.path,
    host: health.host ?? source.authority,
    serverName: source.host,
    status: health.status,
  };
}

function lasted(since: number, now: number): string {
  const ms = Math.max(0, now - since);
  return formatDuration(ms < 1_000 ? ms : Math.round(ms / 1_000) * 1_000);
}
