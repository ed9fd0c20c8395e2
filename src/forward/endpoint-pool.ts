/**
 * Connections to one endpoint: a small pool of undici `Client`s, one socket each, last in first out.
 *
 * Not `undici.Pool`: a request that fails undici's validation disables one of its clients for ever, a queued request
 * can be neither timed out nor aborted, and whether a connection was used before, which decides on retries, is hidden.
 */
import type { Socket } from 'node:net';
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
}

export interface PoolEvents {
  onOpened(): void;
  onClosed(): void;
  /** A request begins or ends to wait for a connection. */
  onWaiting(change: 1 | -1): void;
}

/** Somebody who waits for a connection. */
export interface Waiter {
  /** It makes the connection itself, and waits only to be allowed to: then it gets no connection. */
  readonly connectsItself: boolean;
  /** Its turn has come; what it gets, it gives back by `release`, or `unreserve` when it connects itself. */
  onConnection(connection: UpstreamConnection | undefined): void;
  /** The endpoint went out of service: wait no longer for this one. */
  onDismissed(): void;
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
  expiresAt = 0;
  leased = true;

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
  }

  #connect(callback: (...result: [Error, null] | [null, Socket]) => void): void {
    const { scheme, address, port, connectTimeout, maxAge } = this.#pool.options;
    const socket = connectEndpoint(this.#pool.options);
    const timer = setTimeout(() => {
      socket.destroy(
        new ConnectTimeoutError(`no connection to ${address}:${port} within ${connectTimeout}ms`),
      );
    }, connectTimeout);
    const onError = (error: Error) => {
      clearTimeout(timer);
      callback(error, null);
    };
    socket.once('error', onError);
    socket.once(readyEvent(scheme), () => {
      clearTimeout(timer);
      socket.removeListener('error', onError);
      this.open = true;
      this.served = 0;
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
  readonly #waiting = new Set<Waiter>();
  #leased = 0;
  #draining = false;

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
    for (const connection of this.#cold.splice(0)) connection.destroy();
  }

  opened(): void {
    this.#events.onOpened();
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
    if (maxConnections > 0 && this.#leased + this.#idle.length > maxConnections) this.#idle.shift()?.close();
  }

  #serveWaiting(): void {
    if (this.#waiting.size === 0 || this.full) return;
    const [waiter] = this.#waiting;
    this.withdraw(waiter!);
    if (waiter!.connectsItself) {
      this.reserve();
      waiter!.onConnection(undefined);
    } else {
      waiter!.onConnection(this.acquire());
    }
  }
}
