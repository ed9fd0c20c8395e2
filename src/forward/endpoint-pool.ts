/**
 * Connections to one endpoint, last in first out: undici `Client`s of one socket each for the full lane, bare sockets
 * for the fast one, and a place for whoever connects itself. All of them count for the same limit.
 *
 * Not `undici.Pool`: a request that fails undici's validation disables one of its clients for ever, a queued request
 * can be neither timed out nor aborted, and whether a connection was used before, which decides on retries, is hidden.
 */
import { type OnReadOpts, Socket } from 'node:net';
import { Client } from 'undici';
import { connectEndpoint, readyEvent } from '../backends/connect.ts';

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
  /** Asked before a connection is made. @returns false when no file is left for it */
  admit(): boolean;
  /** One that was admitted is gone, whether it was ever open or not. */
  onGone(): void;
  onOpened(): void;
  onClosed(): void;
  /** A request begins or ends to wait for a connection. */
  onWaiting(change: 1 | -1): void;
}

/** Somebody who waits for a connection. */
export interface Waiter {
  /** A client; a place for a socket of the pool, which it takes itself; or one for a connection of its own. */
  readonly waitsFor: 'client' | 'socket' | 'place';
  /** Its turn has come; gives back what it got by `release`, `releaseSocket` or `unreserve`. */
  onConnection(connection: UpstreamConnection | undefined): void;
  /** The endpoint went out of service: wait no longer for this one. */
  onDismissed(): void;
}

/** A bare connection, as the fast lane uses them. */
export interface PooledSocket {
  /** Monotonic milliseconds, not exact: from when on it is not used again. */
  readonly idleUntil: number;
  close(): void;
}

/** Error of a connection attempt that took longer than `connectTimeout`. */
export class ConnectTimeoutError extends Error {
  readonly code = 'CONNECT_TIMEOUT';
}

/** Clients without a socket that are kept for the next connection, since making one costs more than a socket. */
const MAX_COLD = 64;

/** A connection's age limit is spread by this share, so that those opened together do not close together. */
const AGE_SPREAD = 0.2;

export class UpstreamConnection {
  readonly client: Client;
  readonly #pool: EndpointPool;
  /** A socket is open. */
  open = false;
  /** Requests that this socket has answered. */
  served = 0;
  /** The socket has failed; undici takes a reset for the end of a body that has no other end. */
  broken = false;
  expiresAt = 0;
  leased = true;
  #connecting: Socket | undefined = undefined;

  constructor(pool: EndpointPool, options: PoolOptions) {
    this.#pool = pool;
    const host = options.address.includes(':') ? `[${options.address}]` : options.address;
    this.client = new Client(`${options.scheme}://${host}:${options.port}`, {
      pipelining: 1,
      // Deadlines are kept by the exchange: undici's own are half a second coarse.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: options.keepAlive,
      keepAliveMaxTimeout: options.keepAlive,
      maxHeaderSize: options.maxHeaderSize,
      allowH2: false,
      connect: (_, callback) => this.#connect(callback),
    });
    this.client.on('disconnect', () => this.#disconnected());
  }

  close(): void {
    this.client.close().catch(() => {});
  }

  destroy(): void {
    this.client.destroy().catch(() => {});
    // undici would wait for it, and close it then.
    this.#connecting?.destroy();
  }

  #connect(callback: (...result: [Error, null] | [null, Socket]) => void): void {
    const { scheme, address, port, connectTimeout, maxAge } = this.#pool.options;
    const socket = this.#pool.connect();
    this.#connecting = socket;
    const timer = setTimeout(() => {
      socket.destroy(
        new ConnectTimeoutError(`no connection to ${address}:${port} within ${connectTimeout}ms`),
      );
    }, connectTimeout);
    const onError = (error: Error) => callback(error, null);
    socket.once('error', onError);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#connecting = undefined;
    });
    socket.once(readyEvent(scheme), () => {
      clearTimeout(timer);
      socket.removeListener('error', onError);
      this.#connecting = undefined;
      this.open = true;
      this.served = 0;
      this.broken = false;
      socket.on('error', () => {
        this.broken = true;
      });
      this.expiresAt = this.#pool.now() + maxAge * (1 - AGE_SPREAD * Math.random());
      this.#pool.opened();
      callback(null, socket);
    });
  }

  #disconnected(): void {
    if (!this.open) return;
    this.open = false;
    this.#pool.closed(this);
  }
}

export class EndpointPool {
  options: PoolOptions;
  readonly now: () => number;
  readonly #events: PoolEvents;
  readonly #idle: UpstreamConnection[] = [];
  readonly #cold: UpstreamConnection[] = [];
  readonly #idleSockets: PooledSocket[] = [];
  readonly #waiting = new Set<Waiter>();
  #leased = 0;
  #draining = false;
  #batch: PooledSocket | undefined = undefined;
  /** Monotonic milliseconds. */
  #pipeliningFrom = Number.NEGATIVE_INFINITY;

  constructor(options: PoolOptions, events: PoolEvents, now: () => number) {
    this.options = options;
    this.#events = events;
    this.now = now;
  }

  /** Requests that wait for a connection. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** No further connection may be opened, and none is idle. */
  get full(): boolean {
    const { maxConnections } = this.options;
    return maxConnections > 0 && this.#leased >= maxConnections;
  }

  /**
   * A connection at once, or undefined when the endpoint is at its limit: then `enqueue`.
   *
   * @param fresh not one that lay idle: after one of them broke, the others are probably dead as well
   */
  acquire(fresh = false): UpstreamConnection | undefined {
    if (this.full) return undefined;
    this.#leased++;
    const idle = fresh ? undefined : this.#idle.pop();
    if (idle === undefined) this.#makeRoom();
    const connection = idle ?? this.#cold.pop() ?? new UpstreamConnection(this, this.options);
    connection.leased = true;
    return connection;
  }

  /**
   * Counts a connection that somebody else makes against the limit; `unreserve` when it is closed.
   *
   * @returns false at the limit: then `enqueue`
   */
  reserve(): boolean {
    if (this.full) return false;
    this.#leased++;
    this.#makeRoom();
    return true;
  }

  unreserve(): void {
    this.#leased--;
    this.#serveWaiting();
  }

  /** Counts a connection of the fast lane against the limit: `takeSocket`, then `releaseSocket`. */
  reserveSocket(): boolean {
    if (this.full) return false;
    this.#leased++;
    return true;
  }

  /**
   * One that lies idle, for a place that was reserved; undefined: a new one is to be opened.
   *
   * @param fresh not one that lay idle: after one of them broke, the others are probably dead as well
   */
  takeSocket<S extends PooledSocket>(fresh: boolean): S | undefined {
    if (!fresh) {
      const now = this.now();
      for (let socket = this.#idleSockets.pop(); socket !== undefined; socket = this.#idleSockets.pop()) {
        if (socket.idleUntil > now) return socket as S;
        socket.close();
      }
    }
    this.#makeRoom();
    return undefined;
  }

  /** @param socket undefined when it is closed, or is to be */
  releaseSocket(socket: PooledSocket | undefined): void {
    this.#leased--;
    if (socket !== undefined) {
      if (this.#draining || socket.idleUntil <= this.now()) socket.close();
      else this.#idleSockets.push(socket);
    }
    if (this.#waiting.size > 0) this.#serveWaiting();
  }

  /**
   * The socket that requests of this turn may join, behind others.
   *
   * @returns undefined where there is none, or pipelining is off
   */
  openBatch<S extends PooledSocket>(): S | undefined {
    return this.#batch as S | undefined;
  }

  /** Whether a request that can be repeated may share its connection. */
  get pipelines(): boolean {
    return this.options.pipelining > 1 && this.#pipeliningFrom <= this.now();
  }

  startBatch(socket: PooledSocket): void {
    this.#batch = socket;
  }

  endBatch(socket: PooledSocket): void {
    if (this.#batch === socket) this.#batch = undefined;
  }

  /** The endpoint was slow or broke off while requests waited behind another. */
  pausePipelining(ms: number): void {
    this.#pipeliningFrom = this.now() + ms;
    this.#batch = undefined;
  }

  /** A socket that lay idle was closed by the other side. */
  forgetSocket(socket: PooledSocket): void {
    const index = this.#idleSockets.indexOf(socket);
    if (index !== -1) this.#idleSockets.splice(index, 1);
  }

  /** Closes sockets that lay idle for too long; `now`, exact: the coarse clock stands while nothing is under way. */
  sweep(now: number): void {
    // The longest idle ones are in front.
    while (this.#idleSockets.length > 0 && this.#idleSockets[0]!.idleUntil <= now) {
      this.#idleSockets.shift()!.close();
    }
  }

  /** @returns false when too many wait already */
  enqueue(waiter: Waiter): boolean {
    if (this.#waiting.size >= this.options.maxPending) return false;
    this.#waiting.add(waiter);
    this.#events.onWaiting(1);
    return true;
  }

  withdraw(waiter: Waiter): void {
    if (this.#waiting.delete(waiter)) this.#events.onWaiting(-1);
  }

  /** Whoever waits is told to look elsewhere. */
  dismissWaiting(): void {
    const dismissed = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of dismissed) {
      this.#events.onWaiting(-1);
      waiter.onDismissed();
    }
  }

  /** @param reusable false when the last exchange did not end well */
  release(connection: UpstreamConnection, reusable: boolean): void {
    this.#leased--;
    connection.leased = false;
    connection.served++;
    if (!reusable) {
      connection.destroy();
    } else if (this.#draining || (connection.open && connection.expiresAt <= this.now())) {
      connection.close();
    } else if (!connection.open) {
      this.#keepCold(connection);
    } else {
      this.#idle.push(connection);
    }
    this.#serveWaiting();
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
    for (const connection of this.#idle.splice(0)) connection.close();
    for (const socket of this.#idleSockets.splice(0)) socket.close();
    for (const connection of this.#cold.splice(0)) connection.destroy();
  }

  /**
   * A new connection, for a place that was taken before.
   *
   * @param onread takes what comes instead of the socket's stream; not for TLS
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

  /** @returns false when none lies idle */
  closeOneIdle(): boolean {
    const idle = this.#idleSockets.shift() ?? this.#idle.shift();
    idle?.close();
    return idle !== undefined;
  }

  opened(): void {
    this.#events.onOpened();
  }

  socketClosed(): void {
    this.#events.onClosed();
  }

  closed(connection: UpstreamConnection): void {
    this.#events.onClosed();
    if (connection.leased) return;
    const index = this.#idle.indexOf(connection);
    if (index === -1) return;
    this.#idle.splice(index, 1);
    this.#keepCold(connection);
  }

  #keepCold(connection: UpstreamConnection): void {
    if (this.#cold.length < MAX_COLD && !this.#draining) this.#cold.push(connection);
    else connection.destroy();
  }

  /** One that lies idle counts for the upstream's limit as well: it goes where a new one needs its place. */
  #makeRoom(): void {
    const { maxConnections } = this.options;
    const idle = this.#idle.length + this.#idleSockets.length;
    if (maxConnections === 0 || this.#leased + idle <= maxConnections) return;
    this.closeOneIdle();
  }

  #serveWaiting(): void {
    if (this.#waiting.size === 0 || this.full) return;
    const [waiter] = this.#waiting;
    this.withdraw(waiter!);
    if (waiter!.waitsFor === 'client') {
      waiter!.onConnection(this.acquire());
      return;
    }
    if (waiter!.waitsFor === 'place') this.reserve();
    else this.reserveSocket();
    waiter!.onConnection(undefined);
  }
}
