/** Writes a response through `node:http`, in as few writes as possible, and ends it so that the client can read it. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { BodyPart } from '../../http/body-part.ts';
import type { ResponseHead } from '../../http/response-head.ts';
import { endAndLinger } from '../end-connection.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { ErrorResponse, ResponseWriter } from '../ports.ts';
import { FAILURES, failureAnswer, REASON_FIELD } from '../reasons.ts';
import type { RequestHead } from '../request-head.ts';

/** Bodies up to this size are joined to the head. */
const MAX_JOINED = 8 * 1024;

/** Valid reason phrases (RFC 9112 §4). */
const SENDABLE_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

interface PendingHead {
  readonly status: number;
  readonly text: string;
  readonly headers: string[];
  /** -1: not announced. */
  readonly contentLength: number;
}

export class NodeResponse implements ResponseWriter {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #request: RequestHead;
  readonly #policy: ForwardPolicy;
  readonly #owner: { onDrained(): void };
  #pending: PendingHead | undefined = undefined;
  #endsConnection = false;
  bytesOut = 0;

  /** @param owner told after `write` returned false, once the client is drained */
  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    request: RequestHead,
    policy: ForwardPolicy,
    owner: { onDrained(): void },
  ) {
    this.#req = req;
    this.#res = res;
    this.#request = request;
    this.#policy = policy;
    this.#owner = owner;
  }

  get begun(): boolean {
    return this.#res.headersSent;
  }

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

  /** Bytes that were written and have not left. */
  get pendingBytes(): number {
    return this.#res.writableLength;
  }

  respond(head: ResponseHead): void {
    const { status, statusText: text, framing, contentLength, trailer } = head;
    const headers = head.fields();
    const hasTrailers = this.#isHttp11 && framing === 'chunked' && this.#request.facts.method !== 'HEAD';
    if (trailer !== undefined && hasTrailers) headers.push('Trailer', trailer);
    // If Node refuses to send a reason phrase, the standard phrase replaces it.
    this.#pending = {
      status,
      text: SENDABLE_TEXT.test(text) ? text : statusText(status),
      headers,
      contentLength,
    };
  }

  get #isHttp11(): boolean {
    return this.#req.httpVersionMinor === 1;
  }

  flush(): void {
    if (this.#pending === undefined) return;
    this.#writeHead(this.#pending);
    // Bytes above ASCII leave as they are: `flushHeaders` would make UTF-8 of them. It is for responses without a body.
    if (this.#mayHaveBody()) this.#res.write('', 'latin1');
    else this.#res.flushHeaders();
  }

  inform(head: ResponseHead): boolean {
    // Node would write it before the responses that this one waits for.
    if (!this.#isHttp11 || this.#res.socket === null) return true;
    try {
      this.#res.writeInformation(head.status, head.fields());
    } catch {
      // A header that Node refuses in an interim response: the final one is what counts.
    }
    return true;
  }

  /** Sends `100 Continue`, unless a final response is on its way. */
  invite(): void {
    if (!this.#res.headersSent) this.#res.writeContinue();
  }

  write(part: BodyPart, last: boolean, trailers: readonly string[]): boolean {
    const { bytes, start, end } = part;
    const content = end - start === bytes.length ? bytes : bytes.subarray(start, end);
    const chunk = part.immutable ? content : Buffer.from(content);
    this.bytesOut += chunk.length;
    const pending = this.#pending;
    if (pending !== undefined) this.#writeHead(pending);
    if (last || (pending !== undefined && chunk.length === pending.contentLength && this.#requestIsRead())) {
      this.#addTrailers(trailers);
      // The whole body at once: head and body leave in one write. As a Latin-1 string, which keeps every byte, Node
      // joins it to the head; a buffer would make it a gathering write, which costs more than the copy.
      if (chunk.length <= MAX_JOINED) this.#res.end(chunk.toString('latin1'), 'latin1');
      else this.#res.end(chunk);
      return true;
    }
    if (this.#res.write(chunk)) return true;
    this.#res.once('drain', () => this.#owner.onDrained());
    return false;
  }

  end(trailers: readonly string[], lingers: boolean): void {
    const res = this.#res;
    if (this.#pending !== undefined) this.#writeHead(this.#pending);
    if (res.writableEnded) return;
    this.#addTrailers(trailers);
    if (lingers) res.flushHeaders();
    else res.end();
  }

  fail({ reason, detail, headers: extra }: ErrorResponse, lingers: boolean): void {
    this.#pending = undefined;
    const { accept, facts, requestId } = this.#request;
    const { status } = FAILURES[reason];
    const { contentType, body } = failureAnswer(reason, accept, requestId, detail);
    const headers = ['Content-Type', contentType, 'Cache-Control', 'no-store'];
    headers.push(this.#policy.requestIdField, requestId, REASON_FIELD, reason);
    headers.push(...extra);
    headers.push('Content-Length', String(body.length));
    const res = this.#res;
    // With its text: a head that Node refused may have left its own behind.
    res.writeHead(status, statusText(status), headers);
    if (facts.method === 'HEAD') {
      this.end([], lingers);
      return;
    }
    this.bytesOut += body.length;
    if (lingers) res.write(body);
    else res.end(body);
  }

  /** Answers `OPTIONS *`, which asks about the server itself. */
  answerServerOptions(): void {
    const { requestId } = this.#request;
    const { allowedMethods, requestIdField } = this.#policy;
    this.#res.writeHead(200, ['Allow', allowedMethods, requestIdField, requestId, 'Content-Length', '0']);
    this.#res.end();
  }

  stopLingering(): void {
    this.#res.end();
  }

  /**
   * The connection ends with this response. What still arrives is read for a moment: closing with bytes unread would
   * reset the connection, and the client might never see the response.
   */
  closeAfter(): void {
    const { socket } = this.#req;
    this.#res.shouldKeepAlive = false;
    // Node calls this when a response is out that says `Connection: close`.
    socket.destroySoon = () => endAndLinger(socket);
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

  destroy(): void {
    // To HTTP/1.0 the end of the connection may be the end of the body.
    if (this.#req.httpVersionMinor === 0) this.#req.socket.resetAndDestroy();
    else this.#res.destroy();
  }

  #addTrailers(trailers: readonly string[]): void {
    if (trailers.length === 0 || !this.#isHttp11) return;
    const pairs: [string, string][] = [];
    for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i]!, trailers[i + 1]!]);
    this.#res.addTrailers(pairs);
  }

  #requestIsRead(): boolean {
    return !this.#request.hasBody || this.#req.complete;
  }

  #mayHaveBody(): boolean {
    const { statusCode } = this.#res;
    return this.#request.facts.method !== 'HEAD' && statusCode !== 204 && statusCode !== 304;
  }

  #writeHead({ status, text, headers }: PendingHead): void {
    this.#pending = undefined;
    this.#res.writeHead(status, text, headers);
  }
}

function statusText(status: number): string {
  return STATUS_CODES[status] ?? '';
}
