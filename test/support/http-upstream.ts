/**
 * An upstream on `node:http`: answers with what it was asked, as JSON, and behaves specially on request. The first
 * segment of the path chooses the behaviour; any other path is echoed.
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { pause } from './wait-for.ts';

/** What the echo says of a request. */
export interface Echo {
  readonly upstream: string;
  readonly method: string;
  readonly url: string;
  /** Names and values in turn, as they came; values are Latin-1. */
  readonly rawHeaders: readonly string[];
  readonly rawTrailers: readonly string[];
  readonly body: { readonly length: number; readonly sha256: string };
}

export type Behaviour = (
  req: IncomingMessage,
  res: ServerResponse,
  upstream: HttpUpstream,
  argument: string,
) => unknown;

/** A chunk whose bytes depend on their place, so that bytes lost, doubled or swapped change the checksum. */
export function patternBytes(length: number, offset = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = ((offset + i) * 31 + ((offset + i) >>> 8) * 17) & 0xff;
  return bytes;
}

const CHUNK = patternBytes(65_536);

/** SHA-256 of what `/bytes/LENGTH` sends. */
export function patternHash(length: number): string {
  const hash = createHash('sha256');
  for (let sent = 0; sent < length; sent += CHUNK.length) {
    hash.update(CHUNK.subarray(0, Math.min(CHUNK.length, length - sent)));
  }
  return hash.digest('hex');
}

async function readBody(req: IncomingMessage): Promise<Echo['body']> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { length, sha256: hash.digest('hex') };
}

async function echo(req: IncomingMessage, res: ServerResponse, upstream: HttpUpstream): Promise<void> {
  const body = await readBody(req);
  const facts: Echo = {
    upstream: upstream.name,
    method: req.method ?? '',
    url: req.url ?? '',
    rawHeaders: req.rawHeaders,
    rawTrailers: req.rawTrailers,
    body,
  };
  const text = JSON.stringify(facts);
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  res.end(req.method === 'HEAD' ? undefined : text);
}

async function sendPattern(req: IncomingMessage, res: ServerResponse, length: number): Promise<void> {
  req.resume();
  for (let sent = 0; sent < length && !res.destroyed; sent += CHUNK.length) {
    if (!res.write(CHUNK.subarray(0, Math.min(CHUNK.length, length - sent)))) {
      await new Promise<void>((resolve) => {
        const go = () => {
          res.off('drain', go).off('close', go);
          resolve();
        };
        res.on('drain', go).on('close', go);
      });
    }
  }
  res.end();
}

const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  /** `/delay/MS`: echoes after a while. */
  delay: async (req, res, upstream, ms) => {
    await pause(Number(ms));
    await echo(req, res, upstream);
  },
  /** `/status/CODE`: the status, with its own name as body where a body may be. */
  status: (req, res, upstream, code) => {
    req.resume();
    res.writeHead(Number(code), { 'x-upstream': upstream.name });
    res.end(Number(code) === 204 || Number(code) === 304 ? undefined : upstream.name);
  },
  /** `/bytes/LENGTH`: that many bytes, with Content-Length. */
  bytes: async (req, res, _upstream, length) => {
    res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': length });
    await sendPattern(req, res, Number(length));
  },
  /** `/chunked/LENGTH`: the same, chunked. */
  chunked: async (req, res, _upstream, length) => {
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    await sendPattern(req, res, Number(length));
  },
  /** `/trailers`: a chunked body with two trailers. */
  trailers: (req, res) => {
    req.resume();
    res.writeHead(200, { Trailer: 'X-Checksum, X-Rows' });
    res.write('body');
    res.addTrailers([
      ['X-Checksum', 'abc'],
      ['X-Rows', '7'],
    ]);
    res.end();
  },
  /** `/early-hints`: 103 twice, then the echo. */
  'early-hints': async (req, res, upstream) => {
    res.writeInformation(103, ['Link', '</a.css>; rel=preload', 'Link', '</b.js>; rel=preload']);
    res.writeInformation(103, ['Link', '</c.css>; rel=preload', 'X-Stage', 'two']);
    await echo(req, res, upstream);
  },
  /** `/reset`: the connection is reset before a byte of an answer. */
  reset: (req) => req.socket.resetAndDestroy(),
  /** `/half/LENGTH`: half of the promised bytes, then the connection closes. */
  half: (req, res, _upstream, length) => {
    req.resume();
    res.writeHead(200, { 'content-length': length });
    res.write(patternBytes(Number(length) / 2), () => req.socket.destroySoon());
  },
  /** `/half-chunked`: a chunk, then the connection closes without the last one. */
  'half-chunked': (req, res) => {
    req.resume();
    res.writeHead(200);
    res.write('the first half', () => req.socket.destroySoon());
  },
  /** `/trickle/COUNT`: that many chunks, 20 ms apart. */
  trickle: async (req, res, _upstream, count) => {
    req.resume();
    for (let i = 0; i < Number(count) && !res.destroyed; i++) {
      res.write(`${i}\n`);
      await pause(20);
    }
    res.end();
  },
  /** `/hold`: does not answer until the test says `release()`. */
  hold: async (req, res, upstream) => {
    await (upstream as Upstream).held();
    await echo(req, res, upstream);
  },
  /** `/stall`: a head and one chunk, then nothing. */
  stall: (req, res) => {
    req.resume();
    res.writeHead(200);
    res.write('then nothing');
  },
  /** `/early-413`: answers without reading the body, and goes on with the connection. */
  'early-413': (_req, res) => {
    res.writeHead(413, { 'content-type': 'text/plain', 'content-length': '9' });
    res.end('too large');
  },
};

export interface HttpUpstreamOptions {
  readonly port?: number;
  /** More behaviours, or others, by the first segment of the path. */
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
  /** How long an idle connection is kept; default 60 000 ms, so that the proxy is the one to close. */
  readonly keepAliveMs?: number;
}

export interface HttpUpstream {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  readonly server: Server;
  /** Requests that have begun, the oldest first. Health checks over HTTP count too. */
  readonly requests: readonly IncomingMessage[];
  /** Requests that have begun and whose connection or response has not ended. */
  readonly open: number;
  /** Requests whose connection was closed before the response was out. */
  readonly aborted: number;
  /** Lets the requests to `/hold` go, those that come later included. */
  release(): void;
  /** From now on `/hold` holds again. */
  hold(): void;
  /** Stops listening and cuts every connection. */
  close(): Promise<void>;
}

class Upstream implements HttpUpstream {
  readonly name: string;
  readonly server: Server;
  readonly requests: IncomingMessage[] = [];
  readonly #sockets = new Set<Socket>();
  open = 0;
  aborted = 0;
  port = 0;
  #gate: Promise<void>;
  #openGate: () => void = () => {};

  constructor(name: string, options: HttpUpstreamOptions) {
    this.name = name;
    this.#gate = this.#newGate();
    const behaviours = new Map(Object.entries({ ...BEHAVIOURS, ...options.behaviours }));
    this.server = createServer(
      { keepAliveTimeout: options.keepAliveMs ?? 60_000, requestTimeout: 0 },
      (req, res) => {
        this.requests.push(req);
        this.open++;
        res.once('close', () => {
          this.open--;
          if (!res.writableFinished) this.aborted++;
        });
        const [, segment = '', argument = ''] = (req.url ?? '').split('?')[0]!.split('/');
        const behave = behaviours.get(segment) ?? echo;
        Promise.resolve(behave(req, res, this, argument)).catch(() => res.destroy());
      },
    );
    // Large heads are the proxy's to refuse, not this one's.
    this.server.maxHeadersCount = 2000;
    this.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', resolve);
    });
    this.port = (this.server.address() as AddressInfo).port;
  }

  held(): Promise<void> {
    return this.#gate;
  }

  release(): void {
    this.#openGate();
  }

  hold(): void {
    this.#gate = this.#newGate();
  }

  close(): Promise<void> {
    this.release();
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  #newGate(): Promise<void> {
    return new Promise((resolve) => {
      this.#openGate = resolve;
    });
  }
}

/** One that is closed with the test, or the test file, that starts it. */
export async function startHttpUpstream(
  name: string,
  options: HttpUpstreamOptions = {},
): Promise<HttpUpstream> {
  const upstream = await openHttpUpstream(name, options);
  cleanUp(() => upstream.close());
  return upstream;
}

/** One that stays until it is closed. */
export async function openHttpUpstream(
  name: string,
  options: HttpUpstreamOptions = {},
): Promise<HttpUpstream> {
  const upstream = new Upstream(name, options);
  await upstream.listen(options.port ?? 0);
  return upstream;
}
