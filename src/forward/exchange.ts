/**
 * One request on the full lane, from its head to the last byte of its response.
 *
 * One object per request: it is undici's handler for every attempt, a waiter of the endpoint's pool, and an element
 * of the deadline list, so that the common case allocates nothing besides.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { IncomingHttpHeaders } from 'undici/types/header.js';
import { isLocalShortage } from '../backends/socket-error.ts';
import type { AccessRecord, Termination } from '../observe/access-log.ts';
import { type Decision, decide } from '../routing/decide.ts';
import { describeRequest, reached, startRecord } from './access-record.ts';
import { recordFailure, recordRetry } from './attempt-record.ts';
import { ClientResponse, type EndKind } from './client-response.ts';
import type { Timed } from './deadlines.ts';
import type { Endpoint } from './endpoint.ts';
import type { UpstreamConnection, Waiter } from './endpoint-pool.ts';
import type { Forwarder, LiveRoute, Snapshot } from './forwarder.ts';
import { requestHeaders, ruleContext } from './header-rules.ts';
import { liveRouteOf } from './live-route.ts';
import type { Peer, UnderWay } from './peer.ts';
import { decidePinned, mustStay, refusalOf, userOf } from './pinned-decision.ts';
import { FAILURES, type FailureReason } from './reasons.ts';
import { type BodyOwner, RequestBody } from './request-body.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { buildResponseHead, passableTrailers } from './response-head.ts';
import { failureOf } from './retry.ts';
import { type AttemptFailure, gatewayAnswer, isShielded, otherBackend, type Retry } from './retry-plan.ts';

type Phase =
  /** Head read, no upstream yet (also while a pin is looked up). */
  | 'deciding'
  /** A small request body that may have come with the head is read first. */
  | 'collecting'
  | 'queued'
  | 'connecting'
  /** The request is being sent. */
  | 'sending'
  /** Sent; the response head has not come. */
  | 'waiting'
  /** The attempt was given up; the next one begins when it has let go of its connection. */
  | 'switching'
  | 'responding'
  /** Answered; the rest of a request body is read and thrown away, so that the client can read the answer. */
  | 'lingering'
  | 'done';

/** Request bodies up to this size leave with the head in one write, when they came with it. */
const MAX_COLLECTED = 16 * 1024;

/** How long the rest of a body is read after the answer, before the connection ends. */
const LINGER_MS = 1_000;

const EXCHANGE = Symbol('exchange');

interface ResponseWithExchange extends ServerResponse {
  [EXCHANGE]?: Exchange;
}

const ABORTED = new Error('the exchange is over');

const NONE_TRIED: readonly Endpoint[] = [];

export class Exchange implements Dispatcher.DispatchHandler, Timed, Waiter, UnderWay, BodyOwner {
  readonly #forwarder: Forwarder;
  readonly #snapshot: Snapshot;
  readonly #req: IncomingMessage;
  readonly #client: ClientResponse;
  readonly #peer: Peer;
  readonly #head: RequestHead;
  readonly #expectsContinue: boolean;
  readonly #startedAt: number;

  readonly connectsItself = false;
  deadline = Number.POSITIVE_INFINITY;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;

  #phase: Phase = 'deciding';
  #live: LiveRoute | undefined = undefined;
  #user: string | undefined = undefined;
  /** For the response: the cookie that its user will be known by. */
  #setCookie: string | undefined = undefined;
  #decision: Decision | undefined = undefined;
  /** Index in the split of the backend that serves; -1 before one is chosen. */
  #index = -1;
  #endpoint: Endpoint | undefined = undefined;
  #connection: UpstreamConnection | undefined = undefined;
  #controller: Dispatcher.DispatchController | undefined = undefined;
  #body: RequestBody | undefined = undefined;
  #tried: Endpoint[] | undefined = undefined;
  #reused = false;
  /** A byte of the response has come: from here on nothing is sent again. */
  #responseBegun = false;
  #blockedByClient = false;
  #retries = 0;
  #redispatched = false;
  /** What follows as soon as the attempt under way, which was given up, has let go of its connection. */
  #next: Retry | undefined = undefined;
  /** An attempt ran out of time. */
  #timedOut = false;
  /** The budget did not allow a retry. */
  #denied = false;
  /** Index in the split of the canary whose failure the main backend makes good. */
  #shieldedFrom = -1;
  #reason: FailureReason | undefined = undefined;
  #termination: Termination = '--';
  /** No request body may arrive after this. */
  #bodyDeadline = Number.POSITIVE_INFINITY;

  #queuedAt = -1;
  #queueMs = -1;
  #dispatchedAt = -1;
  #connectMs = -1;
  #sentAt = -1;
  #responseMs = -1;

  constructor(
    forwarder: Forwarder,
    req: IncomingMessage,
    res: ServerResponse,
    peer: Peer,
    expectsContinue: boolean,
  ) {
    this.#forwarder = forwarder;
    this.#snapshot = forwarder.snapshot;
    this.#req = req;
    this.#peer = peer;
    this.#expectsContinue = expectsContinue;
    this.#startedAt = forwarder.edges.now();
    this.#head = readRequestHead(req, this.#snapshot.policy, peer);
    this.#client = new ClientResponse(req, res, this.#head);
    peer.requests++;
    peer.latest = this;
    peer.idleSince = Number.POSITIVE_INFINITY;
    (res as ResponseWithExchange)[EXCHANGE] = this;
    res.on('close', onResponseClose);
  }

  /** Instead of `run`: the request is refused for what it is. */
  refuse(reason: FailureReason): void {
    this.#forwarder.deadlines.add(this);
    this.fail(reason);
  }

  run(): void {
    const { policy } = this.#snapshot;
    const { facts, refusal, refusalDetail, hasBody, contentLength } = this.#head;
    this.#forwarder.deadlines.add(this);
    if (refusal !== undefined) {
      this.fail(refusal, refusalDetail);
      return;
    }
    if (facts.path === '*') {
      this.#ended(this.#client.answerServerOptions(policy.requestIdField));
      return;
    }
    if (facts.method === 'TRACE') {
      this.fail('method_not_allowed');
      return;
    }
    if (contentLength > policy.maxRequestBody) {
      this.fail('body_too_large', `At most ${policy.maxRequestBody} bytes are taken.`);
      return;
    }
    if (hasBody) this.#openBody();
    const { metrics, random } = this.#forwarder.edges;
    const live = liveRouteOf(this.#snapshot, facts, metrics.unknownGroups, random);
    this.#live = live;
    this.#forwarder.retryBudget.countRequest(this.#forwarder.deadlines.coarseNow);
    const { pin } = live.route;
    if (pin === undefined) {
      this.#begin(decide(live.route, undefined, undefined, live.usable, live.rotation));
      return;
    }
    const { user, fresh, setCookie } = userOf(pin, facts.rawHeaders, this.#peer);
    this.#user = user;
    this.#setCookie = setCookie;
    decidePinned(live, user, fresh, (decision) => {
      if (this.#phase === 'deciding') this.#begin(decision);
    });
  }

  // ---- attempts ----

  #begin(decision: Decision): void {
    this.#decision = decision;
    const refusal = refusalOf(this.#live!, this.#user, decision);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    if (decision.wanted !== -1 && decision.wanted !== decision.index) {
      this.#live!.spillCells(decision.wanted, decision.index).value++;
    }
    if (this.#body === undefined || !this.#isSmall()) {
      this.#attempt(decision.index);
      return;
    }
    this.#phase = 'collecting';
    this.#body.collect();
    // Behind the first delivery of data, which resuming has queued: what came with the head is here then.
    process.nextTick(stopCollecting, this);
  }

  /** What has not come by now is not waited for. */
  stopCollecting(): void {
    if (this.#phase !== 'collecting') return;
    this.#body!.stream();
    this.onBodyCollected();
  }

  #attempt(index: number): void {
    const endpoint = this.#forwarder.selectEndpoint(this.#live!, index, this.#tried ?? NONE_TRIED);
    if (endpoint === undefined) this.fail('no_endpoint');
    else this.#attemptOn(index, endpoint, false);
  }

  #attemptOn(index: number, endpoint: Endpoint, fresh: boolean): void {
    this.#index = index;
    this.#endpoint = endpoint;
    const connection = endpoint.pool.acquire(fresh);
    if (connection !== undefined) {
      this.onConnection(connection);
      return;
    }
    if (!endpoint.pool.enqueue(this)) {
      this.fail('queue_full');
      return;
    }
    this.#phase = 'queued';
    this.#queuedAt = this.#forwarder.edges.now();
    this.deadline = this.#queuedAt + this.#snapshot.policy.queueTimeout;
  }

  /** What it waited for went out of service. */
  onDismissed(): void {
    if (this.#phase !== 'queued') return;
    const until = this.deadline;
    const live = this.#live!;
    const index = otherBackend(live, this.#index, mustStay(live, this.#user), this.#forwarder.edges.random());
    this.#phase = 'deciding';
    if (index === -1) this.fail('no_endpoint');
    else this.#attempt(index);
    // It has waited for a while already.
    if (this.#isQueued()) this.deadline = until;
  }

  /** A connection is ours: at once, or after waiting for it. */
  onConnection(connection: UpstreamConnection | undefined): void {
    if (connection === undefined) return;
    // Nothing has passed since the start in the common case, which saves a look at the clock.
    const waited = this.#phase === 'queued' || this.#retries > 0;
    const now = waited ? this.#forwarder.edges.now() : this.#startedAt;
    if (this.#queuedAt !== -1 && this.#queueMs === -1) this.#queueMs = now - this.#queuedAt;
    const endpoint = this.#endpoint!;
    const upstream = this.#live!.upstreams[this.#index]!;
    this.#phase = 'connecting';
    this.deadline = Number.POSITIVE_INFINITY;
    this.#connection = connection;
    this.#controller = undefined;
    this.#responseBegun = false;
    this.#reused = connection.open && connection.served > 0;
    this.#dispatchedAt = now;
    endpoint.inFlight++;
    endpoint.cells.requests.value++;
    upstream.cells.inFlight.value++;
    const headers = requestHeaders(this.#snapshot, this.#live!, this.#index, this.#head, this.#peer);
    if (headers[1] === '') headers[1] = endpoint.authority;
    const body = this.#body;
    connection.client.dispatch(
      {
        path: this.#head.facts.path,
        method: this.#head.facts.method as Dispatcher.HttpMethod,
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
    if (this.#phase !== 'connecting') {
      controller.abort(ABORTED);
      return;
    }
    // On a connection that was open nothing has passed since the dispatch: no need to ask the clock.
    const now = this.#reused ? this.#dispatchedAt : this.#forwarder.edges.now();
    this.#connectMs = now - this.#dispatchedAt;
    this.#sentAt = now;
    if (this.#body === undefined || this.#body.ended) {
      this.#phase = 'waiting';
      this.deadline = now + this.#live!.route.responseHeadTimeout;
    } else {
      this.#phase = 'sending';
      this.deadline = Math.min(now + this.#live!.route.idleTimeout, this.#bodyDeadline);
    }
  }

  onRequestSent(): void {
    if (this.#phase !== 'sending') return;
    this.#phase = 'waiting';
    this.#sentAt = this.#forwarder.edges.now();
    this.deadline = this.#sentAt + this.#live!.route.responseHeadTimeout;
  }

  onResponseStarted(): void {
    this.#responseBegun = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (this.#isOver()) return;
    const upstream = this.#live!.upstreams[this.#index]!;
    if (status >= 200) upstream.onAnswer(this.#endpoint!, status);
    const answer = gatewayAnswer(status);
    if (answer !== undefined && isShielded(this.#live!, this.#index)) {
      const next = this.#planRetry(answer);
      if (next !== undefined) {
        upstream.cells.errors(answer).value++;
        this.#endpoint!.cells.errors.value++;
        this.#switchTo(next, answer, status);
        return;
      }
    }
    const { policy } = this.#snapshot;
    const http11 = this.#req.httpVersionMinor === 1;
    const raw = controller.rawHeaders as readonly Buffer[];
    const final = status >= 200;
    const rules = final ? this.#live!.responseRules : undefined;
    const head = buildResponseHead(
      raw,
      headers,
      status,
      policy,
      this.#head.requestId,
      http11 && final,
      rules,
      rules && ruleContext(this.#snapshot, this.#live!, this.#index, this.#head, this.#peer),
    );
    const client = this.#client;
    if (!final) {
      if (http11) client.inform(status, head);
      return;
    }
    // In front, since Content-Length must be the last field.
    if (this.#setCookie !== undefined) head.headers.unshift('Set-Cookie', this.#setCookie);
    const now = this.#forwarder.edges.now();
    this.#responseMs = now - this.#sentAt;
    this.#phase = 'responding';
    if (this.#forwarder.draining || client.restIsTooLarge(this.#received())) client.closeAfter();
    client.hold(status, statusText ?? '', head);
    // The body is usually in the same packet, and then leaves with the head in one write. When it is not, the head
    // must not wait for it: a stream's goes out at the end of this turn, any other with the next sweep of deadlines.
    this.deadline = now;
    if (head.contentLength === undefined) process.nextTick(flushHead, this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#phase !== 'responding') return;
    const client = this.#client;
    let flowing: boolean;
    try {
      flowing = client.write(chunk);
    } catch {
      this.fail('bad_response');
      return;
    }
    if (!flowing) {
      controller.pause();
      this.#blockedByClient = true;
      client.onceDrained(() => {
        this.#blockedByClient = false;
        this.#touch();
        controller.resume();
      });
    }
    this.#touch();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#release(true);
    if (this.#phase !== 'responding') return;
    const trailers = controller.rawTrailers as readonly Buffer[] | null | undefined;
    if (trailers != null && trailers.length > 0 && this.#req.httpVersionMinor === 1) {
      this.#client.addTrailers(passableTrailers(trailers));
    }
    try {
      this.#ended(this.#client.end());
    } catch {
      this.fail('bad_response');
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | null | undefined, error: Error): void {
    const connected = this.#controller !== undefined;
    this.#release(false);
    if (this.#isOver()) return;
    if (this.#next !== undefined) {
      this.#follow();
      return;
    }
    const reason = failureOf(error, connected, this.#phase === 'responding');
    this.#noteFailure(reason, isLocalShortage(error));
    const next = this.#phase === 'responding' ? undefined : this.#planRetry(reason);
    if (next === undefined) {
      this.fail(reason);
      return;
    }
    this.#noteRetry(next, reason, FAILURES[reason].status);
    this.#next = next;
    this.#follow();
  }

  /** @param local the fault is on this side */
  #noteFailure(reason: FailureReason, local: boolean): void {
    recordFailure(
      this.#live!,
      this.#index,
      this.#endpoint!,
      reason,
      local,
      this.#reused,
      this.#responseBegun,
    );
  }

  // ---- retries ----

  #planRetry(failure: AttemptFailure): Retry | undefined {
    const live = this.#live!;
    this.#tried ??= [];
    const plan = this.#forwarder.planRetry(
      {
        live,
        index: this.#index,
        endpoint: this.#endpoint!,
        failure,
        reused: this.#reused,
        responseBegun: this.#responseBegun,
        method: this.#head.facts.method,
        replayable: this.#body === undefined || this.#body.replayable,
        retries: this.#retries,
        timedOut: this.#timedOut,
        staysPut: mustStay(live, this.#user),
        tried: this.#tried,
      },
      this.#snapshot.policy,
    );
    if (plan === 'final') return undefined;
    if (plan !== 'denied') return plan;
    this.#denied = true;
    live.upstreams[this.#index]!.cells.retriesDenied(failure).value++;
    return undefined;
  }

  /** Gives up the attempt under way for another one. */
  #switchTo(next: Retry, failure: AttemptFailure, status: number): void {
    this.#noteRetry(next, failure, status);
    this.#phase = 'switching';
    this.deadline = Number.POSITIVE_INFINITY;
    this.#next = next;
    // Ends in `onResponseError`, before this returns.
    this.#controller!.abort(ABORTED);
  }

  #noteRetry(next: Retry, failure: AttemptFailure, status: number): void {
    const live = this.#live!;
    const endpoint = this.#endpoint!;
    const elapsed = this.#forwarder.edges.now() - this.#startedAt;
    const { method } = this.#head.facts;
    this.#retries++;
    if (next.endpoint !== endpoint) this.#redispatched = true;
    if (recordRetry(live, this.#index, endpoint, next, failure, status, method, elapsed)) {
      this.#shieldedFrom = this.#index;
    }
  }

  /** The connection of the attempt before is let go of. */
  #follow(): void {
    const { index, endpoint, fresh } = this.#next!;
    this.#next = undefined;
    this.#phase = 'deciding';
    this.#attemptOn(index, endpoint, fresh);
  }

  // ---- request body ----

  #openBody(): void {
    const { policy } = this.#snapshot;
    this.#bodyDeadline = this.#startedAt + policy.requestBodyTimeout;
    const keep = this.#isSmall() ? MAX_COLLECTED : policy.retryAttempts === 0 ? 0 : policy.retryBuffer;
    this.#body = new RequestBody(this.#req, this, this.#head.contentLength, keep);
  }

  onBodyChunk(): boolean {
    const { maxRequestBody } = this.#snapshot.policy;
    if (this.#body!.received > maxRequestBody) {
      this.fail('body_too_large', `At most ${maxRequestBody} bytes are taken.`);
      return false;
    }
    this.#touch();
    return true;
  }

  onBodyWanted(): void {
    if (this.#expectsContinue) this.#client.invite();
  }

  onBodyCollected(): void {
    if (this.#phase !== 'collecting') return;
    this.#phase = 'deciding';
    this.#attempt(this.#decision!.index);
  }

  /** A client that waits for `100 Continue` must not be asked for its body before an upstream is there. */
  #isSmall(): boolean {
    const { contentLength } = this.#head;
    return contentLength > 0 && contentLength <= MAX_COLLECTED && !this.#expectsContinue;
  }

  #received(): number {
    return this.#body?.received ?? 0;
  }

  // ---- answers ----

  /** The body has not come with the head: the head goes out without it. */
  flushHead(): void {
    if (this.#phase !== 'responding' || !this.#client.headIsHeld) return;
    try {
      this.#client.flush();
      this.#touch();
    } catch {
      this.fail('bad_response');
    }
  }

  /** Ends the exchange with an answer of ours, or, when a response was under way, by cutting it. */
  fail(reason: FailureReason, detail?: string): void {
    if (this.#isOver()) return;
    this.#reason = reason;
    this.#termination = FAILURES[reason].termination;
    this.#withdraw();
    this.#forwarder.edges.metrics.failures(reason).value++;
    if (this.#client.begun) {
      this.#client.destroy();
      return;
    }
    const { draining } = this.#forwarder;
    const { requestIdField } = this.#snapshot.policy;
    this.#ended(this.#client.fail(reason, requestIdField, this.#received(), draining, detail));
  }

  #ended(kind: EndKind): void {
    this.#phase = kind === 'lingering' ? 'lingering' : 'done';
    this.#body?.abandon();
    // A client that does not take the rest of its answer would keep the connection for ever.
    const { coarseNow } = this.#forwarder.deadlines;
    this.deadline = coarseNow + (kind === 'lingering' ? LINGER_MS : this.#idleTimeout());
  }

  #idleTimeout(): number {
    return this.#live?.route.idleTimeout ?? this.#snapshot.table.config.timeouts.idle;
  }

  // ---- the end ----

  onDeadline(): void {
    switch (this.#phase) {
      case 'queued':
        this.fail('queue_timeout');
        return;
      case 'sending':
        this.fail(this.#body?.paused === true ? 'idle_timeout' : 'client_timeout');
        return;
      case 'waiting':
        this.#onResponseTimeout();
        return;
      case 'responding':
        if (this.#client.headIsHeld) this.flushHead();
        else this.fail(this.#blockedByClient ? 'client_timeout' : 'idle_timeout');
        return;
      case 'lingering':
        this.#client.stopLingering();
        this.#ended('ended');
        return;
      case 'done':
        if (this.#client.finished) return;
        this.#reason ??= 'client_timeout';
        this.#termination = FAILURES.client_timeout.termination;
        this.#client.destroy();
        return;
    }
  }

  #onResponseTimeout(): void {
    this.#noteFailure('response_timeout', false);
    const next = this.#planRetry('response_timeout');
    this.#timedOut = true;
    if (next === undefined) this.fail('response_timeout');
    else this.#switchTo(next, 'response_timeout', FAILURES.response_timeout.status);
  }

  /** llhttp gave up on the connection: nothing more can be read from it. */
  onGarbage(): void {
    const client = this.#client;
    if (!this.#req.complete && !this.#isOver()) {
      // It was our body. No end of it will come that one could wait for.
      client.stopDiscarding();
      this.fail('bad_request');
    } else if (this.#phase === 'lingering') {
      client.stopLingering();
    } else if (client.begun) {
      client.endConnection();
    } else {
      client.closeAfter();
    }
  }

  /** The response is out, or the client is gone. */
  onClose(): void {
    const { status, finished } = this.#client;
    if (!finished && this.#reason === undefined) {
      this.#reason = 'client_aborted';
      this.#termination = abortedIn(this.#phase);
      this.#forwarder.edges.metrics.clientAborts.value++;
    }
    this.#withdraw();
    if (this.#peer.latest === this) {
      this.#peer.latest = undefined;
      this.#peer.idleSince = this.#forwarder.deadlines.coarseNow;
    }
    this.#forwarder.deadlines.remove(this);
    this.#record(status);
  }

  /** Cancels whatever the upstream still does for us. */
  #withdraw(): void {
    const phase = this.#phase;
    this.#phase = 'done';
    this.deadline = Number.POSITIVE_INFINITY;
    if (phase === 'queued') this.#endpoint!.pool.withdraw(this);
    this.#body?.abandon();
    if (this.#connection !== undefined) this.#controller?.abort(ABORTED);
  }

  #release(reusable: boolean): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    const endpoint = this.#endpoint!;
    endpoint.inFlight--;
    this.#live!.upstreams[this.#index]!.cells.inFlight.value--;
    endpoint.pool.release(connection, reusable);
  }

  #isQueued(): boolean {
    return this.#phase === 'queued';
  }

  #isOver(): boolean {
    return this.#phase === 'done' || this.#phase === 'lingering';
  }

  /** Something moved: the idle timeout begins anew. */
  #touch(): void {
    const phase = this.#phase;
    if (phase !== 'sending' && phase !== 'responding') return;
    const idle = this.#forwarder.deadlines.coarseNow + this.#live!.route.idleTimeout;
    this.deadline = phase === 'responding' ? idle : Math.min(idle, this.#bodyDeadline);
  }

  #record(status: number): void {
    const { accessLog, metrics, now } = this.#forwarder.edges;
    const total = now() - this.#startedAt;
    const cells = this.#forwarder.cellsOf(this.#live, this.#index);
    cells.record(this.#head.facts.method, status, total, this.#responseMs);
    if (status >= 500 && this.#reason === undefined) this.#endpoint!.cells.errors.value++;
    metrics.bytesIn.value += this.#received();
    metrics.bytesOut.value += this.#client.bytesOut;
    if (accessLog.wants(status, this.#termination)) accessLog.writeWanted(this.#accessRecord(status, total));
  }

  #accessRecord(status: number, total: number): AccessRecord {
    const record = startRecord(this.#peer);
    describeRequest(record, this.#req, this.#head, {
      live: this.#live,
      index: this.#index,
      endpoint: this.#endpoint,
      decision: this.#decision,
      pinned: this.#user !== undefined,
    });
    const dispatched = this.#dispatchedAt !== -1;
    record.status = status === 0 ? undefined : status;
    record.bytesIn = this.#received();
    record.bytesOut = this.#client.bytesOut;
    // node:http does not say when the first byte of a later request on a connection came.
    if (this.#peer.requests === 1) record.headMs = this.#startedAt - this.#peer.acceptedAt;
    record.queueMs = reached(this.#queueMs) ?? (dispatched ? 0 : undefined);
    record.connectMs = reached(this.#connectMs);
    record.responseMs = reached(this.#responseMs);
    record.totalMs = total;
    record.termination = this.#termination;
    record.reason = this.#reason;
    record.retries = this.#retries;
    record.redispatched = this.#redispatched;
    record.panic = this.#index !== -1 && this.#live!.use.panics(this.#index);
    if (this.#shieldedFrom !== -1) record.shieldedFrom = this.#live!.route.split.names[this.#shieldedFrom];
    if (this.#denied) record.retryDenied = 'retry_budget';
    if (dispatched) record.reused = this.#reused;
    return record;
  }
}

function onResponseClose(this: ServerResponse): void {
  (this as ResponseWithExchange)[EXCHANGE]!.onClose();
}

function stopCollecting(exchange: Exchange): void {
  exchange.stopCollecting();
}

function flushHead(exchange: Exchange): void {
  exchange.flushHead();
}

/** HAProxy's letters for a client that left, by what was going on. */
function abortedIn(phase: Phase): Termination {
  switch (phase) {
    case 'queued':
      return 'CQ';
    case 'deciding':
    case 'connecting':
      return 'CC';
    case 'collecting':
      return 'CR';
    case 'waiting':
      return 'CH';
    default:
      return 'CD';
  }
}
