/** A client's connection, whichever lane serves it at the moment. */
import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';

/** Pipelined requests that a connection begins before others have a turn. */
export const MAX_IN_A_ROW = 16;

/** A lane's end of a connection: takes the bytes as they are read. */
export interface ByteReader {
  /** Begins to read: the socket is there. */
  begin(): void;
  /** True if no request is in progress and nothing waits. */
  readonly isIdle: boolean;
  /** Returns the buffer for the next read if it is another one than before. */
  takeNextBuffer(): Buffer | undefined;
  /**
   * Takes the first `length` bytes, which the next read overwrites.
   *
   * @returns false to read no more until `socket.resume()`
   */
  onBytes(bytes: Buffer, length: number): boolean;
  /** Ignores further bytes: the connection was refused. */
  giveUp(): void;
  /** The connection is closed. */
  onClosed(): void;
}

export class ClientSocket {
  /** Set once, right after construction. */
  socket!: Socket;
  reader!: ByteReader;
  /** The latest request. */
  exchange: Exchange | undefined = undefined;
  /** Since when an unfinished head is here, clock milliseconds; Infinity: there is none. */
  headSince = Number.POSITIVE_INFINITY;
  /** True if the reader gets bytes as they are read; false if they come as events of the socket. */
  readonly readsBytes: boolean;
  readonly #now: () => number;

  constructor(readsBytes: boolean, now: () => number) {
    this.readsBytes = readsBytes;
    this.#now = now;
  }

  /** A request head has begun to arrive; the time it may take counts from its first byte, in any lane. */
  headBegun(): void {
    if (this.headSince === Number.POSITIVE_INFINITY) this.headSince = this.#now();
  }

  headEnded(): void {
    this.headSince = Number.POSITIVE_INFINITY;
  }
}
