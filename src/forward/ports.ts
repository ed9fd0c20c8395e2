/**
 * Where a protocol plugs in. An `Exchange` owns the life of a request; it talks to a downstream, which reads the
 * client's request and writes the response, and to an upstream transport, which carries one attempt at a time. A new
 * protocol implements one or both of these interfaces and nothing else.
 *
 * Rules for both sides:
 * - `abort`, `destroy` and `abandonBody` never call back before they return, nor afterwards for what they ended.
 * - Content is passed as a `BodyPart`, whose bytes may be overwritten once the call has returned, unless it says
 *   otherwise. A port that keeps content longer copies it and accounts for it in `heldBytes`.
 * - A method that takes content returns false if its side is not drained. The producer then pauses until it is resumed.
 */

import type { BodyPart } from '../http/body-part.ts';
import type { KeptBody } from '../http/kept-body.ts';
import type { RequestBody } from '../http/request-body.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { Attempt } from './attempt.ts';
import type { ForwardPolicy } from './policy.ts';
import type { FailureReason } from './reasons.ts';
import type { ClientRequest } from './request-description.ts';

/** `lingering`: the rest of the request is read and discarded before the connection ends; `finish` is called again. */
export type EndKind = 'ended' | 'lingering';

/** An error response that Pointsman generates. */
export interface ErrorResponse {
  readonly reason: FailureReason;
  readonly detail: string | undefined;
  /** Further headers, names and values in turn. */
  readonly headers: readonly string[];
}

/** Writes the response of one exchange. */
export interface ResponseWriter {
  /** True if a response head was sent: no other response is possible. */
  readonly begun: boolean;
  /** Status of the response; 0: none was sent. */
  readonly status: number;
  /** True if the connection ends with this response. */
  readonly closes: boolean;
  /** True if the whole response was written and has left. */
  readonly finished: boolean;
  /** True if a head waits for the first bytes of its body. */
  readonly headIsHeld: boolean;
  /** Content bytes written. */
  readonly bytesOut: number;
  /** The connection ends with this response. Has no effect once a head was sent that says otherwise. */
  closeAfter(): void;
  /** Sends an interim response. @returns false if the client is not drained */
  inform(head: ResponseHead): boolean;
  /** Takes the final head and holds it until content, `flush` or `end` follows. */
  respond(head: ResponseHead): void;
  /** Sends a held head. @throws if the protocol cannot express it; then nothing was sent */
  flush(): void;
  /**
   * Writes content, after a held head.
   *
   * @param last     true if the response ends with it
   * @param trailers after the last part, names and values in turn
   * @returns false if the client is not drained; `DownstreamEvents.onClientDrained` follows
   * @throws as `flush`
   */
  write(part: BodyPart, last: boolean, trailers: readonly string[]): boolean;
  /**
   * Ends the response, if `write` has not.
   *
   * @param lingers true if the connection stays open until the rest of the request is read
   * @throws as `flush`
   */
  end(trailers: readonly string[], lingers: boolean): void;
  /** Ends with an error response; nothing was sent before. */
  fail(error: ErrorResponse, lingers: boolean): void;
  /** The client has had its time to stop sending. */
  stopLingering(): void;
}

/** The client's side of an exchange. */
export interface Downstream {
  readonly request: ClientRequest;
  readonly response: ResponseWriter;
  /** Called once by the exchange, before anything else. */
  attach(events: DownstreamEvents): void;
  /** True if all of the request body was read, or there is none. */
  readonly requestEnded: boolean;
  /** True if the rest of the request body can be read and discarded. */
  readonly canDiscard: boolean;
  /** Bytes kept in memory for this exchange, those that wait to be written included. */
  readonly heldBytes: number;
  /** Requests content, for the first time or again. */
  resumeBody(): void;
  /** Discards the rest of the request body. */
  abandonBody(): void;
  /** The response is written. `DownstreamEvents.onClosed` follows, once all of it has left. */
  finish(kind: EndKind): void;
  /** Cuts the response so that it cannot look complete. */
  destroy(): void;
  /** The bytes after the request cannot be parsed. */
  onGarbage(): void;
  /** Sends the head of a 101. The transport then carries bytes both ways. */
  switchProtocols(head: ResponseHead): void;
  /** The upstream's end of the tunnel is closed: the client's end follows. */
  endTunnel(): void;
}

/** Events of a downstream. */
export interface DownstreamEvents {
  /**
   * Content of the request body arrived.
   *
   * @param stable true if the bytes stay as they are until `resumeBody`, given that this returns false
   * @param last   true if the body ends with it; the part may be empty then
   * @returns false to pause until `resumeBody`
   */
  onRequestBody(part: BodyPart, stable: boolean, last: boolean): boolean;
  /** The request body cannot be read any further. */
  onRequestMalformed(detail?: string): void;
  /** The written bytes have left. */
  onClientDrained(): void;
  /** The rest of the request body was read and discarded. */
  onLingered(): void;
  /** The response is out and the client's side is free again, or the client has left. */
  onClosed(): void;
  /** Bytes crossed the tunnel. */
  onTunnelBytes(inbound: number, outbound: number): void;
  /** An error of our own. */
  onInternalError(error: unknown): void;
}

/** The upstream's side of an exchange. It carries one attempt at a time and is used again for the next one. */
export interface UpstreamTransport {
  /** Called by the exchange, before anything else. A transport may serve one exchange after the other. */
  attach(events: UpstreamEvents): void;
  /** Bytes kept in memory for this exchange. */
  readonly heldBytes: number;
  /**
   * Shares an open connection without a separate place, if the protocol can.
   *
   * @returns false if `start` has to follow, with a place
   */
  join(attempt: Attempt): boolean;
  /**
   * Takes an idle connection, or opens one, in the place leased for this attempt, and sends the request. The place is
   * the transport's from `onConnecting` on, and is given back when the attempt ends.
   *
   * @param fresh true to open a new connection: those that are idle may be broken
   */
  start(attempt: Attempt, body: RequestBody | undefined, fresh: boolean): void;
  /** Sends what was kept, first of all. @returns as `send` */
  sendKept(kept: KeptBody, last: boolean): boolean;
  /**
   * Sends content. Called from `UpstreamEvents.takeBody` on.
   *
   * @param stable true if the bytes stay as they are until `onUpstreamDrained`, given that this returns false
   * @param last   true if the body ends with it; the part may be empty then

   * @returns false if the upstream is not drained; `UpstreamEvents.onUpstreamDrained` follows
   */
  send(part: BodyPart, stable: boolean, last: boolean): boolean;
  /** Reads on after `onResponseBody` or `onResponseHead` asked to pause. */
  resume(): void;
  /** Gives up the attempt. Its connection is closed, its place given back. Nothing of the attempt calls back. */
  abort(): void;
}

/** Events of a transport, in this order. */
export interface UpstreamEvents {
  readonly request: ClientRequest;
  readonly policy: ForwardPolicy;
  /** Returns the request line and the header lines for the upstream, Latin-1, without the empty line. */
  upstreamText(): string;
  /** Returns the headers for the upstream, names and values in turn; Host comes first. */
  upstreamList(): string[];
  /** A connection was taken, or is being opened. */
  onConnecting(reused: boolean): void;
  /** The connection is open, and the request head is being sent. */
  onConnected(): void;
  /** The transport takes content from here on: what was kept is sent, then whatever arrives. */
  takeBody(): void;
  /** The sent bytes have left. */
  onUpstreamDrained(): void;
  /** The first byte of a response arrived. */
  onResponseBegun(): void;
  /** @returns `stop`: the attempt was given up meanwhile; `pause`: read nothing until `resume` */
  onResponseHead(head: ResponseHead): 'continue' | 'pause' | 'stop';
  /** No content has followed the head yet: the head goes out at the end of this turn. */
  onHeadAlone(): void;
  /** @returns false: read nothing until `resume` */
  onResponseBody(part: BodyPart, last: boolean, trailers: readonly string[]): boolean;
  /** The response is complete, and the connection was given back. */
  onResponseEnd(trailers: readonly string[]): void;
  /** The attempt has failed, and its connection was given back. @param local true if this host is to blame */
  onAttemptFailed(reason: FailureReason, local: boolean): void;
  /** The upstream has switched protocols. @returns false if the attempt was given up meanwhile */
  onSwitched(head: ResponseHead): boolean;
  /** The tunnel has ended. @param broken true if an error ended it */
  onTunnelClosed(broken: boolean): void;
  /** An error of our own. */
  onInternalError(error: unknown): void;
}
