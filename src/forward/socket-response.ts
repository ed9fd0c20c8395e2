/** Writes HTTP/1.1 responses on a bare socket, in as few writes as possible. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { BodyPart } from '../http/body-part.ts';
import { dateField } from '../http/date-field.ts';
import { fieldLines } from '../http/field-lines.ts';
import { latin1 } from '../http/latin1.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { ForwardPolicy } from './policy.ts';
import type { ErrorResponse, ResponseWriter } from './ports.ts';
import { FAILURES, failureAnswer, REASON_FIELD } from './reasons.ts';
import type { ClientRequest } from './request-description.ts';

/** Up to this size content goes out as a Latin-1 string, joined to what is in front of it: a copy costs less than a
 * gathering write. */
const MAX_JOINED = 16 * 1024;

const LAST_CHUNK = '0\r\n';

/** The connection that a response is written on. */
export interface WritableConnection {
  readonly socket: Socket;
  /** Called when the response is blocked: what was written has to leave before more follows. */
  awaitFlush(): void;
}

export class SocketResponse implements ResponseWriter {
  readonly #connection: WritableConnection;
  readonly #socket: Socket;
  readonly #request: ClientRequest;
  readonly #policy: ForwardPolicy;
  #heldHead = '';
  #status = 0;
  /** Content goes out as chunks. */
  #chunks = false;
  bytesOut = 0;
  begun = false;
  /** True once the last byte was written. */
  ended = false;
  closes: boolean;

  constructor(
    connection: WritableConnection,
    request: ClientRequest,
    policy: ForwardPolicy,
    closes: boolean,
  ) {
    this.#connection = connection;
    this.#socket = connection.socket;
    this.#request = request;
    this.#policy = policy;
    this.closes = closes;
  }

  get status(): number {
    return this.begun ? this.#status : 0;
  }

  get headIsHeld(): boolean {
    return this.#heldHead !== '';
  }

  /** True if everything written has left. */
  get flushed(): boolean {
    return this.#socket.writableLength === 0;
  }

  get finished(): boolean {
    const { writableLength, errored } = this.#socket;
    // A socket that is destroyed forgets what it has not written.
    return this.ended && writableLength === 0 && errored === null;
  }

  closeAfter(): void {
    this.closes = true;
  }

  inform(head: ResponseHead): boolean {
    this.#socket.write(`${head.lines()}\r\n`, 'latin1');
    return this.#flows();
  }

  respond(head: ResponseHead): void {
    const { framing } = head;
    this.#status = head.status;
    this.#chunks = framing === 'chunked' || framing === 'close';
    let text = head.lines();
    if (!head.hasDate) text += dateField();
    if (head.trailer !== undefined && framing === 'chunked') text += `Trailer: ${head.trailer}\r\n`;
    if (framing === 'close') text += 'Transfer-Encoding: chunked\r\n';
    this.#heldHead = text + (this.closes ? 'Connection: close\r\n\r\n' : '\r\n');
  }

  /** Sends the head of a 101; the connection is a tunnel from then on. */
  switchProtocols(head: ResponseHead): void {
    this.#status = head.status;
    this.begun = true;
    this.ended = true;
    this.closes = true;
    this.#socket.write(`${head.lines()}\r\n`, 'latin1');
  }

  flush(): void {
    const head = this.#heldHead;
    if (head === '') return;
    this.#heldHead = '';
    this.begun = true;
    this.#socket.write(head, 'latin1');
  }

  write(part: BodyPart, last: boolean, trailers: readonly string[]): boolean {
    const { bytes, start, end, floor, limit } = part;
    const size = end - start;
    let front = this.#heldHead;
    let suffix = '';
    if (this.#chunks) {
      if (size > 0) {
        front += `${size.toString(16)}\r\n`;
        suffix = '\r\n';
      }
      if (last) suffix += lastChunk(trailers);
    }
    this.#heldHead = '';
    this.begun = true;
    this.ended = last;
    this.bytesOut += size;
    const socket = this.#socket;
    if (size <= MAX_JOINED) {
      const text = size === 0 ? front + suffix : front + latin1(bytes, start, end) + suffix;
      if (text !== '') socket.write(text, 'latin1');
    } else if (start - front.length >= floor && end + suffix.length <= limit) {
      // In one piece, where it was read.
      bytes.write(front, start - front.length, 'latin1');
      bytes.write(suffix, end, 'latin1');
      socket.write(bytes.subarray(start - front.length, end + suffix.length));
    } else {
      socket.cork();
      if (front !== '') socket.write(front, 'latin1');
      socket.write(bytes.subarray(start, end));
      if (suffix !== '') socket.write(suffix, 'latin1');
      socket.uncork();
    }
    return last ? this.flushed : this.#flows();
  }

  #flows(): boolean {
    if (this.flushed) return true;
    this.#connection.awaitFlush();
    return false;
  }

  end(trailers: readonly string[]): void {
    if (this.ended) return;
    this.ended = true;
    let text = this.#heldHead;
    if (this.#chunks) text += lastChunk(trailers);
    this.#heldHead = '';
    this.begun = true;
    if (text !== '') this.#socket.write(text, 'latin1');
  }

  fail({ reason, detail, headers }: ErrorResponse): void {
    this.#heldHead = '';
    const { requestId, facts } = this.#request;
    const { text, bodySize, status } = errorText(
      reason,
      acceptOf(facts.rawHeaders),
      requestId,
      this.#policy,
      detail,
      headers,
      this.closes,
      facts.method === 'HEAD',
    );
    this.bytesOut += bodySize;
    this.#status = status;
    this.begun = true;
    this.ended = true;
    this.#socket.write(text, 'latin1');
  }

  stopLingering(): void {
    this.#socket.destroySoon();
  }
}

/**
 * Returns an error response as Latin-1 text.
 *
 * @param headers further ones, names and values in turn
 */
export function errorText(
  reason: ErrorResponse['reason'],
  accept: string | undefined,
  requestId: string,
  policy: ForwardPolicy,
  detail: string | undefined,
  headers: readonly string[],
  closes: boolean,
  isHead: boolean,
): { readonly text: string; readonly status: number; readonly bodySize: number } {
  const { status } = FAILURES[reason];
  const { contentType, body } = failureAnswer(reason, accept, requestId, detail);
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${contentType}\r\n`;
  text += `Cache-Control: no-store\r\n${policy.requestIdField}: ${requestId}\r\n${REASON_FIELD}: ${reason}\r\n`;
  text += `${fieldLines(headers)}Content-Length: ${body.length}\r\n${dateField()}`;
  text += closes ? 'Connection: close\r\n\r\n' : '\r\n';
  if (isHead) return { text, status, bodySize: 0 };
  return { text: text + body.toString('latin1'), status, bodySize: body.length };
}

function lastChunk(trailers: readonly string[]): string {
  return trailers.length === 0 ? `${LAST_CHUNK}\r\n` : `${LAST_CHUNK}${fieldLines(trailers)}\r\n`;
}

function acceptOf(rawHeaders: readonly string[]): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === 'accept') return rawHeaders[i + 1];
  }
  return undefined;
}
