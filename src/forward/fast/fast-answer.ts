/** What a client of the fast lane gets, in as few writes as can be. */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { EndKind } from '../client-response.ts';
import { MAX_DISCARDED } from '../client-response.ts';
import type { Answer } from '../exchange.ts';
import { FAILURES, type FailureReason, failureAnswer, REASON_FIELD } from '../reasons.ts';
import type { BodyFraming } from './body-framing.ts';
import { dateField } from './date-field.ts';
import { fieldLines } from './field-lines.ts';
import { latin1 } from './latin1.ts';
import type { FastRequest } from './request-reader.ts';

/** Up to this size bytes go out as a Latin-1 string, joined to what is in front of them: a copy costs less than a
 * gathering write. */
const MAX_JOINED = 16 * 1024;

export class FastAnswer implements Answer {
  readonly #socket: Socket;
  readonly #request: FastRequest;
  readonly #body: BodyFraming | undefined;
  #heldHead = '';
  #status = 0;
  /** Bytes of bodies written. */
  bytesOut = 0;
  begun = false;
  /** The last byte was written. */
  ended = false;
  /** The connection ends with this response. */
  closes: boolean;

  /** @param body of the request; undefined when it has none */
  constructor(socket: Socket, request: FastRequest, body: BodyFraming | undefined) {
    this.#socket = socket;
    this.#request = request;
    this.#body = body;
    this.closes = request.closes;
  }

  get status(): number {
    return this.begun ? this.#status : 0;
  }

  get headIsHeld(): boolean {
    return this.#heldHead !== '';
  }

  get flushed(): boolean {
    return this.#socket.writableLength === 0;
  }

  get finished(): boolean {
    return this.ended && this.#socket.writableLength === 0;
  }

  /** Holds the head of a final response, to go out with the first bytes of its body. */
  hold(status: number, head: string): void {
    this.#status = status;
    this.#heldHead = head;
  }

  flush(): void {
    if (this.#heldHead === '') return;
    const head = this.#heldHead;
    this.#heldHead = '';
    this.begun = true;
    this.#socket.write(head, 'latin1');
  }

  /** An interim response. */
  inform(head: string): void {
    this.#socket.write(head, 'latin1');
  }

  /**
   * Writes a part of the body, and a head that was held in front of it.
   *
   * @param prefix  framing in front of the content, Latin-1
   * @param start   of the content in `bytes`, which must not change until this is `flushed`
   * @param suffix  framing behind the content, Latin-1
   * @param floor   bytes from this offset to the content may be overwritten
   * @param ceiling bytes from the content to this offset may be overwritten
   */
  write(
    prefix: string,
    bytes: Buffer,
    start: number,
    end: number,
    suffix: string,
    floor: number,
    ceiling: number,
  ): void {
    const front = this.#heldHead + prefix;
    this.#heldHead = '';
    this.begun = true;
    this.bytesOut += end - start;
    const socket = this.#socket;
    if (end - start <= MAX_JOINED) {
      const text = front + latin1(bytes, start, end) + suffix;
      if (text !== '') socket.write(text, 'latin1');
      return;
    }
    if (start - front.length >= floor && end + suffix.length <= ceiling) {
      // In one piece, where it was read.
      bytes.write(front, start - front.length, 'latin1');
      bytes.write(suffix, end, 'latin1');
      socket.write(bytes.subarray(start - front.length, end + suffix.length));
      return;
    }
    socket.cork();
    if (front !== '') socket.write(front, 'latin1');
    socket.write(bytes.subarray(start, end));
    if (suffix !== '') socket.write(suffix, 'latin1');
    socket.uncork();
  }

  /** The last byte is written; a head that was held goes out with nothing behind it. */
  end(): EndKind {
    this.flush();
    this.ended = true;
    return this.closes && !this.requestIsRead() && this.#body?.bad !== true ? 'lingering' : 'ended';
  }

  fail(
    reason: FailureReason,
    requestIdField: string,
    _received: number,
    draining: boolean,
    detail: string | undefined,
    extra: readonly string[],
  ): EndKind {
    this.#heldHead = '';
    const { requestId, facts } = this.#request;
    const { status } = FAILURES[reason];
    const { contentType, body } = failureAnswer(reason, acceptOf(facts.rawHeaders), requestId, detail);
    const framingLost = status === 400 || status === 408 || status === 413;
    if (framingLost || draining || this.restIsTooLarge()) this.closes = true;
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${contentType}\r\nCache-Control: no-store\r\n`;
    text += `${requestIdField}: ${requestId}\r\n${REASON_FIELD}: ${reason}\r\n`;
    if (extra.length > 0) text += fieldLines(extra);
    text += `Content-Length: ${body.length}\r\n${dateField()}`;
    text += this.closes ? 'Connection: close\r\n\r\n' : '\r\n';
    if (facts.method !== 'HEAD') {
      text += body.toString('latin1');
      this.bytesOut += body.length;
    }
    this.#status = status;
    this.begun = true;
    this.#socket.write(text, 'latin1');
    return this.end();
  }

  stopLingering(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  requestIsRead(): boolean {
    return this.#body === undefined || this.#body.ended;
  }

  /** The rest of the request body is more than is read and thrown away. */
  restIsTooLarge(): boolean {
    return this.#body !== undefined && this.#body.left > MAX_DISCARDED;
  }
}

function acceptOf(rawHeaders: readonly string[]): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === 'accept') return rawHeaders[i + 1];
  }
  return undefined;
}
