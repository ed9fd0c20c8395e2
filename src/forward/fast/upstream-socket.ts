/**
 * A connection to an endpoint, as the fast lane uses it: bytes out, bytes in.
 *
 * One request at a time, unless the backend allows pipelining: then GET and HEAD requests of one turn of the event loop
 * leave in one write, and their responses come in the same order. A slow one holds up those behind it, so these are
 * sent again elsewhere after a moment, and the endpoint gets no more than one at a time for a while.
 *
 * Reads go into a buffer of its own: left to itself Node makes one of 64 KiB for every read and shrinks it to what came,
 * which costs more than reading it.
 */
import type { Socket } from 'node:net';
import type { Deadlines, Timed } from '../../admission/deadlines.ts';
import { connectUpstream, readOnAfterFailedWrite } from '../connect-upstream.ts';
import type { EndpointPool, PooledConnection } from '../endpoint-pool.ts';
import { invariant } from '../invariant.ts';
import { HEADROOM, type LargeBuffers, readable, smallBuffer } from './read-buffers.ts';

/** Whose request is on the connection. */
export interface SocketUser {
  onUpstreamOpen(): void;
  /**
   * The bytes are gone when it returns, unless it has called `replaceBuffer` or `pause`.
   *
   * @param floor between this offset and `from` it may write, and behind `to` where the buffer goes on
   * @returns the offset behind the last octet of its response that was here
   */
  onUpstreamBytes(bytes: Buffer, floor: number, from: number, to: number): number;
  /** What was written is out. */
  onUpstreamFlushed(): void;
  /** @param error undefined when the other side just ended it */
  onUpstreamClosed(error: Error | undefined): void;
  /** One of the above has thrown. */
  onUserError(error: unknown): void;
}

/** Closed this much before the upstream says it closes idle connections, as undici does: both at once would race. */
const HINT_MARGIN_MS = 2_000;

/** A response that keeps others waiting for longer than this is slow. */
const SLOW_MS = 50;

/** How long an endpoint that was slow, or broke off, gets one request at a time. */
const PIPELINING_PAUSE_MS = 5_000;

export class UpstreamSocket implements PooledConnection, Timed {
  readonly kind = 'socket';
  readonly #pool: EndpointPool;
  readonly #socket: Socket;
  readonly #deadlines: Deadlines;
  /** Whose response comes next. */
  #user: SocketUser | undefined;
  /** Whose responses come behind that. */
  readonly #followers: SocketUser[] = [];
  /** Requests of this turn, to leave together; undefined: they leave at once. */
  #batch: string | undefined = undefined;
  #paused = false;
  /** A response is to come that nobody will read. */
  #isTainted = false;
  #gone = false;
  #expiresAt = Number.POSITIVE_INFINITY;
  #onFlushed: (() => void) | undefined = undefined;
  readonly #largeBuffers: LargeBuffers;
  /** What is read into, headroom included. */
  #buffer: Buffer;
  /** The small one, while a large one is in use. */
  #small: Buffer | undefined = undefined;
  #nextView: Buffer | undefined;
  idleUntil = Number.POSITIVE_INFINITY;
  deadline = Number.POSITIVE_INFINITY;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;

  constructor(pool: EndpointPool, deadlines: Deadlines, largeBuffers: LargeBuffers, user: SocketUser) {
    this.#pool = pool;
    this.#deadlines = deadlines;
    this.#largeBuffers = largeBuffers;
    this.#buffer = smallBuffer();
    this.#nextView = readable(this.#buffer);
    this.#user = user;
    const isPlain = pool.options.scheme === 'http';
    const socket = connectUpstream(
      pool,
      isPlain
        ? {
            buffer: () => this.#takeNextView(),
            callback: (length, view) => this.#onRead(length, view.length),
          }
        : undefined,
      () => this.#onOpen(),
      (error) => this.#end(error),
    );
    this.#socket = socket;
    if (!isPlain) {
      socket.on('data', (bytes: Buffer) => {
        if (!this.#onBytes(bytes, 0, 0, bytes.length)) socket.pause();
      });
    }
  }

  /** True while it can be used. */
  get open(): boolean {
    return !this.#gone;
  }

  #onOpen(): void {
    this.#socket.on('error', (error) => this.#end(error));
    this.#socket.on('end', () => this.#end(undefined));
    this.#socket.on('close', () => this.#end(undefined));
    this.#expiresAt = this.#pool.expiry();
    this.#tell((user) => user.onUpstreamOpen());
  }

  /** Calls the user of the connection. An error there ends its request, and nothing else. */
  #tell(call: (user: SocketUser) => void): void {
    const user = this.#user;
    if (user === undefined) return;
    try {
      call(user);
    } catch (error) {
      user.onUserError(error);
    }
  }

  /** Bytes that were written and are not out. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  /** All that was written is out. */
  get flushed(): boolean {
    return this.#socket.writableLength === 0;
  }

  /** One that lay idle serves again. */
  use(user: SocketUser): void {
    this.#user = user;
  }

  /** What is sent in this turn leaves with its end, in one write, and others may `join`. */
  beginBatch(): void {
    this.#batch = '';
    setImmediate(endBatch, this);
  }

  /** A request that can be repeated goes behind those of this turn. @returns false: no room for it */
  join(user: SocketUser, most: number): boolean {
    // Tainted: a further request would get the response of the request that was given up.
    if (this.#batch === undefined || this.#gone || this.#isTainted || this.#user === undefined) return false;
    if (this.#followers.length + 2 > most) return false;
    this.#followers.push(user);
    if (this.#followers.length === 1) this.#watch();
    return true;
  }

  endBatch(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    this.#pool.endBatch(this);
    if (batch !== undefined && batch !== '' && !this.#gone) this.#socket.write(batch, 'latin1');
  }

  /** The response in front keeps the others waiting: they are sent again elsewhere. */
  onDeadline(): void {
    this.#pool.pausePipelining(PIPELINING_PAUSE_MS);
    this.#deadlines.remove(this);
    this.#dismissFollowers();
  }

  /** @param text Latin-1 */
  send(text: string): void {
    if (this.#batch === undefined) this.#socket.write(text, 'latin1');
    else this.#batch += text;
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
    this.#onFlushed ??= () => this.#tell((user) => user.onUpstreamFlushed());
    // It is behind all that was written; `drain` comes only where a bound was passed.
    this.#socket.write('', this.#onFlushed);
  }

  /** Prepares for a response that arrives before the whole request body was sent. */
  expectEarlyResponse(): void {
    readOnAfterFailedWrite(this.#socket);
  }

  /** From within `onUpstreamBytes`: the bytes stay as they are; the next read goes elsewhere. */
  replaceBuffer(): void {
    this.#readInto(smallBuffer());
    this.#small = undefined;
  }

  /** From within `onUpstreamBytes`: nothing more is read, and the bytes stay as they are, until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  /**
   * Reads on.
   *
   * @param rest bytes that were read and left, which come first: they may hold responses for others
   */
  resume(rest?: Buffer): void {
    this.#paused = false;
    if (rest === undefined || this.#onBytes(rest, 0, 0, rest.length)) this.#socket.resume();
  }

  /**
   * The response has come in full, and the connection can be used again.
   *
   * @param hintMs how long the upstream keeps it, milliseconds; -1: it did not say
   * @param clean  nothing came behind the response
   */
  release(hintMs: number, clean: boolean): void {
    const next = this.#followers.shift();
    if (next !== undefined) {
      this.#user = next;
      if (this.#followers.length === 0) this.#unwatch();
      else this.deadline = this.#deadlines.coarseNow + SLOW_MS;
      return;
    }
    // Bytes that nobody asked for would be taken for the answer to the next request.
    if (!clean || this.#isTainted) {
      this.#abandon();
      return;
    }
    this.#user = undefined;
    const now = this.#pool.now();
    const { keepAlive } = this.#pool.options;
    const idle = hintMs === -1 ? keepAlive : Math.min(keepAlive, hintMs - HINT_MARGIN_MS);
    this.idleUntil = Math.min(now + idle, this.#expiresAt);
    this.#pool.release(this.#gone ? undefined : this);
  }

  /** The request is given up, or its response is the last one here. */
  leave(user: SocketUser): void {
    if (user === this.#user) {
      this.#abandon();
      return;
    }
    const at = this.#followers.indexOf(user);
    if (at === -1) return;
    // Its response will come, and there is nobody to read it: nor can anybody read what is behind it.
    this.#followers.splice(at, 1);
    this.#isTainted = true;
    if (this.#followers.length === 0) this.#unwatch();
    else this.#dismissFollowers();
  }

  close(): void {
    this.#user = undefined;
    this.#gone = true;
    this.#socket.destroySoon();
  }

  #readInto(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#nextView = readable(buffer);
  }

  /** Asked before the first read and after each; Node keeps what it has for whatever is no buffer. */
  #takeNextView(): Buffer {
    const next = this.#nextView;
    this.#nextView = undefined;
    return next as Buffer;
  }

  #onRead(length: number, room: number): boolean {
    const buffer = this.#buffer;
    const goesOn = this.#onBytes(buffer, 0, HEADROOM, HEADROOM + length);
    // Filled: there is more, and fewer steps are cheaper. What was replaced may still be written from.
    if (length === room && this.#small === undefined && this.#buffer === buffer && this.#user !== undefined) {
      if (goesOn) {
        this.#small = buffer;
        this.#readInto(this.#largeBuffers.take());
      }
    } else if (this.#small !== undefined && this.#user === undefined) {
      // The response is over and out.
      const small = this.#small;
      this.#small = undefined;
      this.#readInto(small);
      if (!this.#gone) this.#largeBuffers.give(buffer);
    }
    return goesOn;
  }

  /** @param floor as for `onUpstreamBytes` */
  #onBytes(bytes: Buffer, floor: number, start: number, to: number): boolean {
    let from = start;
    while (from < to && !this.#gone) {
      const user = this.#user;
      if (user === undefined) {
        this.#end(undefined);
        break;
      }
      let end = to;
      try {
        end = user.onUpstreamBytes(bytes, from === start ? floor : from, from, to);
        invariant(end >= from && end <= to, 'a response ends within the bytes that were read');
      } catch (error) {
        user.onUserError(error);
      }
      // It left something, and is not done.
      if (end < to && this.#user === user) this.#end(undefined);
      from = end;
    }
    return !this.#paused;
  }

  #watch(): void {
    this.deadline = this.#deadlines.coarseNow + SLOW_MS;
    this.#deadlines.add(this);
  }

  #unwatch(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#deadlines.remove(this);
  }

  /** Those behind the one in front are sent again: their requests can be repeated. */
  #dismissFollowers(): void {
    if (this.#followers.length === 0) return;
    this.#isTainted = true;
    this.#unwatch();
    for (const follower of this.#followers.splice(0)) {
      try {
        follower.onUpstreamClosed(undefined);
      } catch (error) {
        follower.onUserError(error);
      }
    }
  }

  #abandon(): void {
    this.#user = undefined;
    this.#gone = true;
    this.#socket.destroy();
    this.#pool.release(undefined);
    this.#dismissFollowers();
  }

  #end(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.destroy();
    if (this.#followers.length > 0) this.#pool.pausePipelining(PIPELINING_PAUSE_MS);
    if (this.#user === undefined) this.#pool.forget(this);
    else this.#tell((user) => user.onUpstreamClosed(error));
  }
}

function endBatch(socket: UpstreamSocket): void {
  socket.endBatch();
}
