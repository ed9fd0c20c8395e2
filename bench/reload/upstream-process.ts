/**
 * The tracks of the reload run: GET gives a fixed body, POST gives the body back with its checksum, upgrades become
 * WebSocket echoes. Argument: JSON `{ ports: { track: port }, size }`.
 */

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { bodyOf } from '../workload.ts';

const { ports, size } = JSON.parse(process.argv[2] ?? '{}') as {
  ports: Record<string, number>;
  size: number;
};
const body = Buffer.from(bodyOf(size));

for (const [track, port] of Object.entries(ports)) {
  const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'X-Track': track, 'Content-Length': body.length }).end(body);
      return;
    }
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // cut off; the client reports it
    }
    const received = Buffer.concat(chunks);
    const sum = createHash('sha256').update(received).digest('hex');
    response.writeHead(200, { 'X-Track': track, 'X-Sha256': sum, 'Content-Length': received.length });
    response.end(received);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    socket.on('error', () => socket.terminate());
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  server.listen(port, '127.0.0.1');
}
