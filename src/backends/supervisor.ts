/**
 * Keeps the addresses and the health of all backends: one question per name and one check per unique upstream, however
 * many backends and routes use them. Lives in the primary alone, and tells the forwarding side what has changed.
 */

import {
  type Config,
  type HealthConfig,
  healthOf,
  type ResolverConfig,
  type ServerUrl,
  serversOf,
} from '../config/schema.ts';
import { BackendSource, type Shared } from './backend-source.ts';
import type { CheckEdges } from './check-loop.ts';
import { type Clock, systemClock } from './clock.ts';
import type { BackendEndpoints, BackendStatus, HealthState, ResolutionState } from './endpoint.ts';
import { isDecided } from './name-state.ts';
import type { OutlierCause } from './outlier.ts';
import { probe } from './probe.ts';
import { DnsResolver, type NameResolver } from './resolver.ts';
import { type CheckReport, SharedChecks } from './shared-checks.ts';
import { type NameReport, SharedNames } from './shared-names.ts';
import { type StateLog, StateReporter } from './state-reporter.ts';

export type SupervisorEvent =
  /** The health of an endpoint has changed. */
  | {
      readonly type: 'health';
      readonly backend: string;
      readonly endpoint: string;
      readonly health: HealthState;
    }
  /** A check has ended; one that could not be tried for want of sockets on this host is none. */
  | { readonly type: 'check'; readonly backend: string; readonly ok: boolean }
  /** A name has been asked for; `state` is what followed. */
  | { readonly type: 'resolution'; readonly backend: string; readonly state: ResolutionState };

export interface SupervisorEdges {
  readonly log: StateLog;
  /** The lists that changed; never called from within `apply`, several changes of one turn come together. */
  readonly onEndpoints: (endpoints: BackendEndpoints[]) => void;
  readonly onEvent?: (event: SupervisorEvent) => void;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Default: DNS by the settings of the configuration. */
  readonly makeResolver?: (config: ResolverConfig) => NameResolver;
  /** Default: real sockets. */
  readonly probe?: CheckEdges['probe'];
}

interface Backend {
  /** What traffic is sent to. */
  active: BackendSource;
  /** As configured, while it is not ready yet and `active` serves on. */
  wanted: BackendSource | undefined;
  /** What was told last. */
  told: string;
}

export class BackendSupervisor {
  readonly #edges: SupervisorEdges;
  readonly #clock: Clock;
  readonly #report: StateReporter;
  readonly #shared: Shared;
  readonly #backends = new Map<string, Backend>();
  /** Made ready ahead of a reload, by backend. */
  readonly #prepared = new Map<string, BackendSource>();
  /** Backends whose endpoints may have changed since they were told. */
  readonly #changed = new Set<string>();
  #resolverSettings = '';
  #waiting: (() => void)[] = [];
  #flush: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(edges: SupervisorEdges) {
    this.#edges = edges;
    const clock = edges.clock ?? systemClock;
    const random = edges.random ?? Math.random;
    this.#clock = clock;
    this.#report = new StateReporter(edges.log, clock);
    this.#shared = {
      names: new SharedNames({ clock, random }, (report) => this.#onResolution(report)),
      checks: new SharedChecks({ clock, random, probe: edges.probe ?? probe }, (report) =>
        this.#onCheck(report),
      ),
      now: () => clock.now(),
    };
  }

  /**
   * Resolves and checks what `config` adds or changes, and leaves what is in use alone, so that `apply` finds it ready.
   * Optional. What is prepared and not applied is given up at the next `prepare` or `apply`.
   */
  prepare(config: Config): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#resolverSettings === '') this.#useResolver(config.resolver);
    const former = this.#takePrepared();
    for (const [name, backendConfig] of Object.entries(config.backends)) {
      const { url } = serversOf(backendConfig)[0]!;
      const backend = this.#backends.get(name);
      if (backend !== undefined && sourcesOf(backend).some((source) => isSameTarget(source.url, url)))
        continue;
      this.#prepared.set(name, new BackendSource(name, url, healthOf(config, name), this.#shared));
    }
    // Only now: what both of them use goes on.
    for (const source of former.values()) source.close();
    return this.whenSettled();
  }

  /** Starts, or takes over a reload: what did not change keeps its addresses, health and schedule. */
  apply(config: Config): void {
    if (this.#closed) return;
    this.#useResolver(config.resolver);
    const prepared = this.#takePrepared();
    for (const [name, backendConfig] of Object.entries(config.backends)) {
      this.#applyBackend(name, serversOf(backendConfig)[0]!.url, healthOf(config, name), prepared);
    }
    // Last: an upstream that another backend has taken over keeps its health.
    for (const source of prepared.values()) source.close();
    for (const [name, backend] of this.#backends) {
      if (!Object.hasOwn(config.backends, name)) this.#remove(name, backend);
    }
    this.#queueFlush();
  }

  endpoints(): BackendEndpoints[] {
    return [...this.#backends.values()].map(({ active }) => endpointsOf(active));
  }

  status(): BackendStatus[] {
    return [...this.#backends.values()].map(({ active, wanted }) => {
      const { state, since, answeredAt, ttlMs } = active.name;
      const waitsFor =
        wanted === undefined ? '' : `; until ${wanted.url.authority} is ready: ${wanted.name.reason}`;
      const reason = `${active.name.reason}${waitsFor}`;
      return {
        name: active.backend,
        resolution: { state, reason, since, answeredAt, ttlMs },
        endpoints: active.statuses(),
      };
    });
  }

  /** The data path could not connect to an endpoint, or was cut off: it is checked at once, its name asked for soon. */
  reportFailure(backend: string, address: string, port: number): void {
    const active = this.#backends.get(backend)?.active;
    if (active !== undefined && active.url.port === port) active.reportFailure(address);
  }

  /**
   * As many requests in a row as the configuration says have failed on an endpoint in one worker. It is ejected, within
   * the bounds of `outlier`; one that is ejected already, or is no endpoint of the backend, stays as it is.
   */
  reportOutlier(backend: string, address: string, port: number, _cause: OutlierCause): void {
    this.reportFailure(backend, address, port);
  }

  /** Asks for every name and checks every endpoint now. */
  checkNow(): void {
    this.#shared.names.askNow();
    this.#shared.checks.checkNow();
  }

  /**
   * Resolves when every backend has been resolved, or failed to be, and every endpoint has been checked once. That is
   * bounded by the timeouts of DNS and of one check; whoever cannot wait that long sets a limit.
   */
  whenSettled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#flush);
    this.#shared.names.stop();
    this.#shared.checks.stop();
    this.#backends.clear();
    this.#prepared.clear();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #useResolver(config: ResolverConfig): void {
    const settings = JSON.stringify(config);
    if (this.#resolverSettings === settings) return;
    this.#resolverSettings = settings;
    const resolver = this.#edges.makeResolver?.(config) ?? new DnsResolver({ config, clock: this.#clock });
    this.#shared.names.use(resolver, config);
  }

  #takePrepared(): Map<string, BackendSource> {
    const prepared = new Map(this.#prepared);
    this.#prepared.clear();
    return prepared;
  }

  /** @param prepared loses the source that is taken */
  #applyBackend(
    name: string,
    url: ServerUrl,
    health: HealthConfig,
    prepared: Map<string, BackendSource>,
  ): void {
    const backend = this.#backends.get(name);
    const existing = backend === undefined ? [] : sourcesOf(backend);
    const ready = prepared.get(name);
    let source = existing.find((candidate) => isSameTarget(candidate.url, url));
    if (source === undefined && ready !== undefined && isSameTarget(ready.url, url)) {
      source = ready;
      prepared.delete(name);
    }
    source ??= new BackendSource(name, url, health, this.#shared);
    source.useHealth(health);
    this.#changed.add(name);
    if (backend === undefined) {
      this.#backends.set(name, { active: source, wanted: undefined, told: '' });
      return;
    }
    if (
      source === backend.active ||
      !canServeOn(backend.active.url, url) ||
      canTakeOver(source, backend.active)
    ) {
      backend.active = source;
      backend.wanted = undefined;
    } else {
      backend.wanted = source;
    }
    for (const former of existing) if (!sourcesOf(backend).includes(former)) former.close();
  }

  #remove(name: string, backend: Backend): void {
    for (const source of sourcesOf(backend)) source.close();
    this.#backends.delete(name);
    this.#changed.delete(name);
    this.#report.forget(name);
  }

  #onResolution({ host, users, before, after }: NameReport<BackendSource>): void {
    if (this.#closed) return;
    const backends = namesOf(users);
    if (before.state !== after.state) this.#report.resolution(host, backends, before, after);
    if (before.addresses.length > 0) {
      const added = after.addresses.filter((address) => !before.addresses.includes(address));
      const removed = before.addresses.filter((address) => !after.addresses.includes(address));
      this.#report.addresses(host, added, removed);
    }
    for (const source of users) source.update();
    for (const backend of backends) {
      this.#edges.onEvent?.({ type: 'resolution', backend, state: after.state });
      this.#changed.add(backend);
    }
    this.#queueFlush();
  }

  #onCheck({ users, endpoint, result, before, after }: CheckReport<BackendSource>): void {
    if (this.#closed) return;
    if (before === after) {
      this.#report.shortage(endpoint, result.detail);
      this.#queueFlush();
      return;
    }
    const backends = namesOf(users);
    for (const backend of backends) this.#edges.onEvent?.({ type: 'check', backend, ok: result.ok });
    // Every other check changes nothing but its own record.
    if (before.state === after.state) return;
    this.#report.health(endpoint, backends, before, after);
    for (const backend of backends) {
      this.#edges.onEvent?.({ type: 'health', backend, endpoint, health: after.state });
      this.#changed.add(backend);
    }
    // Its address may have moved before the TTL has passed, as when a node takes all of its pods along.
    if (after.state === 'down') for (const source of users) source.askSoon();
    this.#queueFlush();
  }

  #isSettled(): boolean {
    for (const backend of this.#backends.values()) {
      if (!(backend.wanted ?? backend.active).ready) return false;
    }
    for (const source of this.#prepared.values()) if (!source.ready) return false;
    return true;
  }

  /** Once per turn of the event loop: a thousand checks that end together are one message to every worker. */
  #queueFlush(): void {
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined;
      this.#takeOverReady();
      this.#tell();
      if (this.#waiting.length === 0 || !this.#isSettled()) return;
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  #takeOverReady(): void {
    for (const [name, backend] of this.#backends) {
      if (backend.wanted === undefined || !canTakeOver(backend.wanted, backend.active)) continue;
      backend.active.close();
      backend.active = backend.wanted;
      backend.wanted = undefined;
      this.#changed.add(name);
    }
  }

  #tell(): void {
    const lists: BackendEndpoints[] = [];
    for (const name of this.#changed) {
      const backend = this.#backends.get(name);
      if (backend === undefined) continue;
      const list = endpointsOf(backend.active);
      const text = JSON.stringify(list.endpoints);
      if (text === backend.told) continue;
      backend.told = text;
      lists.push(list);
      // Before the first checks have ended there is nothing to say about it yet.
      if (backend.active.ready)
        this.#report.availability(name, backend.active.countUp(), backend.active.size);
    }
    this.#changed.clear();
    if (lists.length > 0) this.#edges.onEndpoints(lists);
  }
}

function sourcesOf({ active, wanted }: Backend): BackendSource[] {
  return wanted === undefined ? [active] : [active, wanted];
}

function endpointsOf(source: BackendSource): BackendEndpoints {
  return { backend: source.backend, endpoints: source.endpoints() };
}

function namesOf(users: ReadonlySet<BackendSource>): string[] {
  return [...new Set([...users].map(({ backend }) => backend))];
}

function isSameTarget(a: ServerUrl, b: ServerUrl): boolean {
  return a.scheme === b.scheme && a.authority === b.authority && a.port === b.port;
}

/**
 * A name that does not exist empties the backend, as the file says; one that DNS could not be asked for just now takes
 * nothing away from what serves.
 */
function canTakeOver(source: BackendSource, active: BackendSource): boolean {
  return source.ready && (isDecided(source.name) || active.size === 0);
}

/**
 * Whether endpoints of the former URL can take requests until those of the new one are known: an endpoint of plain
 * http is an address and a port and nothing else; of https it is also the name in the certificate, which has changed.
 */
function canServeOn(former: ServerUrl, url: ServerUrl): boolean {
  return former.scheme === 'http' && url.scheme === 'http';
}
