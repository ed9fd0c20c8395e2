/**
 * The head of a response between an upstream transport and a downstream: in the form in which it was read, as text or
 * as a list, since most heads leave in the form in which they came.
 */
import { fieldLines, fieldList } from './field-lines.ts';
import { applyHeaderRules, type HeaderRules, type RuleContext } from './header-rules.ts';

/** Kind of message framing (RFC 9112 §6.3); `close`: the end of the connection ends the content. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

export interface ResponseHead {
  readonly status: number;
  readonly framing: Framing;
  /** Bytes of content; -1 unless `framing` is `length`. */
  readonly contentLength: number;
  readonly hasDate: boolean;
  /** Value of `Trailer`, which is not among the headers. */
  readonly trailer: string | undefined;
  /** Bytes as received. */
  readonly size: number;
  /** The reason phrase. */
  readonly statusText: string;
  /** Puts a header before the others. */
  prepend(name: string, value: string): void;
  append(name: string, value: string): void;
  /** Applies the response rules of a route. */
  applyRules(rules: HeaderRules, context: RuleContext): void;
  /** Returns the status line and the header lines, Latin-1, without the empty line. `Content-Length` and
   * `Transfer-Encoding: chunked` are among them, as `framing` says. */
  lines(): string;
  /** Returns names and values in turn; `Content-Length` comes last. The head must not be used after that. */
  fields(): string[];
}

/** A head that was read as text, its framing included. */
export class TextHead implements ResponseHead {
  readonly status: number;
  readonly framing: Framing;
  readonly contentLength: number;
  readonly hasDate: boolean;
  readonly trailer: string | undefined;
  readonly size: number;
  /** True if the connection can be used again after the body. */
  readonly keepsAlive: boolean;
  /** Time that the upstream keeps an idle connection, milliseconds; -1: unknown. */
  readonly keepAliveMs: number;
  #text: string;

  /** @param text the status line and the header lines for the client */
  constructor(
    text: string,
    status: number,
    framing: Framing,
    contentLength: number,
    hasDate: boolean,
    trailer: string | undefined,
    size: number,
    keepsAlive: boolean,
    keepAliveMs: number,
  ) {
    this.#text = text;
    this.status = status;
    this.framing = framing;
    this.contentLength = contentLength;
    this.hasDate = hasDate;
    this.trailer = trailer;
    this.size = size;
    this.keepsAlive = keepsAlive;
    this.keepAliveMs = keepAliveMs;
  }

  get statusText(): string {
    return this.#text.slice(13, this.#text.indexOf('\r\n'));
  }

  prepend(name: string, value: string): void {
    const headers = this.#text.indexOf('\r\n') + 2;
    this.#text = `${this.#text.slice(0, headers)}${name}: ${value}\r\n${this.#text.slice(headers)}`;
  }

  append(name: string, value: string): void {
    this.#text += `${name}: ${value}\r\n`;
  }

  applyRules(rules: HeaderRules, context: RuleContext): void {
    const line = this.#text.slice(0, this.#text.indexOf('\r\n') + 2);
    this.#text = line + fieldLines(applyHeaderRules(rules, fieldList(this.#text), context));
  }

  lines(): string {
    return this.#text;
  }

  fields(): string[] {
    return fieldList(this.#text);
  }
}

/** A head that was read as a list, its framing left out. */
export class ListHead implements ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly framing: Framing;
  readonly contentLength: number;
  readonly hasDate: boolean;
  readonly trailer: string | undefined;
  readonly size: number;
  #headers: string[];
  readonly #lengthText: string | undefined;

  /** @param lengthText value of `Content-Length` as the upstream sent it, also with responses that have no content */
  constructor(
    headers: string[],
    status: number,
    statusText: string,
    framing: Framing,
    lengthText: string | undefined,
    hasDate: boolean,
    trailer: string | undefined,
    size: number,
  ) {
    this.#headers = headers;
    this.status = status;
    this.statusText = statusText;
    this.framing = framing;
    this.#lengthText = lengthText;
    this.contentLength = framing === 'length' ? Number(lengthText) : -1;
    this.hasDate = hasDate;
    this.trailer = trailer;
    this.size = size;
  }

  prepend(name: string, value: string): void {
    this.#headers.unshift(name, value);
  }

  append(name: string, value: string): void {
    this.#headers.push(name, value);
  }

  applyRules(rules: HeaderRules, context: RuleContext): void {
    this.#headers = applyHeaderRules(rules, this.#headers, context);
  }

  lines(): string {
    let text = `HTTP/1.1 ${this.status} ${this.statusText}\r\n${fieldLines(this.fields())}`;
    if (this.framing === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
    return text;
  }

  fields(): string[] {
    // Behind Content-Length, Node would take the bytes of Content-Disposition for UTF-8.
    if (this.#lengthText !== undefined) this.#headers.push('Content-Length', this.#lengthText);
    return this.#headers;
  }
}

/** Headers that must not come as trailers (RFC 9110 §6.5.1): framing, routing, authentication. */
const NO_TRAILERS = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'trailer',
  'connection',
  'authorization',
  'set-cookie',
  'content-encoding',
  'content-type',
  'content-range',
]);

/** Returns the trailers that may be forwarded. @param trailers names and values in turn */
export function passableTrailers(trailers: readonly string[]): readonly string[] {
  if (trailers.length === 0) return trailers;
  return trailers.filter((_, i) => !NO_TRAILERS.has(trailers[i - (i % 2)]!.toLowerCase()));
}
