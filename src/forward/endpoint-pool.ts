/**
 * The connections to one endpoint, of every kind, last in first out, and the requests that wait for one.
 *
 * There is one protocol for all of them: `lease` a place, or `enqueue` for one; `take` an idle connection of the kind
 * that the transport speaks, or `connect` a new one; `release` gives the place back, and the connection if it can serve
 * again. A connection that a tunnel keeps holds its place until it is closed.
 *
 * Not `undici.Pool`: a request that fails undici's validation disables one of its clients for ever, a queued request
 * can be neither timed out nor aborted, and it hides whether a connection was used before, which decides on retries.
 */
import { type OnReadOpts, Socket } from 'node:net';
import { connectEndpoint } from '../backends/connect.ts';
import { invariant } from './invariant.ts';

export interface PoolOptions {
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  /** Name for TLS: SNI and the certificate. */
  readonly serverName: string;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly keepAlive: number;
  readonly maxAge: number;
  /** 0: no limit. */
  readonly maxConnections: number;
  readonly maxPending: number;
  readonly maxHeaderSize: number;
  /** Requests of one turn that may share a connection; 1: none. */
  readonly pipelining: number;
}

export interface PoolEvents {
  /** Called before a connection is made. @returns false if no file descriptor is left for it */
  admit(): boolean;
  /** Called when an admitted connection is closed, whether it was ever open or not. */
  onGone(): void;
  onOpened(): void;
  onClosed(): void;
  /** Called when a request begins or ends to wait for a place. */
  onWaiting(change: 1 | -1): void;
}

/** A request that waits for a place. */
export interface Waiter {
  /** Its turn has come: a place is leased for it, which it releases. */
  onPlace(): void;
  /** The endpoint went out of service: the request has to look elsewhere. */
  onDismissed(): void;
}

/** Kind of a connection: bare sockets serve the fast lane, undici clients the full lane. */
export type ConnectionKind = 'socket' | 'client';

/** A connection that can be idle. */
export interface PooledConnection {
  readonly kind: ConnectionKind;
  /** True if its socket is open. A client without a socket can also be used again. */
  readonly open: boolean;
  /** Monotonic milliseconds, not exact: from then on it is not used again. */
  readonly idleUntil: number;
  /** Closes it once what was written has left. */
  close(): void;
}

/** Clients without a socket that are kept for the next connection, since making one costs more than a socket. */
const MAX_COLD = 64;

/** The age limit of a connection is spread by this share, so that those opened together do not close together. */
const AGE_SPREAD = 0.2;

export class EndpointPool {
  options: PoolOptions;
  readonly now: () => number;
  readonly #events: PoolEvents;
  readonly #idle: Readonly<Record<ConnectionKind, PooledConnection[]>> = { socket: [], client: [] };
  readonly #cold: PooledConnection[] = [];
  readonly #waiting = new Set<Waiter>();
  #leased = 0;
  #draining = false;
  #batch: PooledConnection | undefined = undefined;
  /** Monotonic milliseconds. */
  #pipeliningFrom = Number.NEGATIVE_INFINITY;

  constructor(options: PoolOptions, events: PoolEvents, now: () => number) {
    this.options = options;
    this.#events = events;
    this.now = now;
  }

  /** Requests that wait for a place. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** Places in use. */
  get leased(): number {
    return this.#leased;
  }

  /** True if no further place may be leased. */
  get full(): boolean {
    const { maxConnections } = this.options;
    return maxConnections > 0 && this.#leased >= maxConnections;
  }

  /** Leases a place for a connection. @returns false at the endpoint's limit: then `enqueue` */
  lease(): boolean {
    if (this.full) return false;
    this.#leased++;
    return true;
  }

  /**
   * Takes an idle connection for a leased place.
   *
   * @param fresh true to skip idle connections: if one broke, the others are probably broken too
   * @returns undefined if the caller has to open a connection
   */
  take<C extends PooledConnection>(kind: C['kind'], fresh: boolean): C | undefined {
    if (!fresh) {
      const idle = this.#idle[kind];
      const now = this.now();
      for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
        if (connection.idleUntil > now) return connection as C;
        connection.close();
      }
    }
    this.#makeRoom();
    return kind === 'client' ? (this.#cold.pop() as C | undefined) : undefined;
  }

  /** Gives back a place. @param connection undefined if it is closed, or cannot serve again */
  release(connection: PooledConnection | undefined): void {
    invariant(this.#leased > 0, 'a released place was leased');
    this.#leased--;
    if (connection !== undefined) this.#putBack(connection);
    this.#serveWaiting();
  }

  /** The socket of an idle connection was closed by the other side. */
  forget(connection: PooledConnection): void {
    const idle = this.#idle[connection.kind];
    const index = idle.indexOf(connection);
    if (index === -1) return;
    idle.splice(index, 1);
    if (connection.kind === 'client') this.#putBack(connection);
  }

  /** Returns the end of a new connection's age, monotonic milliseconds. */
  expiry(): number {
    return this.now() + this.options.maxAge * (1 - AGE_SPREAD * Math.random());
  }

  /**
   * Returns the connection that requests of this turn may join, behind others; undefined if there is none, or
   * pipelining is off.
   */
  openBatch<C extends PooledConnection>(): C | undefined {
    return this.#batch as C | undefined;
  }

  /** True if a request that can be repeated may share its connection. */
  get pipelines(): boolean {
    return this.options.pipelining > 1 && this.#pipeliningFrom <= this.now();
  }

  startBatch(connection: PooledConnection): void {
    this.#batch = connection;
  }

  endBatch(connection: PooledConnection): void {
    if (this.#batch === connection) this.#batch = undefined;
  }

  /** The endpoint was slow or broke off while requests waited behind another. */
  pausePipelining(ms: number): void {
    this.#pipeliningFrom = this.now() + ms;
    this.#batch = undefined;
  }

  /** Closes connections that were idle for too long. @param now exact: the coarse clock stands while all is quiet */
  sweep(now: number): void {
    // The longest idle ones are in front.
    const { socket: idle } = this.#idle;
    while (idle.length > 0 && idle[0]!.idleUntil <= now) idle.shift()!.close();
  }

  /** @returns false if too many wait already */
  enqueue(waiter: Waiter): boolean {
    if (this.#waiting.size >= this.options.maxPending) return false;
    this.#waiting.add(waiter);
    this.#events.onWaiting(1);
    return true;
  }

  withdraw(waiter: Waiter): void {
    if (this.#waiting.delete(waiter)) this.#events.onWaiting(-1);
  }

  /** Sends every waiting request elsewhere. */
  dismissWaiting(): void {
    const dismissed = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of dismissed) {
      this.#events.onWaiting(-1);
      waiter.onDismissed();
    }
  }

  /** Closes what is idle; what is leased closes when it comes back. For endpoints that left DNS or the table. */
  drain(): void {
    this.#draining = true;
    this.closeIdle();
  }

  /** An endpoint that was to be drained is wanted again. */
  revive(): void {
    this.#draining = false;
  }

  closeIdle(): void {
    const { socket, client } = this.#idle;
    for (const connection of [...client.splice(0), ...socket.splice(0), ...this.#cold.splice(0)])
      connection.close();
  }

  /**
   * Opens a connection in a place that was leased.
   *
   * @param onread takes what arrives instead of the socket's stream; not for TLS
   */
  connect(onread?: OnReadOpts): Socket {
    if (!this.#events.admit()) {
      const none = new Socket();
      const error = new Error('no file descriptor is left for a connection to the upstream');
      return none.destroy(Object.assign(error, { code: 'EMFILE' }));
    }
    const socket = connectEndpoint(this.options, onread);
    socket.once('close', () => this.#events.onGone());
    return socket;
  }

  /** @returns false if there is no idle connection */
  closeOneIdle(): boolean {
    const idle = this.#idle.socket.shift() ?? this.#idle.client.shift();
    idle?.close();
    return idle !== undefined;
  }

  opened(): void {
    this.#events.onOpened();
  }

  closed(): void {
    this.#events.onClosed();
  }

  #putBack(connection: PooledConnection): void {
    if (this.#draining || connection.idleUntil <= this.now()) connection.close();
    else if (connection.open) this.#idle[connection.kind].push(connection);
    else if (this.#cold.length < MAX_COLD) this.#cold.push(connection);
    else connection.close();
  }

  /** Closes an idle connection if a new connection needs its place: the upstream's limit counts both. */
  #makeRoom(): void {
    const { maxConnections } = this.options;
    const { socket, client } = this.#idle;
    if (maxConnections === 0 || this.#leased + socket.length + client.length <= maxConnections) return;
    this.closeOneIdle();
  }

  /** One place serves one request, except after a reload that raised the limit. */
  #serveWaiting(): void {
    while (this.#waiting.size > 0 && !this.full) {
      const [waiter] = this.#waiting;
      this.withdraw(waiter!);
      this.lease();
      waiter!.onPlace();
    }
  }
}
