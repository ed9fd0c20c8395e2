/**
 * Accepts client connections, for both lanes: admission, how long a connection may be idle and a head may take, and the
 * orderly end. Which lane reads a connection is decided by what arrives on it.
 */
import { type AddressInfo, createServer, type OnReadOpts, type Server, type Socket } from 'node:net';
import type { Config, ListenAddress } from '../config/schema.ts';
import { type ByteReader, ClientSocket } from './client-socket.ts';
import type { Forwarder } from './forwarder.ts';
import { moveHandle, whyHandlesCannotMove } from './node-sockets.ts';
import { idleSince, peerOf, rememberPeer } from './peer.ts';
import { refuseConnection } from './refuse-connection.ts';

export interface TrafficAddress extends Readonly<ListenAddress> {
  /**
   * Several processes listen on the port, each with a socket of its own, and the kernel spreads connections over them
   * (SO_REUSEPORT). Measured beside passing handles from the primary (`bench/workers.ts`): as even, and a third of the
   * CPU for each connection. Default: false, which also keeps two processes from sharing a port by mistake.
   */
  readonly reusePort?: boolean;
}

/** Connections that wait to be accepted; the kernel bounds it by net.core.somaxconn. */
const BACKLOG = 4096;

/** Reader of connections. */
export interface Lane {
  /** Begins to read a connection. @param unread bytes that another lane left unread */
  open(client: ClientSocket, unread: Buffer | undefined): ByteReader;
}

export class Listener {
  readonly #forwarder: Forwarder;
  readonly #server: Server;
  readonly #lane: Lane;
  readonly #clients = new Set<ClientSocket>();
  readonly #movesHandles: boolean;
  #requestHeadMs: number;
  #keepAliveMs: number;
  #timer: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;

  /**
   * @param lane     reads connections from their first byte on
   * @param fullLane reads connections if this Node release has no fast lane
   */
  constructor(forwarder: Forwarder, lane: Lane, fullLane: Lane) {
    this.#forwarder = forwarder;
    const trouble = whyHandlesCannotMove();
    this.#movesHandles = trouble === undefined;
    this.#lane = trouble === undefined ? lane : fullLane;
    if (trouble !== undefined) {
      forwarder.edges.log.warn({ trouble, node: process.version }, 'this release of Node has no fast lane');
    }
    const { timeouts } = forwarder.snapshot.table.config;
    this.#requestHeadMs = timeouts.requestHead;
    this.#keepAliveMs = timeouts.keepAlive;
    // The socket reads only once it has its buffer.
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#sweepRegularly();
  }

  get connections(): number {
    return this.#clients.size;
  }

  /** Connections that carry a tunnel. */
  get tunnels(): number {
    let count = 0;
    for (const { exchange } of this.#clients) if (exchange?.phase === 'tunneling') count++;
    return count;
  }

  /** Rejects with the error of `server.listen`. */
  listen({ host, port, reusePort = false }: TrafficAddress): Promise<{ host: string; port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, reusePort, backlog: BACKLOG }, () => {
        this.#server.removeListener('error', reject);
        this.#server.on('error', (error) =>
          this.#forwarder.edges.log.error({ err: error }, 'listener failed'),
        );
        const { address, port: bound } = this.#server.address() as AddressInfo;
        resolve({ host: address, port: bound });
      });
    });
  }

  /** Applies what a reload may change of the listener. */
  reconfigure({ timeouts }: Config): void {
    this.#requestHeadMs = timeouts.requestHead;
    this.#keepAliveMs = timeouts.keepAlive;
    this.#sweepRegularly();
  }

  /** Stops accepting. Idle connections end now, the others with their next response. Resolves when all have ended. */
  async drain(): Promise<void> {
    this.#forwarder.draining = true;
    this.#server.close();
    // Connections that are accepted in this turn are also served.
    await new Promise((resolve) => setImmediate(resolve));
    this.#keepAliveMs = 0;
    this.#sweepRegularly();
    this.#sweep();
    await this.#empty();
    clearInterval(this.#timer);
  }

  /** Ends what `drain` still waits for: requests without a response get one, the others are cut. */
  cut(): void {
    for (const { exchange, socket } of this.#clients) {
      try {
        exchange?.fail('shutdown');
      } catch (error) {
        exchange?.onInternalError(error);
      }
      socket.destroySoon();
    }
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#server.close();
    for (const { socket } of this.#clients) socket.destroy();
  }

  #empty(): Promise<void> {
    if (this.#clients.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  #accept(accepted: Socket): void {
    const { admission, edges, snapshot } = this.#forwarder;
    const { metrics, now } = edges;
    if (!admission.hasRoom()) {
      metrics.failures('too_many_connections').value++;
      accepted.destroy();
      return;
    }
    const client = new ClientSocket(this.#movesHandles, now);
    const onread: OnReadOpts = {
      // Node keeps the buffer it has for whatever is not a buffer.
      buffer: () => client.reader?.takeNextBuffer() as Buffer,
      callback: (length, bytes) => client.reader.onBytes(bytes as Buffer, length),
    };
    // The reader has the first buffer, so it comes before the socket.
    client.reader = this.#lane.open(client, undefined);
    const socket = this.#movesHandles ? moveHandle(accepted, onread) : accepted;
    if (socket === undefined) return;
    client.socket = socket;
    rememberPeer(socket, now());
    socket.on('error', ignore);
    const peer = peerOf(socket, snapshot.policy.trust);
    if (!admission.admitConnection(peer)) {
      metrics.failures('too_many_of_client').value++;
      socket.destroy();
      return;
    }
    metrics.clientConnections.value++;
    metrics.clientConnectionsTotal.value++;
    this.#clients.add(client);
    socket.on('close', () => {
      this.#clients.delete(client);
      metrics.clientConnections.value--;
      admission.connectionClosed(peer);
      client.reader.onClosed();
      if (this.#clients.size === 0) this.#whenEmpty?.();
    });
    client.reader.begin();
  }

  #sweepRegularly(): void {
    clearInterval(this.#timer);
    const interval = Math.max(50, Math.min(1_000, this.#keepAliveMs / 4, this.#requestHeadMs / 4));
    this.#timer = setInterval(() => this.#sweep(), interval);
    this.#timer.unref();
  }

  /** Ends connections that were idle for too long, and heads that do not arrive. */
  #sweep(): void {
    const now = this.#forwarder.edges.now();
    const { trust } = this.#forwarder.snapshot.policy;
    for (const client of this.#clients) {
      const { socket, reader } = client;
      const isIdle = reader.isIdle && client.headSince === Number.POSITIVE_INFINITY;
      if (isIdle && idleSince(socket) <= now - this.#keepAliveMs) socket.destroySoon();
      else if (client.headSince <= now - this.#requestHeadMs) {
        client.headEnded();
        reader.giveUp();
        refuseConnection(this.#forwarder, socket, 'request_timeout');
      } else if (reader.isIdle) {
        // A connection without a request just ends, as with HAProxy's `option http-ignore-probes`.
        const { requests, acceptedAt } = peerOf(socket, trust);
        if (requests === 0 && acceptedAt <= now - Math.min(this.#requestHeadMs, this.#keepAliveMs))
          socket.destroy();
      }
    }
    this.#forwarder.sweepIdleSockets();
  }
}

/** Errors of sockets are ignored: `close` follows. */
function ignore(): void {}
