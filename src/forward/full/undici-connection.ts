/** A connection that undici speaks HTTP/1.1 on: a `Client` of one socket, as the endpoint's pool keeps it. */
import type { Socket } from 'node:net';
import { Client } from 'undici';
import { connectUpstream } from '../connect-upstream.ts';
import type { EndpointPool, PooledConnection } from '../endpoint-pool.ts';

export class UndiciConnection implements PooledConnection {
  readonly kind = 'client';
  readonly client: Client;
  readonly #pool: EndpointPool;
  open = false;
  /** Requests that this socket has served. */
  served = 0;
  /** True if the socket has failed: undici takes a reset for the end of a body that has no other end. */
  broken = false;
  idleUntil = Number.POSITIVE_INFINITY;
  /** The socket, while it is open or being opened. */
  socket: Socket | undefined = undefined;

  constructor(pool: EndpointPool) {
    this.#pool = pool;
    const { scheme, address, port, keepAlive, maxHeaderSize } = pool.options;
    const host = address.includes(':') ? `[${address}]` : address;
    this.client = new Client(`${scheme}://${host}:${port}`, {
      pipelining: 1,
      // The exchange keeps the deadlines: those of undici have a precision of half a second.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAlive,
      keepAliveMaxTimeout: keepAlive,
      maxHeaderSize,
      allowH2: false,
      connect: (_, callback) => this.#connect(callback),
    });
    this.client.on('disconnect', () => this.#disconnected());
  }

  close(): void {
    this.client.close().catch(() => {});
    if (!this.open) this.destroy();
  }

  destroy(): void {
    this.client.destroy().catch(() => {});
    // undici would wait for it, and close it then.
    if (!this.open) this.socket?.destroy();
  }

  #connect(callback: (...result: [Error, null] | [null, Socket]) => void): void {
    const socket = connectUpstream(
      this.#pool,
      undefined,
      () => {
        this.open = true;
        this.served = 0;
        this.broken = false;
        socket.on('error', () => {
          this.broken = true;
        });
        this.idleUntil = this.#pool.expiry();
        callback(null, socket);
      },
      (error) => {
        this.socket = undefined;
        callback(error, null);
      },
    );
    this.socket = socket;
  }

  #disconnected(): void {
    if (!this.open) return;
    this.open = false;
    this.socket = undefined;
    this.idleUntil = Number.POSITIVE_INFINITY;
    this.#pool.forget(this);
  }
}
