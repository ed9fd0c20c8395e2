/**
 * An upstream that keeps what it got octet by octet and reads it by the letter of RFC 9112: whatever has two readings is
 * a fault, and is never answered. Requests are known by the nonce in them, and the answer carries it.
 */

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { type Message, takeMessage } from './differential/messages.ts';
import { pause } from './wait-for.ts';

export interface OriginRequest {
  readonly backend: string;
  /** Numbered from 0 in the order in which they were accepted. */
  readonly connection: number;
  readonly method: string;
  readonly target: string;
  readonly message: Message;
}

/** Octets for the client, Latin-1, each part in a packet of its own as far as the kernel lets us say so. */
export interface OriginAnswer {
  readonly parts: readonly string[];
  /** Milliseconds between two parts. */
  readonly pause?: number;
  readonly ending?: 'keep' | 'end' | 'reset';
}

export interface Origin {
  readonly ports: Readonly<Record<string, number>>;
  /** Whole requests with that nonce; '' for those without one. */
  requests(nonce: string): readonly OriginRequest[];
  /** What came with that nonce and has no single reading; '' for what nobody can be blamed for. */
  faults(nonce: string): readonly string[];
  /** Connections that are open now. */
  readonly open: number;
  /** Connections so far. */
  readonly accepted: number;
  close(): Promise<void>;
}

export const NONCE_PATTERN = /n[0-9a-f]{7}/;

/** Field of every answer: the nonce of the request that it answers. */
export const NONCE_FIELD = 'X-Nonce';

let lastNonce = 0;

/** Eight octets that no other request of this process has. */
export function newNonce(): string {
  lastNonce++;
  return `n${lastNonce.toString(16).padStart(7, '0')}`;
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21\x22\x24-\x7e]+) HTTP\/1\.[01]$/;

/** RFC 3986, 3.2.2 and 3.2.3, without user information; empty where the target has no authority. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d*)?$/;

export async function startOrigin(
  backends: readonly string[],
  answer: (request: OriginRequest, nonce: string) => OriginAnswer = echo,
): Promise<Origin> {
  const seen = new Map<string, OriginRequest[]>();
  const faults = new Map<string, string[]>();
  const sockets = new Set<Socket>();
  const ports: Record<string, number> = {};
  const closers: (() => Promise<void>)[] = [];
  let accepted = 0;

  const serve = (socket: Socket, backend: string) => {
    const connection = accepted++;
    let held = '';
    let busy = false;
    let latest = '';
    const read = async () => {
      if (busy) return;
      busy = true;
      while (held !== '' && !socket.destroyed) {
        const taken = takeMessage(held, 'request', false);
        if (taken === 'more') break;
        const fault = typeof taken === 'string' ? taken : faultOf(taken.message, held.slice(0, taken.length));
        if (fault !== undefined) {
          const nonce = NONCE_PATTERN.exec(held)?.[0] ?? latest;
          push(faults, nonce, `${fault}: ${JSON.stringify(held.slice(0, 300))}`);
          socket.destroy();
          return;
        }
        if (typeof taken === 'string') return;
        const { message } = taken;
        held = held.slice(taken.length);
        const [method = '', target = ''] = message.startLine.split(' ');
        const request: OriginRequest = { backend, connection, method, target, message };
        const nonce = NONCE_PATTERN.exec(target)?.[0] ?? NONCE_PATTERN.exec(message.head)?.[0] ?? '';
        latest = nonce;
        push(seen, nonce, request);
        await send(socket, answer(request, nonce));
      }
      busy = false;
    };
    socket.on('data', (chunk: Buffer) => {
      held += chunk.toString('latin1');
      void read();
    });
  };

  for (const backend of backends) {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('end', () => socket.end());
      socket.on('close', () => sockets.delete(socket));
      serve(socket, backend);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports[backend] = (server.address() as AddressInfo).port;
    closers.push(() => new Promise((resolve) => server.close(() => resolve())));
  }
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await Promise.all(closers.map((closer) => closer()));
  };
  cleanUp(close);
  return {
    ports,
    requests: (nonce) => seen.get(nonce) ?? [],
    faults: (nonce) => faults.get(nonce) ?? [],
    get open() {
      return sockets.size;
    },
    get accepted() {
      return accepted;
    },
    close,
  };
}

/** What `takeMessage` lets pass and an upstream may read in two ways. */
function faultOf(message: Message, bytes: string): string | undefined {
  if (!REQUEST_LINE.test(message.startLine)) return 'a bad request line';
  const hosts = message.fields.filter(([name]) => name.toLowerCase() === 'host');
  if (hosts.length > 1) return `${hosts.length} Host fields`;
  if (hosts.length === 0 && message.startLine.endsWith('1.1')) return 'no Host field';
  if (hosts.length === 1 && !HOST.test(hosts[0]![1])) return 'a bad Host field';
  if (message.framing === 'chunked' && message.startLine.endsWith('1.0')) return 'chunks in HTTP/1.0';
  if (/\n/.test(bytes.slice(0, message.head.length).replaceAll('\r\n', ''))) return 'a bare LF';
  return undefined;
}

async function send(socket: Socket, { parts, pause: ms = 2, ending = 'keep' }: OriginAnswer): Promise<void> {
  for (const [i, part] of parts.entries()) {
    if (i > 0) await pause(ms);
    if (socket.destroyed) return;
    socket.write(part, 'latin1');
  }
  if (ending === 'keep') return;
  if (ending === 'end') {
    socket.end();
    return;
  }
  // What was written goes out first, or the reset would overtake it.
  await pause(ms);
  socket.resetAndDestroy();
}

/** 200 with the nonce, the backend and the target, so that a client can tell whose answer it has. */
export function echo({ method, target, backend }: OriginRequest, nonce: string): OriginAnswer {
  const body = `${nonce} ${target}`;
  const fields = `${NONCE_FIELD}: ${nonce}\r\nX-Backend: ${backend}\r\nContent-Length: ${body.length}\r\n`;
  return { parts: [`HTTP/1.1 200 OK\r\n${fields}\r\n${method === 'HEAD' ? '' : body}`] };
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
