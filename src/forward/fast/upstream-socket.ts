/**
 * A connection to an endpoint, as the fast lane uses it: bytes out, bytes in, one exchange at a time.
 *
 * Reads go into one buffer of its own: left to itself Node makes a buffer of 64 KiB for every read and shrinks it to
 * what came, which costs more than reading it. The pages that small responses never touch take no memory.
 */
import type { Socket } from 'node:net';
import { connectEndpoint, readyEvent } from '../../backends/connect.ts';
import { ConnectTimeoutError, type EndpointPool, type PooledSocket } from '../endpoint-pool.ts';

/** Whose request is on the connection. */
export interface SocketUser {
  onUpstreamOpen(): void;
  /** @returns false to read no more until `resume`; the bytes are gone when it returns true */
  onUpstreamBytes(bytes: Buffer, length: number): boolean;
  /** What was written is out. */
  onUpstreamFlushed(): void;
  /** @param error undefined when the other side just ended it */
  onUpstreamClosed(error: Error | undefined): void;
}

/** Of one read, bytes. */
export const READ_SIZE = 64 * 1024;

/** Closed this much before the upstream says it closes idle connections, as undici does: both at once would race. */
const HINT_MARGIN_MS = 2_000;

/** A connection's age limit is spread by this share, so that those opened together do not close together. */
const AGE_SPREAD = 0.2;

export class UpstreamSocket implements PooledSocket {
  readonly #pool: EndpointPool;
  readonly #socket: Socket;
  #user: SocketUser | undefined;
  #open = false;
  #gone = false;
  #expiresAt = Number.POSITIVE_INFINITY;
  #onFlushed: (() => void) | undefined = undefined;
  #nextBuffer: Buffer | undefined = Buffer.allocUnsafeSlow(READ_SIZE);
  idleUntil = Number.POSITIVE_INFINITY;

  constructor(pool: EndpointPool, user: SocketUser) {
    this.#pool = pool;
    this.#user = user;
    const { options } = pool;
    const { scheme, address, port, connectTimeout, maxAge } = options;
    const onBytes = (length: number, bytes: Uint8Array) => this.#onBytes(bytes as Buffer, length);
    const socket = connectEndpoint(
      options,
      scheme === 'http' ? { buffer: () => this.#takeNextBuffer(), callback: onBytes } : undefined,
    );
    this.#socket = socket;
    if (scheme === 'https') {
      socket.on('data', (bytes: Buffer) => {
        if (!onBytes(bytes.length, bytes)) socket.pause();
      });
    }
    const timer = setTimeout(() => {
      socket.destroy(
        new ConnectTimeoutError(`no connection to ${address}:${port} within ${connectTimeout}ms`),
      );
    }, connectTimeout);
    socket.once(readyEvent(scheme), () => {
      clearTimeout(timer);
      this.#open = true;
      this.#expiresAt = pool.now() + maxAge * (1 - AGE_SPREAD * Math.random());
      pool.opened();
      this.#user?.onUpstreamOpen();
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      this.#end(error);
    });
    socket.on('end', () => this.#end(undefined));
    socket.on('close', () => {
      clearTimeout(timer);
      this.#end(undefined);
      if (this.#open) pool.socketClosed();
    });
  }

  /** All that was written is out. */
  get flushed(): boolean {
    return this.#socket.writableLength === 0;
  }

  /** One that lay idle serves again. */
  use(user: SocketUser): void {
    this.#user = user;
  }

  /** @param text Latin-1 */
  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** The bytes must stay as they are until it is `flushed`. */
  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** What is written up to `uncork` leaves together. */
  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  /** Calls `onUpstreamFlushed` once. */
  awaitFlush(): void {
    this.#onFlushed ??= () => this.#user?.onUpstreamFlushed();
    // It is behind all that was written; `drain` comes only where a bound was passed.
    this.#socket.write('', this.#onFlushed);
  }

  /** From within `onUpstreamBytes`: the bytes stay as they are; the next read goes elsewhere. */
  replaceBuffer(): void {
    this.#nextBuffer = Buffer.allocUnsafeSlow(READ_SIZE);
  }

  resume(): void {
    this.#socket.resume();
  }

  /**
   * The exchange is over, and the connection can be used again.
   *
   * @param hintMs how long the upstream keeps it, milliseconds; -1: it did not say
   */
  release(hintMs: number): void {
    this.#user = undefined;
    const now = this.#pool.now();
    const idle =
      hintMs === -1
        ? this.#pool.options.keepAlive
        : Math.min(this.#pool.options.keepAlive, hintMs - HINT_MARGIN_MS);
    this.idleUntil = Math.min(now + idle, this.#expiresAt);
    this.#pool.releaseSocket(this.#gone ? undefined : this);
  }

  /** The exchange has given it up. */
  abandon(): void {
    this.#user = undefined;
    this.#gone = true;
    this.#socket.destroy();
    this.#pool.releaseSocket(undefined);
  }

  close(): void {
    this.#user = undefined;
    this.#gone = true;
    this.#socket.destroySoon();
  }

  /** Asked before the first read and after each; undefined: the same as before. */
  #takeNextBuffer(): Buffer {
    const next = this.#nextBuffer;
    this.#nextBuffer = undefined;
    // Node keeps the one it has for whatever is no buffer.
    return next as Buffer;
  }

  #onBytes(bytes: Buffer, length: number): boolean {
    if (this.#gone) return true;
    if (this.#user !== undefined) return this.#user.onUpstreamBytes(bytes, length);
    // Nobody asked: it must not be taken for the answer to the next request.
    this.#end(undefined);
    return true;
  }

  #end(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.destroy();
    const user = this.#user;
    if (user === undefined) this.#pool.forgetSocket(this);
    else user.onUpstreamClosed(error);
  }
}
