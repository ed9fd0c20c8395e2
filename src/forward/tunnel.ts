/**
 * WebSockets and other upgrades, carried by http-proxy-3.
 *
 * http-proxy-3 rewrites paths, joins fields, dies of some targets and takes no upgrade but `websocket`; so it sees a
 * stand-in for the request, over a connection that is made here (with redispatch and deadlines of our own), and what
 * it would send is replaced by the bytes of the client before they leave. What it does is the upgrade itself: the
 * handshake with the upstream, the 101, and the two pipes.
 */
import { Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'http-proxy-3';
import { readyEvent } from '../backends/connect.ts';
import { isLocalShortage } from '../backends/socket-error.ts';
import type { Termination } from '../observe/access-log.ts';
import { type Decision, decide } from '../routing/decide.ts';
import { describeRequest, reached, startRecord } from './access-record.ts';
import { askRates, overloadRefusal, type Refusal } from './admit.ts';
import { recordFailure, recordRetry } from './attempt-record.ts';
import type { Timed } from './deadlines.ts';
import type { Endpoint } from './endpoint.ts';
import type { Waiter } from './endpoint-pool.ts';
import type { Forwarder, LiveRoute, Snapshot } from './forwarder.ts';
import { ruleContext } from './header-rules.ts';
import { liveRouteOf } from './live-route.ts';
import type { Peer } from './peer.ts';
import { bucketGiven, decidePinned, mustStay, refusalOf, userOf } from './pinned-decision.ts';
import { rawAnswer } from './raw-answer.ts';
import { FAILURES, type FailureReason, requiredHeaders } from './reasons.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { buildResponseHead } from './response-head.ts';
import { failureOf } from './retry.ts';
import { otherBackend } from './retry-plan.ts';
import { upstreamFields } from './upstream-fields.ts';

/** How long the rest of what a client sends is read after an answer, before the connection ends. */
const LINGER_MS = 500;

/** What http-proxy-3 reads of a request. */
interface RequestStandIn {
  readonly tunnel: Tunnel;
  readonly method: 'GET';
  readonly url: '/';
  readonly httpVersion: '1.1';
  readonly httpVersionMajor: 1;
  readonly headers: { readonly upgrade: 'websocket'; readonly connection: 'Upgrade' };
  readonly socket: Socket;
  readonly connection: Socket;
}

type ProxyServer = ReturnType<typeof createProxyServer>;

export class Tunnels {
  readonly #forwarder: Forwarder;
  readonly #open = new Set<Tunnel>();
  readonly #proxy: ProxyServer;
  #whenEnded: (() => void) | undefined;

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
    this.#proxy = createProxyServer({});
    this.#proxy.on('proxyReqWs', (request: ClientRequest, standIn: unknown) => {
      (standIn as RequestStandIn).tunnel.onUpstreamRequest(request);
    });
    // Errors come to the callback of each tunnel; without a listener some would be thrown.
    this.#proxy.on('error', () => {});
  }

  get size(): number {
    return this.#open.size;
  }

  open(req: IncomingMessage, socket: Socket, head: Buffer, peer: Peer): void {
    const tunnel = new Tunnel(this.#forwarder, this.#proxy, req, socket, head, peer, () => {
      this.#open.delete(tunnel);
      if (this.#open.size === 0) this.#whenEnded?.();
    });
    this.#open.add(tunnel);
    tunnel.run();
  }

  /** Resolves when no tunnel is open any more. */
  ended(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEnded = resolve;
    });
  }

  destroy(): void {
    for (const tunnel of this.#open) tunnel.destroy();
  }
}

class Tunnel implements Timed, Waiter {
  readonly #forwarder: Forwarder;
  readonly #proxy: ProxyServer;
  readonly #snapshot: Snapshot;
  readonly #req: IncomingMessage;
  readonly #client: Socket;
  readonly #clientHead: Buffer;
  readonly #peer: Peer;
  readonly #head: RequestHead;
  readonly #onEnd: () => void;
  readonly #startedAt: number;
  readonly #tried: Endpoint[] = [];

  readonly waitsFor = 'place';
  deadline = Number.POSITIVE_INFINITY;
  nextTimed: Timed | undefined = undefined;
  previousTimed: Timed | undefined = undefined;

  #live: LiveRoute | undefined;
  #index = -1;
  #endpoint: Endpoint | undefined;
  #upstream: Socket | undefined;
  #request: ClientRequest | undefined;
  #status = 0;
  /** The upstream has answered instead of upgrading. */
  #refused = false;
  /** All is said; the client has a moment to take it. */
  #isEnding = false;
  #reason: FailureReason | undefined;
  #abortedIn: Termination | undefined;
  #retries = 0;
  #redispatched = false;
  /** The budget did not allow a retry. */
  #denied = false;
  /** Index in the split of the canary whose failure the main backend makes good. */
  #shieldedFrom = -1;
  /** Since when it waits for a connection that the endpoint's limit allows; -1: it does not. */
  #queuedAt = -1;
  #queueMs = 0;
  #connectMs = -1;
  #responseMs = -1;
  #dispatchedAt = -1;
  #user: string | undefined;
  #setCookie: string | undefined;
  #decision: Decision | undefined;
  #ended = false;

  constructor(
    forwarder: Forwarder,
    proxy: ProxyServer,
    req: IncomingMessage,
    client: Socket,
    clientHead: Buffer,
    peer: Peer,
    onEnd: () => void,
  ) {
    this.#forwarder = forwarder;
    this.#proxy = proxy;
    this.#snapshot = forwarder.snapshot;
    this.#req = req;
    this.#client = client;
    this.#clientHead = clientHead;
    this.#peer = peer;
    this.#head = readRequestHead(req, this.#snapshot.policy, peer);
    this.#onEnd = onEnd;
    this.#startedAt = forwarder.edges.now();
    peer.requests++;
    peer.idleSince = Number.POSITIVE_INFINITY;
    client.on('error', () => {});
    client.once('close', () => this.#end());
    // Nobody reads the socket before the handshake is done; unless something does, not even its end is noticed.
    client.once('end', () => {
      if (this.#status === 0) client.destroy();
    });
    client.read(0);
  }

  run(): void {
    this.#forwarder.deadlines.add(this);
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      this.#fail(refusal.reason, refusal.detail);
      return;
    }
    const { admission, edges } = this.#forwarder;
    if (admission.inFlight >= admission.ceiling) this.#refuse(overloadRefusal(admission));
    else if (admission.rates === undefined) this.#route();
    else {
      const { facts } = this.#head;
      askRates(admission.rates, edges.metrics, facts, this.#peer, this.#snapshot.policy, (refusal) => {
        if (this.#ended) return;
        if (refusal === undefined) this.#route();
        else this.#refuse(refusal);
      });
    }
  }

  #refuse({ reason, detail, fields }: Refusal): void {
    this.#fail(reason, detail, fields);
  }

  #route(): void {
    const { facts } = this.#head;
    const { metrics, random } = this.#forwarder.edges;
    const live = liveRouteOf(this.#snapshot, facts, metrics.unknownGroups, random);
    this.#live = live;
    this.#forwarder.retryBudget.countRequest(this.#forwarder.deadlines.coarseNow);
    if (live.route.pin === undefined) {
      this.#begin(decide(live.route, undefined, undefined, live.usable, live.rotation));
      return;
    }
    const { pin } = live.route;
    const { user, fresh, setCookie } = userOf(pin, facts.rawHeaders, this.#peer);
    this.#user = user;
    this.#setCookie = setCookie;
    const given = bucketGiven(this.#snapshot.policy, facts.rawHeaders, this.#peer);
    decidePinned(live, user, fresh, given, (decision) => this.#begin(decision));
  }

  #refusal(): { reason: FailureReason; detail: string | undefined } | undefined {
    const { facts, refusal, refusalDetail, hasBody } = this.#head;
    if (refusal !== undefined) return { reason: refusal, detail: refusalDetail };
    if (facts.method !== 'GET' || hasBody || facts.path === '*') {
      return { reason: 'bad_request', detail: 'An upgrade needs the method GET and no body.' };
    }
    const websocket = this.#req.headers.upgrade?.toLowerCase() === 'websocket';
    if (websocket && this.#req.headers['sec-websocket-key'] === undefined) {
      return { reason: 'bad_request', detail: 'A WebSocket needs the field Sec-WebSocket-Key.' };
    }
    return undefined;
  }

  #begin(decision: Decision): void {
    if (this.#ended) return;
    this.#decision = decision;
    const refusal = refusalOf(this.#live!, this.#user, decision);
    if (refusal !== undefined) this.#fail(refusal);
    else {
      if (decision.wanted !== decision.index) {
        this.#live!.spillCells(decision.wanted, decision.index).value++;
      }
      this.#attempt(decision.index);
    }
  }

  #attempt(index: number): void {
    const endpoint = this.#forwarder.selectEndpoint(this.#live!, index, this.#tried);
    if (endpoint === undefined) this.#fail('no_endpoint');
    else this.#attemptOn(index, endpoint);
  }

  #attemptOn(index: number, endpoint: Endpoint): void {
    this.#index = index;
    this.#endpoint = endpoint;
    if (endpoint.pool.reserve()) {
      this.#connect(endpoint);
    } else if (endpoint.pool.enqueue(this)) {
      this.#queuedAt = this.#forwarder.edges.now();
      this.deadline = this.#queuedAt + this.#snapshot.policy.queueTimeout;
    } else {
      this.#fail('queue_full');
    }
  }

  /** Its turn has come. */
  onConnection(): void {
    this.#endQueue();
    this.#connect(this.#endpoint!);
  }

  /** What it waited for went out of service. */
  onDismissed(): void {
    const until = this.deadline;
    this.#endQueue();
    const live = this.#live!;
    const index = otherBackend(live, this.#index, mustStay(live, this.#user), this.#forwarder.edges.random());
    if (index === -1) this.#fail('no_endpoint');
    else this.#attempt(index);
    // It has waited for a while already.
    if (this.#queuedAt !== -1) this.deadline = until;
  }

  #endQueue(): void {
    this.#queueMs += this.#forwarder.edges.now() - this.#queuedAt;
    this.#queuedAt = -1;
    this.deadline = Number.POSITIVE_INFINITY;
  }

  /** A place among the endpoint's connections is ours. */
  #connect(endpoint: Endpoint): void {
    endpoint.cells.requests.value++;
    const { timeouts } = this.#snapshot.table.config;
    const startedAt = this.#forwarder.edges.now();
    const socket = endpoint.pool.connect();
    socket.once('close', () => endpoint.pool.unreserve());
    this.#upstream = socket;
    const timer = setTimeout(() => socket.destroy(new Error('timed out')), timeouts.connect);
    const onError = (error: Error) => {
      clearTimeout(timer);
      const reason = error.message === 'timed out' ? 'connect_timeout' : 'connect_failed';
      this.#onConnectError(reason, isLocalShortage(error));
    };
    socket.once('error', onError);
    socket.once(readyEvent(endpoint.scheme), () => {
      clearTimeout(timer);
      socket.removeListener('error', onError);
      socket.on('error', () => {});
      if (this.#ended) {
        socket.destroy();
        return;
      }
      this.#connectMs = this.#forwarder.edges.now() - startedAt;
      this.#handshake(socket);
    });
  }

  /** Nothing was sent, so any endpoint may be tried next. */
  #onConnectError(reason: FailureReason, local: boolean): void {
    if (this.#ended) return;
    const live = this.#live!;
    const index = this.#index;
    const endpoint = this.#endpoint!;
    const { cells } = live.upstreams[index]!;
    this.#noteFailure(reason, local);
    const plan = this.#forwarder.planRetry(
      {
        live,
        index,
        endpoint,
        failure: reason,
        reused: false,
        responseBegun: false,
        method: 'GET',
        replayable: true,
        retries: this.#retries,
        timedOut: false,
        staysPut: mustStay(live, this.#user),
        tried: this.#tried,
      },
      this.#snapshot.policy,
    );
    if (plan === 'final' || plan === 'denied') {
      this.#denied = plan === 'denied';
      if (this.#denied) cells.retriesDenied(reason).value++;
      this.#fail(reason);
      return;
    }
    this.#retries++;
    if (plan.endpoint !== endpoint) this.#redispatched = true;
    const { status } = FAILURES[reason];
    const elapsed = this.#forwarder.edges.now() - this.#startedAt;
    if (recordRetry(live, index, endpoint, plan, reason, status, 'GET', elapsed)) this.#shieldedFrom = index;
    this.#attemptOn(plan.index, plan.endpoint);
  }

  /** @param local the fault is on this side */
  #noteFailure(reason: FailureReason, local: boolean): void {
    recordFailure(this.#live!, this.#index, this.#endpoint!, reason, local, false, false);
  }

  #handshake(upstream: Socket): void {
    const { now } = this.#forwarder.edges;
    this.#dispatchedAt = now();
    this.deadline = this.#dispatchedAt + this.#live!.route.responseHeadTimeout;
    const agent = new Agent();
    agent.createConnection = () => upstream;
    const standIn: RequestStandIn = {
      tunnel: this,
      method: 'GET',
      url: '/',
      httpVersion: '1.1',
      httpVersionMajor: 1,
      headers: { upgrade: 'websocket', connection: 'Upgrade' },
      socket: this.#client,
      connection: this.#client,
    };
    this.#proxy.ws(
      standIn as unknown as IncomingMessage,
      this.#client,
      this.#clientHead,
      // The connection is ours and speaks TLS already where it must: for http-proxy-3 it is plain.
      { target: { protocol: 'http:', host: 'upstream', port: 80 }, agent },
      (error) => this.#onTunnelError(error as Error),
    );
    // A refusal of the upgrade is an ordinary response; http-proxy-3 would pass its hop-by-hop fields on.
    this.#request!.removeAllListeners('response');
    this.#request!.once('response', (response) => this.#passRefusal(response));
  }

  #onTunnelError(error: Error): void {
    if (this.#ended || this.#reason !== undefined) return;
    const reason = this.#status === 0 ? failureOf(error, true, false) : 'tunnel_failed';
    if (this.#status === 0) this.#noteFailure(reason, false);
    this.#fail(reason);
  }

  /** http-proxy-3 has made its request: the client's own target and fields take the place of what it wrote. */
  onUpstreamRequest(request: ClientRequest): void {
    this.#request = request;
    request.path = this.#head.facts.path;
    for (const name of request.getHeaderNames()) request.removeHeader(name);
    const upstreamHeaders = upstreamFields(this.#head.upstreamHeaders, {
      snapshot: this.#snapshot,
      live: this.#live!,
      index: this.#index,
      request: this.#head,
      peer: this.#peer,
      bucket: this.#decision!.bucket,
      trace: undefined,
    });
    const { authority } = this.#endpoint!;
    for (let i = 0; i < upstreamHeaders.length; i += 2) {
      const name = upstreamHeaders[i]!;
      const value = upstreamHeaders[i + 1]!;
      if (i === 0) request.setHeader(name, value === '' ? authority : value);
      else request.appendHeader(name, value);
    }
    request.setHeader('Connection', 'Upgrade');
    request.setHeader('Upgrade', this.#req.headers.upgrade!);
    request.once('upgrade', (response: IncomingMessage, socket: Duplex) =>
      this.#onUpgraded(response, socket),
    );
  }

  #onUpgraded(response: IncomingMessage, upstream: Duplex): void {
    const { edges } = this.#forwarder;
    this.#status = response.statusCode ?? 101;
    // http-proxy-3 writes the head of the 101 from these, after this listener.
    if (this.#setCookie !== undefined) {
      response.headers['set-cookie'] = [this.#setCookie, ...(response.headers['set-cookie'] ?? [])];
    }
    this.#responseMs = edges.now() - this.#dispatchedAt;
    this.deadline = Number.POSITIVE_INFINITY;
    const backend = this.#live!.upstreams[this.#index]!;
    const { cells } = backend;
    backend.onAnswer(this.#endpoint!, this.#status);
    cells.tunnels.value++;
    this.#endpoint!.inFlight++;
    upstream.once('close', () => {
      cells.tunnels.value--;
      this.#endpoint!.inFlight--;
      this.#client.destroySoon();
    });
    // Bytes in either direction pass the client's socket, so its timer sees them all. Set a turn later:
    // http-proxy-3 clears it when it sets the sockets up.
    setImmediate(() => {
      this.#client.setTimeout(this.#snapshot.policy.tunnelTimeout, () => this.destroy());
    });
  }

  #passRefusal(response: IncomingMessage): void {
    this.#status = response.statusCode ?? 502;
    this.#live!.upstreams[this.#index]!.onAnswer(this.#endpoint!, this.#status);
    this.#responseMs = this.#forwarder.edges.now() - this.#dispatchedAt;
    this.#refused = true;
    this.#touch();
    const raw = response.rawHeaders.map((text) => Buffer.from(text, 'latin1'));
    const { headers } = buildResponseHead(
      raw,
      response.headers,
      this.#status,
      this.#snapshot.policy,
      this.#head.requestId,
      false,
      this.#live!.responseRules,
      ruleContext(this.#snapshot, this.#live!, this.#index, this.#head, this.#peer),
    );
    if (this.#setCookie !== undefined) headers.unshift('Set-Cookie', this.#setCookie);
    let text = `HTTP/1.1 ${this.#status} ${response.statusMessage ?? ''}\r\n`;
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    // The end of the connection marks the end of the body, whatever framing the upstream used.
    this.#client.write(`${text}Connection: close\r\n\r\n`, 'latin1');
    response.on('data', () => this.#touch());
    response.pipe(this.#client, { end: false });
    response.once('close', () => {
      this.#upstream?.destroy();
      if (response.complete) this.#endClient();
      else this.#cut('upstream_truncated');
    });
  }

  /** Ending in order would make what is truncated look whole. */
  #cut(reason: FailureReason): void {
    if (this.#ended) return;
    if (this.#reason === undefined) {
      this.#reason = reason;
      this.#forwarder.edges.metrics.failures(reason).value++;
    }
    this.#client.resetAndDestroy();
  }

  /** Ends the connection so that the client can read what it got, also when it has sent bytes that nobody reads. */
  #endClient(): void {
    this.#isEnding = true;
    this.#client.end();
    this.#client.resume();
    this.deadline = this.#forwarder.edges.now() + LINGER_MS;
  }

  #touch(): void {
    this.deadline = this.#forwarder.edges.now() + this.#live!.route.idleTimeout;
  }

  onDeadline(): void {
    if (this.#isEnding) {
      this.destroy();
      return;
    }
    if (this.#refused) {
      this.#cut(this.#client.writableNeedDrain ? 'client_timeout' : 'idle_timeout');
      return;
    }
    if (this.#queuedAt !== -1) {
      this.#fail('queue_timeout');
      return;
    }
    this.#noteFailure('response_timeout', false);
    this.#fail('response_timeout');
  }

  get heldBytes(): number {
    return this.#client.writableLength + (this.#upstream?.writableLength ?? 0);
  }

  destroy(): void {
    this.#upstream?.destroy();
    this.#client.destroy();
  }

  /** @param fields of the answer: names and values in turn */
  #fail(reason: FailureReason, detail?: string, fields: readonly string[] = []): void {
    if (this.#ended || this.#reason !== undefined) return;
    this.#reason = reason;
    this.#leaveQueue();
    const { metrics } = this.#forwarder.edges;
    metrics.failures(reason).value++;
    if (this.#status === 0) {
      this.#status = FAILURES[reason].status;
      const { accept, requestId } = this.#head;
      const { allowedMethods, requestIdField } = this.#snapshot.policy;
      const extra = [...requiredHeaders(reason, allowedMethods), ...fields];
      this.#client.write(rawAnswer(reason, accept, requestId, requestIdField, detail, extra));
    }
    this.#upstream?.destroy();
    this.#endClient();
  }

  /** The client's connection is closed. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#hasLeft()) {
      this.#reason = 'client_aborted';
      this.#abortedIn = this.#whenAborted();
      this.#forwarder.edges.metrics.clientAborts.value++;
    }
    this.#leaveQueue();
    this.#upstream?.destroy();
    this.#forwarder.deadlines.remove(this);
    this.#record();
    this.#onEnd();
  }

  /** The client went before it had an answer, or all of one. The end of a tunnel is nobody's failure. */
  #hasLeft(): boolean {
    return this.#reason === undefined && (this.#status === 0 || (this.#refused && !this.#isEnding));
  }

  #whenAborted(): Termination {
    if (this.#refused) return 'CD';
    if (this.#queuedAt !== -1) return 'CQ';
    return this.#dispatchedAt === -1 ? 'CC' : 'CH';
  }

  #leaveQueue(): void {
    if (this.#queuedAt === -1) return;
    this.#endpoint!.pool.withdraw(this);
    this.#endQueue();
  }

  #record(): void {
    const { accessLog, now } = this.#forwarder.edges;
    const total = now() - this.#startedAt;
    const reason = this.#reason;
    const termination = reason === undefined ? '--' : (this.#abortedIn ?? FAILURES[reason].termination);
    const cells = this.#forwarder.cellsOf(this.#live, this.#index);
    // The duration of a tunnel says nothing of latency: the time to its head is what the histogram gets.
    cells.record('GET', this.#status, this.#responseMs >= 0 ? this.#responseMs : total, this.#responseMs);
    if (!accessLog.wants(this.#status, termination)) return;
    const record = startRecord(this.#peer);
    describeRequest(record, this.#head, {
      live: this.#live,
      index: this.#index,
      endpoint: this.#endpoint,
      decision: this.#decision,
      pinned: this.#user !== undefined,
    });
    record.status = this.#status === 0 ? undefined : this.#status;
    record.bytesIn = this.#client.bytesRead;
    record.bytesOut = this.#client.bytesWritten;
    record.queueMs = this.#queueMs;
    record.connectMs = reached(this.#connectMs);
    record.responseMs = reached(this.#responseMs);
    record.totalMs = total;
    record.termination = termination;
    record.reason = reason;
    record.retries = this.#retries;
    record.redispatched = this.#redispatched;
    record.panic = this.#index !== -1 && this.#live!.use.panics(this.#index);
    if (this.#shieldedFrom !== -1) record.shieldedFrom = this.#live!.route.split.names[this.#shieldedFrom];
    if (this.#denied) record.retryDenied = 'retry_budget';
    accessLog.writeWanted(record);
  }
}
