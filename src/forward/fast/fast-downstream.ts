/** The client's side of a request on the fast lane: content is read off the connection, the response written on it. */

import { BodyFraming } from '../../http/body-framing.ts';
import { BodyPart } from '../../http/body-part.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { Downstream, DownstreamEvents, EndKind } from '../ports.ts';
import { SocketResponse, type WritableConnection } from '../socket-response.ts';
import type { FastRequest } from './request-reader.ts';

/** Connection of a request. */
export interface RequestConnection extends WritableConnection {
  /** Bytes that follow the request and wait. */
  readonly heldBytes: number;
  /** Reads large bodies into a private buffer, so that content can be written without a copy. */
  useOwnBuffer(): void;
  giveBackBuffer(): void;
  /** True if nothing else is read into these bytes while this connection reads nothing. */
  owns(bytes: Buffer): boolean;
  /** @param rest of the request body, still to be discarded; undefined if there is none */
  onRequestOver(rest: BodyFraming | undefined, closes: boolean): void;
}

/** Content of the bytes that were just read; used within one call only. */
const part = new BodyPart();

export class FastDownstream implements Downstream {
  readonly request: FastRequest;
  readonly response: SocketResponse;
  readonly #connection: RequestConnection;
  /** Undefined if the request has no body. */
  readonly #body: BodyFraming | undefined;
  #events!: DownstreamEvents;
  /** No more is read from the client until the upstream has taken what arrived. */
  isPaused = false;
  #end: EndKind | undefined = undefined;
  #isDiscarding = false;
  #isOver = false;

  constructor(connection: RequestConnection, request: FastRequest, policy: ForwardPolicy) {
    this.#connection = connection;
    this.request = request;
    this.#body = request.contentLength === 0 ? undefined : new BodyFraming(request.contentLength);
    this.response = new SocketResponse(connection, request, policy, request.closes);
  }

  attach(events: DownstreamEvents): void {
    this.#events = events;
  }

  get requestEnded(): boolean {
    return this.#body === undefined || this.#body.ended;
  }

  get canDiscard(): boolean {
    return this.#body?.bad !== true;
  }

  get heldBytes(): number {
    const { socket, heldBytes } = this.#connection;
    return socket.writableLength + heldBytes;
  }

  /** Reads content of the request body. @returns the offset after the last available byte of the body */
  onBytes(bytes: Buffer, from: number, to: number): number {
    const body = this.#body;
    if (body === undefined || body.ended) return from;
    const end = body.follow(bytes, from, to);
    if (body.bad) {
      this.#events.onRequestMalformed('The chunks of its body are malformed.');
      return to;
    }
    if (this.#isDiscarding) {
      if (body.ended) this.#events.onLingered();
      return end;
    }
    const { contentStart, contentEnd } = body;
    if (contentStart === contentEnd && !body.ended) return end;
    // Content was moved together within the bytes of the body: what is around it there may be overwritten.
    part.set(bytes, contentStart, contentEnd, Math.min(from, contentStart), Math.max(end, contentEnd));
    const stable = this.#connection.owns(bytes);
    if (!this.#events.onRequestBody(part, stable, body.ended) && !body.ended) this.#pause();
    // The next request must not be read into a buffer from which this body may still be written.
    if (body.ended) this.#connection.giveBackBuffer();
    return end;
  }

  #pause(): void {
    this.isPaused = true;
    this.#connection.socket.pause();
  }

  resumeBody(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.#connection.socket.resume();
  }

  abandonBody(): void {
    this.#isDiscarding = true;
    this.resumeBody();
  }

  finish(kind: EndKind): void {
    this.#end = kind;
    if (this.response.finished) this.#over();
    else this.#connection.awaitFlush();
  }

  onFlushed(): void {
    if (this.#end === undefined) this.#events.onClientDrained();
    else if (this.response.finished) this.#over();
  }

  /** The response has left: the connection is free, or ends. */
  #over(): void {
    // The rest of the request is read first: a client that still sends would lose the response to a reset.
    if (this.#isOver || this.#end === 'lingering') return;
    this.#isOver = true;
    const { closes } = this.response;
    const rest = closes || this.requestEnded ? undefined : this.#body;
    this.#events.onClosed();
    this.#connection.onRequestOver(rest, closes);
  }

  /** The client's connection is closed. */
  onConnectionClosed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onClosed();
  }

  onError(error: unknown): void {
    this.#events.onInternalError(error);
  }

  destroy(): void {
    this.#connection.socket.destroy();
  }

  /** Only a parser that runs ahead of its request calls this. */
  onGarbage(): void {}

  /** Upgrades are read by the full lane. */
  switchProtocols(): void {
    throw new Error('the fast lane does not switch protocols');
  }

  endTunnel(): void {}
}
