/** The upstream's side of a request on the fast lane: bare sockets, HTTP/1.1. */

import type { Deadlines } from '../../admission/deadlines.ts';
import { isLocalShortage } from '../../backends/socket-error.ts';
import { BodyFraming } from '../../http/body-framing.ts';
import { BodyPart, NO_TRAILERS } from '../../http/body-part.ts';
import { fieldList } from '../../http/field-lines.ts';
import type { KeptBody } from '../../http/kept-body.ts';
import { latin1 } from '../../http/latin1.ts';
import type { RequestBody } from '../../http/request-body.ts';
import { passableTrailers, type TextHead } from '../../http/response-head.ts';
import { INCOMPLETE, MALFORMED, readResponse } from '../../http/response-reader.ts';
import type { Attempt } from '../attempt.ts';
import { connectFailure } from '../connect-upstream.ts';
import { invariant } from '../invariant.ts';
import type { UpstreamEvents, UpstreamTransport } from '../ports.ts';
import type { FailureReason } from '../reasons.ts';
import type { LargeBuffers } from './read-buffers.ts';
import { type SocketUser, UpstreamSocket } from './upstream-socket.ts';

/** Parts of bodies up to this size are sent as Latin-1 strings, larger ones as buffers. */
const MAX_TEXT = 16 * 1024;

const LAST_CHUNK = '0\r\n\r\n';

/** Content of the bytes that were just read; used within one call only. */
const part = new BodyPart();

export class FastTransport implements UpstreamTransport, SocketUser {
  readonly #deadlines: Deadlines;
  readonly #largeBuffers: LargeBuffers;
  #events!: UpstreamEvents;
  #attempt: Attempt | undefined = undefined;
  #upstream: UpstreamSocket | undefined = undefined;
  #isOpen = false;
  /** Request body of this attempt. */
  #body: RequestBody | undefined = undefined;
  /** The request head, until content goes with it. */
  #front = '';
  #chunks = false;
  #allSent = false;
  #method = '';
  #maxHeadSize = 0;

  /** Part of a response head. */
  #headPart: Buffer | undefined = undefined;
  #response: TextHead | undefined = undefined;
  #responseBody: BodyFraming | undefined = undefined;

  constructor(deadlines: Deadlines, largeBuffers: LargeBuffers) {
    this.#deadlines = deadlines;
    this.#largeBuffers = largeBuffers;
  }

  attach(events: UpstreamEvents): void {
    invariant(this.#upstream === undefined, 'a transport carries one attempt at a time');
    this.#events = events;
    this.#body = undefined;
  }

  get heldBytes(): number {
    return (this.#upstream?.pendingBytes ?? 0) + (this.#headPart?.length ?? 0);
  }

  /** Shares a connection with requests of this turn: only requests that can be repeated without harm may wait for others. */
  join(attempt: Attempt): boolean {
    const { pool } = attempt.endpoint!;
    if (pool.options.pipelining === 1) return false;
    const socket = pool.openBatch<UpstreamSocket>();
    if (socket === undefined || !this.#mayShare() || !socket.join(this, pool.options.pipelining))
      return false;
    this.#attempt = attempt;
    this.#sendOn(socket);
    return true;
  }

  #mayShare(): boolean {
    const { contentLength, facts } = this.#events.request;
    return contentLength === 0 && (facts.method === 'GET' || facts.method === 'HEAD');
  }

  start(attempt: Attempt, body: RequestBody | undefined, fresh: boolean): void {
    const { pool } = attempt.endpoint!;
    this.#attempt = attempt;
    this.#body = body;
    const idle = pool.take<UpstreamSocket>('socket', fresh);
    if (idle === undefined) {
      this.#events.onConnecting(false);
      this.#isOpen = false;
      this.#upstream = new UpstreamSocket(pool, this.#deadlines, this.#largeBuffers, this);
      return;
    }
    idle.use(this);
    if (!fresh && pool.pipelines && this.#mayShare()) {
      idle.beginBatch();
      pool.startBatch(idle);
    }
    this.#sendOn(idle);
  }

  /** Sends on an open connection. */
  #sendOn(socket: UpstreamSocket): void {
    this.#events.onConnecting(true);
    this.#isOpen = true;
    this.#upstream = socket;
    this.#sendHead(socket);
  }

  onUpstreamOpen(): void {
    this.#isOpen = true;
    this.#sendHead(this.#upstream!);
  }

  #sendHead(upstream: UpstreamSocket): void {
    const { contentLength, facts } = this.#events.request;
    this.#headPart = undefined;
    this.#response = undefined;
    this.#responseBody = undefined;
    this.#method = facts.method;
    this.#maxHeadSize = this.#attempt!.endpoint!.pool.options.maxHeaderSize;
    this.#events.onConnected();
    const head = `${this.#events.upstreamText()}\r\n`;
    if (this.#body === undefined) {
      this.#allSent = true;
      upstream.send(head);
      return;
    }
    this.#allSent = false;
    this.#chunks = contentLength === -1;
    if (!this.#body.ended) upstream.expectEarlyResponse();
    this.#front = head;
    this.#events.takeBody();
    // Given up meanwhile, or there was no content yet.
    if (this.#front === '' || this.#upstream !== upstream) return;
    this.#front = '';
    upstream.send(head);
  }

  // ---- the request body ----

  sendKept(kept: KeptBody, last: boolean): boolean {
    const { text } = kept;
    if (text === undefined) return this.send(part.whole(kept.joined()), true, last);
    const upstream = this.#upstream!;
    const front = this.#takeFront(text.length);
    upstream.send(front + text + this.#suffix(text.length, last));
    this.#allSent = last;
    return this.#flows(upstream);
  }

  send({ bytes, start, end }: BodyPart, stable: boolean, last: boolean): boolean {
    const upstream = this.#upstream!;
    const size = end - start;
    const front = this.#takeFront(size);
    const suffix = this.#suffix(size, last);
    this.#allSent = last;
    if (size <= MAX_TEXT) {
      const text = front + latin1(bytes, start, end) + suffix;
      if (text !== '') upstream.send(text);
    } else {
      upstream.cork();
      if (front !== '') upstream.send(front);
      const content = bytes.subarray(start, end);
      upstream.sendBytes(stable ? content : Buffer.from(content));
      if (suffix !== '') upstream.send(suffix);
      upstream.uncork();
    }
    return this.#flows(upstream);
  }

  /** Returns the bytes that precede content: the head, if it was not sent, and the size of a chunk. */
  #takeFront(size: number): string {
    const front = this.#front;
    this.#front = '';
    return this.#chunks && size > 0 ? `${front}${size.toString(16)}\r\n` : front;
  }

  #suffix(size: number, last: boolean): string {
    if (!this.#chunks) return '';
    // Request trailers are not forwarded, as in the full lane: undici cannot send them.
    if (size === 0) return last ? LAST_CHUNK : '';
    return last ? `\r\n${LAST_CHUNK}` : '\r\n';
  }

  #flows(upstream: UpstreamSocket): boolean {
    if (upstream.flushed) return true;
    upstream.awaitFlush();
    return false;
  }

  onUpstreamFlushed(): void {
    if (this.#upstream !== undefined) this.#events.onUpstreamDrained();
  }

  // ---- the response ----

  onUpstreamBytes(bytes: Buffer, floor: number, from: number, to: number): number {
    this.#events.onResponseBegun();
    if (this.#responseBody !== undefined) return this.#onBody(bytes, floor, from, to);
    const headPart = this.#headPart;
    if (headPart === undefined) return this.#onHead(bytes, floor, from, to);
    this.#headPart = undefined;
    const joined = Buffer.concat([headPart, bytes.subarray(from, to)]);
    // Back in terms of `bytes`: the head never ends within the part, or it would not have been one.
    return this.#onHead(joined, 0, 0, joined.length) - headPart.length + from;
  }

  #onHead(bytes: Buffer, floor: number, start: number, to: number): number {
    const { responseFields } = this.#events.policy;
    const isHead = this.#method === 'HEAD';
    let from = start;
    for (;;) {
      const response = readResponse(bytes, from, to, isHead, responseFields);
      if (response === INCOMPLETE && to - from <= this.#maxHeadSize) {
        this.#headPart = Buffer.from(bytes.subarray(from, to));
        return to;
      }
      if (
        response === MALFORMED ||
        response === INCOMPLETE ||
        response.size > this.#maxHeadSize ||
        response.status === 101
      ) {
        this.#fail('bad_response', false);
        return to;
      }
      from += response.size;
      const upstream = this.#upstream;
      const isFinal = response.status >= 200;
      if (isFinal) {
        this.#response = response;
        this.#responseBody = framingOf(response);
      }
      const next = this.#events.onResponseHead(response);
      if (next === 'stop' || this.#upstream !== upstream) return to;
      if (isFinal) return this.#onBody(bytes, floor, from, to);
      if (next === 'pause') {
        upstream!.pause();
        if (from < to) this.#headPart = Buffer.from(bytes.subarray(from, to));
        return to;
      }
      if (from === to) return to;
    }
  }

  #onBody(bytes: Buffer, floor: number, from: number, to: number): number {
    const upstream = this.#upstream!;
    const response = this.#response!;
    const body = this.#responseBody!;
    const end = body.follow(bytes, from, to);
    if (body.bad) {
      this.#fail('bad_response', false);
      return to;
    }
    const { contentStart, contentEnd, ended } = body;
    if (contentEnd > contentStart || ended) {
      // Framing may overwrite the buffer after the content if nothing is left to read there.
      part.set(bytes, contentStart, contentEnd, floor, end === to ? bytes.length : end);
      const trailers = ended ? trailersOf(body) : NO_TRAILERS;
      const flows = this.#events.onResponseBody(part, ended, trailers);
      // Given up meanwhile.
      if (this.#upstream !== upstream) return to;
      if (ended) {
        // The next response must not be read to where this one is still written from.
        if (!flows) upstream.replaceBuffer();
        this.#release(response.keepsAlive, end === to);
        this.#events.onResponseEnd(trailers);
        return end;
      }
      if (!flows) upstream.pause();
    }
    // The head must not wait for the body of a stream.
    if (response.framing !== 'length') this.#events.onHeadAlone();
    return to;
  }

  resume(): void {
    // Bytes that follow an interim response wait here.
    const rest = this.#responseBody === undefined ? this.#headPart : undefined;
    if (rest !== undefined) this.#headPart = undefined;
    this.#upstream?.resume(rest);
  }

  onUpstreamClosed(error: Error | undefined): void {
    const response = this.#response;
    if (error === undefined && response?.framing === 'close') {
      this.#release(false, false);
      this.#events.onResponseEnd(NO_TRAILERS);
      return;
    }
    const reason = this.#isOpen
      ? response === undefined
        ? 'upstream_reset'
        : 'upstream_truncated'
      : connectFailure(error);
    this.#fail(reason, error !== undefined && isLocalShortage(error));
  }

  onUserError(error: unknown): void {
    this.#events.onInternalError(error);
  }

  // ---- the end of an attempt ----

  abort(): void {
    this.#release(false, false);
  }

  #fail(reason: FailureReason, local: boolean): void {
    this.#release(false, false);
    this.#events.onAttemptFailed(reason, local);
  }

  /** @param clean nothing followed the response */
  #release(reusable: boolean, clean: boolean): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    const keepAliveMs = this.#response?.keepAliveMs ?? -1;
    this.#upstream = undefined;
    this.#front = '';
    this.#headPart = undefined;
    this.#response = undefined;
    this.#responseBody = undefined;
    if (reusable && this.#allSent && upstream.flushed) upstream.release(keepAliveMs, clean);
    else upstream.leave(this);
  }
}

function framingOf({ framing, contentLength }: TextHead): BodyFraming {
  if (framing === 'none') return new BodyFraming(0);
  if (framing === 'chunked') return new BodyFraming(-1);
  return new BodyFraming(framing === 'length' ? contentLength : Number.POSITIVE_INFINITY);
}

/** Returns the trailers that may be forwarded, names and values in turn. */
function trailersOf({ chunked }: BodyFraming): readonly string[] {
  const lines = chunked?.trailers ?? NO_TRAILERS;
  // Read as a head, whose first line is not a header.
  return lines.length === 0 ? NO_TRAILERS : passableTrailers(fieldList(`\r\n${lines.join('\r\n')}`));
}
