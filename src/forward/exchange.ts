/**
 * The life of one request, whatever protocol carries it: decision, attempts and retries, deadlines, the response, and
 * the record. It talks to its client and to upstreams through the two interfaces in `ports.ts`.
 *
 * Each request has one of these. It is also the waiter of the endpoint's pool and an element of the list of deadlines,
 * so that the common case allocates nothing more.
 */

import type { Timed } from '../admission/deadlines.ts';
import { debugFields } from '../debug-header/debug-fields.ts';
import type { BodyPart } from '../http/body-part.ts';
import { RequestBody } from '../http/request-body.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { AccessRecord, Termination } from '../observe/access-log.ts';
import { type Decision, decide } from '../routing/decide.ts';
import { askRates, overloadRefusal } from './admit.ts';
import { Attempt } from './attempt.ts';
import { recordFailure, recordRetry } from './attempt-record.ts';
import { LINGER_MS } from './end-connection.ts';
import type { Endpoint } from './endpoint.ts';
import type { Waiter } from './endpoint-pool.ts';
import { countExchange, exchangeRecord, Progress } from './exchange-facts.ts';
import type { Forwarder } from './forwarder.ts';
import { InvariantError, invariant } from './invariant.ts';
import { liveRouteOf } from './live-route.ts';
import type { Peer, RequestInProgress } from './peer.ts';
import { mayFollow, type Phase } from './phase.ts';
import { bucketGiven, decidePinned, mustStay, refusalOf, userOf } from './pinned-decision.ts';
import type { ForwardPolicy } from './policy.ts';
import type {
  Downstream,
  DownstreamEvents,
  ResponseWriter,
  UpstreamEvents,
  UpstreamTransport,
} from './ports.ts';
import { FAILURES, type FailureReason, losesFraming, requiredHeaders } from './reasons.ts';
import type { ClientRequest } from './request-description.ts';
import { type AttemptFailure, gatewayAnswer, isShielded, otherBackend, type Retry } from './retry-plan.ts';
import { ruleContext } from './rule-context.ts';
import type { LiveRoute, Snapshot } from './snapshot.ts';
import { type Dispatched, receivedTrace, upstreamList, upstreamText } from './upstream-fields.ts';

/** Request bodies up to this size are always kept: they leave with the head in one write. */
const SMALL_BODY = 16 * 1024;

/** If more of a request body than this is missing after an early response, the connection ends instead. */
const MAX_DISCARDED = 64 * 1024;

/** Interim responses of one request: more of them, or more bytes, end it with `bad_response`. */
const MAX_INTERIM = 100;
const MAX_INTERIM_BYTES = 64 * 1024;

const NONE_TRIED: readonly Endpoint[] = [];
const NO_HEADERS: readonly string[] = [];

export class Exchange implements DownstreamEvents, UpstreamEvents, Timed, Waiter, RequestInProgress {
  readonly #forwarder: Forwarder;
  readonly #snapshot: Snapshot;
  readonly #peer: Peer;
  readonly #downstream: Downstream;
  readonly #response: ResponseWriter;
  readonly #transport: UpstreamTransport;
  readonly #request: ClientRequest;
  readonly #startedAt: number;
  readonly #attempt = new Attempt();
  readonly #progress = new Progress();
  deadline = Number.POSITIVE_INFINITY;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;

  #phase: Phase = 'reading';
  /** Cookie that identifies the user from now on. */
  #setCookie: string | undefined = undefined;

  #body: RequestBody | undefined = undefined;
  /** The transport takes content. */
  #takesBody = false;
  /** The upstream, not the client, holds up the request body. */
  #bodyIsPaused = false;
  /** No request body may arrive after this. */
  #bodyDeadline = Number.POSITIVE_INFINITY;
  #blockedByClient = false;
  /** A place is leased for an attempt that its transport has not begun. */
  #holdsPlace = false;
  #interimCount = 0;
  #interimBytes = 0;

  /** Endpoints that the request failed on. */
  #tried: Endpoint[] | undefined = undefined;
  #timedOut = false;
  #queuedAt = -1;

  /** Counted among the requests in flight. */
  #counted = false;
  #closed = false;
  /** Counted among the tunnels. */
  #tunnelCounted = false;

  constructor(forwarder: Forwarder, peer: Peer, downstream: Downstream, transport: UpstreamTransport) {
    this.#forwarder = forwarder;
    this.#snapshot = forwarder.snapshot;
    this.#peer = peer;
    this.#downstream = downstream;
    this.#response = downstream.response;
    this.#request = downstream.request;
    this.#transport = transport;
    this.#startedAt = forwarder.edges.now();
    peer.requests++;
    peer.latest = this;
    peer.idleSince = Number.POSITIVE_INFINITY;
    downstream.attach(this);
    transport.attach(this);
    forwarder.deadlines.add(this);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** True once the response is decided: nothing more of the request is needed. */
  get isOver(): boolean {
    return this.#phase === 'done' || this.#phase === 'lingering';
  }

  /** True if the connection ends with this response: later requests on it are not served. */
  get closes(): boolean {
    return this.#response.closes;
  }

  get heldBytes(): number {
    const kept = this.#body?.kept;
    return (kept === undefined ? 0 : kept.cost) + this.#downstream.heldBytes + this.#transport.heldBytes;
  }

  #enter(next: Phase): void {
    const { phase } = this;
    if (!mayFollow(phase, next)) throw new InvariantError(`violated: ${next} may not follow ${phase}`);
    this.#phase = next;
  }

  // ---- from the head to the decision ----

  /** Makes ready for the request body. @returns false if the request was refused for its size */
  open(): boolean {
    const { contentLength } = this.#request;
    if (contentLength === 0) return true;
    const { policy } = this.#snapshot;
    if (contentLength > policy.maxRequestBody) {
      this.#failTooLarge();
      return false;
    }
    const isSmall = contentLength > 0 && contentLength <= SMALL_BODY;
    const keepLimit = isSmall ? SMALL_BODY : policy.retryAttempts === 0 ? 0 : policy.retryBuffer;
    this.#body = new RequestBody(keepLimit);
    this.#bodyDeadline = this.#startedAt + policy.requestBodyTimeout;
    return true;
  }

  /** Admits the request, unless there is too much; then decides where it goes, and sends it there. */
  serve(): void {
    this.#enter('deciding');
    const { admission } = this.#forwarder;
    if (admission.inFlight >= admission.ceiling) {
      const { reason, detail, fields } = overloadRefusal(admission);
      this.fail(reason, detail, fields);
      return;
    }
    admission.inFlight++;
    this.#counted = true;
    if (admission.rates === undefined) this.#route();
    else {
      const { metrics } = this.#forwarder.edges;
      const { facts } = this.#request;
      askRates(admission.rates, metrics, facts, this.#peer, this.#snapshot.policy, (refusal) =>
        this.#guard(() => {
          if (this.#phase !== 'deciding') return;
          if (refusal === undefined) this.#route();
          else this.fail(refusal.reason, refusal.detail, refusal.fields);
        }),
      );
    }
  }

  #route(): void {
    const forwarder = this.#forwarder;
    const { facts } = this.#request;
    const { metrics, random } = forwarder.edges;
    const live = liveRouteOf(this.#snapshot, facts, metrics.unknownGroups, random);
    this.#progress.live = live;
    forwarder.retryBudget.countRequest(forwarder.deadlines.coarseNow);
    const { tracing } = forwarder;
    if (tracing !== undefined) {
      this.#progress.trace = tracing.begin(receivedTrace(facts.rawHeaders), facts.method, Date.now());
    }
    const { pin } = live.route;
    if (pin === undefined) {
      this.#begin(decide(live.route, undefined, undefined, live.usable, live.rotation));
      return;
    }
    const { user, fresh, setCookie } = userOf(pin, facts.rawHeaders, this.#peer);
    this.#progress.user = user;
    this.#setCookie = setCookie;
    const given = bucketGiven(this.#snapshot.policy, facts.rawHeaders, this.#peer);
    decidePinned(live, user, fresh, given, (decision) =>
      this.#guard(() => {
        if (this.#phase === 'deciding') this.#begin(decision);
      }),
    );
  }

  #begin(decision: Decision): void {
    this.#progress.decision = decision;
    const refusal = refusalOf(this.#progress.live!, this.#progress.user, decision);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    if (decision.wanted !== -1 && decision.wanted !== decision.index) {
      this.#progress.live!.spillCells(decision.wanted, decision.index).value++;
    }
    this.#attemptAt(decision.index);
  }

  // ---- attempts ----

  #attemptAt(index: number): void {
    const endpoint = this.#forwarder.selectEndpoint(this.#progress.live!, index, this.#tried ?? NONE_TRIED);
    if (endpoint === undefined) this.fail('no_endpoint');
    else this.#attemptOn(index, endpoint, false);
  }

  #attemptOn(index: number, endpoint: Endpoint, fresh: boolean): void {
    const attempt = this.#attempt;
    attempt.index = index;
    attempt.endpoint = endpoint;
    if (!fresh && this.#transport.join(attempt)) return;
    if (endpoint.pool.lease()) {
      this.#start(fresh);
      return;
    }
    if (!endpoint.pool.enqueue(this)) {
      this.fail('queue_full');
      return;
    }
    this.#enter('queued');
    this.#queuedAt = this.#forwarder.edges.now();
    this.deadline = this.#queuedAt + this.#snapshot.policy.queueTimeout;
  }

  /** Begins the attempt in a place that is leased for it. */
  #start(fresh: boolean): void {
    const { pool } = this.#attempt.endpoint!;
    this.#holdsPlace = true;
    try {
      this.#transport.start(this.#attempt, this.#body, fresh);
    } catch (error) {
      if (this.#holdsPlace) {
        this.#holdsPlace = false;
        pool.release(undefined);
      }
      throw error;
    }
  }

  onPlace(): void {
    this.#guard(() => this.#start(false));
  }

  onDismissed(): void {
    this.#guard(() => this.#waitElsewhere());
  }

  #waitElsewhere(): void {
    if (this.#phase !== 'queued') return;
    const until = this.deadline;
    const live = this.#progress.live!;
    const { random } = this.#forwarder.edges;
    const index = otherBackend(live, this.#attempt.index, mustStay(live, this.#progress.user), random());
    this.#enter('deciding');
    if (index === -1) this.fail('no_endpoint');
    else this.#attemptAt(index);
    // It has waited for a while already.
    if (this.#isQueued()) this.deadline = until;
  }

  #isQueued(): boolean {
    return this.#phase === 'queued';
  }

  onConnecting(reused: boolean): void {
    // In the common case no time has passed since the start: the clock is not read again.
    const waited = this.#phase === 'queued' || this.#progress.retries > 0;
    const now = waited ? this.#forwarder.edges.now() : this.#startedAt;
    if (this.#queuedAt !== -1 && this.#progress.queueMs === -1) this.#progress.queueMs = now - this.#queuedAt;
    this.#enter('connecting');
    this.#holdsPlace = false;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#attempt.begin(now, reused);
    const endpoint = this.#attempt.endpoint!;
    endpoint.inFlight++;
    endpoint.cells.requests.value++;
    this.#upstream().cells.inFlight.value++;
  }

  onConnected(): void {
    const attempt = this.#attempt;
    // On an open connection no time has passed since the dispatch.
    const now = attempt.reused ? attempt.dispatchedAt : this.#forwarder.edges.now();
    attempt.connectMs = now - attempt.dispatchedAt;
    attempt.sentAt = now;
    const { route } = this.#progress.live!;
    if (this.#body === undefined || this.#body.ended) {
      this.#enter('waiting');
      this.deadline = now + route.responseHeadTimeout;
    } else {
      this.#enter('sending');
      this.deadline = Math.min(now + route.idleTimeout, this.#bodyDeadline);
    }
  }

  /** The attempt has given back its connection. */
  #endAttempt(): void {
    const attempt = this.#attempt;
    if (!attempt.open) return;
    attempt.open = false;
    this.#takesBody = false;
    this.#bodyIsPaused = false;
    this.#blockedByClient = false;
    const { cells } = this.#upstream();
    invariant(attempt.endpoint!.inFlight > 0 && cells.inFlight.value > 0, 'an attempt that ends was counted');
    attempt.endpoint!.inFlight--;
    cells.inFlight.value--;
  }

  /** Gives up the attempt in progress, if there is one. */
  #abortAttempt(): void {
    if (!this.#attempt.open) return;
    try {
      this.#transport.abort();
    } finally {
      this.#endAttempt();
    }
  }

  onAttemptFailed(reason: FailureReason, local: boolean): void {
    this.#endAttempt();
    if (this.isOver) return;
    this.#recordFailure(reason, local);
    const next = this.#phase === 'responding' ? undefined : this.#planRetry(reason);
    if (next === undefined) this.fail(reason);
    else this.#retry(next, reason, FAILURES[reason].status);
  }

  #recordFailure(reason: FailureReason, local: boolean): void {
    const { index, endpoint, reused, responseBegun } = this.#attempt;
    recordFailure(this.#progress.live!, index, endpoint!, reason, local, reused, responseBegun);
  }

  // ---- retries ----

  #planRetry(failure: AttemptFailure): Retry | undefined {
    const live = this.#progress.live!;
    const { index, endpoint, reused, responseBegun } = this.#attempt;
    this.#tried ??= [];
    const plan = this.#forwarder.planRetry(
      {
        live,
        index,
        endpoint: endpoint!,
        failure,
        reused,
        responseBegun,
        method: this.#request.facts.method,
        replayable: this.#body === undefined || this.#body.kept !== undefined,
        retries: this.#progress.retries,
        timedOut: this.#timedOut,
        staysPut: mustStay(live, this.#progress.user),
        tried: this.#tried,
      },
      this.#snapshot.policy,
    );
    if (plan === 'final') return undefined;
    if (plan !== 'denied') return plan;
    this.#progress.denied = true;
    this.#upstream().cells.retriesDenied(failure).value++;
    return undefined;
  }

  /** Gives up the attempt in progress and follows `next`. @param status of the failure */
  #retry(next: Retry, failure: AttemptFailure, status: number): void {
    const live = this.#progress.live!;
    const { index, endpoint } = this.#attempt;
    const elapsed = this.#forwarder.edges.now() - this.#startedAt;
    this.#progress.retries++;
    if (next.endpoint !== endpoint) this.#progress.redispatched = true;
    if (recordRetry(live, index, endpoint!, next, failure, status, this.#request.facts.method, elapsed)) {
      this.#progress.shieldedFrom = index;
      // The canary served its user, who saw no error.
      if (this.#progress.user !== undefined)
        live.exposure?.[index]?.record(this.#progress.decision!.hash, false);
    }
    this.#abortAttempt();
    this.#enter('deciding');
    this.deadline = Number.POSITIVE_INFINITY;
    this.#attemptOn(next.index, next.endpoint, next.fresh);
  }

  // ---- the request body ----

  onRequestBody(part: BodyPart, stable: boolean, last: boolean): boolean {
    const body = this.#body!;
    body.received += part.size;
    body.ended = last;
    if (this.isOver) return true;
    if (body.received > this.#snapshot.policy.maxRequestBody) {
      this.#failTooLarge();
      return true;
    }
    this.#touch();
    const sending = this.#takesBody;
    if (body.kept !== undefined) {
      if (part.size > 0) body.kept.add(part);
      if (sending) body.trim();
    }
    // Held in full until there is a connection; no more is read meanwhile.
    if (!sending) return last;
    const flows = this.#transport.send(part, stable, last);
    if (last) this.#onRequestSent();
    else if (!flows) this.#bodyIsPaused = true;
    return flows;
  }

  onRequestMalformed(detail?: string): void {
    if (this.isOver) return;
    this.#response.closeAfter();
    this.fail('bad_request', detail);
  }

  takeBody(): void {
    const body = this.#body!;
    invariant(body.kept !== undefined, 'an attempt begins with the whole request body');
    this.#takesBody = true;
    const { kept, ended } = body;
    const flows = kept.size === 0 && !ended ? true : this.#transport.sendKept(kept, ended);
    body.trim();
    if (ended) this.#onRequestSent();
    else if (flows) this.#downstream.resumeBody();
    else this.#bodyIsPaused = true;
  }

  onUpstreamDrained(): void {
    this.#touch();
    if (!this.#bodyIsPaused) return;
    this.#bodyIsPaused = false;
    this.#downstream.resumeBody();
  }

  #onRequestSent(): void {
    if (this.#phase !== 'sending') return;
    this.#enter('waiting');
    const now = this.#forwarder.edges.now();
    this.#attempt.sentAt = now;
    this.deadline = now + this.#progress.live!.route.responseHeadTimeout;
  }

  #failTooLarge(): void {
    this.fail('body_too_large', `At most ${this.#snapshot.policy.maxRequestBody} bytes are taken.`);
  }

  // ---- the response ----

  onResponseBegun(): void {
    this.#attempt.responseBegun = true;
  }

  onResponseHead(head: ResponseHead): 'continue' | 'pause' | 'stop' {
    if (this.isOver) return 'stop';
    if (this.#noteStatus(head.status)) return 'stop';
    if (head.status < 200) return this.#inform(head);
    const now = this.#forwarder.edges.now();
    this.#attempt.responseMs = now - this.#attempt.sentAt;
    // An upstream may respond before it has read the request.
    if (this.#phase !== 'waiting' && this.#phase !== 'sending') this.#enter('waiting');
    this.#enter('responding');
    this.#complete(head);
    if (this.#forwarder.draining || this.#restIsTooLarge()) this.#response.closeAfter();
    this.#response.respond(head);
    // The body usually follows in the same packet, and then leaves with the head in one write.
    this.deadline = now;
    return 'continue';
  }

  /**
   * Counts the status of a response, and keeps it from the client where the main backend can make it good.
   *
   * @returns true if the attempt was given up
   */
  #noteStatus(status: number): boolean {
    const { index, endpoint } = this.#attempt;
    const upstream = this.#upstream();
    if (status >= 200 || status === 101) upstream.onAnswer(endpoint!, status);
    const answer = gatewayAnswer(status);
    if (answer === undefined || !isShielded(this.#progress.live!, index)) return false;
    const next = this.#planRetry(answer);
    if (next === undefined) return false;
    upstream.cells.errors(answer).value++;
    endpoint!.cells.errors.value++;
    this.#retry(next, answer, status);
    return true;
  }

  #inform(head: ResponseHead): 'continue' | 'pause' | 'stop' {
    this.#interimBytes += head.size;
    if (++this.#interimCount > MAX_INTERIM || this.#interimBytes > MAX_INTERIM_BYTES) {
      this.#recordFailure('bad_response', false);
      this.fail('bad_response', 'It has too many interim responses.');
      return 'stop';
    }
    head.append(this.#snapshot.policy.requestIdField, this.#request.requestId);
    if (this.#response.inform(head)) return 'continue';
    this.#blockedByClient = true;
    // The client, not the upstream, delays the response now.
    this.deadline = this.#forwarder.deadlines.coarseNow + this.#progress.live!.route.idleTimeout;
    return 'pause';
  }

  /** Adds to a final head what the route and Pointsman say in it. */
  #complete(head: ResponseHead): void {
    const live = this.#progress.live!;
    const { responseRules } = live;
    const { policy } = this.#snapshot;
    if (responseRules !== undefined) {
      const context = ruleContext(this.#snapshot, live, this.#attempt.index, this.#request, this.#peer);
      head.applyRules(responseRules, context);
    }
    const debug = this.#debugHeaders();
    for (let i = 0; i < debug.length; i += 2) head.append(debug[i]!, debug[i + 1]!);
    if (this.#setCookie !== undefined) head.prepend('Set-Cookie', this.#setCookie);
    head.append(policy.requestIdField, this.#request.requestId);
  }

  onHeadAlone(): void {
    if (this.#response.headIsHeld) process.nextTick(flushHead, this);
  }

  /** Sends a held head without its body. */
  flushHead(): void {
    if (this.#phase !== 'responding' || !this.#response.headIsHeld) return;
    try {
      this.#response.flush();
      this.#touch();
    } catch {
      this.fail('bad_response');
    }
  }

  onResponseBody(part: BodyPart, last: boolean, trailers: readonly string[]): boolean {
    if (this.#phase !== 'responding') return true;
    let flows: boolean;
    try {
      flows = this.#response.write(part, last, trailers);
    } catch {
      this.fail('bad_response');
      return true;
    }
    if (last) return flows;
    this.#touch();
    if (!flows) this.#blockedByClient = true;
    return flows;
  }

  onResponseEnd(trailers: readonly string[]): void {
    this.#endAttempt();
    if (this.#phase !== 'responding') return;
    const lingers = this.#lingers();
    try {
      this.#response.end(trailers, lingers);
    } catch {
      this.fail('bad_response');
      return;
    }
    this.#end(lingers);
  }

  onClientDrained(): void {
    if (!this.#blockedByClient) return;
    this.#blockedByClient = false;
    if (this.#phase === 'waiting') {
      const { coarseNow } = this.#forwarder.deadlines;
      this.deadline = coarseNow + this.#progress.live!.route.responseHeadTimeout;
    }
    this.#touch();
    if (this.#attempt.open) this.#transport.resume();
  }

  // ---- tunnels ----

  onSwitched(head: ResponseHead): boolean {
    if (this.isOver) return false;
    this.#noteStatus(head.status);
    this.#attempt.responseMs = this.#forwarder.edges.now() - this.#attempt.sentAt;
    this.#enter('tunneling');
    this.#upstream().cells.tunnels.value++;
    this.#tunnelCounted = true;
    this.#complete(head);
    this.deadline = this.#forwarder.deadlines.coarseNow + this.#snapshot.policy.tunnelTimeout;
    this.#downstream.switchProtocols(head);
    return true;
  }

  onTunnelBytes(inbound: number, outbound: number): void {
    const { metrics } = this.#forwarder.edges;
    this.#progress.tunnelIn += inbound;
    this.#progress.tunnelOut += outbound;
    metrics.bytesIn.value += inbound;
    metrics.bytesOut.value += outbound;
    if (this.#phase !== 'tunneling') return;
    this.deadline = this.#forwarder.deadlines.coarseNow + this.#snapshot.policy.tunnelTimeout;
  }

  onTunnelClosed(broken: boolean): void {
    if (this.#phase !== 'tunneling') return;
    if (broken) this.#setReason('tunnel_failed');
    this.#endTunnel();
  }

  /** The end of a tunnel is an error only if one side broke it. */
  #endTunnel(): void {
    this.#abortAttempt();
    this.#enter('done');
    this.#uncountTunnel();
    this.deadline = this.#forwarder.deadlines.coarseNow + this.#progress.live!.route.idleTimeout;
    this.#downstream.endTunnel();
  }

  // ---- the end ----

  /** Ends the exchange with an error response, or cuts a response that has begun. */
  fail(reason: FailureReason, detail?: string, headers: readonly string[] = NO_HEADERS): void {
    if (this.isOver) return;
    this.#setReason(reason);
    this.#withdraw();
    const response = this.#response;
    if (response.begun) {
      this.#enter('done');
      this.deadline = Number.POSITIVE_INFINITY;
      this.#downstream.destroy();
      return;
    }
    const required = requiredHeaders(reason, this.#snapshot.policy.allowedMethods);
    const all = [...required, ...headers, ...this.#debugHeaders()];
    if (this.#forwarder.draining || losesFraming(reason) || this.#restIsTooLarge()) response.closeAfter();
    const lingers = this.#lingers();
    response.fail({ reason, detail, headers: all }, lingers);
    this.#end(lingers);
  }

  /** Ends with a response that the downstream has written itself. */
  answered(): void {
    this.#end(this.#lingers());
  }

  #setReason(reason: FailureReason): void {
    this.#progress.reason = reason;
    this.#progress.termination = FAILURES[reason].termination;
    this.#forwarder.edges.metrics.failures(reason).value++;
  }

  /** Cancels what the upstream still does for this request. */
  #withdraw(): void {
    if (this.#phase === 'queued') this.#attempt.endpoint!.pool.withdraw(this);
    this.#uncountTunnel();
    this.#abortAttempt();
    this.#abandonBody();
  }

  #uncountTunnel(): void {
    if (!this.#tunnelCounted) return;
    this.#tunnelCounted = false;
    this.#upstream().cells.tunnels.value--;
  }

  #abandonBody(): void {
    if (this.#request.contentLength === 0) return;
    if (this.#body !== undefined) this.#body.kept = undefined;
    this.#downstream.abandonBody();
  }

  #restIsTooLarge(): boolean {
    if (this.#downstream.requestEnded) return false;
    const { contentLength } = this.#request;
    return contentLength === -1 || contentLength - (this.#body?.received ?? 0) > MAX_DISCARDED;
  }

  /** While the client still sends, closing the connection would reset it, and the client might lose the response. */
  #lingers(): boolean {
    return this.#response.closes && !this.#downstream.requestEnded && this.#downstream.canDiscard;
  }

  /** The last byte for the client is written. */
  #end(lingers: boolean): void {
    this.#enter(lingers ? 'lingering' : 'done');
    this.#abandonBody();
    const { coarseNow } = this.#forwarder.deadlines;
    // A client that does not take the rest of its response would keep the connection for ever.
    const idle = this.#progress.live?.route.idleTimeout ?? this.#snapshot.table.config.timeouts.idle;
    this.deadline = coarseNow + (lingers ? LINGER_MS : idle);
    this.#downstream.finish(lingers ? 'lingering' : 'ended');
  }

  onLingered(): void {
    if (this.#phase !== 'lingering') return;
    this.#response.stopLingering();
    this.#enter('done');
    this.deadline = this.#forwarder.deadlines.coarseNow + this.#snapshot.table.config.timeouts.idle;
    this.#downstream.finish('ended');
  }

  onGarbage(): void {
    this.#downstream.onGarbage();
  }

  onDeadline(): void {
    this.#guard(() => this.#expire());
  }

  #expire(): void {
    switch (this.#phase) {
      case 'queued':
        this.fail('queue_timeout');
        return;
      case 'sending':
        this.fail(this.#bodyIsPaused ? 'idle_timeout' : 'client_timeout');
        return;
      case 'waiting':
        if (this.#blockedByClient) this.fail('client_timeout');
        else this.#onResponseTimeout();
        return;
      case 'responding':
        if (this.#response.headIsHeld) this.flushHead();
        else this.fail(this.#blockedByClient ? 'client_timeout' : 'idle_timeout');
        return;
      case 'tunneling':
        this.#endTunnel();
        return;
      case 'lingering':
        this.onLingered();
        return;
      case 'done':
        if (this.#response.finished) return;
        if (this.#response.status !== 101) {
          this.#progress.reason ??= 'client_timeout';
          this.#progress.termination = FAILURES.client_timeout.termination;
        }
        this.#downstream.destroy();
        return;
    }
  }

  #onResponseTimeout(): void {
    this.#recordFailure('response_timeout', false);
    const next = this.#planRetry('response_timeout');
    this.#timedOut = true;
    if (next === undefined) this.fail('response_timeout');
    else this.#retry(next, 'response_timeout', FAILURES.response_timeout.status);
  }

  onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { status, finished, closes } = this.#response;
    if (!finished && this.#progress.reason === undefined && status !== 101) {
      this.#progress.reason = 'client_aborted';
      this.#progress.termination = abortedIn(this.#phase);
      this.#forwarder.edges.metrics.clientAborts.value++;
    }
    try {
      this.#withdraw();
    } catch (error) {
      this.#noteInternalError(error);
    }
    if (this.#phase !== 'done') this.#enter('done');
    const peer = this.#peer;
    if (peer.latest === this) {
      peer.latest = undefined;
      peer.idleSince = this.#forwarder.deadlines.coarseNow;
    }
    this.#forwarder.deadlines.remove(this);
    const { admission } = this.#forwarder;
    if (this.#counted) admission.inFlight--;
    this.#counted = false;
    try {
      this.#record(status);
    } catch (error) {
      this.#noteInternalError(error);
    }
    peer.next?.(closes);
  }

  onInternalError(error: unknown): void {
    this.#noteInternalError(error);
    if (this.#closed) return;
    if (!this.isOver) {
      try {
        // The start of the next request may be unknown.
        this.#response.closeAfter();
        this.fail('internal_error');
        return;
      } catch (second) {
        this.#noteInternalError(second);
      }
      // The close of the connection completes the end.
      this.#phase = 'done';
    }
    if (this.#progress.reason === undefined) this.#setReason('internal_error');
    this.#downstream.destroy();
  }

  #noteInternalError(error: unknown): void {
    const { log, metrics } = this.#forwarder.edges;
    const phase = this.#phase;
    metrics.internalErrors.value++;
    log.error({ err: error, phase, requestId: this.#request.requestId }, 'internal error in a request');
  }

  /** Runs what is called from outside of this exchange and its ports, where an error would end the process. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.onInternalError(error);
    }
  }

  /** Something moved: the idle timeout starts over. */
  #touch(): void {
    const phase = this.#phase;
    if (phase !== 'sending' && phase !== 'responding') return;
    const idle = this.#forwarder.deadlines.coarseNow + this.#progress.live!.route.idleTimeout;
    this.deadline = phase === 'responding' ? idle : Math.min(idle, this.#bodyDeadline);
  }

  // ---- description and record ----

  get request(): ClientRequest {
    return this.#request;
  }

  get policy(): ForwardPolicy {
    return this.#snapshot.policy;
  }

  upstreamText(): string {
    const { upstreamHead } = this.#request;
    const { live, trace } = this.#progress;
    const isPlain =
      this.#snapshot.policy.propagation === undefined &&
      live!.requestRules === undefined &&
      trace === undefined;
    return isPlain && upstreamHead !== undefined ? upstreamHead : upstreamText(this.#dispatched());
  }

  upstreamList(): string[] {
    return upstreamList(this.#dispatched());
  }

  #dispatched(): Dispatched {
    return {
      snapshot: this.#snapshot,
      live: this.#progress.live!,
      index: this.#attempt.index,
      request: this.#request,
      peer: this.#peer,
      bucket: this.#progress.decision!.bucket,
      trace: this.#progress.trace,
    };
  }

  /** Returns debug headers that explain the decision, if the client may see them: names and values in turn. */
  #debugHeaders(): readonly string[] {
    const { debug } = this.#snapshot.policy;
    const asked = this.#request.debug;
    if (asked === undefined || debug === undefined || !debug.allows(asked, this.#peer.trusted))
      return NO_HEADERS;
    return debugFields(this.#accessRecord(0, this.#forwarder.edges.now() - this.#startedAt));
  }

  #upstream(): LiveRoute['upstreams'][number] {
    return this.#progress.live!.upstreams[this.#attempt.index]!;
  }

  #record(status: number): void {
    const { accessLog, now } = this.#forwarder.edges;
    const { termination } = this.#progress;
    const totalMs = now() - this.#startedAt;
    const bytesIn = this.#body?.received ?? 0;
    const { bytesOut } = this.#response;
    countExchange(
      this.#forwarder,
      this.#request,
      this.#progress,
      this.#attempt,
      status,
      bytesIn,
      bytesOut,
      totalMs,
    );
    if (accessLog.wants(status, termination)) accessLog.writeWanted(this.#accessRecord(status, totalMs));
  }

  #accessRecord(status: number, totalMs: number): AccessRecord {
    return exchangeRecord(this.#peer, this.#request, this.#progress, this.#attempt, {
      status,
      bytesIn: this.#body?.received ?? 0,
      bytesOut: this.#response.bytesOut,
      startedAt: this.#startedAt,
      totalMs,
    });
  }
}

function flushHead(exchange: Exchange): void {
  try {
    exchange.flushHead();
  } catch (error) {
    exchange.onInternalError(error);
  }
}

/** HAProxy's letters for a client that left, by what was going on. */
function abortedIn(phase: Phase): Termination {
  switch (phase) {
    case 'reading':
      return 'CR';
    case 'queued':
      return 'CQ';
    case 'deciding':
    case 'connecting':
      return 'CC';
    case 'waiting':
      return 'CH';
    default:
      return 'CD';
  }
}
