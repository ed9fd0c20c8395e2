/**
 * The full lane: `node:http` in, undici out. It takes everything that HTTP/1.x allows and judges it by kept parsers.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Config } from '../config/schema.ts';
import { hasNoBody, headWithoutUpgrade } from './declined-upgrade.ts';
import type { Forwarder } from './forwarder.ts';
import { FullExchange } from './full-exchange.ts';
import { idleSince, peerOf, rememberPeer, type UnderWay } from './peer.ts';
import type { FailureReason } from './reasons.ts';
import { refuseConnection } from './refuse-connection.ts';
import { isUnknownMethod, type ParserError } from './refused-method.ts';
import { RequestQueue } from './request-queue.ts';
import { listenOptions, type TrafficAddress } from './traffic-address.ts';
import { Tunnels } from './tunnel.ts';

export class FullLane {
  readonly #forwarder: Forwarder;
  readonly #server: Server;
  readonly #tunnels: Tunnels;
  readonly #sockets = new Set<Socket>();
  readonly #queue = new RequestQueue();
  #idleTimer: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;
  #tracks = false;
  /** A request whose upgrade was declined and behind which nothing can be read; the latest one. */
  #lastOfItsConnection: IncomingMessage | undefined;

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
    this.#tunnels = new Tunnels(forwarder);
    const { limits, timeouts } = forwarder.snapshot.table.config;
    const server = createServer({
      maxHeaderSize: limits.headSize,
      // Set explicitly: with requestTimeout 0 it would default to 0, and nothing would stop a slow head.
      headersTimeout: timeouts.requestHead,
      // The body has its own deadlines; this one would cut uploads that take long but move.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.max(100, Math.min(1_000, timeouts.requestHead / 4)),
      // Idle connections are swept by us: Node sets two timers of a socket for every request.
      keepAliveTimeout: 0,
      noDelay: true,
      // A request without a body skips the life cycle of a readable stream.
      optimizeEmptyRequests: true,
      // Refused like any other bad request, with a reason, instead of by an empty 400.
      requireHostHeader: false,
      shouldUpgradeCallback: (req) => this.#takesUpgrade(req),
    });
    server.maxHeadersCount = limits.headers;
    server.maxConnections = forwarder.admission.maxConnections;
    server.on('connection', (socket) => this.#onConnection(socket));
    server.on('drop', () => this.#takesConnection());
    server.on('request', (req, res) => this.#onRequest(req, res, false));
    server.on('checkContinue', (req, res) => {
      // Node takes whatever has the word in it.
      if (req.headers.expect?.toLowerCase() === '100-continue') this.#onRequest(req, res, true);
      else this.#onBadExpectation(req, res);
    });
    server.on('checkExpectation', (req, res) => this.#onBadExpectation(req, res));
    server.on('connect', (req, socket) => this.#onConnect(req, socket as Socket));
    server.on('upgrade', (req, stream, head) => this.#onUpgrade(req, stream, head));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#onClientError(error, socket));
    this.#server = server;
    this.#sweepIdle(timeouts.keepAlive);
  }

  get tunnels(): number {
    return this.#tunnels.size;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  listen(address: TrafficAddress): Promise<{ host: string; port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(listenOptions(address), () => {
        this.#server.removeListener('error', reject);
        this.#server.on('error', (error) =>
          this.#forwarder.edges.log.error({ err: error }, 'listener failed'),
        );
        const { address: host, port } = this.#server.address() as AddressInfo;
        resolve({ host, port });
      });
    });
  }

  /**
   * Takes a connection that another lane accepted, at a request boundary.
   *
   * @param unread what came on it and was not read
   */
  adopt(socket: Socket, unread: Buffer): void {
    // A server that never listened keeps no track of its connections, and so has no timeout for a slow head.
    if (!this.#tracks) {
      this.#tracks = true;
      this.#server.emit('listening');
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#forget(socket));
    socket.unshift(unread);
    this.#server.emit('connection', socket);
    socket.resume();
  }

  /** Takes over what a reload may change of the listener. */
  reconfigure(config: Config): void {
    this.#server.headersTimeout = config.timeouts.requestHead;
    this.#sweepIdle(config.timeouts.keepAlive);
  }

  /**
   * No new connections; those that are open end with their next response, idle ones now.
   *
   * @returns when every connection and tunnel has ended
   */
  async drain(): Promise<void> {
    this.#forwarder.draining = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      if (this.#sockets.size === 0) resolve();
    });
    this.#server.closeIdleConnections();
    // Those whose response head had left before say nothing of closing: they end as soon as they are idle.
    this.#sweepIdle(0);
    await closed;
    await empty;
    clearInterval(this.#idleTimer);
    await this.#tunnels.ended();
  }

  /** Cuts whatever is left. */
  destroy(): void {
    clearInterval(this.#idleTimer);
    this.#server.close();
    this.#server.closeAllConnections();
    this.#tunnels.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #sweepIdle(keepAliveMs: number): void {
    clearInterval(this.#idleTimer);
    this.#idleTimer = setInterval(
      () => {
        const oldest = this.#forwarder.edges.now() - keepAliveMs;
        for (const socket of this.#sockets) if (idleSince(socket) <= oldest) socket.destroySoon();
      },
      Math.max(50, Math.min(1_000, keepAliveMs / 4)),
    );
    this.#idleTimer.unref();
  }

  #onConnection(socket: Socket): void {
    // Adopted: it was counted when it was accepted.
    if (this.#sockets.has(socket)) return;
    const { metrics, now } = this.#forwarder.edges;
    const { admission, snapshot } = this.#forwarder;
    if (!this.#takesConnection()) {
      socket.destroy();
      return;
    }
    rememberPeer(socket, now());
    if (!admission.admitConnection(peerOf(socket, snapshot.policy.trust))) {
      metrics.failures('too_many_of_client').value++;
      socket.destroy();
      return;
    }
    metrics.clientConnections.value++;
    metrics.clientConnectionsTotal.value++;
    this.#sockets.add(socket);
    socket.once('close', () => this.#forget(socket));
  }

  #takesConnection(): boolean {
    const { admission, edges } = this.#forwarder;
    const hasRoom = admission.hasRoom();
    if (!hasRoom) edges.metrics.failures('too_many_connections').value++;
    return hasRoom;
  }

  #forget(socket: Socket): void {
    const { admission, edges, snapshot } = this.#forwarder;
    edges.metrics.clientConnections.value--;
    admission.connectionClosed(peerOf(socket, snapshot.policy.trust));
    this.#sockets.delete(socket);
    if (this.#sockets.size === 0) this.#whenEmpty?.();
  }

  #exchange(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): FullExchange {
    const peer = peerOf(req.socket, this.#forwarder.snapshot.policy.trust);
    return new FullExchange(this.#forwarder, req, res, peer, expectsContinue);
  }

  #onBadExpectation(req: IncomingMessage, res: ServerResponse): void {
    if (this.#isBehindTheEnd(req)) return;
    this.#inTurn(req, () => {
      const exchange = this.#exchange(req, res, false);
      exchange.refuse('expectation_failed');
      return exchange;
    });
  }

  /** Once what came before on the connection is answered. */
  #inTurn({ socket }: IncomingMessage, serve: () => UnderWay): void {
    const peer = peerOf(socket, this.#forwarder.snapshot.policy.trust);
    if (peer.latest === undefined) serve();
    else this.#queue.add(socket, peer, serve);
  }

  /** Node's parser runs ahead: what it reads behind a request that ends the connection is nobody's. */
  #isBehindTheEnd({ socket }: IncomingMessage): boolean {
    return (
      socket.writableEnded || peerOf(socket, this.#forwarder.snapshot.policy.trust).latest?.closes === true
    );
  }

  #onRequest(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void {
    if (this.#isBehindTheEnd(req)) return;
    if (req === this.#lastOfItsConnection) res.shouldKeepAlive = false;
    this.#inTurn(req, () => this.#serve(req, res, expectsContinue));
  }

  #serve(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): UnderWay {
    const exchange = this.#exchange(req, res, expectsContinue);
    try {
      exchange.run();
    } catch (error) {
      this.#forwarder.edges.log.error({ err: error }, 'a request failed unexpectedly');
      exchange.fail('internal_error');
    }
    return exchange;
  }

  #onConnect(req: IncomingMessage, socket: Socket): void {
    const { latest } = peerOf(req.socket, this.#forwarder.snapshot.policy.trust);
    // An answer of ours here would go out in the middle of another.
    if (latest !== undefined) this.#queue.onGarbage(req.socket, latest);
    else refuseConnection(this.#forwarder, socket, 'method_not_allowed');
  }

  /** Whether the connection is to be handed out, to be upgraded or to be read again. */
  #takesUpgrade(req: IncomingMessage): boolean {
    const { latest } = peerOf(req.socket, this.#forwarder.snapshot.policy.trust);
    // Behind a request under way, what comes of it would overtake the response.
    if (latest === undefined && (this.#isOffered(req) || hasNoBody(req))) return true;
    this.#lastOfItsConnection = req;
    return false;
  }

  #isOffered(req: IncomingMessage): boolean {
    const protocol = req.headers.upgrade?.toLowerCase();
    return protocol !== undefined && this.#forwarder.snapshot.policy.upgrades.has(protocol);
  }

  #onUpgrade(req: IncomingMessage, stream: Duplex, head: Buffer): void {
    const { socket } = req;
    if (!this.#isOffered(req)) {
      socket.unshift(Buffer.concat([Buffer.from(headWithoutUpgrade(req), 'latin1'), head]));
      this.#server.emit('connection', socket);
      socket.resume();
      return;
    }
    // With a body, Node hands out a stream of its own that comes behind it; nobody could tell where the body ends.
    if (stream !== socket) {
      // A reset of the connection comes out of it as an error; without a listener that would end the process.
      stream.on('error', () => {});
      refuseConnection(this.#forwarder, socket, 'bad_request', 'An upgrade must have no body.');
      return;
    }
    try {
      this.#tunnels.open(req, socket, head, peerOf(socket, this.#forwarder.snapshot.policy.trust));
    } catch (error) {
      this.#forwarder.edges.log.error({ err: error }, 'an upgrade failed unexpectedly');
      socket.destroy();
    }
  }

  /** llhttp refused the bytes, or the head did not come in time. There is no request: the answer is written raw. */
  #onClientError(error: NodeJS.ErrnoException & ParserError, socket: Duplex): void {
    const client = socket as Socket;
    // It was refused before, and has a moment to read the answer; the parser goes on to complain of all that still comes.
    if (client.writableEnded && !client.destroyed) return;
    // A client that ends in the middle of a message is gone, as one that ends while it waits.
    const hasLeft =
      error.code === 'ECONNRESET' || error.code === 'EPIPE' || error.code === 'HPE_INVALID_EOF_STATE';
    if (hasLeft || !client.writable) {
      client.destroy();
      return;
    }
    const { latest } = peerOf(client, this.#forwarder.snapshot.policy.trust);
    if (latest !== undefined) {
      // An answer of ours here would go out in the middle of another.
      this.#queue.onGarbage(client, latest);
      return;
    }
    const reason: FailureReason =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 'head_too_large'
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 'request_timeout'
          : isUnknownMethod(error)
            ? 'method_not_implemented'
            : 'bad_request';
    // A connection on which nothing was ever asked just ends, as with HAProxy's `option http-ignore-probes`.
    if (reason === 'request_timeout' && client.bytesRead === 0) {
      client.destroy();
      return;
    }
    refuseConnection(
      this.#forwarder,
      client,
      reason,
      error.code?.startsWith('HPE_') ? `(${error.code})` : undefined,
    );
  }
}
