/**
 * The full lane: `node:http` in, undici out. It takes everything that HTTP/1.x allows and has well-kept parsers judge it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { hasNoBody, headWithoutUpgrade } from '../../http/declined-upgrade.ts';
import { isUnknownMethod, type ParserError } from '../../http/refused-method.ts';
import type { ByteReader, ClientSocket } from '../client-socket.ts';
import { Exchange } from '../exchange.ts';
import type { Forwarder } from '../forwarder.ts';
import type { Lane } from '../listener.ts';
import { type Peer, peerOf, type RequestInProgress } from '../peer.ts';
import type { FailureReason } from '../reasons.ts';
import { refuseConnection } from '../refuse-connection.ts';
import { readRequestHead } from '../request-head.ts';
import { UpgradeDownstream } from '../upgrade/upgrade-downstream.ts';
import { UpgradeProxy, UpgradeTransport } from '../upgrade/upgrade-transport.ts';
import { connectionOf, FullConnection } from './full-connection.ts';
import { FullDownstream } from './full-downstream.ts';

/** Bytes of one read from a client. */
const READ_SIZE = 64 * 1024;

export class FullLane implements Lane {
  readonly #forwarder: Forwarder;
  readonly #server: Server;
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_SIZE);
  #upgrades: UpgradeProxy | undefined = undefined;
  /** Latest request with a declined upgrade, after which Node cannot parse further requests. */
  #lastOfItsConnection: IncomingMessage | undefined;

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
    const { limits } = forwarder.snapshot.table.config;
    const server = createServer({
      maxHeaderSize: limits.headSize,
      // The listener bounds how long a head may take, and how long a connection may be idle, in both lanes.
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
      noDelay: true,
      // A request without a body skips the life cycle of a readable stream.
      optimizeEmptyRequests: true,
      // Refused like any other bad request, with a reason, instead of by an empty 400.
      requireHostHeader: false,
      shouldUpgradeCallback: (req) => this.#takesUpgrade(req),
    });
    server.maxHeadersCount = limits.headers;
    server.on('request', (req, res) => this.#onRequest(req, res, false, undefined));
    server.on('checkContinue', (req, res) => {
      // Node takes whatever has the word in it.
      const isContinue = req.headers.expect?.toLowerCase() === '100-continue';
      this.#onRequest(req, res, isContinue, isContinue ? undefined : 'expectation_failed');
    });
    server.on('checkExpectation', (req, res) => this.#onRequest(req, res, false, 'expectation_failed'));
    server.on('connect', (req, socket) => this.#onConnect(req, socket as Socket));
    server.on('upgrade', (req, stream, head) => this.#onUpgrade(req, stream, head));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.#onClientError(error, socket as Socket),
    );
    this.#server = server;
  }

  open(client: ClientSocket, unread: Buffer | undefined): ByteReader {
    return new FullConnection(this.#server, client, this.#readBuffer, unread);
  }

  #peerOf(socket: Socket): Peer {
    return peerOf(socket, this.#forwarder.snapshot.policy.trust);
  }

  /** Serves a request once what came before it on the connection has been answered. */
  #onRequest(
    req: IncomingMessage,
    res: ServerResponse,
    expectsContinue: boolean,
    refusal: FailureReason | undefined,
  ): void {
    const { socket } = req;
    const connection = connectionOf(socket);
    const peer = this.#peerOf(socket);
    connection.client.headEnded();
    // Node's parser runs ahead: requests after one that ends the connection are not served.
    if (socket.writableEnded || peer.latest?.closes === true) return;
    if (req === this.#lastOfItsConnection) res.shouldKeepAlive = false;
    if (peer.latest !== undefined || connection.queue.length > 0) {
      connection.queue.add(() => this.#serve(req, res, connection, expectsContinue, refusal));
      return;
    }
    peer.next ??= (closes) => {
      if (closes || socket.destroyed || socket.writableEnded) connection.queue.clear();
      else connection.queue.next();
    };
    this.#serve(req, res, connection, expectsContinue, refusal);
  }

  #serve(
    req: IncomingMessage,
    res: ServerResponse,
    connection: FullConnection,
    expectsContinue: boolean,
    refusal: FailureReason | undefined,
  ): RequestInProgress {
    const { policy } = this.#forwarder.snapshot;
    const peer = this.#peerOf(req.socket);
    const request = readRequestHead(req, policy, peer);
    const downstream = new FullDownstream(req, res, request, policy, connection, expectsContinue);
    const exchange = new Exchange(this.#forwarder, peer, downstream, connection.transport);
    connection.client.exchange = exchange;
    try {
      downstream.run(exchange, refusal);
    } catch (error) {
      exchange.onInternalError(error);
    }
    return exchange;
  }

  #onConnect(req: IncomingMessage, socket: Socket): void {
    const connection = connectionOf(socket);
    const { latest } = this.#peerOf(req.socket);
    // An error response here would be sent in the middle of another response.
    if (latest !== undefined) connection.queue.onGarbage(latest);
    else this.#refuse(socket, 'method_not_allowed');
  }

  #refuse(socket: Socket, reason: FailureReason, detail?: string): void {
    connectionOf(socket).giveUp();
    refuseConnection(this.#forwarder, socket, reason, detail);
  }

  /** True if Node is to hand out the connection, to be upgraded or to be read again. */
  #takesUpgrade(req: IncomingMessage): boolean {
    const { latest } = this.#peerOf(req.socket);
    // After a request in progress, the switch would overtake the response.
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
    const connection = connectionOf(socket);
    if (!this.#isOffered(req)) {
      connection.parseAgain(Buffer.concat([Buffer.from(headWithoutUpgrade(req), 'latin1'), head]));
      return;
    }
    connection.client.headEnded();
    // With a body, Node hands out another stream, which starts after the body; the end of the body is unknown.
    if (stream !== socket) {
      // A reset of the connection comes out of it as an error; without a listener that would end the process.
      stream.on('error', () => {});
      this.#refuse(socket, 'bad_request', 'An upgrade must have no body.');
      return;
    }
    const { policy } = this.#forwarder.snapshot;
    const peer = this.#peerOf(socket);
    const request = readRequestHead(req, policy, peer);
    const downstream = new UpgradeDownstream(socket, head, request, policy);
    this.#upgrades ??= new UpgradeProxy();
    const transport = new UpgradeTransport(this.#upgrades, req, downstream.stream, policy);
    const exchange = new Exchange(this.#forwarder, peer, downstream, transport);
    connection.upgrade = downstream;
    connection.client.exchange = exchange;
    connection.detach();
    try {
      const { reason, detail } = upgradeRefusal(req, request);
      if (reason !== undefined) exchange.fail(reason, detail);
      else exchange.serve();
    } catch (error) {
      exchange.onInternalError(error);
    }
  }

  /** llhttp refused the bytes. There is no request: the response is written on the bare socket. */
  #onClientError(error: NodeJS.ErrnoException & ParserError, client: Socket): void {
    // The connection was refused and has a moment to read the response. The parser reports every further byte.
    if (client.writableEnded && !client.destroyed) return;
    // A client that ends in the middle of a message has left, as one that ends while it waits.
    const hasLeft =
      error.code === 'ECONNRESET' || error.code === 'EPIPE' || error.code === 'HPE_INVALID_EOF_STATE';
    if (hasLeft || !client.writable) {
      client.destroy();
      return;
    }
    const { latest } = this.#peerOf(client);
    if (latest !== undefined) {
      // An error response here would be sent in the middle of another response.
      connectionOf(client).queue.onGarbage(latest);
      return;
    }
    const reason: FailureReason =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 'head_too_large'
        : isUnknownMethod(error)
          ? 'method_not_implemented'
          : 'bad_request';
    this.#refuse(client, reason, error.code?.startsWith('HPE_') ? `(${error.code})` : undefined);
  }
}

/** Returns why an upgrade is refused for what it is. */
function upgradeRefusal(
  req: IncomingMessage,
  { facts, refusal, refusalDetail, hasBody }: ReturnType<typeof readRequestHead>,
): { readonly reason: FailureReason | undefined; readonly detail: string | undefined } {
  if (refusal !== undefined) return { reason: refusal, detail: refusalDetail };
  if (facts.method !== 'GET' || hasBody || facts.path === '*') {
    return { reason: 'bad_request', detail: 'An upgrade needs the method GET and no body.' };
  }
  const isWebSocket = req.headers.upgrade?.toLowerCase() === 'websocket';
  if (isWebSocket && req.headers['sec-websocket-key'] === undefined) {
    return { reason: 'bad_request', detail: 'A WebSocket needs the header Sec-WebSocket-Key.' };
  }
  return { reason: undefined, detail: undefined };
}
