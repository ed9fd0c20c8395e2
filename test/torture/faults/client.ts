/** One connection of a client that does what it is told, and what it hears. */

import { connect, type Socket } from 'node:net';
import { takeMessage } from '../../support/differential/messages.ts';
import { pause } from '../../support/wait-for.ts';

/** Of what it hears so much is kept; the rest is counted. */
const MOST_KEPT = 256 * 1024;

export interface ClientOptions {
  readonly port: number;
  readonly nonce: string;
  /** `/PLACE/BEHAVIOUR/NONCE` */
  readonly target: string;
  /** Resolves when the upstream has the head of that request. */
  readonly upstreamHas: (nonce: string) => Promise<void>;
}

export class FaultyClient {
  readonly nonce: string;
  readonly target: string;
  readonly #options: ClientOptions;
  readonly #socket: Socket;
  readonly #opened: Promise<void>;
  readonly ended: Promise<'closed' | 'reset'>;
  #end: 'closed' | 'reset' | undefined;
  #text = '';
  /** Octets heard. */
  heard = 0;
  readonly #others: FaultyClient[] = [];
  #wake: (() => void) | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.nonce = options.nonce;
    this.target = options.target;
    const socket = connect({ host: '127.0.0.1', port: options.port, allowHalfOpen: true });
    this.#socket = socket;
    socket.setNoDelay(true);
    let failed = false;
    this.#opened = new Promise((resolve) => {
      socket.once('connect', resolve).once('close', () => resolve());
    });
    socket.on('data', (chunk: Buffer) => {
      this.heard += chunk.length;
      if (this.#text.length < MOST_KEPT) this.#text += chunk.toString('latin1');
      this.#wake?.();
    });
    socket.on('error', () => {
      failed = true;
    });
    // The proxy has ended its side: a client of ours has nothing more to say then, unless it is in the middle of it.
    socket.on('end', () => socket.end());
    this.ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#end = failed ? 'reset' : 'closed';
        this.#wake?.();
        resolve(this.#end);
      });
    });
  }

  /** As the access log names it. */
  async label(): Promise<string> {
    await this.#opened;
    return `127.0.0.1:${this.#socket.localPort}`;
  }

  /** Latin-1. */
  get text(): string {
    return this.#text;
  }

  /** How its connection has ended; undefined: it has not. */
  get end(): 'closed' | 'reset' | undefined {
    return this.#end;
  }

  /** What was heard so far is dealt with. */
  forget(): void {
    this.#text = '';
    this.heard = 0;
  }

  send(text: string): void {
    if (!this.#socket.destroyed) this.#socket.write(text, 'latin1');
  }

  sendBytes(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** Octet by octet, until the connection ends. */
  async trickle(text: string, ms: number): Promise<void> {
    for (const octet of text) {
      if (!this.#socket.writable || this.#end !== undefined) return;
      this.#socket.write(octet, 'latin1');
      await pause(ms);
    }
  }

  upstreamHas(): Promise<void> {
    return this.#options.upstreamHas(this.nonce);
  }

  /** A second connection, for the same upstream, which ends when this case is over. */
  another(options: Pick<ClientOptions, 'nonce' | 'target'>): FaultyClient {
    const other = new FaultyClient({ ...this.#options, ...options });
    this.#others.push(other);
    return other;
  }

  /** Resolves when `condition` holds of what was heard, or the connection has ended. */
  async until(condition: () => boolean): Promise<void> {
    while (this.#end === undefined && !condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves with so many whole final responses, or with the end of the connection. */
  async responses(count = 1): Promise<void> {
    await this.until(() => finalResponses(this.#text) >= count);
  }

  stopReading(): void {
    this.#socket.pause();
  }

  /** Some octets at a time. */
  async readSlowly(most: number, ms: number): Promise<void> {
    while (this.#end === undefined && this.heard < most) {
      await pause(ms);
      this.#socket.resume();
      const enough = this.heard + 1024 ** 2;
      await this.until(() => this.heard >= Math.min(enough, most));
      this.#socket.pause();
    }
    this.#socket.resume();
  }

  /** No more from here; the other direction stays open. */
  halfClose(): void {
    this.#socket.end();
  }

  leave(): void {
    this.#socket.destroy();
  }

  /** The case is over. */
  finish(): void {
    for (const one of [this, ...this.#others]) one.leave();
  }

  /** As one that crashed. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }
}

function finalResponses(text: string): number {
  let count = 0;
  let rest = text;
  while (rest !== '') {
    const taken = takeMessage(rest, 'response', false);
    if (typeof taken === 'string') break;
    rest = rest.slice(taken.length);
    if (!/^HTTP\/1\.1 1\d\d/.test(taken.message.startLine)) count++;
  }
  return count;
}
