/**
 * A client's connection on the fast lane: cuts what arrives into requests, serves one after the other, and hands over to
 * the full lane what is not in its grammar.
 */
import type { Socket } from 'node:net';
import type { BodyFraming } from '../../http/body-framing.ts';
import { type ByteReader, type ClientSocket, MAX_IN_A_ROW } from '../client-socket.ts';
import { endAndLinger } from '../end-connection.ts';
import { Exchange } from '../exchange.ts';
import type { Forwarder } from '../forwarder.ts';
import { type Peer, peerOf } from '../peer.ts';
import { FastDownstream, type RequestConnection } from './fast-downstream.ts';
import { FastTransport } from './fast-transport.ts';
import type { LargeBuffers } from './read-buffers.ts';
import { FOREIGN, PARTIAL, readRequest } from './request-reader.ts';

export interface FastLaneEdges {
  readonly forwarder: Forwarder;
  /** Buffer that all connections share: its bytes are used or copied before the next read. */
  readonly readBuffer: Buffer;
  readonly largeBuffers: LargeBuffers;
  /** Bytes and header lines that a head may have. */
  readonly headSize: number;
  readonly headers: number;
  /** Takes the connection, at a request boundary, with the bytes that were not read. */
  handOver(client: ClientSocket, unread: Buffer): void;
}

/** A head in more parts than this is read by the full lane's parser, which does not start over with every part. */
const MAX_PARTS = 8;

export class ClientConnection implements ByteReader, RequestConnection {
  readonly #edges: FastLaneEdges;
  readonly #client: ClientSocket;
  #current: FastDownstream | undefined = undefined;
  /** Serves one request after the other. */
  #transport: FastTransport | undefined = undefined;
  /** Part of a head, or bytes that follow the request in progress. */
  #held: Buffer | undefined = undefined;
  #parts = 0;
  /** The rest of a request body that was answered early, to be discarded. */
  #rest: BodyFraming | undefined = undefined;
  #serving = false;
  #inARow = 0;
  /** True while the next request waits for a separate turn. */
  #isDeferred = false;
  /** More than one head's worth waits. */
  #paused = false;
  #over = false;
  #onFlushed: (() => void) | undefined = undefined;
  /** Buffer for the next read, if it differs from the last one. */
  #nextBuffer: Buffer | undefined = undefined;
  #ownBuffer: Buffer | undefined = undefined;

  constructor(edges: FastLaneEdges, client: ClientSocket) {
    this.#edges = edges;
    this.#client = client;
    this.#nextBuffer = edges.readBuffer;
  }

  get socket(): Socket {
    return this.#client.socket;
  }

  get heldBytes(): number {
    return this.#held?.length ?? 0;
  }

  get isIdle(): boolean {
    return this.#current === undefined && this.#held === undefined;
  }

  begin(): void {
    this.socket.resume();
  }

  takeNextBuffer(): Buffer | undefined {
    const next = this.#nextBuffer;
    this.#nextBuffer = undefined;
    return next;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    if (this.#over) return true;
    this.#inARow = 0;
    let from = this.#discard(bytes, 0, length);
    if (from === length) return true;
    const current = this.#current;
    if (current !== undefined) {
      try {
        from = current.onBytes(bytes, from, length);
      } catch (error) {
        current.onError(error);
        return true;
      }
    }
    if (from === length) return this.#mayRead();
    if (this.#current !== undefined || this.#rest !== undefined || this.#isDeferred)
      return this.#hold(bytes, from, length);
    if (this.#held === undefined) this.#serve(bytes, from, length);
    else {
      const joined = Buffer.concat([this.#held, bytes.subarray(from, length)]);
      this.#held = undefined;
      this.#serve(joined, 0, joined.length);
    }
    return this.#mayRead();
  }

  onRequestOver(rest: BodyFraming | undefined, closes: boolean): void {
    this.#current = undefined;
    this.giveBackBuffer();
    if (this.#over) return;
    if (closes) {
      this.#close();
      return;
    }
    this.#rest = rest;
    if (this.#serving || rest !== undefined || this.#isDeferred) return;
    this.#serveHeld();
  }

  #serveHeld(): void {
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      this.#serve(held, 0, held.length);
    }
    const current = this.#current as FastDownstream | undefined;
    // The body of a request whose head came last is still to be read.
    const needsMore = current === undefined || (!current.requestEnded && !current.isPaused);
    if (this.#paused && needsMore && !this.#isDeferred && !this.#over) {
      this.#paused = false;
      this.socket.resume();
    }
  }

  awaitFlush(): void {
    this.#onFlushed ??= () => {
      const current = this.#current;
      try {
        current?.onFlushed();
      } catch (error) {
        current?.onError(error);
      }
    };
    this.socket.write('', this.#onFlushed);
  }

  useOwnBuffer(): void {
    if (this.#ownBuffer !== undefined) return;
    this.#ownBuffer = Buffer.allocUnsafeSlow(this.#edges.readBuffer.length);
    this.#nextBuffer = this.#ownBuffer;
  }

  giveBackBuffer(): void {
    if (this.#ownBuffer === undefined) return;
    // Not used again: a write may still read from it.
    this.#ownBuffer = undefined;
    this.#nextBuffer = this.#edges.readBuffer;
  }

  owns(bytes: Buffer): boolean {
    return bytes === this.#ownBuffer;
  }

  giveUp(): void {
    this.#over = true;
    this.#held = undefined;
  }

  onClosed(): void {
    this.#over = true;
    this.#held = undefined;
    const current = this.#current;
    try {
      current?.onConnectionClosed();
    } catch (error) {
      current?.onError(error);
    }
  }

  #serve(bytes: Buffer, start: number, to: number): void {
    const { forwarder, headSize, headers } = this.#edges;
    const peer = peerOf(this.socket, forwarder.snapshot.policy.trust);
    let from = start;
    this.#serving = true;
    while (from < to && this.#current === undefined && this.#rest === undefined && !this.#over) {
      if (this.#inARow === MAX_IN_A_ROW) {
        this.#isDeferred = true;
        setImmediate(goOn, this);
        break;
      }
      const request = readRequest(bytes, from, to, headers, forwarder.snapshot.policy, peer);
      if (request === PARTIAL && ++this.#parts <= MAX_PARTS && to - from < headSize) {
        this.#client.headBegun();
        break;
      }
      if (request === PARTIAL || request === FOREIGN || request.length > headSize) {
        this.#over = true;
        this.#edges.handOver(this.#client, Buffer.from(bytes.subarray(from, to)));
        break;
      }
      this.#parts = 0;
      this.#inARow++;
      this.#client.headEnded();
      from = this.#begin(request, peer, bytes, from + request.length, to);
      from = this.#discard(bytes, from, to);
    }
    this.#serving = false;
    if (from < to && !this.#over) this.#hold(bytes, from, to);
  }

  /** Other connections have had a turn. */
  goOn(): void {
    this.#isDeferred = false;
    this.#inARow = 0;
    if (this.#current === undefined && this.#rest === undefined && !this.#over) this.#serveHeld();
  }

  /** @returns the offset after the last available byte of the request */
  #begin(
    request: Exclude<ReturnType<typeof readRequest>, number>,
    peer: Peer,
    bytes: Buffer,
    from: number,
    to: number,
  ): number {
    const { forwarder, largeBuffers } = this.#edges;
    const { policy } = forwarder.snapshot;
    const downstream = new FastDownstream(this, request, policy);
    this.#transport ??= new FastTransport(forwarder.deadlines, largeBuffers);
    this.#current = downstream;
    const exchange = new Exchange(forwarder, peer, downstream, this.#transport);
    this.#client.exchange = exchange;
    try {
      const isOpen = exchange.open();
      const end = downstream.onBytes(bytes, from, to);
      if (!isOpen || exchange.isOver) return end;
      if (!downstream.requestEnded) this.useOwnBuffer();
      exchange.serve();
      return end;
    } catch (error) {
      exchange.onInternalError(error);
      return to;
    }
  }

  #mayRead(): boolean {
    return this.#current === undefined || !this.#current.isPaused;
  }

  /** Discards the rest of a request that was answered before it had arrived in full. */
  #discard(bytes: Buffer, from: number, to: number): number {
    const rest = this.#rest;
    if (rest === undefined) return from;
    const end = rest.follow(bytes, from, to);
    if (rest.ended) this.#rest = undefined;
    else if (rest.bad) this.#close();
    return end;
  }

  #hold(bytes: Buffer, from: number, to: number): boolean {
    const part = bytes.subarray(from, to);
    this.#held = this.#held === undefined ? Buffer.from(part) : Buffer.concat([this.#held, part]);
    // What follows waits in the kernel.
    if (this.#held.length < this.#edges.headSize) return true;
    this.#paused = true;
    this.socket.pause();
    return false;
  }

  #close(): void {
    this.#over = true;
    endAndLinger(this.socket);
  }
}

function goOn(connection: ClientConnection): void {
  connection.goOn();
}
