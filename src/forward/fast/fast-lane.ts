/**
 * The fast lane: bare sockets on both sides, and a strict, small part of HTTP/1.1. It is in front: it accepts, and hands
 * a connection to the full lane, at a request boundary and with its bytes unread, when it brings anything else.
 */
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import type { Config } from '../../config/schema.ts';
import type { Forwarder } from '../forwarder.ts';
import type { FullLane } from '../full-lane.ts';
import { idleSince, peerOf, rememberPeer } from '../peer.ts';
import type { FailureReason } from '../reasons.ts';
import { refuseConnection } from '../refuse-connection.ts';
import { listenOptions, type TrafficAddress } from '../traffic-address.ts';
import { ClientConnection, type ConnectionEdges } from './client-connection.ts';
import { LargeBuffers } from './read-buffers.ts';

/** Of one read from a client, bytes. */
const READ_SIZE = 64 * 1024;

/** An accepted socket, as Node makes it: what it reads and writes with can be given to another one. */
interface Accepted extends Socket {
  _handle: object | null;
}

export class FastLane {
  readonly #forwarder: Forwarder;
  readonly #fullLane: FullLane;
  readonly #server: Server;
  readonly #connections = new Set<ClientConnection>();
  readonly #edges: ConnectionEdges;
  #requestHeadMs: number;
  #sweepTimer: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;

  /** @param fullLane takes what is not for this lane; does not listen itself */
  constructor(forwarder: Forwarder, fullLane: FullLane) {
    this.#forwarder = forwarder;
    this.#fullLane = fullLane;
    const { limits, timeouts } = forwarder.snapshot.table.config;
    this.#requestHeadMs = timeouts.requestHead;
    this.#edges = {
      forwarder,
      readBuffer: Buffer.allocUnsafeSlow(READ_SIZE),
      largeBuffers: new LargeBuffers(),
      headSize: limits.headSize,
      headers: limits.headers,
      handOver: (connection, socket, unread) => this.#handOver(connection, socket, unread),
    };
    // Nothing is read before the socket has its buffer.
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) =>
      this.#accept(socket as Accepted),
    );
    this.#sweepEvery(timeouts.keepAlive);
  }

  get connections(): number {
    return this.#connections.size + this.#fullLane.connections;
  }

  get tunnels(): number {
    return this.#fullLane.tunnels;
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

  /** Takes over what a reload may change of the listener. */
  reconfigure(config: Config): void {
    this.#requestHeadMs = config.timeouts.requestHead;
    this.#sweepEvery(config.timeouts.keepAlive);
    this.#fullLane.reconfigure(config);
  }

  /**
   * No new connections; those that are open end with their next response, idle ones now.
   *
   * @returns when every connection and tunnel has ended
   */
  async drain(): Promise<void> {
    this.#forwarder.draining = true;
    this.#server.close();
    // Connections that are accepted in this very turn are served, too.
    await new Promise((resolve) => setImmediate(resolve));
    this.#sweepEvery(0);
    this.#sweep(0);
    const fullLane = this.#fullLane.drain();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
    }
    clearInterval(this.#sweepTimer);
    await fullLane;
    // Those that were handed over after its last connection had ended.
    await this.#fullLane.drain();
  }

  /** Cuts whatever is left. */
  destroy(): void {
    clearInterval(this.#sweepTimer);
    this.#server.close();
    for (const { socket } of this.#connections) socket.destroy();
    this.#fullLane.destroy();
  }

  #accept(accepted: Accepted): void {
    const { admission } = this.#forwarder;
    const { metrics, now } = this.#forwarder.edges;
    if (!admission.hasRoom()) {
      metrics.failures('too_many_connections').value++;
      accepted.destroy();
      return;
    }
    // Only a socket that is made with `onread` reads into a buffer of ours, and the server makes its own without: so
    // the handle moves to another one, as it does between processes.
    const handle = accepted._handle;
    if (handle === null) return;
    accepted._handle = null;
    const connection = new ClientConnection(this.#edges, (owner) => {
      const socket = new Socket({
        handle,
        onread: {
          buffer: () => owner.takeNextBuffer(),
          callback: (length: number, bytes: Uint8Array) => owner.onBytes(bytes as Buffer, length),
        },
      } as ConstructorParameters<typeof Socket>[0]);
      rememberPeer(socket, now());
      return socket;
    });
    const { socket } = connection;
    const peer = peerOf(socket, this.#forwarder.snapshot.policy.trust);
    if (!admission.admitConnection(peer)) {
      metrics.failures('too_many_of_client').value++;
      socket.on('error', ignore);
      socket.destroy();
      return;
    }
    metrics.clientConnections.value++;
    metrics.clientConnectionsTotal.value++;
    this.#connections.add(connection);
    socket.on('error', ignore);
    socket.on('close', () => {
      if (!this.#connections.delete(connection)) return;
      metrics.clientConnections.value--;
      admission.connectionClosed(peer);
      connection.onClosed();
      this.#noteEmpty();
    });
    socket.resume();
  }

  #handOver(connection: ClientConnection, socket: Socket, unread: Buffer): void {
    this.#connections.delete(connection);
    socket.pause();
    this.#fullLane.adopt(socket, unread);
    this.#noteEmpty();
  }

  #noteEmpty(): void {
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  #sweepEvery(keepAliveMs: number): void {
    clearInterval(this.#sweepTimer);
    const interval = Math.max(50, Math.min(1_000, keepAliveMs / 4, this.#requestHeadMs / 4));
    this.#sweepTimer = setInterval(() => this.#sweep(keepAliveMs), interval);
    this.#sweepTimer.unref();
  }

  /** Ends connections that have been idle for too long, and heads that do not come. */
  #sweep(keepAliveMs: number): void {
    const now = this.#forwarder.edges.now();
    const { trust } = this.#forwarder.snapshot.policy;
    for (const connection of this.#connections) {
      const { socket } = connection;
      if (idleSince(socket) <= now - keepAliveMs) socket.destroySoon();
      else if (connection.headSince <= now - this.#requestHeadMs) this.#refuse(connection, 'request_timeout');
      else if (connection.isIdle) {
        // Nothing was ever asked: it just ends, as with HAProxy's `option http-ignore-probes`.
        const { requests, acceptedAt } = peerOf(socket, trust);
        if (requests === 0 && acceptedAt <= now - Math.min(this.#requestHeadMs, keepAliveMs))
          socket.destroy();
      }
    }
    this.#forwarder.sweepIdleSockets();
  }

  #refuse(connection: ClientConnection, reason: FailureReason): void {
    connection.giveUp();
    refuseConnection(this.#forwarder, connection.socket, reason);
  }
}

/** What went wrong is told by `close`, which follows. */
function ignore(): void {}
