/** The forwarding side of one process, wired to its edges: the single process or one worker of several. */
import { performance } from 'node:perf_hooks';
import { openFilesLimit } from '../admission/descriptors.ts';
import type { BackendEndpoints } from '../backends/endpoint.ts';
import { Exposure, type ExposureChange } from '../blast-radius/exposure.ts';
import type { Config } from '../config/schema.ts';
import { FastLane } from '../forward/fast/fast-lane.ts';
import { Forwarder, type ForwarderEdges } from '../forward/forwarder.ts';
import { FullLane } from '../forward/full/full-lane.ts';
import { Listener, type TrafficAddress } from '../forward/listener.ts';
import { AccessLog } from '../observe/access-log.ts';
import { EventLoopMetrics, EventLoopMonitor, type EventLoopReading } from '../observe/event-loop.ts';
import { type Cell, Ledger } from '../observe/ledger.ts';
import type { Log } from '../observe/log.ts';
import { logLinesDropped } from '../observe/process-metrics.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import { TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { LinkState } from '../pinning/redis-link.ts';
import { PinStores } from '../pinning/stores.ts';
import { packageVersion } from './package-version.ts';

/** How long traffic waits at the start for Redis to say whether it is there, so that known users meet their pins. */
const REDIS_SETTLE_MS = 1_000;

/** Keys that hold something else than pins are met again and again; one line in this time says so. */
const FOREIGN_LOG_INTERVAL_MS = 60_000;

const CIRCUIT_STATES = ['closed', 'open', 'half-open'] as const;

export interface ForwardingOptions {
  readonly config: Config;
  readonly endpoints: readonly BackendEndpoints[];
  /** Label of the event-loop metrics. */
  readonly worker: string;
  readonly log: Log;
  /** The log is this side's own, not the primary's: lines that it loses are counted here. */
  readonly ownsLog: boolean;
  readonly onEndpointFailure: ForwarderEdges['onEndpointFailure'];
  readonly onOutlier: ForwarderEdges['onOutlier'];
}

export class Forwarding {
  readonly #ledger = new Ledger();
  readonly #eventLoop = new EventLoopMonitor();
  readonly #eventLoopMetrics: EventLoopMetrics;
  readonly #pinStores: PinStores;
  readonly #exposure = new Exposure(Date.now());
  readonly #forwarder: Forwarder;
  readonly #listener: Listener;
  readonly #log: Log;
  readonly #logLinesDropped: Cell | undefined;
  readonly #metrics: TrafficMetrics;
  #foreignLoggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ForwardingOptions) {
    const { config, log } = options;
    this.#log = log;
    this.#logLinesDropped = options.ownsLog ? logLinesDropped(this.#ledger) : undefined;
    const metrics = new TrafficMetrics(this.#ledger);
    this.#metrics = metrics;
    this.#eventLoopMetrics = new EventLoopMetrics(this.#ledger, options.worker);
    const now = () => performance.now();
    this.#pinStores = new PinStores({
      now,
      onRedis: (state) => this.#onRedis(state),
      onResult: (pin, result) => {
        metrics.pins(pin, result).value++;
        if (result === 'foreign') this.#onForeign(pin);
      },
    });
    this.#forwarder = new Forwarder(config, {
      log: log.logger,
      accessLog: new AccessLog(log, config.accessLog),
      metrics,
      pinStores: this.#pinStores,
      exposure: this.#exposure,
      now,
      random: Math.random,
      openFiles: openFilesLimit(),
      onEndpointFailure: options.onEndpointFailure,
      onOutlier: options.onOutlier,
    });
    this.#forwarder.applyEndpoints(options.endpoints);
    const fullLane = new FullLane(this.#forwarder);
    const lane = config.forwarding.fastLane ? new FastLane(this.#forwarder, fullLane) : fullLane;
    this.#listener = new Listener(this.#forwarder, lane, fullLane);
  }

  get connections(): number {
    return this.#listener.connections;
  }

  get tunnels(): number {
    return this.#listener.tunnels;
  }

  /** Rejects with the error of `server.listen`. */
  async listen(address: TrafficAddress): Promise<{ host: string; port: number }> {
    await Promise.all([this.#pinStores.settled(REDIS_SETTLE_MS), this.#openTracing()]);
    return await this.#listener.listen(address);
  }

  /** In one turn: no request sees a table whose new backends have no endpoints yet. */
  applyConfig(config: Config, endpoints: readonly BackendEndpoints[]): void {
    this.#forwarder.applyConfig(config);
    this.#forwarder.applyEndpoints(endpoints);
    this.#listener.reconfigure(config);
    this.#log.setLevel(config.log.level);
  }

  applyEndpoints(endpoints: readonly BackendEndpoints[]): void {
    this.#forwarder.applyEndpoints(endpoints);
  }

  totals(): LedgerTotals {
    this.#eventLoopMetrics.set(this.#eventLoop.read());
    this.#metrics.showPinsRemembered(this.#pinStores.counts());
    const redis = this.#pinStores.redis;
    for (const state of CIRCUIT_STATES) {
      const cell = this.#metrics.pinStoreState(state);
      cell.value = redis?.state === state ? 1 : 0;
    }
    if (this.#logLinesDropped !== undefined) this.#logLinesDropped.value = this.#log.dropped;
    return this.#ledger.totals();
  }

  /** What was seen of users since the last call. */
  takeExposure(): ExposureChange[] {
    return this.#exposure.takeChanges(Date.now());
  }

  eventLoop(): EventLoopReading {
    return this.#eventLoop.read();
  }

  /** Of Redis as pins use it; undefined when none does. */
  pinStore(): LinkState | undefined {
    return this.#pinStores.redis;
  }

  forgetPin(pin: string, user: string): void {
    this.#pinStores.forget(pin, user);
  }

  /** From now on connections end with their next response; new ones are still taken. */
  retire(): void {
    this.#forwarder.draining = true;
  }

  /** Resolves when the last connection has ended. */
  drain(): Promise<void> {
    return this.#listener.drain();
  }

  /** Ends what `drain` still waits for, each request with its record. */
  cut(): void {
    this.#listener.cut();
  }

  destroy(): void {
    void this.#forwarder.tracing?.close().catch(() => {});
    this.#listener.destroy();
    this.#forwarder.close();
    this.#pinStores.close();
    this.#eventLoop.close();
  }

  async #openTracing(): Promise<void> {
    const { tracing, service } = this.#forwarder.snapshot.table.config;
    if (tracing === undefined) return;
    const { openTracing } = await import('../tracing/tracing.ts');
    this.#forwarder.tracing = await openTracing(tracing, service, packageVersion());
  }

  #onRedis({ state, reason }: LinkState): void {
    if (state === 'closed') this.#log.logger.info('connected to Redis; pins are shared');
    else this.#log.logger.warn({ reason }, 'Redis is away; the hash of the user decides');
  }

  #onForeign(pin: string): void {
    const now = performance.now();
    if (now - this.#foreignLoggedAt < FOREIGN_LOG_INTERVAL_MS) return;
    this.#foreignLoggedAt = now;
    this.#log.logger.warn(
      { pin },
      'keys of this pin hold something else than pins and are left alone; give redis.keyPrefix a value of its own',
    );
  }
}
