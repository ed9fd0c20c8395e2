/** Upgrade requests and 101 responses as bytes, for tests that must see or send them exactly. */

import type { Socket } from 'node:net';
import type { RawAnswer, RawRequest } from './raw-upstream.ts';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';

/** @param lines more header lines, each with its line end */
export function upgradeRequest(target = '/', lines = ''): string {
  return `GET ${target} HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${KEY}${lines}\r\n`;
}

/** @param lines more header lines, each with its line end */
export function switching(lines = ''): string {
  return (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n${lines}\r\n`
  );
}

/**
 * Returns a script for a raw upstream that accepts the upgrade and hands the connection to `use`. The upstream stops
 * reading from it, and does not end it when the other side does.
 */
export function acceptUpgrade(
  use: (socket: Socket, request: RawRequest) => unknown,
  head = switching(),
): RawAnswer {
  return (socket, request) => {
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.write(head, 'latin1');
    return use(socket, request);
  };
}

/** Sends back whatever comes, and ends when the other side does. */
export function echoBytes(socket: Socket): void {
  socket.on('data', (bytes: Buffer) => socket.write(bytes));
  socket.on('end', () => socket.end());
}
