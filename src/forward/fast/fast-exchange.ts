/** A request on the fast lane: both sides are bare sockets, and bytes go from one to the other as they come. */

import { isLocalShortage } from '../../backends/socket-error.ts';
import type { Endpoint } from '../endpoint.ts';
import { Exchange } from '../exchange.ts';
import { applyHeaderRules, ruleContext } from '../header-rules.ts';
import type { Peer } from '../peer.ts';
import type { FailureReason } from '../reasons.ts';
import { isPassableTrailer } from '../response-head.ts';
import { changedFields, changesFields, decisionFields } from '../upstream-fields.ts';
import { BodyFraming } from './body-framing.ts';
import type { ClientConnection } from './client-connection.ts';
import { dateField } from './date-field.ts';
import { FastAnswer } from './fast-answer.ts';
import { fieldLines, fieldList } from './field-lines.ts';
import { latin1 } from './latin1.ts';
import type { FastRequest } from './request-reader.ts';
import { type FastResponse, INCOMPLETE, MALFORMED, readResponse } from './response-reader.ts';
import { type SocketUser, UpstreamSocket } from './upstream-socket.ts';

/** Parts of bodies up to this size are kept and sent as Latin-1 strings, larger ones as buffers. */
const MAX_TEXT = 16 * 1024;

export class FastExchange extends Exchange implements SocketUser {
  readonly waitsFor = 'socket';
  protected readonly request: FastRequest;
  protected readonly answer: FastAnswer;
  readonly #connection: ClientConnection;
  #upstream: UpstreamSocket | undefined = undefined;
  #upstreamIsOpen = false;
  /** The head has left; what comes of the body goes straight on. */
  #isSending = false;

  /** Of the request; undefined when it has no body. */
  readonly #body: BodyFraming | undefined;
  /** The body so far, framing included, for the next attempt; undefined when it is not kept. */
  #parts: (string | Buffer)[] | undefined = undefined;
  #keptBytes = 0;
  #keepLimit = 0;
  /** Nothing more is read from the client until the upstream has taken what came. */
  isRequestPaused = false;

  /** Part of a response head. */
  #headPart: Buffer | undefined = undefined;
  #response: FastResponse | undefined = undefined;
  #responseBody: BodyFraming | undefined = undefined;
  #responseEnded = false;
  #recorded = false;

  constructor(connection: ClientConnection, request: FastRequest, peer: Peer) {
    const { forwarder } = connection.edges;
    super(forwarder, peer, forwarder.edges.now());
    this.#connection = connection;
    this.request = request;
    this.#body = request.contentLength === 0 ? undefined : new BodyFraming(request.contentLength);
    this.answer = new FastAnswer(connection.socket, request, this.#body);
  }

  /**
   * Begins, with what came behind the head.
   *
   * @returns the offset behind the last octet of the request that is here
   */
  start(bytes: Buffer, from: number, to: number): number {
    const { policy } = this.snapshot;
    const { contentLength } = this.request;
    this.forwarder.deadlines.add(this);
    if (contentLength > policy.maxRequestBody) {
      this.fail('body_too_large', `At most ${policy.maxRequestBody} bytes are taken.`);
      // What came of it is thrown away.
      return this.onRequestBytes(bytes, from, to);
    }
    let end = from;
    if (this.#body !== undefined) {
      const isSmall = contentLength > 0 && contentLength <= MAX_TEXT;
      this.#parts = [];
      this.#keepLimit = isSmall ? MAX_TEXT : policy.retryAttempts === 0 ? 0 : policy.retryBuffer;
      this.bodyDeadline = this.startedAt + policy.requestBodyTimeout;
      end = this.onRequestBytes(bytes, from, to);
      if (!this.#body.ended) this.#connection.useOwnBuffer();
    }
    if (!this.isOver()) this.serve();
    return end;
  }

  // ---- the request ----

  protected onDecided(index: number): void {
    this.attempt(index);
  }

  protected tryConnect(endpoint: Endpoint, fresh: boolean): boolean {
    if (endpoint.pool.options.pipelining > 1 && !fresh && this.#joinBatch(endpoint)) return true;
    if (!endpoint.pool.reserveSocket()) return false;
    this.#connect(endpoint, fresh);
    return true;
  }

  onConnection(): void {
    this.#connect(this.endpoint!, false);
  }

  /** Behind requests that others have made in this turn. */
  #joinBatch({ pool }: Endpoint): boolean {
    const socket = pool.openBatch<UpstreamSocket>();
    if (socket === undefined || !this.#mayShare() || !socket.join(this, pool.options.pipelining))
      return false;
    this.#sendOn(socket);
    return true;
  }

  /** Only what can be sent again without harm may stand behind something else. */
  #mayShare(): boolean {
    const { method } = this.request.facts;
    return this.#body === undefined && (method === 'GET' || method === 'HEAD');
  }

  #connect({ pool }: Endpoint, fresh: boolean): void {
    const idle = pool.takeSocket<UpstreamSocket>(fresh);
    if (idle === undefined) {
      this.beginAttempt(false);
      this.#upstreamIsOpen = false;
      this.#upstream = new UpstreamSocket(
        pool,
        this.forwarder.deadlines,
        this.#connection.edges.largeBuffers,
        this,
      );
      return;
    }
    idle.use(this);
    if (pool.options.pipelining > 1 && !fresh && pool.pipelines && this.#mayShare()) {
      idle.beginBatch();
      pool.startBatch(idle);
    }
    this.#sendOn(idle);
  }

  /** On a connection that is open. */
  #sendOn(socket: UpstreamSocket): void {
    this.beginAttempt(true);
    this.#upstreamIsOpen = true;
    this.#upstream = socket;
    this.#send(socket);
  }

  onUpstreamOpen(): void {
    this.#upstreamIsOpen = true;
    this.#send(this.#upstream!);
  }

  #send(upstream: UpstreamSocket): void {
    const parts = this.#parts;
    const whole = this.#body === undefined || this.#body.ended;
    this.beginSending(whole);
    this.#headPart = undefined;
    this.#response = undefined;
    this.#isSending = true;
    const head = `${this.#upstreamHead()}\r\n`;
    if (parts === undefined || parts.length === 0) upstream.send(head);
    else if (parts.length === 1 && typeof parts[0] === 'string') upstream.send(head + parts[0]);
    else {
      upstream.cork();
      upstream.send(head);
      for (const part of parts) {
        if (typeof part === 'string') upstream.send(part);
        else upstream.sendBytes(part);
      }
      upstream.uncork();
    }
    if (this.#keptBytes > this.#keepLimit) this.#parts = undefined;
    if (whole) return;
    if (upstream.flushed) this.#resumeRequest();
    else this.#pauseRequest(upstream);
  }

  #upstreamHead(): string {
    let head = this.request.upstreamHead;
    if (this.snapshot.policy.propagation !== undefined) head += fieldLines(decisionFields(this.dispatched()));
    if (!changesFields(this.live!, this.trace)) return head;
    // What changes fields expects Host in front.
    const line = head.slice(0, head.indexOf('\r\n') + 2);
    const fields = fieldList(head);
    const host = fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
    const ordered = [...fields.splice(host, 2), ...fields];
    return line + fieldLines(changedFields(ordered, this.dispatched()));
  }

  /** @returns the offset behind the last octet of the body that was here */
  onRequestBytes(bytes: Buffer, from: number, to: number): number {
    const body = this.#body;
    if (body === undefined || body.ended) return from;
    const end = body.follow(bytes, from, to);
    if (body.bad) {
      this.#refuseBody();
      return to;
    }
    if (this.isOver()) {
      if (body.ended && this.phase === 'lingering') {
        this.answer.stopLingering();
        this.ended('ended');
      }
      return end;
    }
    const { maxRequestBody } = this.snapshot.policy;
    if (body.received > maxRequestBody) {
      this.fail('body_too_large', `At most ${maxRequestBody} bytes are taken.`);
      return end;
    }
    this.touch();
    const { contentStart, contentEnd } = body;
    const content = contentEnd - contentStart;
    const isChunk = body.chunked !== undefined && content > 0;
    const prefix = isChunk ? `${content.toString(16)}\r\n` : '';
    let suffix = isChunk ? '\r\n' : '';
    // Trailers of a request end here, as in the full lane: undici sends none.
    if (body.chunked !== undefined && body.ended) suffix += '0\r\n\r\n';
    const size = prefix.length + content + suffix.length;
    if (size === 0) return end;
    const sending = this.#isSending;
    const upstream = this.#upstream;
    this.#keptBytes += size;
    if (this.#keptBytes > this.#keepLimit && sending) this.#parts = undefined;
    if (this.#parts === undefined && size > MAX_TEXT && this.#connection.owns(bytes)) {
      upstream!.cork();
      if (prefix !== '') upstream!.send(prefix);
      upstream!.sendBytes(bytes.subarray(contentStart, contentEnd));
      if (suffix !== '') upstream!.send(suffix);
      upstream!.uncork();
      // What comes next is another request, and must not go where this may still be written from.
      if (body.ended) this.#connection.giveBackBuffer();
    } else {
      const part = joined(prefix, bytes, contentStart, contentEnd, suffix);
      this.#parts?.push(part);
      if (sending && typeof part === 'string') upstream!.send(part);
      else if (sending) upstream!.sendBytes(part as Buffer);
    }
    if (!sending) {
      // What came is held in full until there is a connection; more is not read meanwhile.
      if (!body.ended) this.isRequestPaused = true;
    } else if (body.ended) {
      this.onRequestSent();
    } else if (!upstream!.flushed) {
      this.#pauseRequest(upstream!);
    }
    return end;
  }

  #pauseRequest(upstream: UpstreamSocket): void {
    this.isRequestPaused = true;
    this.#connection.socket.pause();
    upstream.awaitFlush();
  }

  #resumeRequest(): void {
    if (!this.isRequestPaused) return;
    this.isRequestPaused = false;
    this.#connection.socket.resume();
  }

  onUpstreamFlushed(): void {
    this.touch();
    this.#resumeRequest();
  }

  #refuseBody(): void {
    if (this.isOver()) return;
    this.answer.closes = true;
    this.fail('bad_request', 'The chunks of its body are malformed.');
  }

  // ---- the response ----

  onUpstreamBytes(bytes: Buffer, floor: number, from: number, to: number): number {
    this.responseBegun = true;
    if (this.#responseBody !== undefined) return this.#onBody(bytes, floor, from, to);
    const part = this.#headPart;
    if (part === undefined) return this.#onHead(bytes, floor, from, to);
    this.#headPart = undefined;
    const joined = Buffer.concat([part, bytes.subarray(from, to)]);
    // Back in terms of `bytes`: the head never ends within the part, or it would not have been one.
    return this.#onHead(joined, 0, 0, joined.length) - part.length + from;
  }

  #onHead(bytes: Buffer, floor: number, start: number, to: number): number {
    const { policy } = this.snapshot;
    let from = start;
    for (;;) {
      const isHead = this.request.facts.method === 'HEAD';
      const response = readResponse(bytes, from, to, isHead, policy.responseFields);
      const { maxHeaderSize } = this.endpoint!.pool.options;
      if (response === INCOMPLETE && to - from <= maxHeaderSize) {
        this.#headPart = Buffer.from(bytes.subarray(from, to));
        return to;
      }
      if (
        response === MALFORMED ||
        response === INCOMPLETE ||
        response.length > maxHeaderSize ||
        response.status === 101
      ) {
        this.#lose('bad_response', false);
        return to;
      }
      from += response.length;
      if (this.noteAnswer(response.status)) return to;
      if (response.status >= 200) {
        this.#begin(response);
        return this.#onBody(bytes, floor, from, to);
      }
      this.answer.inform(`${response.head}${policy.requestIdField}: ${this.request.requestId}\r\n\r\n`);
      if (from === to) return to;
    }
  }

  #begin(response: FastResponse): void {
    const { policy } = this.snapshot;
    const { answer, request } = this;
    const { responseRules } = this.live!;
    const now = this.beginResponse();
    const debug = this.debugFields();
    if (this.forwarder.draining || answer.restIsTooLarge()) answer.closes = true;
    let { head } = response;
    if (responseRules !== undefined) {
      const context = ruleContext(this.snapshot, this.live!, this.index, request, this.peer);
      const line = head.slice(0, head.indexOf('\r\n') + 2);
      head = line + fieldLines(applyHeaderRules(responseRules, fieldList(head), context));
    }
    if (debug.length > 0) head += fieldLines(debug);
    if (this.setCookie !== undefined) {
      const fields = head.indexOf('\r\n') + 2;
      head = `${head.slice(0, fields)}Set-Cookie: ${this.setCookie}\r\n${head.slice(fields)}`;
    }
    head += policy.requestIdStart + request.requestId;
    head += '\r\n';
    if (!response.hasDate) head += dateField();
    if (response.trailer !== undefined && response.body === 'chunked')
      head += `Trailer: ${response.trailer}\r\n`;
    if (response.body === 'close') head += 'Transfer-Encoding: chunked\r\n';
    head += answer.closes ? 'Connection: close\r\n\r\n' : '\r\n';
    this.#response = response;
    this.#responseBody = bodyOf(response);
    answer.hold(response.status, head);
    this.deadline = now;
  }

  #onBody(bytes: Buffer, floor: number, from: number, to: number): number {
    const { answer } = this;
    const response = this.#response!;
    const body = this.#responseBody!;
    const end = body.follow(bytes, from, to);
    if (body.bad) {
      this.#lose('bad_response', false);
      return to;
    }
    const { contentStart, contentEnd } = body;
    const content = contentEnd - contentStart;
    const isChunk = content > 0 && (response.body === 'chunked' || response.body === 'close');
    const prefix = isChunk ? `${content.toString(16)}\r\n` : '';
    let suffix = isChunk ? '\r\n' : '';
    if (body.ended && body.chunked !== undefined) suffix += lastChunk(body.chunked.trailers);
    if (content > 0 || body.ended) {
      const ceiling = end === to ? bytes.length : end;
      answer.write(prefix, bytes, contentStart, contentEnd, suffix, floor, ceiling);
    }
    if (body.ended) {
      // The client is slower: what it has not taken is still in the buffer that the next response would go into.
      if (!answer.flushed) this.#upstream!.replaceBuffer();
      this.#endUpstream(response.keepsAlive, end === to);
      this.#end();
      return end;
    }
    if (answer.headIsHeld) {
      // The head must not wait for a body that takes its time: a stream's goes out with the end of this turn.
      if (response.body !== 'length') process.nextTick(flushHead, this);
      return to;
    }
    this.touch();
    if (!answer.flushed) {
      this.blockedByClient = true;
      this.#upstream!.pause();
      this.#connection.awaitFlush();
    }
    return to;
  }

  onClientFlushed(): void {
    if (this.#responseEnded) {
      if (this.answer.finished) this.#over();
      return;
    }
    if (!this.blockedByClient) return;
    this.blockedByClient = false;
    this.touch();
    this.#upstream?.resume();
  }

  /** The last byte for the client is written. */
  #end(): void {
    this.ended(this.answer.end());
  }

  protected override ended(kind: 'ended' | 'lingering'): void {
    super.ended(kind);
    this.#responseEnded = true;
    if (this.answer.finished) this.#over();
    else this.#connection.awaitFlush();
  }

  /** The response is out: the connection is free, or ends. */
  #over(): void {
    if (this.#recorded) return;
    // The rest of the request is read first: a client that still sends would lose the answer to a reset.
    if (this.phase === 'lingering') return;
    const { closes } = this.answer;
    const rest = closes || this.answer.requestIsRead() ? undefined : this.#body;
    this.onClose();
    this.#connection.onExchangeEnd(rest, closes);
  }

  get heldBytes(): number {
    const kept = this.#parts === undefined ? 0 : this.#keptBytes;
    const written = this.#connection.socket.writableLength + (this.#upstream?.pendingBytes ?? 0);
    return kept + written + (this.#headPart?.length ?? 0) + this.#connection.heldBytes;
  }

  override onClose(): void {
    if (this.#recorded) return;
    this.#recorded = true;
    super.onClose();
  }

  onUpstreamClosed(error: Error | undefined): void {
    const connected = this.#upstreamIsOpen;
    const response = this.#response;
    if (error === undefined && response?.body === 'close' && this.phase === 'responding') {
      this.#endUpstream(false);
      this.answer.write('0\r\n\r\n', NO_BYTES, 0, 0, '', 0, 0);
      this.#end();
      return;
    }
    const reason = !connected
      ? (error as NodeJS.ErrnoException | undefined)?.code === 'CONNECT_TIMEOUT'
        ? 'connect_timeout'
        : 'connect_failed'
      : this.phase === 'responding'
        ? 'upstream_truncated'
        : 'upstream_reset';
    this.#lose(reason, error !== undefined && isLocalShortage(error));
  }

  // ---- the end of an attempt ----

  /** The attempt has failed. */
  #lose(reason: FailureReason, local: boolean): void {
    this.#endUpstream(false);
    this.attemptFailed(reason, local);
  }

  protected abortAttempt(): void {
    if (this.#upstream === undefined) return;
    this.#endUpstream(false);
    this.attemptFailed('upstream_reset', false);
  }

  /** @param clean nothing came behind the response */
  #endUpstream(reusable: boolean, clean = false): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    this.#upstream = undefined;
    this.#isSending = false;
    this.#responseBody = undefined;
    this.endAttempt();
    const sent = this.#body === undefined || (this.#body.ended && upstream.flushed);
    if (reusable && sent) upstream.release(this.#response!.keepAliveMs, clean);
    else upstream.leave(this);
  }

  // ---- what the base asks ----

  protected get replayable(): boolean {
    return this.#body === undefined || this.#parts !== undefined;
  }

  protected get received(): number {
    return this.#body?.received ?? 0;
  }

  protected get bodyIsPaused(): boolean {
    return this.isRequestPaused;
  }

  protected abandonBody(): void {
    this.#parts = undefined;
    this.#resumeRequest();
  }

  /** Only a parser that runs ahead of the exchange calls this; here bytes are read by the exchange itself. */
  onGarbage(): void {}
}

const NO_BYTES = Buffer.alloc(0);

function flushHead(exchange: FastExchange): void {
  exchange.flushHead();
}

function bodyOf({ body, contentLength }: FastResponse): BodyFraming {
  if (body === 'none') return new BodyFraming(0);
  if (body === 'chunked') return new BodyFraming(-1);
  return new BodyFraming(body === 'length' ? contentLength : Number.POSITIVE_INFINITY);
}

function lastChunk(trailers: readonly string[]): string {
  let text = '0\r\n';
  for (const line of trailers) if (isPassableTrailer(line.slice(0, line.indexOf(':')))) text += `${line}\r\n`;
  return `${text}\r\n`;
}

/** Returns a copy of a part of the body, with its framing. */
function joined(prefix: string, bytes: Buffer, start: number, end: number, suffix: string): string | Buffer {
  const size = prefix.length + (end - start) + suffix.length;
  if (size <= MAX_TEXT) return prefix + latin1(bytes, start, end) + suffix;
  const copy = Buffer.allocUnsafe(size);
  const at = copy.write(prefix, 0, 'latin1');
  bytes.copy(copy, at, start, end);
  copy.write(suffix, size - suffix.length, 'latin1');
  return copy;
}
