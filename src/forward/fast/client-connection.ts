/**
 * A client's connection on the fast lane: cuts what comes into requests, serves one after the other, and hands over to
 * the full lane what is not in its grammar.
 */
import type { Socket } from 'node:net';
import { endAndLinger } from '../end-connection.ts';
import type { Forwarder } from '../forwarder.ts';
import type { Peer } from '../peer.ts';
import { peerOf } from '../peer.ts';
import type { BodyFraming } from './body-framing.ts';
import { FastExchange } from './fast-exchange.ts';
import type { LargeBuffers } from './read-buffers.ts';
import { FOREIGN, PARTIAL, readRequest } from './request-reader.ts';

export interface ConnectionEdges {
  readonly forwarder: Forwarder;
  /** What comes is used up or copied before the next read, so all connections share it; idle ones cost nothing. */
  readonly readBuffer: Buffer;
  readonly largeBuffers: LargeBuffers;
  /** Bytes and fields that a head may have at most. */
  readonly headSize: number;
  readonly headers: number;
  /** The connection, at a request boundary, with what came and was not read. */
  handOver(connection: ClientConnection, socket: Socket, unread: Buffer): void;
}

/** A head in more parts than this is read by the full lane's parser, which does not begin anew with every part. */
const MAX_PARTS = 8;

export class ClientConnection {
  readonly edges: ConnectionEdges;
  readonly socket: Socket;
  #exchange: FastExchange | undefined = undefined;
  /** Part of a head, or what came behind the request that is under way. */
  #held: Buffer | undefined = undefined;
  #parts = 0;
  /** The rest of a request body that was answered early, to be thrown away. */
  #rest: BodyFraming | undefined = undefined;
  #serving = false;
  /** More than one head's worth waits. */
  #paused = false;
  #over = false;
  #handedOver = false;
  #onFlushed: (() => void) | undefined = undefined;
  /** What the next read goes into, when it is another buffer than for the last one. */
  #nextBuffer: Buffer | undefined = undefined;
  #ownBuffer: Buffer | undefined = undefined;
  /** Since when an unfinished head is here, clock milliseconds. */
  headSince = Number.POSITIVE_INFINITY;

  constructor(edges: ConnectionEdges, makeSocket: (connection: ClientConnection) => Socket) {
    this.edges = edges;
    this.#nextBuffer = edges.readBuffer;
    this.socket = makeSocket(this);
  }

  get peer(): Peer {
    return peerOf(this.socket, this.edges.forwarder.snapshot.policy.trust);
  }

  /** What waits behind the request that is under way. */
  get heldBytes(): number {
    return this.#held?.length ?? 0;
  }

  get isIdle(): boolean {
    return this.#exchange === undefined && this.#held === undefined;
  }

  /** For the socket, before the first read and after each. */
  takeNextBuffer(): Buffer {
    const next = this.#nextBuffer;
    this.#nextBuffer = undefined;
    // Node keeps the one it has for whatever is no buffer.
    return next as Buffer;
  }

  /** @returns false to read no more until `socket.resume()` */
  onBytes(bytes: Buffer, length: number): boolean {
    // Handed over: the full lane's parser reads by itself, but what follows an upgrade comes here.
    if (this.#handedOver) return this.socket.push(Buffer.from(bytes.subarray(0, length)));
    if (this.#over) return true;
    let from = this.#discard(bytes, 0, length);
    if (from === length) return true;
    const exchange = this.#exchange;
    if (exchange !== undefined) from = exchange.onRequestBytes(bytes, from, length);
    if (from === length) return this.#mayRead();
    if (this.#exchange !== undefined || this.#rest !== undefined) return this.#hold(bytes, from, length);
    if (this.#held === undefined) this.#serve(bytes, from, length);
    else {
      const joined = Buffer.concat([this.#held, bytes.subarray(from, length)]);
      this.#held = undefined;
      this.#serve(joined, 0, joined.length);
    }
    return this.#mayRead();
  }

  /** The exchange is over and recorded. @param rest of its request body, unread; undefined when there is none */
  onExchangeEnd(rest: BodyFraming | undefined, closes: boolean): void {
    this.#exchange = undefined;
    this.giveBackBuffer();
    if (this.#over) return;
    if (closes) {
      this.#close();
      return;
    }
    this.#rest = rest;
    if (this.#serving || rest !== undefined) return;
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      this.#serve(held, 0, held.length);
    }
    if (this.#paused && this.#exchange === undefined && !this.#over) {
      this.#paused = false;
      this.socket.resume();
    }
  }

  /** Calls the exchange's `onClientFlushed` once what was written is out. */
  awaitFlush(): void {
    this.#onFlushed ??= () => this.#exchange?.onClientFlushed();
    this.socket.write('', this.#onFlushed);
  }

  /** Large bodies are read into a buffer of their own, so that what was read can be written without a copy. */
  useOwnBuffer(): void {
    if (this.#ownBuffer !== undefined) return;
    this.#ownBuffer = Buffer.allocUnsafeSlow(this.edges.readBuffer.length);
    this.#nextBuffer = this.#ownBuffer;
  }

  /** The next read goes into the buffer of all. */
  giveBackBuffer(): void {
    if (this.#ownBuffer === undefined) return;
    // Not used again: a write may still read from it.
    this.#ownBuffer = undefined;
    this.#nextBuffer = this.edges.readBuffer;
  }

  /** Nothing else is read into these bytes while this connection reads nothing. */
  owns(bytes: Buffer): boolean {
    return bytes === this.#ownBuffer;
  }

  /** Nothing that comes is read any more. */
  giveUp(): void {
    this.#over = true;
    this.#held = undefined;
    this.headSince = Number.POSITIVE_INFINITY;
  }

  onClosed(): void {
    this.#over = true;
    this.#held = undefined;
    this.#exchange?.onClose();
  }

  #serve(bytes: Buffer, start: number, to: number): void {
    const { forwarder, headSize, headers } = this.edges;
    const { peer } = this;
    let from = start;
    this.#serving = true;
    while (from < to && this.#exchange === undefined && this.#rest === undefined && !this.#over) {
      const request = readRequest(bytes, from, to, headers, forwarder.snapshot.policy, peer);
      if (request === PARTIAL && ++this.#parts <= MAX_PARTS && to - from < headSize) {
        if (this.headSince === Number.POSITIVE_INFINITY) this.headSince = forwarder.edges.now();
        peer.idleSince = Number.POSITIVE_INFINITY;
        break;
      }
      if (request === PARTIAL || request === FOREIGN || request.length > headSize) {
        this.#over = true;
        this.#handedOver = true;
        this.edges.handOver(this, this.socket, Buffer.from(bytes.subarray(from, to)));
        break;
      }
      this.#parts = 0;
      this.headSince = Number.POSITIVE_INFINITY;
      from += request.length;
      const exchange = new FastExchange(this, request, peer);
      this.#exchange = exchange;
      from = exchange.start(bytes, from, to);
      from = this.#discard(bytes, from, to);
    }
    this.#serving = false;
    if (from < to && !this.#over) this.#hold(bytes, from, to);
  }

  #mayRead(): boolean {
    return this.#exchange === undefined || !this.#exchange.isRequestPaused;
  }

  /** The rest of a request that was answered before it had come in full. */
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
    if (this.#held.length < this.edges.headSize) return true;
    this.#paused = true;
    this.socket.pause();
    return false;
  }

  #close(): void {
    this.#over = true;
    endAndLinger(this.socket);
  }
}
