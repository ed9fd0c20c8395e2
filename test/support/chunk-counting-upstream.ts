/** An upstream that reads request bodies chunk by chunk and counts the chunks. */

import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';

const HEAD_END = '\r\n\r\n';

export interface CountedBody {
  /** Bytes of content received. */
  readonly length: number;
  /** Chunks received, without the last one; 0 if the body came with Content-Length. */
  readonly chunks: number;
  readonly ended: boolean;
  /** Hash of the content. Call it once, when the body has ended. */
  sha256(): string;
}

export interface ChunkCountingUpstream {
  readonly url: string;
  /** Bodies that have begun, in the order of their heads. */
  readonly bodies: readonly CountedBody[];
  /** Bytes that were not HTTP, as errors. */
  readonly violations: readonly Error[];
  /** Answers every body that has ended, now and from now on. */
  release(): void;
}

class Body implements CountedBody {
  readonly #isChunked: boolean;
  readonly #hash = createHash('sha256');
  /** Bytes left of the chunk, or of a body with Content-Length. */
  #left: number;
  #line = '';
  #expects: 'size' | 'data' | 'dataEnd' | 'trailer';
  length = 0;
  chunks = 0;
  ended: boolean;

  constructor(head: string) {
    this.#isChunked = /^transfer-encoding: *chunked\r$/im.test(head);
    const length = /^content-length: *(\d+)\r$/im.exec(head)?.[1];
    this.#left = Number(length ?? 0);
    this.#expects = this.#isChunked ? 'size' : 'data';
    this.ended = !this.#isChunked && this.#left === 0;
  }

  sha256(): string {
    return this.#hash.digest('hex');
  }

  /** Returns the offset after the last byte of the body. Throws if the framing breaks RFC 9112 §7.1. */
  take(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && !this.ended) {
      at = this.#expects === 'data' ? this.#takeData(bytes, at) : this.#takeLine(bytes, at);
    }
    return at;
  }

  #takeData(bytes: Buffer, from: number): number {
    const end = Math.min(bytes.length, from + this.#left);
    this.#hash.update(bytes.subarray(from, end));
    this.length += end - from;
    this.#left -= end - from;
    if (this.#left === 0) {
      if (this.#isChunked) this.#expects = 'dataEnd';
      else this.ended = true;
    }
    return end;
  }

  #takeLine(bytes: Buffer, from: number): number {
    const end = bytes.indexOf('\n', from) + 1;
    this.#line += bytes.toString('latin1', from, end === 0 ? bytes.length : end);
    if (end === 0) return bytes.length;
    const line = this.#line;
    this.#line = '';
    if (!line.endsWith('\r\n')) throw new Error(`bare LF in ${JSON.stringify(line)}`);
    this.#onLine(line.slice(0, -2));
    return end;
  }

  #onLine(line: string): void {
    if (this.#expects === 'size') {
      if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) throw new Error(`bad chunk size ${JSON.stringify(line)}`);
      this.#left = Number.parseInt(line, 16);
      this.#expects = this.#left === 0 ? 'trailer' : 'data';
      if (this.#left > 0) this.chunks++;
    } else if (this.#expects === 'dataEnd') {
      if (line !== '') throw new Error('a chunk is longer than it says');
      this.#expects = 'size';
    } else if (line === '') {
      this.ended = true;
    }
  }
}

/** @param holds true: nothing is answered before `release` */
export async function startChunkCountingUpstream({ holds = false } = {}): Promise<ChunkCountingUpstream> {
  const bodies: Body[] = [];
  const violations: Error[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  let isHolding = holds;

  const serve = (socket: Socket) => {
    let head = '';
    let body: Body | undefined;
    const take = (bytes: Buffer) => {
      let at = 0;
      while (at < bytes.length) {
        if (body === undefined) {
          const before = head.length;
          head += bytes.toString('latin1', at);
          const end = head.indexOf(HEAD_END);
          if (end === -1) return;
          at += end + HEAD_END.length - before;
          body = new Body(head.slice(0, end + 2));
          head = '';
          bodies.push(body);
        }
        at = body.take(bytes, at);
        if (!body.ended) continue;
        body = undefined;
        if (isHolding) waiting.add(socket);
        else answer(socket);
      }
    };
    socket.on('data', (bytes: Buffer) => {
      try {
        take(bytes);
      } catch (error) {
        violations.push(error as Error);
        socket.destroy();
      }
    });
  };

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    violations,
    release() {
      isHolding = false;
      for (const socket of waiting) answer(socket);
      waiting.clear();
    },
  };
}

function answer(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
}
