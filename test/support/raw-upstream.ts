/** An upstream that keeps every byte it gets, splits it strictly into requests, and answers with scripted bytes. */

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { lengthOf, singleValue, valuesOf, type WireHead, WireReader } from './http-wire.ts';

export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: WireHead['fields'];
  /** The head as it came. */
  readonly headBytes: Buffer;
  readonly body: Buffer;
  readonly trailers: WireHead['fields'];
  /** Connections are numbered from 0 in the order of their first byte. */
  readonly connection: number;
  /** Number of the request on its connection, from 0. */
  readonly index: number;
  value(name: string): string | undefined;
  values(name: string): string[];
}

/** A string or bytes are sent; a function does what it likes with the connection. */
export type RawAnswer = string | Buffer | ((socket: Socket, request: RawRequest) => unknown);

export interface RawUpstream {
  readonly port: number;
  readonly url: string;
  /** Requests whose body has come in full. */
  readonly requests: readonly RawRequest[];
  /** All that came, by connection; connections without a byte (health checks) are left out. */
  readonly received: readonly Buffer[];
  /** What was not HTTP. */
  readonly violations: readonly Error[];
  readonly openConnections: number;
  close(): Promise<void>;
}

export interface RawUpstreamOptions {
  /** Called with each request, when its body has come in full. */
  readonly answer?: (request: RawRequest) => RawAnswer;
  /** Called when a head has come, before its body; what it returns is sent at once, and `answer` is not asked. */
  readonly early?: (head: WireHead) => RawAnswer | undefined;
  readonly port?: number;
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export async function startRawUpstream(
  options: RawUpstreamOptions | ((request: RawRequest) => RawAnswer) = {},
): Promise<RawUpstream> {
  const {
    answer = () => OK,
    early,
    port = 0,
  } = typeof options === 'function' ? { answer: options } : options;
  const sockets = new Set<Socket>();
  const requests: RawRequest[] = [];
  const received: Buffer[][] = [];
  const violations: Error[] = [];

  const respond = async (socket: Socket, request: RawRequest, scripted: RawAnswer) => {
    if (typeof scripted === 'function') await scripted(socket, request);
    else socket.write(typeof scripted === 'string' ? Buffer.from(scripted, 'latin1') : scripted);
  };

  const serve = async (socket: Socket, reader: WireReader) => {
    if ((await reader.readable()) === 'end') return;
    const connection = received.length;
    const chunks: Buffer[] = [];
    received.push(chunks);
    chunks.push(Buffer.from(reader.buffered));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (let index = 0; ; index++) {
      const head = await reader.readHead();
      if (head === undefined) return;
      const match = /^([A-Z-]+) (\S+) HTTP\/(1\.[01])$/.exec(head.startLine);
      if (match === null) throw new Error(`bad request line ${JSON.stringify(head.startLine)}`);
      const { fields } = head;
      const length = lengthOf(fields);
      const base = {
        method: match[1]!,
        target: match[2]!,
        version: match[3]!,
        fields,
        headBytes: head.bytes,
        connection,
        index,
        value: (name: string) => singleValue(fields, name),
        values: (name: string) => valuesOf(fields, name),
      };
      const first = early?.(head);
      if (first !== undefined) await respond(socket, { ...base, body: Buffer.alloc(0), trailers: [] }, first);
      const { body, trailers } =
        length === 'chunked'
          ? await reader.readChunked()
          : { body: await reader.readExactly(length ?? 0), trailers: [] };
      const request: RawRequest = { ...base, body, trailers };
      requests.push(request);
      if (first === undefined) await respond(socket, request, answer(request));
    }
  };

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    const reader = new WireReader();
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('error', (error) => reader.end(error));
    socket.on('end', () => {
      reader.end();
      socket.end();
    });
    socket.on('close', () => {
      sockets.delete(socket);
      reader.end();
    });
    serve(socket, reader).catch((error: unknown) => {
      // A proxy may well give up in the middle of a request; what it must not do is send something that is not HTTP.
      if (!/^the connection ended/.test((error as Error).message)) violations.push(error as Error);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  cleanUp(close);
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    requests,
    get received() {
      return received.map((chunks) => Buffer.concat(chunks));
    },
    violations,
    get openConnections() {
      return sockets.size;
    },
    close,
  };
}
