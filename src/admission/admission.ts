/**
 * What a process takes on: how many connections of a client, how many requests at once, how often, and how few while it
 * is overloaded. One compare per request where no rate is configured.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import type { Cell } from '../observe/ledger.ts';
import type { TrafficMetrics } from '../observe/traffic-metrics.ts';
import { RedisLink } from '../pinning/redis-link.ts';
import { ConnectionCount } from './connection-count.ts';
import { type DescriptorShares, descriptorShares } from './descriptors.ts';
import { calm, type LoadState, nextLoadState, type OverloadLimits, type ShedCause } from './overload.ts';
import { Rate, RateLimits } from './rate-limits.ts';
import { SharedBuckets } from './shared-buckets.ts';

/** How often the process is looked at. */
const SAMPLE_MS = 100;

/** A lack of descriptors is met again and again; one line in this time says so. */
const SHORTAGE_LOG_INTERVAL_MS = 60_000;

export interface AdmissionEdges {
  readonly log: Logger;
  readonly metrics: TrafficMetrics;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Bytes that requests under way hold. */
  readonly heldBytes: () => number;
  /** Files that the process may open. */
  readonly openFiles: number;
}

/** The other end of a connection, as far as it is counted. */
export interface CountedPeer {
  readonly address: string;
  readonly trusted: boolean;
  /** It is one of those that its client holds. */
  counted: boolean;
}

export class Admission {
  readonly #edges: AdmissionEdges;
  readonly #connections = new ConnectionCount();
  readonly #timer: NodeJS.Timeout;
  readonly #buffered: Cell;
  readonly #overloaded: Readonly<Record<ShedCause, Cell>>;
  readonly #shed: Readonly<Record<ShedCause, Cell>>;
  readonly #shares: DescriptorShares;
  /** Most client connections at once. */
  readonly maxConnections: number;
  #clientSockets = 0;
  #upstreamSockets = 0;
  #shortageLoggedAt = Number.NEGATIVE_INFINITY;
  #limits: OverloadLimits;
  #state: LoadState;
  #perClient: number;
  #sampledAt: number;
  #link: { readonly settings: string; readonly link: RedisLink } | undefined;
  /** Requests under way; whoever begins one counts it here, and counts it off when it ends. */
  inFlight = 0;
  /** A request may begin while no more than this are under way. */
  ceiling: number;
  /** Undefined, as by default: requests may come as often as they do. */
  rates: RateLimits | undefined;

  constructor(config: Config, edges: AdmissionEdges) {
    this.#edges = edges;
    const { metrics } = edges;
    const byCause = (cellOf: (cause: string) => Cell) => ({
      inFlight: cellOf('in_flight'),
      eventLoop: cellOf('event_loop'),
      bufferedBytes: cellOf('buffered_bytes'),
    });
    this.#buffered = metrics.bufferedBytes;
    this.#overloaded = byCause((cause) => metrics.overloaded(cause));
    this.#shed = byCause((cause) => metrics.shed(cause));
    this.#limits = overloadLimits(config);
    this.#state = calm(this.#limits);
    this.ceiling = this.#state.ceiling;
    this.#shares = descriptorShares(edges.openFiles);
    this.maxConnections = Math.min(config.limits.connections, this.#shares.clients);
    this.#perClient = config.limits.connectionsPerClient;
    this.#sampledAt = edges.now();
    this.configure(config);
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  /** Takes over a configuration. Buckets of rates that did not change stay as they are. */
  configure(config: Config): void {
    const { limits } = config;
    this.#perClient = limits.connectionsPerClient;
    this.#limits = overloadLimits(config);
    this.ceiling = Math.min(this.#state.ceiling, this.#limits.inFlight);
    // A ceiling that nothing but the configuration held down rises at once.
    if (this.#state.cause === 'inFlight') this.#become(calm(this.#limits));
    const before = this.rates?.rates ?? [];
    const rates = Object.entries(limits.rates).map(([name, rate]) => new Rate(name, rate, config, before));
    const link = this.#linkFor(
      config,
      rates.some(({ shared }) => shared),
    );
    const { redis, service } = config;
    const shared =
      link === undefined || redis === undefined
        ? undefined
        : new SharedBuckets({ link, redis, service, onFault: (rate) => this.#onFault(rate) });
    this.rates = rates.length === 0 ? undefined : new RateLimits(rates, shared, this.#edges.now);
  }

  /** @returns false when there are as many connections as there may be: a further one is to be closed */
  hasRoom(): boolean {
    if (this.#clientSockets < this.maxConnections && !this.#isShort()) return true;
    if (this.#clientSockets >= this.#shares.clients || this.#isShort()) this.#noteShortage();
    return false;
  }

  /** @returns false when its client has as many as it may: it is to be closed */
  admitConnection(peer: CountedPeer): boolean {
    if (!peer.trusted) {
      if (!this.#connections.add(peer.address, this.#perClient)) return false;
      peer.counted = true;
    }
    this.#clientSockets++;
    return true;
  }

  /** One that was admitted. */
  connectionClosed(peer: CountedPeer): void {
    this.#clientSockets--;
    if (!peer.counted) return;
    peer.counted = false;
    this.#connections.remove(peer.address);
  }

  /**
   * Counts a connection to an upstream, until `upstreamClosed`.
   *
   * @param makeRoom closes one that lies idle, if there is one
   * @returns false when no file is left for it
   */
  admitUpstream(makeRoom: () => boolean): boolean {
    if (this.#isShort() && !makeRoom()) {
      this.#noteShortage();
      return false;
    }
    this.#upstreamSockets++;
    return true;
  }

  upstreamClosed(): void {
    this.#upstreamSockets--;
  }

  /** A request is refused because the ceiling is reached. */
  countShed(): ShedCause {
    const { cause } = this.#state;
    this.#shed[cause].value++;
    return cause;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#link?.link.close();
  }

  #isShort(): boolean {
    return this.#clientSockets + this.#upstreamSockets >= this.#shares.sockets;
  }

  #noteShortage(): void {
    const { log, now, openFiles } = this.#edges;
    if (now() - this.#shortageLoggedAt < SHORTAGE_LOG_INTERVAL_MS) return;
    this.#shortageLoggedAt = now();
    log.warn(
      { openFiles, clients: this.#clientSockets, upstreams: this.#upstreamSockets },
      'out of file descriptors: connections are refused until others end; raise the limit of open files (ulimit -n)',
    );
  }

  #sample(): void {
    const now = this.#edges.now();
    const lateMs = Math.max(0, now - this.#sampledAt - SAMPLE_MS);
    this.#sampledAt = now;
    const bufferedBytes = this.#edges.heldBytes();
    this.#buffered.value = bufferedBytes;
    this.#overloaded.inFlight.value = this.inFlight >= this.#limits.inFlight ? 1 : 0;
    this.#become(
      nextLoadState(this.#state, { inFlight: this.inFlight, lateMs, bufferedBytes }, this.#limits),
    );
  }

  #become(next: LoadState): void {
    const before = this.#state;
    this.#state = next;
    this.ceiling = next.ceiling;
    if (next.cause === before.cause) return;
    const { log } = this.#edges;
    if (before.cause !== 'inFlight') this.#overloaded[before.cause].value = 0;
    if (next.cause === 'inFlight') {
      log.info('no longer overloaded; all requests are taken');
      return;
    }
    this.#overloaded[next.cause].value = 1;
    const { ceiling, cause } = next;
    log.warn(
      {
        ceiling,
        inFlight: this.inFlight,
        limit: cause === 'eventLoop' ? 'limits.eventLoopDelay' : 'limits.bufferedBytes',
      },
      'overloaded: requests over the ceiling are answered 503',
    );
  }

  #onFault(rate: string): void {
    this.#edges.metrics.rateStoreFaults(rate).value++;
  }

  #linkFor(config: Config, wanted: boolean): RedisLink | undefined {
    const redis = wanted ? config.redis : undefined;
    const settings = JSON.stringify([redis ?? null, config.service]);
    if (this.#link?.settings === settings) return this.#link.link;
    this.#link?.link.close();
    this.#link = undefined;
    if (redis === undefined) return undefined;
    const { log, now } = this.#edges;
    const link = new RedisLink(redis, config.service, {
      now,
      onChange: ({ state, reason }) => {
        if (state === 'closed') log.info('connected to Redis; rates are shared');
        else log.warn({ reason }, 'Redis is away; each worker goes by its own rates');
      },
    });
    this.#link = { settings, link };
    return link;
  }
}

function overloadLimits({ limits }: Config): OverloadLimits {
  const { inFlight, eventLoopDelay, bufferedBytes } = limits;
  return {
    inFlight,
    lateMs: eventLoopDelay === 0 ? Number.POSITIVE_INFINITY : eventLoopDelay,
    bufferedBytes,
  };
}
