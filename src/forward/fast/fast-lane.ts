/**
 * The fast lane: bare sockets on both sides, and a strict, small part of HTTP/1.1. It reads connections first, and hands
 * them to the full lane, at a request boundary and with their bytes unread, when they bring anything else.
 */
import type { ByteReader, ClientSocket } from '../client-socket.ts';
import type { Forwarder } from '../forwarder.ts';
import type { Lane } from '../listener.ts';
import { ClientConnection, type FastLaneEdges } from './client-connection.ts';
import { LargeBuffers } from './read-buffers.ts';

/** Bytes of one read from a client. */
const READ_SIZE = 64 * 1024;

export class FastLane implements Lane {
  readonly #edges: FastLaneEdges;

  /** @param fullLane takes what is not for this lane */
  constructor(forwarder: Forwarder, fullLane: Lane) {
    const { limits } = forwarder.snapshot.table.config;
    this.#edges = {
      forwarder,
      readBuffer: Buffer.allocUnsafeSlow(READ_SIZE),
      largeBuffers: new LargeBuffers(),
      headSize: limits.headSize,
      headers: limits.headers,
      handOver: (client, unread) => {
        client.socket.pause();
        client.reader = fullLane.open(client, unread);
        client.reader.begin();
      },
    };
  }

  open(client: ClientSocket): ByteReader {
    return new ClientConnection(this.#edges, client);
  }
}
