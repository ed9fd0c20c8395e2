/** Clients that notice an altered byte: POST with checksums both ways, and WebSockets that stay open. */

import { createHash, randomBytes, randomInt } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** The same for everyone: every failed or altered request, each with what went wrong. */
export interface FailureLog {
  add(what: string): void;
}

export interface Counted {
  done: number;
  failed: number;
}

const GROUPS = ['INTERNAL', 'FREE', 'ENTERPRISE', undefined];

export interface PostClients extends Counted {
  bytes: number;
  stop(): Promise<void>;
}

/** Each client posts one body after another over its own keep-alive connection, sized up to `largest` bytes. */
export function startPostClients(
  port: number,
  count: number,
  largest: number,
  failures: FailureLog,
): PostClients {
  const noise = randomBytes(largest);
  let stopping = false;
  const clients: PostClients = {
    done: 0,
    failed: 0,
    bytes: 0,
    async stop() {
      stopping = true;
      await Promise.all(loops);
    },
  };
  const loop = async (index: number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = index; !stopping; turn += 1) {
      const body = noise.subarray(0, randomInt(largest + 1));
      try {
        await postChecked(agent, port, body, GROUPS[turn % GROUPS.length], turn % 2 === 0);
        clients.done += 1;
        clients.bytes += body.length;
      } catch (error) {
        clients.failed += 1;
        failures.add(`POST of ${body.length} bytes: ${(error as Error).message}`);
        await sleep(20); // a proxy that is gone must not make a busy loop
      }
    }
    agent.destroy();
  };
  const loops = Array.from({ length: count }, (_, index) => loop(index));
  return clients;
}

async function postChecked(
  agent: Agent,
  port: number,
  body: Buffer,
  group: string | undefined,
  chunked: boolean,
): Promise<void> {
  const sum = sha256(body);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: '/echo',
        agent,
        timeout: 10_000,
        headers: {
          ...(group === undefined ? {} : { 'X-Traffic-Group': group }),
          ...(chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': body.length }),
        },
      },
      resolve,
    );
    request.once('timeout', () => request.destroy(new Error('no answer within 10 s')));
    request.once('error', reject);
    request.end(body);
  });
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
  if (response.headers['x-sha256'] !== sum) throw new Error('the upstream received another body');
  if (hash.digest('hex') !== sum) throw new Error('the answer came back altered');
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export interface WebSocketClients extends Counted {
  readonly open: number;
  stop(): Promise<void>;
}

/** Opens the sockets, then sends one message after another on each and compares the echo. */
export async function startWebSockets(
  port: number,
  count: number,
  failures: FailureLog,
): Promise<WebSocketClients> {
  let stopping = false;
  const sockets = new Set<WebSocket>();
  const clients = {
    done: 0,
    failed: 0,
    open: count,
    async stop() {
      stopping = true;
      await Promise.all(loops);
      await Promise.all(
        [...sockets].map(
          (socket) =>
            new Promise<void>((resolve) => {
              socket.once('close', () => resolve());
              socket.close();
            }),
        ),
      );
    },
  };
  const fail = (what: string) => {
    clients.failed += 1;
    failures.add(`WebSocket: ${what}`);
  };
  const openSocket = async (index: number) => {
    const group = GROUPS[index % GROUPS.length];
    const headers: Record<string, string> = group === undefined ? {} : { 'X-Traffic-Group': group };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers, handshakeTimeout: 10_000 });
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    sockets.add(socket);
    socket.on('error', (error) => fail(error.message));
    socket.once('close', (code) => {
      sockets.delete(socket);
      if (!stopping) fail(`closed with ${code} while it was in use`);
    });
    return socket;
  };
  const opened = await Promise.all(Array.from({ length: count }, (_, index) => openSocket(index)));
  const loops = opened.map(async (socket, index) => {
    for (let turn = 0; !stopping && sockets.has(socket); turn += 1) {
      const message = `${index}/${turn} ${'x'.repeat(turn % 2000)}`;
      const echo = await exchange(socket, message);
      if (echo === message) clients.done += 1;
      else if (sockets.has(socket)) fail(echo === undefined ? 'no echo within 10 s' : 'the echo was altered');
      await sleep(50 + (index % 50));
    }
  });
  return clients;
}

function exchange(socket: WebSocket, message: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (echo: string | undefined) => {
      clearTimeout(timer);
      socket.off('message', onMessage);
      socket.off('close', onClose);
      resolve(echo);
    };
    const onMessage = (data: Buffer) => done(data.toString());
    const onClose = () => done(undefined);
    const timer = setTimeout(() => done(undefined), 10_000);
    socket.on('message', onMessage);
    socket.once('close', onClose);
    socket.send(message);
  });
}
