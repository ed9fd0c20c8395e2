/**
 * What the client gets: the head and body of an upstream, or an answer of ours, in as few writes as can be, and an end
 * that lets the client read it.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { endAndLinger } from './end-connection.ts';
import { FAILURES, type FailureReason, failureAnswer, REASON_FIELD } from './reasons.ts';
import type { RequestHead } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';

/** A larger rest of a request body is not read after an early answer: the connection ends instead. */
export const MAX_DISCARDED = 64 * 1024;

/** Bodies up to this size are joined to the head. */
const MAX_JOINED = 8 * 1024;

/** What may stand behind a status code (RFC 9112, 4). */
const SENDABLE_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** `lingering`: the rest of the request is read and thrown away before the connection ends. */
export type EndKind = 'ended' | 'lingering';

interface PendingHead {
  readonly status: number;
  readonly text: string;
  readonly head: ResponseHead;
}

export class ClientResponse {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #request: RequestHead;
  /** Held until there is a body to go with it, or there has been none for a moment. */
  #pending: PendingHead | undefined = undefined;
  /** The rest of an unread request body can be read and thrown away. */
  #discards = true;
  #endsConnection = false;
  /** Bytes of bodies written. */
  bytesOut = 0;

  constructor(req: IncomingMessage, res: ServerResponse, request: RequestHead) {
    this.#req = req;
    this.#res = res;
    this.#request = request;
  }

  /** The client has, or will have, a head: nothing else can be answered any more. */
  get begun(): boolean {
    return this.#res.headersSent;
  }

  /** 0: nothing was answered. */
  get status(): number {
    return this.#res.headersSent ? this.#res.statusCode : 0;
  }

  get closes(): boolean {
    return !this.#res.shouldKeepAlive;
  }

  get finished(): boolean {
    return this.#res.writableFinished;
  }

  get headIsHeld(): boolean {
    return this.#pending !== undefined;
  }

  /** Bytes that were written and are not out. */
  get pendingBytes(): number {
    return this.#res.writableLength;
  }

  /** Holds the head of a final response; `flush`, `write` or `end` send it. */
  hold(status: number, text: string, head: ResponseHead): void {
    // A text that Node refuses to send says no more than the code does.
    this.#pending = { status, text: SENDABLE_TEXT.test(text) ? text : statusText(status), head };
  }

  /** Throws when Node refuses a field or the reason phrase; nothing is sent then, and `fail` can answer. */
  flush(): void {
    if (this.#pending === undefined) return;
    this.#writeHead(this.#pending);
    // Octets above ASCII leave as they are: `flushHeaders` would make UTF-8 of them. It is for those without a body.
    if (this.#mayHaveBody()) this.#res.write('', 'latin1');
    else this.#res.flushHeaders();
  }

  /** An interim response, such as 103. */
  inform(status: number, { headers }: ResponseHead): void {
    // Node would write it in front of the responses that this one waits for.
    if (this.#res.socket === null) return;
    try {
      this.#res.writeInformation(status, headers);
    } catch {
      // A field that Node refuses in an interim response: the final one is what counts.
    }
  }

  /** `100 Continue`, unless the final answer is on its way. */
  invite(): void {
    if (!this.#res.headersSent) this.#res.writeContinue();
  }

  /**
   * Throws when Node refuses the head.
   *
   * @returns false when the client is slower than the upstream: then `onceDrained` tells when to go on
   */
  write(chunk: Buffer): boolean {
    this.bytesOut += chunk.length;
    const pending = this.#pending;
    if (pending === undefined) return this.#res.write(chunk);
    this.#writeHead(pending);
    if (chunk.length !== pending.head.contentLength || !this.requestIsRead()) return this.#res.write(chunk);
    // The whole body at once: head and body leave in one write. As a Latin-1 string, which keeps every byte, Node
    // joins it to the head, where a buffer would make it a gathering write, which costs more than the copy.
    if (chunk.length <= MAX_JOINED) this.#res.end(chunk.toString('latin1'), 'latin1');
    else this.#res.end(chunk);
    return true;
  }

  onceDrained(resume: () => void): void {
    this.#res.once('drain', resume);
  }

  addTrailers(trailers: [string, string][]): void {
    this.#res.addTrailers(trailers);
  }

  /** Ends with an answer that Pointsman makes itself. */
  fail(
    reason: FailureReason,
    requestIdField: string,
    received: number,
    draining: boolean,
    detail: string | undefined,
    extra: readonly string[],
  ): EndKind {
    this.#pending = undefined;
    const { accept, facts, requestId } = this.#request;
    const { status } = FAILURES[reason];
    const { contentType, body } = failureAnswer(reason, accept, requestId, detail);
    const headers = ['Content-Type', contentType, 'Cache-Control', 'no-store'];
    headers.push(requestIdField, requestId, REASON_FIELD, reason);
    headers.push(...extra);
    headers.push('Content-Length', String(body.length));
    const framingLost =
      status === 400 || status === 408 || status === 413 || status === 417 || status === 501;
    if (framingLost || draining || this.restIsTooLarge(received)) this.closeAfter();
    // Named anew: a head that Node refused may have left its text behind.
    this.#res.writeHead(status, statusText(status), headers);
    if (facts.method === 'HEAD') return this.end();
    this.bytesOut += body.length;
    return this.end(body);
  }

  /** The answer to `OPTIONS *`, which asks about the server itself. */
  answerServerOptions(requestIdField: string, allowedMethods: string): EndKind {
    const { requestId } = this.#request;
    this.#res.writeHead(200, ['Allow', allowedMethods, requestIdField, requestId, 'Content-Length', '0']);
    return this.end();
  }

  /**
   * Ends the response. While the client still sends, the rest is read and thrown away first: closing with unread
   * bytes would reset the connection, and the client might never see the answer. Throws when Node refuses the head.
   */
  end(last?: Buffer): EndKind {
    const res = this.#res;
    if (this.#pending !== undefined) this.#writeHead(this.#pending);
    if (this.requestIsRead() || !this.#discards) {
      if (!res.writableEnded) res.end(last);
      return 'ended';
    }
    this.#req.resume();
    if (res.shouldKeepAlive) {
      res.end(last);
      return 'ended';
    }
    if (last === undefined) res.flushHeaders();
    else res.write(last);
    this.#req.once('end', () => res.end());
    return 'lingering';
  }

  /** The client has had its time to stop sending. */
  stopLingering(): void {
    this.#res.end();
  }

  /** Cuts the response: ending it would make what is truncated look whole. */
  destroy(): void {
    // To HTTP/1.0 the end of the connection may be the end of the body.
    if (this.#req.httpVersionMinor === 0) this.#req.socket.resetAndDestroy();
    else this.#res.destroy();
  }

  /**
   * The connection ends with this response. What still comes is read for a moment: closing with bytes unread would
   * reset the connection, and the client might never see the answer.
   */
  closeAfter(): void {
    const { socket } = this.#req;
    this.#res.shouldKeepAlive = false;
    // Node calls this when a response is out that says `Connection: close`.
    socket.destroySoon = () => endAndLinger(socket);
  }

  /** No more of the request can come: there is no rest to wait for. */
  stopDiscarding(): void {
    this.#discards = false;
  }

  /** The same for a response whose head may be out, and may have said that the connection stays. */
  endConnection(): void {
    if (this.#endsConnection) return;
    this.#endsConnection = true;
    const { socket } = this.#req;
    const saidNothing = !this.#res.headersSent;
    this.closeAfter();
    if (saidNothing) return;
    if (this.#res.writableFinished) socket.destroySoon();
    else this.#res.once('finish', () => socket.destroySoon());
  }

  /** Whether the request body has arrived in full. */
  requestIsRead(): boolean {
    return !this.#request.hasBody || this.#req.complete;
  }

  /** @param received bytes of the request body so far */
  restIsTooLarge(received: number): boolean {
    if (this.requestIsRead()) return false;
    const { contentLength } = this.#request;
    return contentLength === -1 || contentLength - received > MAX_DISCARDED;
  }

  #mayHaveBody(): boolean {
    const { statusCode } = this.#res;
    return this.#request.facts.method !== 'HEAD' && statusCode !== 204 && statusCode !== 304;
  }

  #writeHead({ status, text, head }: PendingHead): void {
    this.#pending = undefined;
    this.#res.writeHead(status, text, head.headers);
  }
}

function statusText(status: number): string {
  return STATUS_CODES[status] ?? '';
}
