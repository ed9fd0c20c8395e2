/** A client that sends exactly the bytes it is given, in the packets it is told, and reads answers strictly. */

import { connect, type Socket } from 'node:net';
import { lengthOf, singleValue, valuesOf, WireError, type WireHead, WireReader } from './http-wire.ts';
import { inTime, pause } from './wait-for.ts';

export interface RawResponse {
  readonly status: number;
  readonly statusText: string;
  readonly head: WireHead;
  readonly fields: WireHead['fields'];
  readonly body: Buffer;
  readonly chunked: boolean;
  readonly trailers: WireHead['fields'];
  /** 1xx responses that came before. */
  readonly interim: readonly { readonly status: number; readonly fields: WireHead['fields'] }[];
  /** The only value of a field. */
  value(name: string): string | undefined;
  values(name: string): string[];
  json(): unknown;
}

const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) ([\t\x20-\x7e\x80-\xff]*)$/;

export class RawClient {
  readonly socket: Socket;
  readonly #reader = new WireReader();
  /** `end`: in order; `reset`: not. */
  readonly closed: Promise<'end' | 'reset'>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    let failed: Error | undefined;
    socket.on('data', (chunk: Buffer) => this.#reader.push(chunk));
    socket.on('error', (error) => {
      failed = error;
      this.#reader.end(error);
    });
    socket.on('end', () => this.#reader.end());
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#reader.end(failed);
        resolve(failed === undefined ? 'end' : 'reset');
      });
    });
  }

  /** `allowHalfOpen`: the end of the proxy's side does not end ours. */
  static async connect(
    port: number,
    options: { allowHalfOpen?: boolean; localAddress?: string } = {},
  ): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, ...options });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.removeAllListeners('error');
    return new RawClient(socket);
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** Each part in a packet of its own, as far as the kernel lets us say so. */
  async sendParts(...parts: readonly (string | Buffer)[]): Promise<this> {
    for (const part of parts) {
      this.send(part);
      await pause(5);
    }
    return this;
  }

  /** The next final response. For an answer to HEAD say so: it has no body whatever its fields say. */
  async read(options: { head?: boolean; timeoutMs?: number } = {}): Promise<RawResponse> {
    return await inTime('the response', this.#read(options.head === true), options.timeoutMs);
  }

  /** The head of the next response, 1xx included; the body stays unread. */
  async readHead(): Promise<{ status: number; statusText: string; head: WireHead }> {
    return await inTime('a response head', this.#readHead());
  }

  /** Everything until the end of the connection; rejects when it was reset. */
  async readToEnd(timeoutMs?: number): Promise<Buffer> {
    return await inTime('the end of the connection', this.#reader.readToEnd(), timeoutMs);
  }

  /** Bytes that have come and were not asked for. */
  get unread(): Buffer {
    return this.#reader.buffered;
  }

  /** No more bytes from us; the other direction stays open. */
  end(): this {
    this.socket.end();
    return this;
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Closes with RST, as a client that crashed. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  async #readHead(): Promise<{ status: number; statusText: string; head: WireHead }> {
    const head = await this.#reader.readHead();
    if (head === undefined) throw new WireError('the connection ended without a response');
    const match = STATUS_LINE.exec(head.startLine);
    if (match === null) throw new WireError(`bad status line ${JSON.stringify(head.startLine)}`);
    return { status: Number(match[1]), statusText: match[2]!, head };
  }

  async #read(toHead: boolean): Promise<RawResponse> {
    const interim: { status: number; fields: WireHead['fields'] }[] = [];
    for (;;) {
      const { status, statusText, head } = await this.#readHead();
      const { fields } = head;
      if (status < 200 && status !== 101) {
        interim.push({ status, fields });
        continue;
      }
      const length = lengthOf(fields);
      const bodiless = toHead || status === 204 || status === 304 || status === 101;
      const { body, trailers, chunked } = bodiless
        ? { body: Buffer.alloc(0), trailers: [], chunked: false }
        : length === 'chunked'
          ? await this.#reader.readChunked()
          : {
              body: await (length === undefined
                ? this.#reader.readToEnd()
                : this.#reader.readExactly(length)),
              trailers: [],
              chunked: false,
            };
      return {
        status,
        statusText,
        head,
        fields,
        body,
        chunked,
        trailers,
        interim,
        value: (name) => singleValue(fields, name),
        values: (name) => valuesOf(fields, name),
        json: () => JSON.parse(body.toString('utf8')) as unknown,
      };
    }
  }
}

/** One request on a connection of its own, which is closed afterwards. */
export async function exchange(
  port: number,
  bytes: string | Buffer,
  options: { head?: boolean } = {},
): Promise<RawResponse> {
  const client = await RawClient.connect(port);
  try {
    return await client.send(bytes).read(options);
  } finally {
    client.destroy();
  }
}
