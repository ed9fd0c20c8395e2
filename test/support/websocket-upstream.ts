/** An upstream that echoes WebSocket frames, and says who it is when asked. */

import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { cleanUp } from './clean-up.ts';
import { inTime } from './wait-for.ts';

export interface WebSocketUpstream {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  /** The upgrade requests, the oldest first. */
  readonly upgrades: readonly IncomingMessage[];
  /** Sockets that are open now. */
  readonly open: ReadonlySet<WebSocket>;
  close(): Promise<void>;
}

/** Text `who` is answered with the name, `bye` with a close frame; everything else comes back as it is. */
export async function startWebSocketUpstream(name: string): Promise<WebSocketUpstream> {
  const upgrades: IncomingMessage[] = [];
  const server = createServer((_req, res) => res.end(name));
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 8 * 1024 ** 2 });
  sockets.on('connection', (socket, req) => {
    upgrades.push(req);
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      const text = isBinary ? '' : String(data);
      if (text === 'who') socket.send(name);
      else if (text === 'bye') socket.close(4001, 'as you wish');
      else socket.send(data as Buffer, { binary: isBinary });
    });
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  cleanUp(close);
  return { name, port, url: `http://127.0.0.1:${port}`, upgrades, open: sockets.clients, close };
}

/** A WebSocket that is open; it is cut with the test that opened it. */
export async function openWebSocket(
  port: number,
  options: { path?: string; headers?: Record<string, string>; protocols?: string[] } = {},
): Promise<WebSocket> {
  const { path = '/', headers = {}, protocols = [] } = options;
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, {
    headers,
    perMessageDeflate: false,
    maxPayload: 8 * 1024 ** 2,
  });
  await inTime(
    'the WebSocket',
    new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve());
      socket.once('error', reject);
    }),
  );
  socket.on('error', () => {});
  return socket;
}

/** Sends a message and resolves to the next one that comes. */
export function askWebSocket(socket: WebSocket, message: string | Buffer): Promise<Buffer> {
  return inTime(
    'the message',
    new Promise<Buffer>((resolve, reject) => {
      socket.once('message', (data) => resolve(data as Buffer));
      socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
      socket.send(message);
    }),
  );
}
