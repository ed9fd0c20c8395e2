/** One or several processes that forward, seen from the primary. */
import type { WorkerFacts } from '../admin/status.ts';
import type { BackendEndpoints } from '../backends/endpoint.ts';
import type { ExposureChange } from '../blast-radius/exposure.ts';
import type { Config, ListenAddress } from '../config/schema.ts';
import type { ForwarderEdges } from '../forward/forwarder.ts';
import type { Log } from '../observe/log.ts';
import { type FailedRequest, latestFailures } from '../observe/recent-failures.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import { Forwarding } from './forwarding.ts';

export interface ForwardingGroup {
  /** Resolves when traffic is taken. Rejects with the error of `server.listen`. */
  start(
    config: Config,
    endpoints: readonly BackendEndpoints[],
    listen: ListenAddress,
  ): Promise<{ host: string; port: number }>;
  applyConfig(config: Config, endpoints: readonly BackendEndpoints[]): void;
  applyEndpoints(endpoints: readonly BackendEndpoints[]): void;
  /** Counters of all processes that forward or did, and the gauges of those that do. */
  totals(): Promise<LedgerTotals>;
  /** Forgets a user in the stores of all processes. */
  forgetPin(pin: string, user: string): void;
  /** The latest failed requests of all processes, newest last; of workers, as of the last totals. */
  failures(): readonly FailedRequest[];
  workers(): readonly WorkerFacts[];
  /** From now on connections end with their next response; new ones are still taken. */
  retire(): void;
  /** No new connections; resolves when the last one has ended. */
  drain(): Promise<void>;
  /** Ends what `drain` still waits for, each request with its record. */
  cut(): void;
  /** Ends at once. */
  destroy(): void;
}

/** What traffic tells of endpoints, and of users. */
export interface TrafficEdges extends Pick<ForwarderEdges, 'onEndpointFailure' | 'onOutlier'> {
  readonly onExposure: (changes: readonly ExposureChange[]) => void;
}

/** How often users are counted where nobody asks for totals. */
const EXPOSURE_INTERVAL_MS = 2_000;

/** Everything in the primary itself: one process, no channel in between. */
export class InProcessGroup implements ForwardingGroup {
  readonly #log: Log;
  readonly #edges: TrafficEdges;
  #forwarding: Forwarding | undefined;
  #draining = false;
  #exposureTimer: NodeJS.Timeout | undefined;
  #failures: readonly FailedRequest[] = [];

  constructor(log: Log, edges: TrafficEdges) {
    this.#log = log;
    this.#edges = edges;
  }

  start(
    config: Config,
    endpoints: readonly BackendEndpoints[],
    listen: ListenAddress,
  ): Promise<{ host: string; port: number }> {
    this.#forwarding = new Forwarding({
      config,
      endpoints,
      worker: '0',
      ownsLog: false,
      log: this.#log,
      ...this.#edges,
    });
    this.#exposureTimer = setInterval(() => this.#tellExposure(), EXPOSURE_INTERVAL_MS).unref();
    return this.#forwarding.listen(listen);
  }

  applyConfig(config: Config, endpoints: readonly BackendEndpoints[]): void {
    this.#forwarding?.applyConfig(config, endpoints);
  }

  applyEndpoints(endpoints: readonly BackendEndpoints[]): void {
    this.#forwarding?.applyEndpoints(endpoints);
  }

  totals(): Promise<LedgerTotals> {
    this.#tellExposure();
    return Promise.resolve(this.#forwarding?.totals() ?? { families: [] });
  }

  forgetPin(pin: string, user: string): void {
    this.#forwarding?.forgetPin(pin, user);
  }

  failures(): readonly FailedRequest[] {
    this.#failures = latestFailures(this.#failures, this.#log.failures.take());
    return this.#failures;
  }

  workers(): readonly WorkerFacts[] {
    const eventLoop = this.#forwarding?.eventLoop();
    const pinStore = this.#forwarding?.pinStore();
    const state = this.#draining ? 'draining' : 'online';
    return [{ id: 0, pid: process.pid, state, restarts: 0, eventLoop, pinStore }];
  }

  retire(): void {
    this.#forwarding?.retire();
  }

  #tellExposure(): void {
    const changes = this.#forwarding?.takeExposure() ?? [];
    if (changes.length > 0) this.#edges.onExposure(changes);
  }

  async drain(): Promise<void> {
    this.#draining = true;
    await this.#forwarding?.drain();
  }

  cut(): void {
    this.#forwarding?.cut();
  }

  destroy(): void {
    clearInterval(this.#exposureTimer);
    this.#forwarding?.destroy();
  }
}
