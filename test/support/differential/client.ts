/** Plays a script on a connection of its own, and keeps what came back. */

import { connect, type Socket } from 'node:net';
import { type Message, takeMessage } from './messages.ts';
import type { ClientScript, TunnelScript } from './traffic.ts';

export interface Received {
  /** Final responses and those before them, in order. */
  readonly responses: readonly Message[];
  /** What came behind them and is no response. */
  readonly rest: string;
  /** Bytes received over the tunnel; undefined if the connection opened no tunnel. */
  readonly tunnel: string | undefined;
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
    let tunnel: Tunnel | undefined;
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
        if (isInterim(taken.message)) continue;
        const opened = requests[answered]?.tunnel;
        if (opened !== undefined && taken.message.startLine.startsWith('HTTP/1.1 101 ')) {
          tunnel = new Tunnel(socket, opened);
          tunnel.take(held);
          held = '';
          return;
        }
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
      if (tunnel !== undefined) {
        tunnel.take(chunk.toString('latin1'));
        return;
      }
      held += chunk.toString('latin1');
      read(false);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      read(true);
      resolve({ responses, rest: held, tunnel: tunnel?.received, end: hung ? 'hung' : 'closed' });
    });
  });
}

/** A response before the final one. A 101 is final: what follows is not HTTP. */
export function isInterim({ startLine }: Message): boolean {
  return /^HTTP\/1\.1 1(?!01 )/.test(startLine);
}

/** The client's end of a tunnel: sends the next message when everything before has come back. */
class Tunnel {
  readonly #socket: Socket;
  readonly #messages: string[];
  readonly #endedBy: TunnelScript['endedBy'];
  #expected: number;
  received = '';

  constructor(socket: Socket, { greeting, eager, messages, endedBy }: TunnelScript) {
    this.#socket = socket;
    this.#messages = [...messages];
    this.#endedBy = endedBy;
    this.#expected = greeting.length + eager.length;
  }

  take(text: string): void {
    this.received += text;
    if (this.received.length < this.#expected) return;
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#expected += message.length;
      this.#socket.write(message, 'latin1');
    } else if (this.#endedBy === 'client') {
      this.#socket.end();
    }
  }
}
