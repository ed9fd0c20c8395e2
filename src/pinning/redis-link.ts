/**
 * Redis as requests see it: an answer within the deadline, or none. Behind a circuit breaker, with a bound on what is
 * under way, and never with a queue.
 */
import type { RedisConfig } from '../config/schema.ts';
import { Circuit, type CircuitState } from './circuit.ts';
import { FirstAnswer } from './first-answer.ts';
import { createRedisClient, type RedisClient } from './redis-client.ts';
import { type RedisFault, redisFaultOf } from './redis-fault.ts';

/** Commands under way at once; more would only wait for each other. */
const MAX_IN_FLIGHT = 1_024;

/** The key that probes write lives this long. */
const PROBE_TTL_MS = 1_000;

export interface LinkState {
  readonly state: CircuitState;
  /** Why it is not closed; '' when it is. */
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

export interface LinkEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The circuit has closed, or has opened from closed; never called for a failed probe. */
  readonly onChange: (state: LinkState) => void;
}

const NOT_CONNECTED: RedisFault = { kind: 'away', reason: 'not connected yet' };
const BUSY: RedisFault = {
  kind: 'away',
  reason: `${MAX_IN_FLIGHT} commands are under way already`,
};

export class RedisLink {
  readonly #config: RedisConfig;
  readonly #probeKey: string;
  readonly #edges: LinkEdges;
  readonly #circuit = new Circuit();
  readonly #deadline: RedisFault;
  #client: RedisClient | undefined;
  #fault: RedisFault = NOT_CONNECTED;
  #since = Date.now();
  #inFlight = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #known = new FirstAnswer();

  constructor(config: RedisConfig, service: string, edges: LinkEdges) {
    this.#config = config;
    this.#probeKey = `${config.keyPrefix}${service}:probe`;
    this.#edges = edges;
    this.#deadline = { kind: 'timeout', reason: `no answer within ${config.commandTimeout} ms` };
    this.#circuit.probe();
    void this.#connect();
  }

  /** Commands are sent now. */
  get usable(): boolean {
    return this.#circuit.state === 'closed';
  }

  get state(): LinkState {
    const { state } = this.#circuit;
    return { state, reason: state === 'closed' ? '' : this.#fault.reason, since: this.#since };
  }

  /** Resolves when it is known whether Redis answers, or after `ms`. */
  settled(ms: number): Promise<void> {
    return this.#known.within(ms);
  }

  /** Exactly one of the two is called, at once or within the deadline. */
  run<T>(
    command: (client: RedisClient) => Promise<T>,
    onAnswer: (answer: T) => void,
    onFault: (fault: RedisFault) => void,
  ): void {
    if (!this.usable) onFault(this.#fault);
    else if (this.#inFlight >= MAX_IN_FLIGHT) onFault(BUSY);
    else {
      this.#send(
        command,
        (answer) => {
          this.#circuit.succeeded();
          onAnswer(answer);
        },
        (fault) => {
          if (fault.kind === 'otherType') this.#circuit.succeeded();
          else if (this.#circuit.failed(this.#edges.now())) this.#opened(fault);
          onFault(fault);
        },
      );
    }
  }

  /** The same as a promise, which a fault rejects with its reason. */
  ask<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.run(command, resolve, ({ reason }) => reject(new Error(reason)));
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client?.disconnect();
    this.#known.arrived();
  }

  /** The client's own deadline does not hold while it follows redirections or looks for a node, so there is another. */
  #send<T>(
    command: (client: RedisClient) => Promise<T>,
    onAnswer: (answer: T) => void,
    onFault: (fault: RedisFault) => void,
  ): void {
    const client = this.#client;
    if (client === undefined) {
      onFault(NOT_CONNECTED);
      return;
    }
    let waiting = true;
    this.#inFlight++;
    const ended = () => {
      if (!waiting) return false;
      waiting = false;
      this.#inFlight--;
      clearTimeout(timer);
      return true;
    };
    const timer = setTimeout(() => {
      if (ended()) onFault(this.#deadline);
    }, this.#config.commandTimeout);
    command(client).then(
      (answer) => {
        if (ended()) onAnswer(answer);
      },
      (error: unknown) => {
        if (!ended()) return;
        const fault = redisFaultOf(error);
        onFault(fault.kind === 'timeout' ? this.#deadline : fault);
      },
    );
  }

  async #connect(): Promise<void> {
    const { commandTimeout } = this.#config;
    try {
      const client = await createRedisClient(this.#config, { commandTimeout, reconnects: true });
      if (this.#closed) return;
      this.#client = client;
      // Without a listener an error would end the process.
      const onError = (error: unknown) => {
        if (client === this.#client) this.#onError(redisFaultOf(error));
      };
      client.on('error', onError);
      client.on('ready', () => this.#probe());
      client.on('close', () => this.#onLost());
      client.on('end', () => this.#onEnd(client));
      // It only says that the connection is closed; why comes as an event, in the same turn.
      client.connect().catch((error: unknown) => setImmediate(() => onError(error)));
    } catch (error) {
      this.#onError({ kind: 'refused', reason: (error as Error).message });
    }
  }

  #onError(fault: RedisFault): void {
    if (this.#closed) return;
    if (!this.usable) this.#tell(fault);
    this.#probeFailed(fault);
  }

  #onLost(): void {
    if (this.#closed || !this.usable) return;
    this.#circuit.open(this.#edges.now());
    this.#opened({ kind: 'away', reason: 'the connection to Redis was closed' });
  }

  /**
   * ioredis has given up for good, as it does when Sentinels announce a new master while it is still connecting to the
   * old one. The next probe begins with a new client.
   */
  #onEnd(client: RedisClient): void {
    if (this.#closed || client !== this.#client) return;
    this.#client = undefined;
    this.#probeFailed({ kind: 'closed', reason: 'the connection to Redis was closed' });
  }

  /** By the command that claims pins: what could not take one (a replica, one without memory) is not back yet. */
  #probe(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    if (this.#client === undefined) {
      if (this.#circuit.probe()) void this.#connect();
      return;
    }
    // The one that begins with the connection waits for it.
    if (!this.#circuit.probe() && this.#circuit.state !== 'half-open') return;
    this.#send(
      (client) => client.set(this.#probeKey, 'p1', 'PX', PROBE_TTL_MS, 'NX', 'GET'),
      () => this.#probeSucceeded(),
      (fault) => (fault.kind === 'otherType' ? this.#probeSucceeded() : this.#probeFailed(fault)),
    );
  }

  #probeSucceeded(): void {
    if (this.#closed || this.#circuit.state !== 'half-open') return;
    this.#circuit.probed(true, this.#edges.now());
    this.#since = Date.now();
    this.#edges.onChange(this.state);
    this.#known.arrived();
  }

  #probeFailed(fault: RedisFault): void {
    if (this.#closed || this.#circuit.state !== 'half-open') return;
    this.#circuit.probed(false, this.#edges.now());
    this.#tell(fault);
    if (!this.#known.isHere) this.#edges.onChange(this.state);
    this.#known.arrived();
    this.#wait(fault);
  }

  #opened(fault: RedisFault): void {
    this.#fault = fault;
    this.#since = Date.now();
    this.#edges.onChange(this.state);
    this.#wait(fault);
  }

  /** That a connection is closed says less than why it could not be opened. */
  #tell(fault: RedisFault): void {
    if (fault.kind !== 'closed' || this.#fault === NOT_CONNECTED) this.#fault = fault;
  }

  #wait(fault: RedisFault): void {
    // Bytes that a dead network swallowed would be answered never, and those behind them neither: begin anew.
    // Only a connection that stands: in the middle of connecting, ioredis would never try again.
    if (fault.kind === 'timeout' && this.#client?.status === 'ready') this.#client.disconnect(true);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#probe(), this.#circuit.pause);
    this.#timer.unref();
  }
}
