/**
 * An endpoint of a track. Argument: JSON `{ track, address, port, dripMs }`; prints `ready`. Every response carries the nonce of
 * its request. SIGTERM ends it as a pod ends: it listens no more, and what is under way is finished.
 *
 *   GET, HEAD /small    some hundred bytes
 *   GET /large          1 MiB
 *   GET /drip           in parts, slowly
 *   POST /echo          the body back, once it is whole, with its checksum
 *   POST /stream        the body back as it comes, in chunks
 *   upgrade             a WebSocket that echoes
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { NOISE, smallBody } from './payload.ts';

const { track, address, port, dripMs } = JSON.parse(process.argv[2] ?? '{}') as {
  track: string;
  address: string;
  port: number;
  dripMs: number;
};
const endpoint = `${address}:${port}`;
const DRIPS = 8;

/** Longer than Pointsman keeps idle connections. */
const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (request, response) => {
  request.on('error', () => {});
  response.on('error', () => {});
  answer(request, response).catch(() => response.destroy()); // cut off by the other side
});

const identity = { 'X-Track': track, 'X-Endpoint': endpoint };

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const nonce = nonceOf(request);
  const fields = { ...identity, 'X-Nonce': nonce };
  if (request.headers['x-hop'] !== undefined) {
    // It was named by Connection, and so meant for the proxy alone.
    response.writeHead(500, fields).end('a hop-by-hop field came through');
    return;
  }
  switch (pathOf(request)) {
    case '/large':
      response.writeHead(200, { ...fields, 'Content-Length': nonce.length + 1 + NOISE.length });
      response.write(`${nonce}\n`);
      response.end(NOISE);
      return;
    case '/drip':
      response.writeHead(200, fields);
      for (let index = 0; index < DRIPS && !response.destroyed; index += 1) {
        response.write(`${nonce}\n`);
        await sleep(dripMs);
      }
      response.end();
      return;
    case '/stream':
      response.writeHead(200, fields);
      request.pipe(response);
      return;
    case '/echo': {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      const sum = createHash('sha256').update(body).digest('hex');
      response.writeHead(200, { ...fields, 'X-Sha256': sum, 'Content-Length': body.length }).end(body);
      return;
    }
    default: {
      const body = smallBody(nonce);
      response.writeHead(200, { ...fields, 'Content-Length': body.length }).end(body);
    }
  }
}

function pathOf(request: IncomingMessage): string {
  return request.url!.slice(0, request.url!.indexOf('?'));
}

function nonceOf(request: IncomingMessage): string {
  return request.url!.slice(request.url!.indexOf('=') + 1);
}

const sockets = new WebSocketServer({ server });
sockets.on('headers', (headers, request) => {
  headers.push(`X-Track: ${track}`, `X-Endpoint: ${endpoint}`, `X-Nonce: ${nonceOf(request)}`);
});
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

server.listen(port, address, () => process.stdout.write('ready\n'));

process.once('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
  for (const socket of sockets.clients) socket.close(1001);
  // Node counts neither upgraded connections nor, once it has closed them, their last bytes.
  setInterval(() => {
    server.getConnections((_, open) => {
      if (open === 0 && sockets.clients.size === 0) process.exit(0);
    });
    server.closeIdleConnections();
  }, 50);
});
