/** Plays a script on a connection of its own, and keeps what came back. */

import { connect } from 'node:net';
import { type Message, takeMessage } from './messages.ts';
import type { ClientScript } from './traffic.ts';

export interface Received {
  /** Final responses and those before them, in order. */
  readonly responses: readonly Message[];
  /** What came behind them and is no response. */
  readonly rest: string;
  /** `hung`: neither an answer nor an end. */
  readonly end: 'closed' | 'hung';
}

const PATIENCE_MS = 20_000;

export function play(port: number, script: ClientScript): Promise<Received> {
  return new Promise((resolve) => {
    const { requests, oneByOne, trusted } = script;
    const socket = connect({ host: '127.0.0.1', port, localAddress: trusted ? '127.0.0.2' : '127.0.0.1' });
    socket.setNoDelay(true);
    const responses: Message[] = [];
    let held = '';
    let answered = 0;
    let sent = 0;
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      socket.destroy();
    }, PATIENCE_MS);

    const packets: string[] = [];
    let sending = false;
    const pump = () => {
      const packet = packets.shift();
      if (packet === undefined || socket.destroyed) {
        sending = false;
        return;
      }
      sending = true;
      socket.write(packet, 'latin1');
      if (packets.length > 0) setTimeout(pump, 1);
      else sending = false;
    };
    const send = () => {
      const request = requests[sent++];
      if (request === undefined) return;
      let start = 0;
      for (const at of [...request.cuts, request.bytes.length]) {
        // What is not cut leaves together with what is in front of it.
        const part = request.bytes.slice(start, at);
        if (start === 0 && packets.length > 0 && request.cuts.length === 0)
          packets[packets.length - 1] += part;
        else packets.push(part);
        start = at;
      }
    };
    const read = (closed: boolean) => {
      for (;;) {
        if (held === '') return;
        const kind = requests[answered]?.isHead === true ? 'headResponse' : 'response';
        const taken = takeMessage(held, kind, closed);
        if (typeof taken === 'string') return;
        held = held.slice(taken.length);
        responses.push(taken.message);
        if (/^HTTP\/1\.1 1/.test(taken.message.startLine)) continue;
        answered++;
        if (oneByOne && sent === answered) {
          send();
          if (!sending) pump();
        }
      }
    };
    socket.on('connect', () => {
      if (oneByOne) send();
      else while (sent < requests.length) send();
      pump();
    });
    socket.on('data', (chunk: Buffer) => {
      held += chunk.toString('latin1');
      read(false);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      read(true);
      resolve({ responses, rest: held, end: hung ? 'hung' : 'closed' });
    });
  });
}
