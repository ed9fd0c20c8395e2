/** The upstreams of the suite: what one does with a request stands in its target, `/PLACE/BEHAVIOUR/NONCE`. */

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanUp } from '../../support/clean-up.ts';
import { lengthOf, type WireHead, WireReader } from '../../support/http-wire.ts';
import { NONCE_PATTERN } from '../../support/origin.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type Place, UPSTREAMS, type UpstreamBehaviour, type UpstreamName } from './upstreams.ts';

type Listening = Exclude<Place, 'closed' | 'half' | 'stopped'>;

const LISTENING: readonly Listening[] = ['open', 'resetting', 'closing', 'parting', 'unsteady', 'narrow'];

/** Of one who reads slowly: octets at a time, and milliseconds between them. */
const SLOW_READ = 512 * 1024;
const SLOW_READ_MS = 10;

export class FaultyUpstream {
  readonly ports: Readonly<Record<Listening, number>>;
  readonly #sockets: Set<Socket>;
  readonly #heads: ReadonlySet<string>;
  /** What came and is no request. */
  readonly violations: readonly string[];
  readonly close: () => Promise<void>;

  private constructor(
    ports: Record<Listening, number>,
    sockets: Set<Socket>,
    heads: Set<string>,
    violations: string[],
    close: () => Promise<void>,
  ) {
    this.ports = ports;
    this.#sockets = sockets;
    this.#heads = heads;
    this.violations = violations;
    this.close = close;
  }

  static async start(): Promise<FaultyUpstream> {
    const sockets = new Set<Socket>();
    const heads = new Set<string>();
    const violations: string[] = [];
    const ports: Partial<Record<Listening, number>> = {};
    const closers: (() => Promise<void>)[] = [];
    for (const place of LISTENING) {
      let connections = 0;
      const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
        if (place === 'unsteady' && connections++ % 2 === 0) socket.resetAndDestroy();
        // Not before: one that is reset in the handshake has failed to connect.
        else if (place === 'resetting') socket.once('data', () => socket.resetAndDestroy());
        else if (place === 'closing') socket.resume().end();
        else void serve(socket, heads, violations);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      ports[place] = (server.address() as AddressInfo).port;
      closers.push(() => new Promise((resolve) => server.close(() => resolve())));
    }
    const close = async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all(closers.map((closer) => closer()));
    };
    cleanUp(close);
    return new FaultyUpstream(ports as Record<Listening, number>, sockets, heads, violations, close);
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Resolves when the head of that request is here. */
  async has(nonce: string): Promise<void> {
    await waitFor(`request ${nonce} at the upstream`, () => this.#heads.has(nonce));
  }

  /** Of these, those whose other side has not closed, though this one has. */
  get halfClosed(): number {
    return [...this.#sockets].filter(({ writableEnded }) => writableEnded).length;
  }

  /** Lets go of every connection: to be called when nothing is under way. */
  closeIdle(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function serve(socket: Socket, heads: Set<string>, violations: string[]): Promise<void> {
  const reader = new WireReader();
  socket.on('data', (chunk: Buffer) => reader.push(chunk));
  socket.on('end', () => {
    reader.end();
    socket.end();
  });
  socket.on('close', () => reader.end());
  try {
    for (;;) {
      const head = await reader.readHead();
      if (head === undefined) return;
      const behaviour = behaviourOf(head);
      const target = head.startLine.split(' ')[1]!;
      const nonce = NONCE_PATTERN.exec(target)![0];
      heads.add(nonce);
      const serving = { socket, target, nonce };
      if (behaviour.reads === 'nothing') {
        socket.pause();
        return;
      }
      if (behaviour.reads === 'slowly') readSlowly(socket);
      if (behaviour.early) void behaviour.run?.(serving);
      await readBody(reader, head);
      if (!behaviour.early) void behaviour.run?.(serving);
    }
  } catch (error) {
    // A proxy may give up in the middle of a request, and must not send what is none.
    if (!/^the connection ended/.test((error as Error).message)) violations.push((error as Error).message);
    socket.destroy();
  }
}

function behaviourOf({ startLine }: WireHead): UpstreamBehaviour {
  const match = /^(?:GET|POST) \/[a-z]+\/([A-Za-z]+)\/n[0-9a-f]{7}(?:\?x*)? HTTP\/1\.1$/.exec(startLine);
  const behaviour = match === null ? undefined : UPSTREAMS[match[1] as UpstreamName];
  if (behaviour === undefined) throw new Error(`no request of the suite: ${JSON.stringify(startLine)}`);
  return behaviour;
}

async function readBody(reader: WireReader, { fields }: WireHead): Promise<void> {
  const length = lengthOf(fields);
  if (length === 'chunked') await reader.readChunked();
  else await reader.readExactly(length ?? 0);
}

function readSlowly(socket: Socket): void {
  let taken = 0;
  socket.on('data', (chunk: Buffer) => {
    taken += chunk.length;
    if (taken < SLOW_READ) return;
    taken = 0;
    socket.pause();
    setTimeout(() => socket.resume(), SLOW_READ_MS);
  });
}
