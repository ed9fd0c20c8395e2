/**
 * Keeps the addresses and the health of all backends: one question per name and one check per unique upstream, however
 * many backends and routes use them. Lives in the primary alone, and tells the forwarding side what has changed.
 */

import { type Config, healthOf, type ResolverConfig, serversOf } from '../config/schema.ts';
import { Backend, type Change, isSameTarget } from './backend.ts';
import type { CheckEdges } from './check-loop.ts';
import { type Clock, systemClock } from './clock.ts';
import {
  type BackendEndpoints,
  type BackendStatus,
  endpointLabel,
  type ResolutionState,
} from './endpoint.ts';
import { Gate } from './gate.ts';
import type { OutlierCause } from './outlier.ts';
import { probe } from './probe.ts';
import type { NameResolver } from './resolution.ts';
import { DnsResolver } from './resolver.ts';
import { ServerSource, type Shared } from './server-source.ts';
import { type CheckReport, SharedChecks } from './shared-checks.ts';
import { type NameReport, SharedNames } from './shared-names.ts';
import { type StateLog, StateReporter } from './state-reporter.ts';
import { targetLabel } from './target.ts';

/** What has states: an endpoint's health, its place in traffic by failures or by configuration; a name; a backend. */
export type StateKind = 'health' | 'ejection' | 'drain' | 'dns' | 'circuit';

export type SupervisorEvent =
  /** A state is another one now; `endpoint` for those that an endpoint has. Each is one line of the log too. */
  | {
      readonly type: 'change';
      readonly kind: StateKind;
      readonly backend: string;
      readonly endpoint?: string;
      readonly to: string;
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

/** Checks of endpoints that come in together, such as all of them at the start, that run at once. */
const MAX_FIRST_CHECKS = 256;

export class BackendSupervisor {
  readonly #edges: SupervisorEdges;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #report: StateReporter;
  readonly #shared: Shared;
  readonly #backends = new Map<string, Backend>();
  /** Made ready ahead of a reload, by backend. */
  readonly #prepared = new Map<string, Set<ServerSource>>();
  /** Backends whose endpoints may have changed since they were told. */
  readonly #changed = new Set<string>();
  /** The list of each backend as told last. */
  readonly #told = new Map<string, string>();
  #resolverSettings = '';
  #waiting: (() => void)[] = [];
  #flush: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(edges: SupervisorEdges) {
    this.#edges = edges;
    const clock = edges.clock ?? systemClock;
    const random = edges.random ?? Math.random;
    this.#clock = clock;
    this.#random = random;
    this.#report = new StateReporter(edges.log, clock);
    this.#shared = {
      names: new SharedNames({ clock, random }, (report) => this.#onResolution(report)),
      checks: new SharedChecks(
        { clock, random, probe: edges.probe ?? probe, gate: new Gate(MAX_FIRST_CHECKS) },
        (report) => this.#onCheck(report),
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
      const sources = new Set<ServerSource>();
      for (const { url } of serversOf(backendConfig)) {
        if (this.#backends.get(name)?.find(url) !== undefined) continue;
        if ([...sources].some((source) => isSameTarget(source.url, url))) continue;
        sources.add(new ServerSource(name, url, healthOf(config, name), this.#shared));
      }
      if (sources.size > 0) this.#prepared.set(name, sources);
    }
    // Only now: what both of them use goes on.
    closeAll(former);
    return this.whenSettled();
  }

  /** Starts, or takes over a reload: what did not change keeps its addresses, health and schedule. */
  apply(config: Config): void {
    if (this.#closed) return;
    this.#useResolver(config.resolver);
    const prepared = this.#takePrepared();
    for (const name of Object.keys(config.backends)) {
      let backend = this.#backends.get(name);
      if (backend === undefined) {
        backend = this.#makeBackend(name, config);
        this.#backends.set(name, backend);
      }
      backend.configure(config, prepared.get(name) ?? new Set());
      this.#changed.add(name);
    }
    // Last: an upstream that another backend has taken over keeps its health.
    closeAll(prepared);
    for (const [name, backend] of this.#backends) {
      if (!Object.hasOwn(config.backends, name)) this.#remove(name, backend);
    }
    this.#queueFlush();
  }

  endpoints(): BackendEndpoints[] {
    return [...this.#backends.values()].map((backend) => ({
      backend: backend.name,
      endpoints: backend.endpoints(),
    }));
  }

  status(): BackendStatus[] {
    return [...this.#backends.values()].map((backend) => backend.status());
  }

  /** The data path could not connect to an endpoint, or was cut off: it is checked at once, its name asked for soon. */
  reportFailure(backend: string, address: string, port: number): void {
    this.#backends.get(backend)?.reportFailure(endpointLabel(address, port));
  }

  /**
   * As many requests in a row as the configuration says have failed on an endpoint in one worker. It is ejected, within
   * the bounds of `outlier`; one that is ejected already, or is no endpoint of the backend, stays as it is.
   */
  reportOutlier(backend: string, address: string, port: number, cause: OutlierCause): void {
    if (this.#backends.get(backend)?.reportOutlier(endpointLabel(address, port), cause) !== true) return;
    this.#changed.add(backend);
    this.#queueFlush();
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
    for (const backend of this.#backends.values()) backend.close();
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

  #takePrepared(): Map<string, Set<ServerSource>> {
    const prepared = new Map(this.#prepared);
    this.#prepared.clear();
    return prepared;
  }

  #makeBackend(name: string, config: Config): Backend {
    return new Backend(name, config, {
      clock: this.#clock,
      random: this.#random,
      shared: this.#shared,
      onTimer: () => {
        this.#changed.add(name);
        this.#queueFlush();
      },
    });
  }

  #remove(name: string, backend: Backend): void {
    backend.close();
    this.#backends.delete(name);
    this.#changed.delete(name);
    this.#told.delete(name);
  }

  #onResolution({ host, users, before, after }: NameReport<ServerSource>): void {
    if (this.#closed) return;
    const backends = namesOf(users);
    if (before.state !== after.state) {
      this.#report.resolution(host, backends, before, after);
      for (const backend of backends) this.#tellChange('dns', backend, after.state);
    }
    if (before.targets.length > 0) {
      const [had, has] = [before.targets.map(targetLabel), after.targets.map(targetLabel)];
      const added = has.filter((target) => !had.includes(target));
      const removed = had.filter((target) => !has.includes(target));
      this.#report.addresses(host, added, removed);
    }
    for (const source of users) source.update();
    for (const backend of backends) {
      this.#edges.onEvent?.({ type: 'resolution', backend, state: after.state });
      this.#changed.add(backend);
    }
    this.#queueFlush();
  }

  #onCheck({ users, endpoint, result, before, after }: CheckReport<ServerSource>): void {
    if (this.#closed) return;
    if (before === after) {
      this.#report.shortage(endpoint, result.detail);
      this.#queueFlush();
      return;
    }
    const backends = namesOf(users);
    for (const backend of backends) this.#edges.onEvent?.({ type: 'check', backend, ok: result.ok });
    if (result.ok) this.#endEjections(users, endpoint, result);
    // Every other check changes nothing but its own record.
    if (before.state === after.state) return;
    this.#report.health(endpoint, backends, before, after);
    for (const backend of backends) {
      this.#tellChange('health', backend, after.state, endpoint);
      this.#changed.add(backend);
    }
    // Its address may have moved before the TTL has passed, as when a node takes all of its pods along.
    if (after.state === 'down') for (const source of users) source.askSoon();
    this.#queueFlush();
  }

  #endEjections(
    users: ReadonlySet<ServerSource>,
    endpoint: string,
    result: CheckReport<ServerSource>['result'],
  ): void {
    for (const source of users) {
      if (this.#backends.get(source.backend)?.checked(source, endpoint, result) !== true) continue;
      this.#changed.add(source.backend);
      this.#queueFlush();
    }
  }

  #isSettled(): boolean {
    for (const backend of this.#backends.values()) if (!backend.ready) return false;
    for (const sources of this.#prepared.values()) {
      for (const source of sources) if (!source.ready) return false;
    }
    return true;
  }

  /** Once per turn of the event loop: a thousand checks that end together are one message to every worker. */
  #queueFlush(): void {
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined;
      this.#tell();
      if (this.#waiting.length === 0 || !this.#isSettled()) return;
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  #tell(): void {
    const lists: BackendEndpoints[] = [];
    for (const name of this.#changed) {
      const backend = this.#backends.get(name);
      if (backend === undefined) continue;
      backend.refresh();
      for (const change of backend.takeChanges()) this.#onChange(name, change);
      const endpoints = backend.endpoints();
      const text = JSON.stringify(endpoints);
      if (text === this.#told.get(name)) continue;
      this.#told.set(name, text);
      lists.push({ backend: name, endpoints });
    }
    this.#changed.clear();
    if (lists.length > 0) this.#edges.onEndpoints(lists);
  }

  #onChange(backend: string, change: Change): void {
    const { kind, before, after } = change;
    if (kind === 'circuit') this.#report.circuit(backend, before, after);
    else this.#report[kind](backend, change.endpoint, before, after);
    this.#tellChange(kind, backend, after.state, kind === 'circuit' ? undefined : change.endpoint);
  }

  #tellChange(kind: StateKind, backend: string, to: string, endpoint?: string): void {
    this.#edges.onEvent?.({
      type: 'change',
      kind,
      backend,
      ...(endpoint === undefined ? {} : { endpoint }),
      to,
    });
  }
}

function closeAll(prepared: ReadonlyMap<string, ReadonlySet<ServerSource>>): void {
  for (const sources of prepared.values()) for (const source of sources) source.close();
}

function namesOf(users: ReadonlySet<ServerSource>): string[] {
  return [...new Set([...users].map(({ backend }) => backend))];
}
