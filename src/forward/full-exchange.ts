/** A request on the full lane: read by `node:http`, sent by undici, whose handler this is for every attempt. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { IncomingHttpHeaders } from 'undici/types/header.js';
import { isLocalShortage } from '../backends/socket-error.ts';
import { ClientResponse } from './client-response.ts';
import type { Endpoint } from './endpoint.ts';
import type { UpstreamConnection } from './endpoint-pool.ts';
import { Exchange } from './exchange.ts';
import type { Forwarder } from './forwarder.ts';
import { ruleContext } from './header-rules.ts';
import type { Peer } from './peer.ts';
import type { FailureReason } from './reasons.ts';
import { type BodyOwner, RequestBody } from './request-body.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { buildResponseHead, endsConnection, isCodingUnderstood, passableTrailers } from './response-head.ts';
import { BadResponseError, failureOf } from './retry.ts';
import { upstreamFields } from './upstream-fields.ts';

/** Request bodies up to this size leave with the head in one write, when they came with it. */
const MAX_COLLECTED = 16 * 1024;

const EXCHANGE = Symbol('exchange');

interface ResponseWithExchange extends ServerResponse {
  [EXCHANGE]?: FullExchange;
}

const ABORTED = new Error('the exchange is over');

export class FullExchange extends Exchange implements Dispatcher.DispatchHandler, BodyOwner {
  readonly #req: IncomingMessage;
  protected readonly answer: ClientResponse;
  protected readonly request: RequestHead;
  readonly #expectsContinue: boolean;

  readonly waitsFor = 'client';

  #connection: UpstreamConnection | undefined = undefined;
  #controller: Dispatcher.DispatchController | undefined = undefined;
  #body: RequestBody | undefined = undefined;

  constructor(
    forwarder: Forwarder,
    req: IncomingMessage,
    res: ServerResponse,
    peer: Peer,
    expectsContinue: boolean,
  ) {
    super(forwarder, peer, forwarder.edges.now());
    this.#req = req;
    this.#expectsContinue = expectsContinue;
    this.request = readRequestHead(req, this.snapshot.policy, peer);
    this.answer = new ClientResponse(req, res, this.request);
    (res as ResponseWithExchange)[EXCHANGE] = this;
    res.on('close', onResponseClose);
  }

  /** Instead of `run`: the request is refused for what it is. */
  refuse(reason: FailureReason): void {
    this.forwarder.deadlines.add(this);
    this.fail(reason);
  }

  run(): void {
    const { policy } = this.snapshot;
    const { facts, refusal, refusalDetail, hasBody, contentLength } = this.request;
    this.forwarder.deadlines.add(this);
    if (refusal !== undefined) {
      this.fail(refusal, refusalDetail);
      return;
    }
    if (facts.path === '*') {
      this.ended(this.answer.answerServerOptions(policy.requestIdField, policy.allowedMethods));
      return;
    }
    if (contentLength > policy.maxRequestBody) {
      this.fail('body_too_large', `At most ${policy.maxRequestBody} bytes are taken.`);
      return;
    }
    if (hasBody) this.#openBody();
    this.serve();
  }

  protected onDecided(index: number): void {
    if (this.#body === undefined || !this.#isSmall()) {
      this.attempt(index);
      return;
    }
    this.phase = 'collecting';
    this.#body.collect();
    // Behind the first delivery of data, which resuming has queued: what came with the head is here then.
    process.nextTick(stopCollecting, this);
  }

  /** What has not come by now is not waited for. */
  stopCollecting(): void {
    if (this.phase !== 'collecting') return;
    this.#body!.stream();
    this.onBodyCollected();
  }

  protected tryConnect(endpoint: Endpoint, fresh: boolean): boolean {
    const connection = endpoint.pool.acquire(fresh);
    if (connection === undefined) return false;
    this.onConnection(connection);
    return true;
  }

  onConnection(connection: UpstreamConnection | undefined): void {
    if (connection === undefined) return;
    this.beginAttempt(connection.open && connection.served > 0);
    this.#connection = connection;
    this.#controller = undefined;
    const headers = upstreamFields(this.request.upstreamHeaders, this.dispatched());
    if (headers[1] === '') headers[1] = this.endpoint!.authority;
    const body = this.#body;
    connection.client.dispatch(
      {
        path: this.request.facts.path,
        method: this.request.facts.method as Dispatcher.HttpMethod,
        headers,
        body: body === undefined ? null : (body.whole ?? (body.open() as unknown as Readable)),
        // Left to itself undici closes the connection after HEAD and after bodies of unusual methods.
        reset: false,
      },
      this,
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.phase !== 'connecting') {
      controller.abort(ABORTED);
      return;
    }
    this.beginSending(this.#body === undefined || this.#body.ended);
  }

  onResponseStarted(): void {
    this.responseBegun = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (this.isOver() || this.noteAnswer(status)) return;
    if (!isCodingUnderstood(headers['transfer-encoding'])) {
      controller.abort(new BadResponseError('its Transfer-Encoding is not chunked'));
      return;
    }
    const { policy } = this.snapshot;
    const http11 = this.#req.httpVersionMinor === 1;
    const hasTrailers = http11 && status >= 200 && status !== 204 && status !== 304;
    const raw = controller.rawHeaders as readonly Buffer[];
    const final = status >= 200;
    const rules = final ? this.live!.responseRules : undefined;
    const head = buildResponseHead(
      raw,
      headers,
      status,
      policy,
      this.request.requestId,
      hasTrailers && this.request.facts.method !== 'HEAD',
      rules,
      rules && ruleContext(this.snapshot, this.live!, this.index, this.request, this.peer),
    );
    const client = this.answer;
    if (!final) {
      if (http11) client.inform(status, head);
      return;
    }
    // In front, since Content-Length must be the last field.
    if (this.setCookie !== undefined) head.headers.unshift('Set-Cookie', this.setCookie);
    const now = this.beginResponse();
    const debug = this.debugFields();
    if (debug.length > 0) head.headers.unshift(...debug);
    if (this.forwarder.draining || client.restIsTooLarge(this.received)) client.closeAfter();
    client.hold(status, statusText ?? '', head);
    // The body is usually in the same packet, and then leaves with the head in one write. When it is not, the head
    // must not wait for it: a stream's goes out at the end of this turn, any other with the next sweep of deadlines.
    this.deadline = now;
    if (head.contentLength === undefined) process.nextTick(flushHead, this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.phase !== 'responding') return;
    const client = this.answer;
    let flowing: boolean;
    try {
      flowing = client.write(chunk);
    } catch {
      this.fail('bad_response');
      return;
    }
    if (!flowing) {
      controller.pause();
      this.blockedByClient = true;
      client.onceDrained(() => {
        this.blockedByClient = false;
        this.touch();
        controller.resume();
      });
    }
    this.touch();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = controller.rawTrailers as readonly Buffer[] | null | undefined;
    const broken = this.#connection?.broken === true;
    this.#release(!broken && (trailers == null || !endsConnection(trailers)));
    if (this.phase !== 'responding') return;
    if (broken) {
      this.attemptFailed('upstream_truncated', false);
      return;
    }
    if (trailers != null && trailers.length > 0 && this.#req.httpVersionMinor === 1) {
      this.answer.addTrailers(passableTrailers(trailers));
    }
    try {
      this.ended(this.answer.end());
    } catch {
      this.fail('bad_response');
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | null | undefined, error: Error): void {
    const connected = this.#controller !== undefined;
    this.#release(false);
    this.attemptFailed(failureOf(error, connected, this.phase === 'responding'), isLocalShortage(error));
  }

  protected abortAttempt(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    // undici has nothing to abort before the connection is there, and nobody else waits for this one.
    if (this.#controller === undefined) connection.destroy();
    else this.#controller.abort(ABORTED);
  }

  #release(reusable: boolean): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.endAttempt();
    this.endpoint!.pool.release(connection, reusable);
  }

  // ---- request body ----

  #openBody(): void {
    const { policy } = this.snapshot;
    this.bodyDeadline = this.startedAt + policy.requestBodyTimeout;
    const keep = this.#isSmall() ? MAX_COLLECTED : policy.retryAttempts === 0 ? 0 : policy.retryBuffer;
    this.#body = new RequestBody(this.#req, this, this.request.contentLength, keep);
  }

  onBodyChunk(): boolean {
    const { maxRequestBody } = this.snapshot.policy;
    if (this.#body!.received > maxRequestBody) {
      this.fail('body_too_large', `At most ${maxRequestBody} bytes are taken.`);
      return false;
    }
    this.touch();
    return true;
  }

  onBodyWanted(): void {
    if (this.#expectsContinue) this.answer.invite();
  }

  onBodyCollected(): void {
    if (this.phase !== 'collecting') return;
    this.phase = 'deciding';
    this.attempt(this.decision!.index);
  }

  /** A client that waits for `100 Continue` must not be asked for its body before an upstream is there. */
  #isSmall(): boolean {
    const { contentLength } = this.request;
    return contentLength > 0 && contentLength <= MAX_COLLECTED && !this.#expectsContinue;
  }

  get heldBytes(): number {
    return (this.#body?.keptBytes ?? 0) + this.#req.readableLength + this.answer.pendingBytes;
  }

  protected get replayable(): boolean {
    return this.#body === undefined || this.#body.replayable;
  }

  protected get received(): number {
    return this.#body?.received ?? 0;
  }

  protected get bodyIsPaused(): boolean {
    return this.#body?.paused === true;
  }

  protected abandonBody(): void {
    this.#body?.abandon();
  }

  /** llhttp gave up on the connection: nothing more can be read from it. */
  onGarbage(): void {
    const client = this.answer;
    if (!this.#req.complete && !this.isOver()) {
      // It was our body. No end of it will come that one could wait for.
      client.stopDiscarding();
      this.fail('bad_request');
    } else if (this.phase === 'lingering') {
      client.stopLingering();
    } else {
      client.endConnection();
    }
  }
}

function onResponseClose(this: ServerResponse): void {
  (this as ResponseWithExchange)[EXCHANGE]!.onClose();
}

function stopCollecting(exchange: FullExchange): void {
  exchange.stopCollecting();
}

function flushHead(exchange: FullExchange): void {
  exchange.flushHead();
}
