/**
 * Exchanges between scripted ports, on a real forwarder: a test says what the client and the upstream do, step by step.
 * The ports hold the exchange to the rules of `src/forward/ports.ts` and note each violation.
 */
import { after, before, type MockTimers, mock } from 'node:test';
import { Exposure } from '../../src/blast-radius/exposure.ts';
import { type ConfigInput, configSchema } from '../../src/config/schema.ts';
import type { Attempt } from '../../src/forward/attempt.ts';
import type { Endpoint } from '../../src/forward/endpoint.ts';
import type { EndpointPool } from '../../src/forward/endpoint-pool.ts';
import { Exchange } from '../../src/forward/exchange.ts';
import { Forwarder } from '../../src/forward/forwarder.ts';
import type { Peer } from '../../src/forward/peer.ts';
import type {
  Downstream,
  DownstreamEvents,
  EndKind,
  ErrorResponse,
  ResponseWriter,
  UpstreamEvents,
  UpstreamTransport,
} from '../../src/forward/ports.ts';
import { FAILURES, type FailureReason } from '../../src/forward/reasons.ts';
import type { ClientRequest } from '../../src/forward/request-description.ts';
import { BodyPart } from '../../src/http/body-part.ts';
import type { KeptBody } from '../../src/http/kept-body.ts';
import type { RequestBody } from '../../src/http/request-body.ts';
import { type ResponseHead, TextHead } from '../../src/http/response-head.ts';
import { AccessLog, type AccessRecord } from '../../src/observe/access-log.ts';
import { Ledger } from '../../src/observe/ledger.ts';
import { createLogger } from '../../src/observe/log.ts';
import { TrafficMetrics } from '../../src/observe/traffic-metrics.ts';
import { PinStores } from '../../src/pinning/stores.ts';
import { endpointState } from './endpoint-state.ts';
import { peerAt } from './forward-policy.ts';

const NO_TRAILERS: readonly string[] = [];

/** Longer than every timeout of the default configuration. */
export const LONG = 24 * 3_600_000;

/** Returns content that never changes. */
export function content(text: string): BodyPart {
  return new BodyPart().whole(Buffer.from(text, 'latin1'));
}

/** Returns a response head without framing of its own. */
export function head(status: number, size = 64): TextHead {
  return new TextHead(`HTTP/1.1 ${status} X\r\n`, status, 'chunked', -1, true, undefined, size, true, -1);
}

/** What a test makes a port do instead of its work, by the name of the method: it throws. */
export type Broken = Set<string>;

class ScriptedResponse implements ResponseWriter {
  readonly calls: string[] = [];
  readonly violations: string[];
  readonly #broken: Broken;
  /** True if the client takes nothing: what is written stays here. */
  isBlocked = false;
  /** True if the client is closed: nothing may be written any more. */
  isClosed = false;
  begun = false;
  closes = false;
  headIsHeld = false;
  bytesOut = 0;
  reason: FailureReason | undefined = undefined;
  detail: string | undefined = undefined;
  headers: readonly string[] = [];
  text = '';
  trailers: readonly string[] = [];
  #status = 0;
  #ended = false;

  constructor(violations: string[], broken: Broken) {
    this.violations = violations;
    this.#broken = broken;
  }

  get status(): number {
    return this.begun ? this.#status : 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get finished(): boolean {
    return this.#ended && !this.isBlocked;
  }

  closeAfter(): void {
    this.closes = true;
  }

  inform(interim: ResponseHead): boolean {
    this.#called(`inform ${interim.status}`);
    if (this.begun) this.violations.push('an interim response behind a final head');
    return !this.isBlocked;
  }

  respond(final: ResponseHead): void {
    this.#called(`respond ${final.status}`);
    if (this.begun || this.headIsHeld) this.violations.push('a second response head');
    this.headIsHeld = true;
    this.#status = final.status;
  }

  flush(): void {
    this.#called('flush');
    this.#sendHead();
  }

  write(part: BodyPart, last: boolean, trailers: readonly string[]): boolean {
    this.#called(`write ${part.size}${last ? ' last' : ''}`);
    this.#sendHead();
    if (!this.begun) this.violations.push('content without a head');
    this.bytesOut += part.size;
    this.text += part.bytes.toString('latin1', part.start, part.end);
    if (last) {
      this.trailers = trailers;
      this.#ended = true;
    }
    return !this.isBlocked;
  }

  end(trailers: readonly string[]): void {
    if (this.#ended) return;
    this.#called('end');
    this.#sendHead();
    if (!this.begun) this.violations.push('the end of a response without a head');
    this.trailers = trailers;
    this.#ended = true;
  }

  fail({ reason, detail, headers }: ErrorResponse): void {
    this.#called(`fail ${reason}`);
    if (this.begun) this.violations.push('an error response behind another response');
    this.headIsHeld = false;
    this.begun = true;
    this.#ended = true;
    this.#status = FAILURES[reason].status;
    this.reason = reason;
    this.detail = detail;
    this.headers = headers;
  }

  stopLingering(): void {
    this.#called('stopLingering');
  }

  switchProtocols(): void {
    if (this.begun) this.violations.push('a 101 behind another response');
    this.begun = true;
    this.#ended = true;
    this.#status = 101;
    this.closes = true;
  }

  #sendHead(): void {
    if (!this.headIsHeld) return;
    this.headIsHeld = false;
    this.begun = true;
  }

  #called(call: string): void {
    const [name = ''] = call.split(' ');
    this.calls.push(call);
    if (this.isClosed) this.violations.push(`${call} after the client was closed`);
    if (this.#ended && name !== 'stopLingering')
      this.violations.push(`${call} after the end of the response`);
    if (this.#broken.has(name)) throw new Error(`broken: ${name}`);
  }
}

export class ScriptedDownstream implements Downstream {
  readonly request: ClientRequest;
  readonly response: ScriptedResponse;
  readonly calls: string[] = [];
  readonly violations: string[];
  readonly #broken: Broken;
  #events: DownstreamEvents | undefined = undefined;
  requestEnded: boolean;
  canDiscard = true;
  heldBytes = 0;
  /** True if the client's end is reported in the call that causes it, as a bare socket reports it; else by `leave`. */
  closesAtOnce = true;
  /** True if the exchange asked for content, and has not paused it since. */
  flows = false;
  /** True if the exchange has paused the client, which sends nothing until it is asked. */
  isPaused = false;
  abandoned = false;
  /** True if `onClosed` was called. */
  isClosed = false;
  isCut = false;
  /** How often content was asked for. */
  resumed = 0;
  #finished: EndKind | undefined = undefined;
  #endsTunnel = false;

  constructor(request: ClientRequest, violations: string[], broken: Broken) {
    this.request = request;
    this.violations = violations;
    this.#broken = broken;
    this.response = new ScriptedResponse(violations, broken);
    this.requestEnded = request.contentLength === 0;
  }

  attach(events: DownstreamEvents): void {
    if (this.#events !== undefined) this.violations.push('the downstream was attached twice');
    this.#events = events;
  }

  get events(): DownstreamEvents {
    return this.#events!;
  }

  /** True if the connection closes by itself now: what was written has left. */
  get isFree(): boolean {
    return (this.#finished === 'ended' || this.#endsTunnel) && this.response.finished;
  }

  /** The last kind of end that the exchange asked for. */
  get finishedAs(): EndKind | undefined {
    return this.#finished;
  }

  resumeBody(): void {
    this.#called('resumeBody');
    if (this.abandoned) this.violations.push('asked for content after it was abandoned');
    this.resumed++;
    this.flows = true;
    this.isPaused = false;
  }

  abandonBody(): void {
    this.#called('abandonBody');
    this.abandoned = true;
    this.isPaused = false;
  }

  finish(kind: EndKind): void {
    this.#called(`finish ${kind}`);
    if (this.#finished === 'ended') this.violations.push('finished twice');
    if (this.#finished === kind) this.violations.push(`${kind} twice`);
    if (this.isClosed) this.violations.push('finished after the client was closed');
    if (!this.response.ended) this.violations.push('finished without a whole response');
    this.#finished = kind;
    if (kind === 'ended' && this.response.finished && this.closesAtOnce) this.leave();
  }

  destroy(): void {
    this.#called('destroy');
    this.isCut = true;
    if (this.closesAtOnce) this.leave();
  }

  onGarbage(): void {
    this.#called('onGarbage');
  }

  switchProtocols(): void {
    this.#called('switchProtocols');
    this.response.switchProtocols();
  }

  endTunnel(): void {
    this.#called('endTunnel');
    this.#endsTunnel = true;
    if (this.closesAtOnce) this.leave();
  }

  // ---- what the client does ----

  /** The connection closes: because the response is out, it was cut, or the client left. */
  leave(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.response.isClosed = true;
    this.#guard(() => this.events.onClosed());
  }

  /** @returns false if the exchange pauses */
  sendBody(text: string, last: boolean): boolean {
    if (last) this.requestEnded = true;
    if (this.abandoned) {
      if (last) this.#guard(() => this.events.onLingered());
      return true;
    }
    let flows = true;
    const { resumed } = this;
    this.#guard(() => {
      flows = this.events.onRequestBody(content(text), true, last);
    });
    // It may have asked for more before it returned.
    if (flows || last || this.abandoned || this.resumed !== resumed) return flows;
    this.flows = false;
    this.isPaused = true;
    return false;
  }

  malformed(): void {
    this.canDiscard = false;
    this.#guard(() => this.events.onRequestMalformed('It is malformed.'));
  }

  /** The client takes what was written. */
  drain(): void {
    this.response.isBlocked = false;
    if (this.isClosed) return;
    if (!this.response.ended) this.#guard(() => this.events.onClientDrained());
    if (this.#finished === 'ended' && this.response.finished && this.closesAtOnce) this.leave();
  }

  #called(call: string): void {
    this.calls.push(call);
    if (this.#broken.has(call.split(' ')[0]!)) throw new Error(`broken: ${call}`);
  }

  /** As every downstream: an error in an exchange is reported to it. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.events.onInternalError(error);
    }
  }
}

/** How `start` goes on. `idle`: on an open connection, at once; `new`: `open` follows. */
export type StartKind = 'idle' | 'new';

export class ScriptedTransport implements UpstreamTransport {
  readonly calls: string[] = [];
  readonly violations: string[];
  readonly #broken: Broken;
  #events: UpstreamEvents | undefined = undefined;
  heldBytes = 0;
  kind: StartKind = 'new';
  /** False if the upstream takes nothing. */
  takes = true;
  /** True if the exchange asked to pause the response. */
  isPaused = false;
  /** Request content that was sent in the attempt. */
  sent = '';
  /** Endpoints of all attempts, by port. */
  readonly ports: number[] = [];
  readonly fresh: boolean[] = [];
  #body: RequestBody | undefined = undefined;
  #place: EndpointPool | undefined = undefined;
  isOpen = false;
  #sentLast = false;
  hasHead = false;
  isTunnel = false;

  constructor(violations: string[], broken: Broken) {
    this.violations = violations;
    this.#broken = broken;
  }

  attach(events: UpstreamEvents): void {
    if (this.#events !== undefined) this.violations.push('the transport was attached twice');
    this.#events = events;
  }

  get events(): UpstreamEvents {
    return this.#events!;
  }

  /** True while an attempt has a place. */
  get isBusy(): boolean {
    return this.#place !== undefined;
  }

  /** True if the request is sent. */
  get isSent(): boolean {
    return this.#sentLast;
  }

  join(): boolean {
    return false;
  }

  start(attempt: Attempt, body: RequestBody | undefined, fresh: boolean): void {
    this.calls.push('start');
    if (this.isBusy) this.violations.push('a second attempt at the same time');
    if (this.#broken.has('start')) throw new Error('broken: start');
    const { pool, port } = attempt.endpoint!;
    this.#place = pool;
    this.ports.push(port);
    this.fresh.push(fresh);
    this.#body = body;
    this.sent = '';
    this.isOpen = false;
    this.#sentLast = body === undefined;
    this.hasHead = false;
    this.isTunnel = false;
    this.isPaused = false;
    if (fresh || this.kind === 'new') {
      this.events.onConnecting(false);
      if (this.#broken.has('connecting')) throw new Error('broken: connecting');
      return;
    }
    this.events.onConnecting(true);
    this.#sendHead();
  }

  sendKept(kept: KeptBody, last: boolean): boolean {
    return this.#send(kept.joined().toString('latin1'), last, 'sendKept');
  }

  send({ bytes, start, end }: BodyPart, _stable: boolean, last: boolean): boolean {
    return this.#send(bytes.toString('latin1', start, end), last, 'send');
  }

  #send(text: string, last: boolean, name: string): boolean {
    this.calls.push(`${name} ${text.length}${last ? ' last' : ''}`);
    if (this.#broken.has(name)) throw new Error(`broken: ${name}`);
    if (!this.isBusy) this.violations.push(`${name} without an attempt`);
    if (!this.isOpen) this.violations.push(`${name} before takeBody`);
    if (this.#sentLast) this.violations.push(`${name} after the end of the request`);
    this.#sentLast = last;
    this.sent += text;
    return this.takes;
  }

  resume(): void {
    this.calls.push('resume');
    if (!this.isBusy) this.violations.push('resumed without an attempt');
    this.isPaused = false;
  }

  abort(): void {
    this.calls.push('abort');
    this.#release();
    if (this.#broken.has('abort')) throw new Error('broken: abort');
  }

  // ---- what the upstream does ----

  open(): void {
    this.#guard(() => this.#sendHead());
  }

  drain(): void {
    this.takes = true;
    this.#guard(() => this.events.onUpstreamDrained());
  }

  /** @returns what the exchange said */
  respond(status: number, size?: number): 'continue' | 'pause' | 'stop' | undefined {
    let next: 'continue' | 'pause' | 'stop' | undefined;
    const place = this.#place;
    this.#guard(() => {
      this.events.onResponseBegun();
      this.hasHead = status >= 200;
      next = this.events.onResponseHead(head(status, size));
      this.isPaused = next === 'pause';
      if (next === 'continue' && status >= 200 && this.#place === place) this.events.onHeadAlone();
    });
    return next;
  }

  /** @returns false if the exchange pauses */
  sendBody(text: string): boolean {
    let flows = true;
    this.#guard(() => {
      flows = this.events.onResponseBody(content(text), false, NO_TRAILERS);
    });
    if (this.isBusy) this.isPaused = !flows;
    return flows;
  }

  /** Ends the response. @param text the last content, if it comes with the end */
  end(text?: string, trailers: readonly string[] = NO_TRAILERS): void {
    this.#guard(() => {
      if (text !== undefined) {
        this.events.onResponseBody(content(text), true, trailers);
        if (!this.isBusy) return;
      }
      this.#release();
      this.events.onResponseEnd(trailers);
    });
  }

  fail(reason: FailureReason, local = false): void {
    this.#release();
    this.#guard(() => this.events.onAttemptFailed(reason, local));
  }

  switchProtocols(): void {
    this.#guard(() => {
      this.events.onResponseBegun();
      this.isTunnel = this.events.onSwitched(head(101));
    });
  }

  closeTunnel(broken: boolean): void {
    this.#release();
    this.#guard(() => this.events.onTunnelClosed(broken));
  }

  #sendHead(): void {
    this.isOpen = true;
    this.events.onConnected();
    if (this.#body !== undefined) this.events.takeBody();
  }

  #release(): void {
    const place = this.#place;
    if (place === undefined) return;
    this.#place = undefined;
    this.isOpen = false;
    place.release(undefined);
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.events.onInternalError(error);
    }
  }
}

/** One scripted request. */
export interface Script {
  readonly exchange: Exchange;
  readonly client: ScriptedDownstream;
  readonly upstream: ScriptedTransport;
  readonly peer: Peer;
  /** Methods that throw from now on. */
  readonly broken: Broken;
  /** Calls of ports that `ports.ts` forbids. */
  readonly violations: readonly string[];
}

export interface RequestOptions {
  readonly method?: string;
  /** Default 0: no body; -1: unknown. */
  readonly contentLength?: number;
  readonly headers?: readonly string[];
}

export class ExchangeWorld {
  readonly forwarder: Forwarder;
  readonly metrics: TrafficMetrics;
  readonly records: AccessRecord[] = [];
  readonly logged: string[] = [];
  readonly #ports: Readonly<Record<string, readonly number[]>>;
  now = 1_000;

  /** @param ports of the endpoints of each backend */
  constructor(ports: Readonly<Record<string, readonly number[]>>, config: Partial<ConfigInput> = {}) {
    const names = Object.keys(ports);
    this.#ports = ports;
    const parsed = configSchema.parse({
      backends: Object.fromEntries(names.map((name) => [name, { url: 'http://127.0.0.1:1' }])),
      routes: [{ name: 'all', split: { [names[0]!]: 1 } }],
      ...config,
    });
    this.metrics = new TrafficMetrics(new Ledger());
    const log = createLogger({
      level: 'error',
      service: 'test',
      destination: {
        write: (line: string) => this.logged.push(line),
        flush: () => Promise.resolve(true),
        flushSync: () => {},
        dropped: 0,
      },
    });
    const accessLog = new AccessLog(log, { mode: 'all', sample: 1 });
    accessLog.writeWanted = (record) => this.records.push(record);
    this.forwarder = new Forwarder(parsed, {
      log: log.logger,
      accessLog,
      metrics: this.metrics,
      pinStores: new PinStores({ now: () => this.now, onRedis: () => {}, onResult: () => {} }),
      exposure: new Exposure(0),
      now: () => this.now,
      random: () => 0,
      openFiles: Number.POSITIVE_INFINITY,
      onEndpointFailure: () => {},
      onOutlier: () => {},
    });
    // It would take leaps of this clock for a blocked event loop.
    this.forwarder.admission.close();
    this.applyEndpoints();
  }

  /** @param drained ports of endpoints that take no requests */
  applyEndpoints(drained: readonly number[] = []): void {
    const endpoints = Object.entries(this.#ports).map(([backend, ports]) => ({
      backend,
      endpoints: ports.map((port) =>
        endpointState({ address: '127.0.0.1', port, drained: drained.includes(port) }),
      ),
    }));
    this.forwarder.applyEndpoints(endpoints);
  }

  /** All endpoints that are not drained. */
  get endpoints(): readonly Endpoint[] {
    return this.forwarder.snapshot.upstreams.flatMap(({ fleet }) => fleet.endpoints);
  }

  endpoint(port: number): Endpoint {
    return this.endpoints.find((endpoint) => endpoint.port === port)!;
  }

  begin({ method = 'GET', contentLength = 0, headers = [] }: RequestOptions = {}): Script {
    const violations: string[] = [];
    const broken: Broken = new Set();
    const request: ClientRequest = {
      facts: {
        method,
        path: '/',
        host: '',
        group: '',
        groups: undefined,
        rawHeaders: headers,
        client: '',
      },
      requestId: 'id',
      host: undefined,
      target: '/',
      debug: undefined,
      baggage: undefined,
      protocol: 'HTTP/1.1',
      contentLength,
      upstreamHead: `${method} / HTTP/1.1\r\n`,
    };
    const client = new ScriptedDownstream(request, violations, broken);
    const upstream = new ScriptedTransport(violations, broken);
    const peer = peerAt(false);
    const exchange = new Exchange(this.forwarder, peer, client, upstream);
    return { exchange, client, upstream, peer, broken, violations };
  }

  /** Begins a request and serves it, as lanes do. */
  serve(options: RequestOptions = {}, kind: StartKind = 'new'): Script {
    const script = this.begin(options);
    script.upstream.kind = kind;
    serve(script);
    return script;
  }

  /** Time passes, and the deadlines are looked at. Needs `mockSweeps`. */
  pass(ms: number): void {
    this.now += ms;
    sweepTimers.tick(25);
  }

  /** Everything that must be 0 once no request is in progress, and is not. */
  get leaks(): string[] {
    const { admission, snapshot } = this.forwarder;
    const leaks: string[] = [];
    const check = (name: string, value: number) => {
      if (value !== 0) leaks.push(`${name}: ${value}`);
    };
    check('admission.inFlight', admission.inFlight);
    check('deadlines.heldBytes', this.forwarder.deadlines.heldBytes());
    for (const { name, cells, fleet } of snapshot.upstreams) {
      check(`${name} inFlight`, cells.inFlight.value);
      check(`${name} tunnels`, cells.tunnels.value);
      check(`${name} queued`, cells.queued.value);
      for (const { label, inFlight, pool } of fleet.endpoints) {
        check(`${label} inFlight`, inFlight);
        check(`${label} leased`, pool.leased);
        check(`${label} pending`, pool.pending);
      }
    }
    return leaks;
  }

  close(): void {
    this.forwarder.close();
  }
}

/** Serves a request as lanes do: an error ends it. */
export function serve({ exchange }: Script): void {
  try {
    if (exchange.open()) exchange.serve();
  } catch (error) {
    exchange.onInternalError(error);
  }
}

const sweepTimers: MockTimers = mock.timers;

/** Lets `pass` drive the timers that look at deadlines, for all tests of a file. */
export function mockSweeps(): void {
  before(() => sweepTimers.enable({ apis: ['setInterval'] }));
  after(() => sweepTimers.reset());
}

/** Resolves once this turn has ended. */
export function turnEnds(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
