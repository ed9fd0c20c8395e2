/** The admin port, asked by a person: one request, one answer, or why there is none. */
import http from 'node:http';
import https from 'node:https';
import { UsageError } from '../io.ts';

export interface AdminReply {
  readonly status: number;
  readonly body: unknown;
  /** Why nothing came; the rest means nothing then. */
  readonly fault?: string;
}

/** A reload may wait for new backends to be resolved and checked. */
const TIMEOUT_MS = 15_000;
const MAX_ANSWER = 64 * 1024 ** 2;

export class AdminClient {
  readonly #base: URL;

  constructor(url: string) {
    let base: URL;
    try {
      base = new URL(url);
    } catch {
      throw new UsageError(`--admin is a URL such as http://127.0.0.1:9901, not "${url}"`);
    }
    if (base.protocol !== 'http:' && base.protocol !== 'https:') {
      throw new UsageError(`--admin is a URL such as http://127.0.0.1:9901, not "${url}"`);
    }
    this.#base = base;
  }

  get(path: string): Promise<AdminReply> {
    return this.#send('GET', path, undefined, undefined);
  }

  post(path: string, body: unknown, token?: string): Promise<AdminReply> {
    return this.#send('POST', path, JSON.stringify(body), token);
  }

  #send(
    method: string,
    path: string,
    body: string | undefined,
    token: string | undefined,
  ): Promise<AdminReply> {
    const url = new URL(this.#base.pathname.replace(/\/$/, '') + path, this.#base);
    const failed = (why: string): AdminReply => ({
      status: 0,
      body: undefined,
      fault: `${this.#base.origin} does not answer: ${why}`,
    });
    return new Promise((resolve) => {
      const request = (url.protocol === 'https:' ? https : http).request(url, {
        method,
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          accept: 'application/json',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      });
      request.on('error', (error: NodeJS.ErrnoException) =>
        resolve(
          failed(error.name === 'TimeoutError' ? 'nothing came in time' : (error.code ?? error.message)),
        ),
      );
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_ANSWER) response.destroy(new Error('the answer is too large'));
          else chunks.push(chunk);
        });
        response.on('error', (error) => resolve(failed(error.message)));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown });
          } catch {
            resolve(failed(`answer ${response.statusCode} is no JSON; is this the admin port?`));
          }
        });
      });
      request.end(body);
    });
  }
}
