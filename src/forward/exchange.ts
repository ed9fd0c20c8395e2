/**
 * One request from its head to the last byte of its response, as both lanes know it: the decision, attempts and
 * retries, deadlines, the answer when there is none from upstream, and the record. What a lane adds is how bytes are
 * read and written.
 *
 * One object per request: it is a waiter of the endpoint's pool and an element of the deadline list, so that the common
 * case allocates nothing besides.
 */

import { debugFields } from '../debug-header/debug-fields.ts';
import type { AccessRecord, Termination } from '../observe/access-log.ts';
import { type Decision, decide } from '../routing/decide.ts';
import type { TracedRequest } from '../tracing/tracing.ts';
import { describeRequest, type RequestDescription, reached, startRecord } from './access-record.ts';
import { askRates, overloadRefusal, type Refusal } from './admit.ts';
import { recordFailure, recordRetry } from './attempt-record.ts';
import type { EndKind } from './client-response.ts';
import type { Timed } from './deadlines.ts';
import { LINGER_MS } from './end-connection.ts';
import type { Endpoint } from './endpoint.ts';
import type { UpstreamConnection, Waiter } from './endpoint-pool.ts';
import type { Forwarder, LiveRoute, Snapshot } from './forwarder.ts';
import { liveRouteOf } from './live-route.ts';
import type { Peer, UnderWay } from './peer.ts';
import { bucketGiven, decidePinned, mustStay, refusalOf, userOf } from './pinned-decision.ts';
import { FAILURES, type FailureReason, metError, requiredHeaders } from './reasons.ts';
import { type AttemptFailure, gatewayAnswer, isShielded, otherBackend, type Retry } from './retry-plan.ts';
import { type Dispatched, receivedTrace } from './upstream-fields.ts';

export type Phase =
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

const NONE_TRIED: readonly Endpoint[] = [];

const NO_FIELDS: readonly string[] = [];

/** The client's side of an exchange. */
export interface Answer {
  /** The client has, or will have, a head: nothing else can be answered any more. */
  readonly begun: boolean;
  /** 0: nothing was answered. */
  readonly status: number;
  /** The connection ends with the response. */
  readonly closes: boolean;
  /** All of the response is written. */
  readonly finished: boolean;
  /** A head waits for the first bytes of its body. */
  readonly headIsHeld: boolean;
  /** Bytes of bodies written. */
  readonly bytesOut: number;
  /** Ends with an answer that Pointsman makes itself; `extra`: more fields, names and values in turn. */
  fail(
    reason: FailureReason,
    requestIdField: string,
    received: number,
    draining: boolean,
    detail: string | undefined,
    extra: readonly string[],
  ): EndKind;
  /** Sends a head that was held. Throws when it cannot be sent; nothing is sent then. */
  flush(): void;
  /** Cuts the response: ending it would make what is truncated look whole. */
  destroy(): void;
  /** The client has had its time to stop sending. */
  stopLingering(): void;
}

export abstract class Exchange implements Timed, Waiter, UnderWay {
  protected readonly forwarder: Forwarder;
  protected readonly snapshot: Snapshot;
  protected readonly peer: Peer;
  protected readonly startedAt: number;
  protected abstract readonly answer: Answer;
  protected abstract readonly request: RequestDescription;

  abstract readonly waitsFor: Waiter['waitsFor'];
  deadline = Number.POSITIVE_INFINITY;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;

  protected phase: Phase = 'deciding';
  protected live: LiveRoute | undefined = undefined;
  protected user: string | undefined = undefined;
  /** For the response: the cookie that its user will be known by. */
  protected setCookie: string | undefined = undefined;
  protected decision: Decision | undefined = undefined;
  protected trace: TracedRequest | undefined = undefined;
  /** Index in the split of the backend that serves; -1 before one is chosen. */
  protected index = -1;
  protected endpoint: Endpoint | undefined = undefined;
  #tried: Endpoint[] | undefined = undefined;
  protected reused = false;
  /** A byte of the response has come: from here on nothing is sent again. */
  protected responseBegun = false;
  protected blockedByClient = false;
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
  /** It is one of those under way that are counted. */
  #counted = false;
  #termination: Termination = '--';
  /** No request body may arrive after this. */
  protected bodyDeadline = Number.POSITIVE_INFINITY;

  #queuedAt = -1;
  #queueMs = -1;
  #dispatchedAt = -1;
  #connectMs = -1;
  #sentAt = -1;
  #responseMs = -1;

  constructor(forwarder: Forwarder, peer: Peer, startedAt: number) {
    this.forwarder = forwarder;
    this.snapshot = forwarder.snapshot;
    this.peer = peer;
    this.startedAt = startedAt;
    peer.requests++;
    peer.latest = this;
    peer.idleSince = Number.POSITIVE_INFINITY;
  }

  // ---- what a lane does in its way ----

  /** The decision stands: `attempt` is to be called, at once or when the request body is ready. */
  protected abstract onDecided(index: number): void;

  /** Takes a connection and begins to send. @returns false at the endpoint's limit of connections */
  protected abstract tryConnect(endpoint: Endpoint, fresh: boolean): boolean;

  /** Its turn has come at an endpoint that was at its limit. */
  abstract onConnection(connection: UpstreamConnection | undefined): void;

  /** Gives up the attempt under way, if there is one; ends in `attemptFailed`, or in nothing when the phase is over. */
  protected abstract abortAttempt(): void;

  /** All of the request body that came is still here, or there is none. */
  protected abstract get replayable(): boolean;

  /** Bytes of the request body so far. */
  protected abstract get received(): number;

  /** The upstream, not the client, holds up the request body. */
  protected abstract get bodyIsPaused(): boolean;

  /** Nobody wants the rest of the request body. */
  protected abstract abandonBody(): void;

  /** The bytes after the head, or after the request, are no HTTP. */
  abstract onGarbage(): void;

  // ---- attempts ----

  /** Takes the request on, unless there is too much; then decides where it goes, and sends it there. */
  protected serve(): void {
    const { admission } = this.forwarder;
    if (admission.inFlight >= admission.ceiling) {
      this.#refuse(overloadRefusal(admission));
      return;
    }
    admission.inFlight++;
    this.#counted = true;
    if (admission.rates === undefined) this.#route();
    else {
      const { metrics } = this.forwarder.edges;
      askRates(admission.rates, metrics, this.request.facts, this.peer, this.snapshot.policy, (refusal) => {
        if (this.phase !== 'deciding') return;
        if (refusal === undefined) this.#route();
        else this.#refuse(refusal);
      });
    }
  }

  #refuse({ reason, detail, fields }: Refusal): void {
    this.fail(reason, detail, fields);
  }

  #route(): void {
    const { forwarder, snapshot, request } = this;
    const { facts } = request;
    const { metrics, random } = forwarder.edges;
    const live = liveRouteOf(snapshot, facts, metrics.unknownGroups, random);
    this.live = live;
    forwarder.retryBudget.countRequest(forwarder.deadlines.coarseNow);
    const { tracing } = forwarder;
    if (tracing !== undefined) {
      this.trace = tracing.begin(receivedTrace(facts.rawHeaders), facts.method, Date.now());
    }
    const { pin } = live.route;
    if (pin === undefined) {
      this.#begin(decide(live.route, undefined, undefined, live.usable, live.rotation));
      return;
    }
    const { user, fresh, setCookie } = userOf(pin, facts.rawHeaders, this.peer);
    this.user = user;
    this.setCookie = setCookie;
    const given = bucketGiven(snapshot.policy, facts.rawHeaders, this.peer);
    decidePinned(live, user, fresh, given, (decision) => {
      if (this.phase === 'deciding') this.#begin(decision);
    });
  }

  #begin(decision: Decision): void {
    this.decision = decision;
    const refusal = refusalOf(this.live!, this.user, decision);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    if (decision.wanted !== -1 && decision.wanted !== decision.index) {
      this.live!.spillCells(decision.wanted, decision.index).value++;
    }
    this.onDecided(decision.index);
  }

  protected attempt(index: number): void {
    const endpoint = this.forwarder.selectEndpoint(this.live!, index, this.#tried ?? NONE_TRIED);
    if (endpoint === undefined) this.fail('no_endpoint');
    else this.#attemptOn(index, endpoint, false);
  }

  #attemptOn(index: number, endpoint: Endpoint, fresh: boolean): void {
    this.index = index;
    this.endpoint = endpoint;
    if (this.tryConnect(endpoint, fresh)) return;
    if (!endpoint.pool.enqueue(this)) {
      this.fail('queue_full');
      return;
    }
    this.phase = 'queued';
    this.#queuedAt = this.forwarder.edges.now();
    this.deadline = this.#queuedAt + this.snapshot.policy.queueTimeout;
  }

  /** What it waited for went out of service. */
  onDismissed(): void {
    if (this.phase !== 'queued') return;
    const until = this.deadline;
    const live = this.live!;
    const index = otherBackend(live, this.index, mustStay(live, this.user), this.forwarder.edges.random());
    this.phase = 'deciding';
    if (index === -1) this.fail('no_endpoint');
    else this.attempt(index);
    // It has waited for a while already.
    if (this.#isQueued()) this.deadline = until;
  }

  /**
   * A connection is ours.
   *
   * @param reused it is open, and has served before
   */
  protected beginAttempt(reused: boolean): void {
    // Nothing has passed since the start in the common case, which saves a look at the clock.
    const waited = this.phase === 'queued' || this.#retries > 0;
    const now = waited ? this.forwarder.edges.now() : this.startedAt;
    if (this.#queuedAt !== -1 && this.#queueMs === -1) this.#queueMs = now - this.#queuedAt;
    const endpoint = this.endpoint!;
    this.phase = 'connecting';
    this.deadline = Number.POSITIVE_INFINITY;
    this.responseBegun = false;
    this.reused = reused;
    this.#dispatchedAt = now;
    endpoint.inFlight++;
    endpoint.cells.requests.value++;
    this.live!.upstreams[this.index]!.cells.inFlight.value++;
  }

  /** Its connection is open, and the request begins to be sent; `whole`: there is nothing more to come of it. */
  protected beginSending(whole: boolean): void {
    // On a connection that was open nothing has passed since the dispatch: no need to ask the clock.
    const now = this.reused ? this.#dispatchedAt : this.forwarder.edges.now();
    this.#connectMs = now - this.#dispatchedAt;
    this.#sentAt = now;
    if (whole) {
      this.phase = 'waiting';
      this.deadline = now + this.live!.route.responseHeadTimeout;
    } else {
      this.phase = 'sending';
      this.deadline = Math.min(now + this.live!.route.idleTimeout, this.bodyDeadline);
    }
  }

  /** The last byte of the request has left. */
  onRequestSent(): void {
    if (this.phase !== 'sending') return;
    this.phase = 'waiting';
    this.#sentAt = this.forwarder.edges.now();
    this.deadline = this.#sentAt + this.live!.route.responseHeadTimeout;
  }

  /**
   * A response head has come: counted, and kept from the client where the main backend makes it good.
   *
   * @returns whether the attempt is over
   */
  protected noteAnswer(status: number): boolean {
    const upstream = this.live!.upstreams[this.index]!;
    if (status >= 200) upstream.onAnswer(this.endpoint!, status);
    const answer = gatewayAnswer(status);
    if (answer === undefined || !isShielded(this.live!, this.index)) return false;
    const next = this.#planRetry(answer);
    if (next === undefined) return false;
    upstream.cells.errors(answer).value++;
    this.endpoint!.cells.errors.value++;
    this.#switchTo(next, answer, status);
    return true;
  }

  /** The final head has come and goes to the client. @returns now */
  protected beginResponse(): number {
    const now = this.forwarder.edges.now();
    this.#responseMs = now - this.#sentAt;
    this.phase = 'responding';
    return now;
  }

  /** The attempt has let go of its connection. */
  protected endAttempt(): void {
    this.endpoint!.inFlight--;
    this.live!.upstreams[this.index]!.cells.inFlight.value--;
  }

  /**
   * The attempt has failed, or was given up, and has let go of its connection.
   *
   * @param local the fault is on this side
   */
  protected attemptFailed(reason: FailureReason, local: boolean): void {
    if (this.isOver()) return;
    if (this.#next !== undefined) {
      this.#follow();
      return;
    }
    this.#noteFailure(reason, local);
    const next = this.phase === 'responding' ? undefined : this.#planRetry(reason);
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
    recordFailure(this.live!, this.index, this.endpoint!, reason, local, this.reused, this.responseBegun);
  }

  // ---- retries ----

  #planRetry(failure: AttemptFailure): Retry | undefined {
    const live = this.live!;
    this.#tried ??= [];
    const plan = this.forwarder.planRetry(
      {
        live,
        index: this.index,
        endpoint: this.endpoint!,
        failure,
        reused: this.reused,
        responseBegun: this.responseBegun,
        method: this.request.facts.method,
        replayable: this.replayable,
        retries: this.#retries,
        timedOut: this.#timedOut,
        staysPut: mustStay(live, this.user),
        tried: this.#tried,
      },
      this.snapshot.policy,
    );
    if (plan === 'final') return undefined;
    if (plan !== 'denied') return plan;
    this.#denied = true;
    live.upstreams[this.index]!.cells.retriesDenied(failure).value++;
    return undefined;
  }

  /** Gives up the attempt under way for another one. */
  #switchTo(next: Retry, failure: AttemptFailure, status: number): void {
    this.#noteRetry(next, failure, status);
    this.phase = 'switching';
    this.deadline = Number.POSITIVE_INFINITY;
    this.#next = next;
    // Ends in `attemptFailed`, before this returns.
    this.abortAttempt();
  }

  #noteRetry(next: Retry, failure: AttemptFailure, status: number): void {
    const live = this.live!;
    const endpoint = this.endpoint!;
    const elapsed = this.forwarder.edges.now() - this.startedAt;
    const { method } = this.request.facts;
    this.#retries++;
    if (next.endpoint !== endpoint) this.#redispatched = true;
    if (recordRetry(live, this.index, endpoint, next, failure, status, method, elapsed)) {
      this.#shieldedFrom = this.index;
      // Its user met the canary, and no error.
      if (this.user !== undefined) live.exposure?.[this.index]?.record(this.decision!.hash, false);
    }
  }

  /** The connection of the attempt before is let go of. */
  #follow(): void {
    const { index, endpoint, fresh } = this.#next!;
    this.#next = undefined;
    this.phase = 'deciding';
    this.#attemptOn(index, endpoint, fresh);
  }

  // ---- answers ----

  /** The body has not come with the head: the head goes out without it. */
  flushHead(): void {
    if (this.phase !== 'responding' || !this.answer.headIsHeld) return;
    try {
      this.answer.flush();
      this.touch();
    } catch {
      this.fail('bad_response');
    }
  }

  /** Ends the exchange with an answer of ours, or, when a response was under way, by cutting it. */
  fail(reason: FailureReason, detail?: string, fields: readonly string[] = NO_FIELDS): void {
    if (this.isOver()) return;
    this.#reason = reason;
    this.#termination = FAILURES[reason].termination;
    this.#withdraw();
    this.forwarder.edges.metrics.failures(reason).value++;
    if (this.answer.begun) {
      this.answer.destroy();
      return;
    }
    const { draining } = this.forwarder;
    const { allowedMethods, requestIdField } = this.snapshot.policy;
    const extra = [...requiredHeaders(reason, allowedMethods), ...fields, ...this.debugFields()];
    this.ended(this.answer.fail(reason, requestIdField, this.received, draining, detail, extra));
  }

  /** Why the request went where it went, for who may ask: names and values in turn. */
  protected debugFields(): readonly string[] {
    const { debug } = this.snapshot.policy;
    const asked = this.request.debug;
    if (asked === undefined || debug === undefined || !debug.allows(asked, this.peer.trusted))
      return NO_FIELDS;
    return debugFields(this.#accessRecord(0, this.forwarder.edges.now() - this.startedAt));
  }

  /** The attempt, for whoever makes the fields of the upstream. */
  protected dispatched(): Dispatched {
    const { snapshot, index, request, peer, trace } = this;
    return { snapshot, live: this.live!, index, request, peer, bucket: this.decision!.bucket, trace };
  }

  protected ended(kind: EndKind): void {
    this.phase = kind === 'lingering' ? 'lingering' : 'done';
    this.abandonBody();
    // A client that does not take the rest of its answer would keep the connection for ever.
    const { coarseNow } = this.forwarder.deadlines;
    this.deadline = coarseNow + (kind === 'lingering' ? LINGER_MS : this.#idleTimeout());
  }

  #idleTimeout(): number {
    return this.live?.route.idleTimeout ?? this.snapshot.table.config.timeouts.idle;
  }

  // ---- the end ----

  onDeadline(): void {
    switch (this.phase) {
      case 'queued':
        this.fail('queue_timeout');
        return;
      case 'sending':
        this.fail(this.bodyIsPaused ? 'idle_timeout' : 'client_timeout');
        return;
      case 'waiting':
        this.#onResponseTimeout();
        return;
      case 'responding':
        if (this.answer.headIsHeld) this.flushHead();
        else this.fail(this.blockedByClient ? 'client_timeout' : 'idle_timeout');
        return;
      case 'lingering':
        this.answer.stopLingering();
        this.ended('ended');
        return;
      case 'done':
        if (this.answer.finished) return;
        this.#reason ??= 'client_timeout';
        this.#termination = FAILURES.client_timeout.termination;
        this.answer.destroy();
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

  /** The response is out, or the client is gone. */
  onClose(): void {
    const { status, finished } = this.answer;
    if (!finished && this.#reason === undefined) {
      this.#reason = 'client_aborted';
      this.#termination = abortedIn(this.phase);
      this.forwarder.edges.metrics.clientAborts.value++;
    }
    this.#withdraw();
    const { closes, peer } = this;
    if (peer.latest === this) {
      peer.latest = undefined;
      peer.idleSince = this.forwarder.deadlines.coarseNow;
    }
    this.forwarder.deadlines.remove(this);
    if (this.#counted) this.forwarder.admission.inFlight--;
    this.#counted = false;
    this.#record(status);
    peer.next?.(closes);
  }

  /** Cancels whatever the upstream still does for us. */
  #withdraw(): void {
    const { phase } = this;
    this.phase = 'done';
    this.deadline = Number.POSITIVE_INFINITY;
    if (phase === 'queued') this.endpoint!.pool.withdraw(this);
    this.abandonBody();
    this.abortAttempt();
  }

  #isQueued(): boolean {
    return this.phase === 'queued';
  }

  get closes(): boolean {
    return this.answer.closes;
  }

  protected isOver(): boolean {
    return this.phase === 'done' || this.phase === 'lingering';
  }

  /** Something moved: the idle timeout begins anew. */
  protected touch(): void {
    const { phase } = this;
    if (phase !== 'sending' && phase !== 'responding') return;
    const idle = this.forwarder.deadlines.coarseNow + this.live!.route.idleTimeout;
    this.deadline = phase === 'responding' ? idle : Math.min(idle, this.bodyDeadline);
  }

  #record(status: number): void {
    const { accessLog, metrics, now } = this.forwarder.edges;
    const total = now() - this.startedAt;
    const cells = this.forwarder.cellsOf(this.live, this.index);
    cells.record(this.request.facts.method, status, total, this.#responseMs);
    if (status >= 500 && this.#reason === undefined) this.endpoint!.cells.errors.value++;
    if (this.user !== undefined && this.index !== -1) {
      const cell = this.live!.exposure?.[this.index];
      cell?.record(this.decision!.hash, metError(status, this.#reason));
    }
    metrics.bytesIn.value += this.received;
    metrics.bytesOut.value += this.answer.bytesOut;
    this.trace?.end(
      {
        method: this.request.facts.method,
        route: this.live?.route.name,
        backend: this.index === -1 ? undefined : this.live?.route.split.names[this.index],
        endpoint: this.endpoint?.label,
        status,
        bucket: this.decision === undefined || this.decision.bucket === -1 ? undefined : this.decision.bucket,
        retries: this.#retries,
        reason: this.#reason,
      },
      Date.now(),
    );
    if (accessLog.wants(status, this.#termination)) accessLog.writeWanted(this.#accessRecord(status, total));
  }

  #accessRecord(status: number, total: number): AccessRecord {
    const record = startRecord(this.peer);
    describeRequest(record, this.request, {
      live: this.live,
      index: this.index,
      endpoint: this.endpoint,
      decision: this.decision,
      pinned: this.user !== undefined,
    });
    const dispatched = this.#dispatchedAt !== -1;
    record.status = status === 0 ? undefined : status;
    record.bytesIn = this.received;
    record.bytesOut = this.answer.bytesOut;
    // Nobody notes when the first byte of a later request on a connection came.
    if (this.peer.requests === 1) record.headMs = this.startedAt - this.peer.acceptedAt;
    record.queueMs = reached(this.#queueMs) ?? (dispatched ? 0 : undefined);
    record.connectMs = reached(this.#connectMs);
    record.responseMs = reached(this.#responseMs);
    record.totalMs = total;
    record.termination = this.#termination;
    record.reason = this.#reason;
    record.retries = this.#retries;
    record.redispatched = this.#redispatched;
    record.panic = this.index !== -1 && this.live!.use.panics(this.index);
    if (this.#shieldedFrom !== -1) record.shieldedFrom = this.live!.route.split.names[this.#shieldedFrom];
    if (this.#denied) record.retryDenied = 'retry_budget';
    if (dispatched) record.reused = this.reused;
    return record;
  }
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
