/** Requests by `node:http`, for tests that care about answers more than about bytes. */

import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { cleanUp } from './clean-up.ts';
import type { Echo } from './http-upstream.ts';

export interface RequestOptions {
  readonly method?: string;
  readonly path?: string;
  /** Names and values in turn, sent as they are; Host is added when it is missing. */
  readonly headers?: readonly string[];
  readonly body?: Buffer | string;
  /** Default: one that keeps connections alive, of this file's own. */
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  readonly message: IncomingMessage;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly text: string;
  readonly requestId: string | undefined;
  json(): unknown;
  /** The echo of an upstream of these tests. */
  echo(): Echo;
  /** `error` of an answer that Pointsman made itself. */
  failure(): { status: number; reason: string; message: string; requestId: string };
}

const sharedAgent = new Agent({ keepAlive: true, maxSockets: 16 });
cleanUp(() => sharedAgent.destroy());

/** Resolves when the answer has come in full; rejects when it was cut. */
export function send(port: number, options: RequestOptions = {}): Promise<Answer> {
  const { method = 'GET', path = '/', headers = [], body, agent = sharedAgent } = options;
  return new Promise((resolve, reject) => {
    const hasHost = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
    const length = body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))];
    const request = httpRequest({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      headers: [...(hasHost ? [] : ['Host', 'service.test']), ...headers, ...length],
    });
    request.once('error', reject);
    request.setTimeout(20_000, () => request.destroy(new Error(`${method} ${path}: nothing came for 20 s`)));
    request.once('response', (message) => {
      const chunks: Buffer[] = [];
      message.on('data', (chunk: Buffer) => chunks.push(chunk));
      message.once('error', reject);
      message.once('end', () => {
        const all = Buffer.concat(chunks);
        resolve({
          status: message.statusCode ?? 0,
          message,
          headers: message.headers,
          body: all,
          get text() {
            return all.toString('utf8');
          },
          requestId: fieldValues(message.rawHeaders, 'x-request-id')[0],
          json: () => JSON.parse(all.toString('utf8')) as unknown,
          echo: () => JSON.parse(all.toString('utf8')) as Echo,
          failure: () => (JSON.parse(all.toString('utf8')) as { error: ReturnType<Answer['failure']> }).error,
        });
      });
    });
    request.end(body);
  });
}

/** Values of a field in a flat list of names and values, the name in any case. */
export function fieldValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name.toLowerCase()) values.push(rawHeaders[i + 1]!);
  }
  return values;
}

/** Runs `task(0)` … `task(count - 1)`, so many at a time, and gives the results in order. */
export async function inParallel<T>(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = new Array<T>(count);
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const index = next++;
      results[index] = await task(index);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return results;
}
