/** A client that sends octets and keeps all that comes back. */

import { connect } from 'node:net';
import { type Message, takeMessage } from '../support/differential/messages.ts';
import { pause } from '../support/wait-for.ts';

export interface Heard {
  /** All that came, Latin-1. */
  readonly text: string;
  /** `hung`: neither an answer nor an end within the client's patience. */
  readonly end: 'closed' | 'reset' | 'hung';
}

/** Longer than every timeout of the proxies in the suite. */
const PATIENCE_MS = 8_000;

/** @param packets Latin-1, each in a packet of its own */
export async function play(port: number, packets: readonly string[], patience = PATIENCE_MS): Promise<Heard> {
  let text = '';
  const socket = connect({ host: '127.0.0.1', port });
  socket.setNoDelay(true);
  const ended = new Promise<Heard['end']>((resolve) => {
    let failed = false;
    const timer = setTimeout(() => {
      resolve('hung');
      socket.destroy();
    }, patience);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {
      failed = true;
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(failed ? 'reset' : 'closed');
    });
  });
  for (const [i, packet] of packets.entries()) {
    if (i > 0) await pause(2);
    if (socket.destroyed) break;
    socket.write(packet, 'latin1');
  }
  const end = await ended;
  return { text, end };
}

export interface Answers {
  /** Final responses, in order. */
  readonly responses: readonly Message[];
  /** What came behind them and is no response. */
  readonly rest: string;
}

/** @param isHead whether a response, by its number, has no body whatever its fields say */
export function answersIn(text: string, isHead: (index: number) => boolean): Answers {
  const responses: Message[] = [];
  let rest = text;
  while (rest !== '') {
    const kind = isHead(responses.length) ? 'headResponse' : 'response';
    const taken = takeMessage(rest, kind, true);
    if (typeof taken === 'string') break;
    rest = rest.slice(taken.length);
    if (/^HTTP\/1\.1 1\d\d/.test(taken.message.startLine)) continue;
    responses.push(taken.message);
  }
  return { responses, rest };
}

export function statusOf({ startLine }: Message): number {
  return Number(startLine.slice(9, 12));
}

export function fieldOf({ fields }: Message, name: string): string | undefined {
  return fields.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}
