/** An upstream that keeps what it got, field by field and byte by byte, and answers by script. */

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanUp } from '../clean-up.ts';
import { type Message, takeMessage } from './messages.ts';
import { acceptsUpgrade, switchingParts, tunnelScript, upstreamScript } from './traffic.ts';

export interface Seen {
  readonly backend: string;
  readonly message: Message;
  /** Bytes received over the tunnel that the request opened; undefined for other requests. */
  tunnel?: string;
}

export interface Origin {
  /** URLs by backend. */
  readonly urls: Readonly<Record<string, string>>;
  /** What came, by the mark in it; '' where there was none. */
  readonly seen: Map<string, Seen[]>;
  /** What was no HTTP. */
  readonly violations: string[];
  close(): Promise<unknown>;
}

const MARK = /k\d+i\d+e/;

export async function startOrigin(backends: readonly string[]): Promise<Origin> {
  const seen = new Map<string, Seen[]>();
  const violations: string[] = [];
  const urls: Record<string, string> = {};
  const closers: (() => Promise<unknown>)[] = [];

  for (const backend of backends) {
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      let held = '';
      let busy = false;
      const serve = () => {
        while (!busy && held !== '') {
          const taken = takeMessage(held, 'request', false);
          if (taken === 'more') return;
          if (typeof taken === 'string') {
            violations.push(`${taken}: ${JSON.stringify(held.slice(0, 400))}`);
            socket.destroy();
            return;
          }
          held = held.slice(taken.length);
          const { message } = taken;
          const mark = MARK.exec(message.head)?.[0] ?? '';
          const list = seen.get(mark);
          const entry: Seen = { backend, message };
          if (list === undefined) seen.set(mark, [entry]);
          else list.push(entry);
          busy = true;
          const number = acceptedUpgrade(message);
          if (number !== undefined) {
            openTunnel(socket, number, held, entry);
            return;
          }
          answer(socket, message, () => {
            busy = false;
            serve();
          });
        }
      };
      socket.on('data', (chunk: Buffer) => {
        held += chunk.toString('latin1');
        serve();
      });
      socket.on('error', () => {});
      socket.on('end', () => socket.end());
      socket.on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    urls[backend] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
  }
  const close = () => Promise.all(closers.map((closer) => closer()));
  cleanUp(close);
  return { urls, seen, violations, close };
}

/** The number of an upgrade that is accepted; undefined: the request gets an ordinary response. */
function acceptedUpgrade({ startLine, fields }: Message): number | undefined {
  const number = Number(/[?&]u=(\d{1,10})/.exec(startLine)?.[1] ?? 0);
  if (!acceptsUpgrade(number) || !fields.some(([name]) => name.toLowerCase() === 'upgrade')) return undefined;
  return number;
}

/** Sends the 101 and the greeting, then all bytes that come. @param early bytes that came with the request */
function openTunnel(socket: Socket, number: number, early: string, entry: Seen): void {
  const { eager, messages, endedBy } = tunnelScript(number);
  let left = eager.length + messages.join('').length;
  let waiting = early;
  const parts = [...switchingParts(number)];
  const echo = () => {
    if (parts.length > 0 || waiting === '') return;
    entry.tunnel += waiting;
    left -= waiting.length;
    socket.write(waiting, 'latin1');
    waiting = '';
    if (left === 0 && endedBy === 'upstream') socket.end();
  };
  entry.tunnel = '';
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => {
    waiting += chunk.toString('latin1');
    echo();
  });
  const next = () => {
    socket.write(parts.shift()!, 'latin1');
    if (parts.length > 0) setTimeout(next, 1);
    else echo();
  };
  next();
}

function answer(socket: Socket, message: Message, then: () => void): void {
  const [method = '', target = ''] = message.startLine.split(' ');
  const number = Number(/[?&][su]=(\d{1,10})/.exec(target)?.[1] ?? 0);
  const script =
    number === 0
      ? { parts: ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'], ending: 'keep' as const }
      : upstreamScript(number, method === 'HEAD');
  let i = 0;
  const next = () => {
    if (i < script.parts.length) {
      socket.write(script.parts[i++]!, 'latin1');
      if (i < script.parts.length) setTimeout(next, 1);
      else next();
    } else if (script.ending === 'end') socket.end();
    else if (script.ending === 'reset') setTimeout(() => socket.resetAndDestroy(), 5);
    else then();
  };
  next();
}
