/**
 * The upstream's side of an upgrade, carried by http-proxy-3: it sends the handshake and pipes both ways after a 101.
 * The connection is made here, and the head that it would send is replaced before it leaves: http-proxy-3 rewrites
 * paths and joins headers.
 */
import { Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'http-proxy-3';
import { isLocalShortage } from '../../backends/socket-error.ts';
import { BodyPart, NO_TRAILERS } from '../../http/body-part.ts';
import type { RequestBody } from '../../http/request-body.ts';
import { type ListHead, passableTrailers } from '../../http/response-head.ts';
import type { Attempt } from '../attempt.ts';
import { connectFailure, connectUpstream } from '../connect-upstream.ts';
import { failureOf } from '../full/undici-failure.ts';
import { readUndiciHead } from '../full/undici-head.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { UpstreamEvents, UpstreamTransport } from '../ports.ts';
import type { FailureReason } from '../reasons.ts';
import type { TunnelStream } from './tunnel-stream.ts';

/** Content that was just read; used within one call only. */
const part = new BodyPart();

/** http-proxy-3's, for all upgrades of a process. */
export class UpgradeProxy {
  readonly #proxy = createProxyServer({});
  readonly #transports = new WeakMap<IncomingMessage, UpgradeTransport>();

  constructor() {
    // It takes no upgrade but this one. The header that leaves is the client's own.
    this.#proxy.before('ws', 'checkMethodAndHeader', (req: IncomingMessage) => {
      req.headers.upgrade = 'websocket';
    });
    this.#proxy.on('proxyReqWs', (request, req) => this.#transports.get(req)?.onUpstreamRequest(request));
    // Errors reach the callback of each handshake; without a listener some would be thrown.
    this.#proxy.on('error', () => {});
  }

  /** Sends the handshake over `upstream`. @param onError called when the tunnel breaks */
  handshake(
    transport: UpgradeTransport,
    req: IncomingMessage,
    client: TunnelStream,
    upstream: Socket,
    onError: (error: Error) => void,
  ): void {
    const agent = new Agent();
    agent.createConnection = () => upstream;
    this.#transports.set(req, transport);
    this.#proxy.ws(
      req,
      client,
      undefined,
      {
        // The given connection already speaks TLS where it must: http-proxy-3 treats it as plain.
        target: { protocol: 'http:', host: 'upstream', port: 80 },
        agent,
        // It cannot parse every target, and need not.
        toProxy: true,
        ignorePath: true,
      },
      onError,
    );
  }
}

export class UpgradeTransport implements UpstreamTransport {
  readonly #proxy: UpgradeProxy;
  readonly #req: IncomingMessage;
  readonly #protocol: string;
  readonly #client: TunnelStream;
  readonly #policy: ForwardPolicy;
  #events!: UpstreamEvents;
  #attempt: Attempt | undefined = undefined;
  #upstream: Socket | undefined = undefined;
  #response: IncomingMessage | undefined = undefined;
  #request: ClientRequest | undefined = undefined;
  #switched = false;
  /** Bytes read from the upstream before the handshake was sent. */
  #readBefore = 0;

  /** @param client the client's end of the tunnel */
  constructor(proxy: UpgradeProxy, req: IncomingMessage, client: TunnelStream, policy: ForwardPolicy) {
    this.#proxy = proxy;
    this.#req = req;
    this.#protocol = req.headers.upgrade!;
    this.#client = client;
    this.#policy = policy;
  }

  attach(events: UpstreamEvents): void {
    this.#events = events;
  }

  get heldBytes(): number {
    return (this.#upstream?.writableLength ?? 0) + (this.#upstream?.readableLength ?? 0);
  }

  /** A tunnel has its own connection. */
  join(): boolean {
    return false;
  }

  start(attempt: Attempt, _body: RequestBody | undefined, _fresh: boolean): void {
    const { pool } = attempt.endpoint!;
    this.#attempt = attempt;
    // A handshake never uses an idle connection, but may need the place of one.
    pool.take('socket', true);
    this.#events.onConnecting(false);
    const upstream = connectUpstream(
      pool,
      undefined,
      () => this.#guard(() => this.#onOpen(upstream)),
      (error) => {
        if (this.#upstream !== upstream) return;
        this.#guard(() => this.#fail(connectFailure(error), isLocalShortage(error)));
      },
    );
    this.#upstream = upstream;
  }

  #onOpen(upstream: Socket): void {
    upstream.on('error', () => {});
    if (this.#upstream !== upstream) {
      upstream.destroy();
      return;
    }
    this.#readBefore = upstream.bytesRead;
    this.#events.onConnected();
    this.#proxy.handshake(this, this.#req, this.#client, upstream, () => this.#onTunnelError(upstream));
    this.#listen(upstream);
  }

  /** http-proxy-3 has made its request: the client's own target and headers take the place of what it wrote. */
  onUpstreamRequest(request: ClientRequest): void {
    const upstream = this.#upstream!;
    request.path = this.#events.request.facts.path;
    for (const name of request.getHeaderNames()) request.removeHeader(name);
    const headers = this.#events.upstreamList();
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]!;
      const value = headers[i + 1]!;
      if (i === 0) request.setHeader(name, value === '' ? this.#attempt!.endpoint!.authority : value);
      else request.appendHeader(name, value);
    }
    request.setHeader('Connection', 'Upgrade');
    request.setHeader('Upgrade', this.#protocol);
    const mine = (call: () => void) => {
      if (this.#upstream === upstream) this.#guard(call);
    };
    // Before http-proxy-3's own listener, which then pipes.
    request.once('upgrade', (response: IncomingMessage, socket: Duplex) =>
      mine(() => this.#onUpgraded(response, socket as Socket)),
    );
    request.on('information', (information) =>
      mine(() => this.#onInformation(information as unknown as IncomingMessage)),
    );
    this.#request = request;
  }

  /** An ordinary response: http-proxy-3 would forward its hop-by-hop headers. And an error may lead to a retry, where
   * it would end the client's side. */
  #listen(upstream: Socket): void {
    const request = this.#request!;
    const mine = (call: () => void) => {
      if (this.#upstream === upstream) this.#guard(call);
    };
    request.removeAllListeners('response');
    request.removeAllListeners('error');
    request.once('response', (response) => mine(() => this.#onResponse(response)));
    request.on('error', (error) => mine(() => this.#fail(this.#failureOf(error), false)));
  }

  #failureOf(error: Error): FailureReason {
    return failureOf(error, true, this.#response !== undefined);
  }

  #headOf(response: IncomingMessage): ListHead {
    const raw = response.rawHeaders.map((text) => Buffer.from(text, 'latin1'));
    const { statusCode = 0, statusMessage = '' } = response;
    const { connection, 'transfer-encoding': coding } = response.headers;
    // The raw list has the bytes of all other headers: Node joins headers of one name.
    const parsed = { connection, 'transfer-encoding': coding };
    return readUndiciHead(raw, parsed, statusCode, statusMessage, false, this.#policy);
  }

  #onInformation(information: IncomingMessage): void {
    this.#events.onResponseBegun();
    this.#events.onResponseHead(this.#headOf(information));
  }

  #onUpgraded(response: IncomingMessage, upstream: Socket): void {
    this.#events.onResponseBegun();
    const head = this.#headOf(response);
    head.append('Connection', 'Upgrade');
    head.append('Upgrade', response.headers.upgrade ?? this.#protocol);
    // Each direction of a tunnel ends by itself.
    upstream.allowHalfOpen = true;
    this.#switched = true;
    if (!this.#events.onSwitched(head)) return;
    upstream.once('close', () => {
      if (this.#upstream !== upstream) return;
      this.#release();
      this.#guard(() => this.#events.onTunnelClosed(false));
    });
  }

  #onTunnelError(upstream: Socket): void {
    if (this.#upstream !== upstream || !this.#switched) return;
    this.#release();
    this.#guard(() => this.#events.onTunnelClosed(true));
  }

  #onResponse(response: IncomingMessage): void {
    this.#response = response;
    const upstream = this.#upstream;
    this.#events.onResponseBegun();
    const head = this.#headOf(response);
    if (this.#events.onResponseHead(head) === 'stop') return;
    if (head.framing !== 'length') this.#events.onHeadAlone();
    const mine = (call: () => void) => {
      if (this.#upstream === upstream) this.#guard(call);
    };
    response.on('data', (chunk: Buffer) =>
      mine(() => {
        if (!this.#events.onResponseBody(part.whole(chunk), false, NO_TRAILERS)) response.pause();
      }),
    );
    response.once('close', () =>
      mine(() => {
        const { complete, rawTrailers } = response;
        if (!complete) {
          this.#fail('upstream_truncated', false);
          return;
        }
        this.#release();
        this.#events.onResponseEnd(passableTrailers(rawTrailers));
      }),
    );
  }

  /** Upgrades have no body. */
  sendKept(): boolean {
    return true;
  }

  send(): boolean {
    return true;
  }

  resume(): void {
    this.#response?.resume();
  }

  abort(): void {
    this.#release();
  }

  #fail(reason: FailureReason, local: boolean): void {
    // Node's client does not report a part of a head.
    if (this.#request !== undefined && this.#upstream!.bytesRead > this.#readBefore)
      this.#events.onResponseBegun();
    this.#release();
    this.#events.onAttemptFailed(reason, local);
  }

  #release(): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    this.#upstream = undefined;
    this.#response = undefined;
    if (!this.#switched) this.#client.reuse();
    upstream.destroy();
    this.#attempt!.endpoint!.pool.release(undefined);
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }
}
