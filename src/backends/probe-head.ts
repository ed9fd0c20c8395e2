/**
 * Reads the head of a response for a check. It accepts exactly what the fast lane accepts
 * (src/http/response-reader.ts): an endpoint whose responses traffic rejects must not be up.
 */

import { MAX_HEAD } from './probe-request.ts';

export type HeadVerdict =
  | { readonly kind: 'status'; readonly status: number }
  /** `detail`: the problem, for the status page and the log. */
  | { readonly kind: 'bad'; readonly detail: string };

const START = /^HTTP\/1\.[01] [1-9]\d\d[ \r\n]/;
/** Completes the start of a status line that is cut. */
const SAMPLE = 'HTTP/1.1 200 ';
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** RFC 9110, 5.1 and 5.5. A name followed by a space, a folded line and a control character do not match. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~\w-]+):([\t\x20-\x7e\x80-\xff]*)$/;
const LENGTH = /^[ \t]*\d{1,15}[ \t]*$/;
/** Readers differ on whether "chunked" with a tab behind it is chunked. */
const CHUNKED = /^[ \t]*chunked *$/i;

export class ResponseHeads {
  #text = '';
  /** Offset in `#text` of the first line that is not read. */
  #at = 0;
  /** Bytes of interim heads: they share the limit of the whole. */
  #passed = 0;
  #status = 0;
  #minor = 0;
  #contentLength = false;
  #chunked = false;
  #connection: string | undefined;

  /**
   * Reads further characters, one per byte.
   *
   * @returns the status of the final response, or why there is none; undefined if the head is not complete
   */
  read(text: string): HeadVerdict | undefined {
    this.#text += text;
    for (;;) {
      const lineFeed = this.#text.indexOf('\n', this.#at);
      const end = lineFeed === -1 ? this.#text.length : lineFeed + 1;
      if (this.#passed + end > MAX_HEAD) return bad('response head is too large');
      const line = this.#text.slice(this.#at, end);
      if (this.#status === 0 && !START.test(line + SAMPLE.slice(line.length))) {
        return bad('response is not HTTP/1');
      }
      if (lineFeed === -1) return undefined;
      if (!line.endsWith('\r\n')) return invalid('a line ends with LF instead of CRLF');
      this.#at = end;
      const verdict = this.#readLine(line.slice(0, -2));
      if (verdict !== undefined) return verdict;
    }
  }

  /** Returns what the end of the connection says of the response. */
  ended(): string {
    return this.#text === '' && this.#passed === 0
      ? 'connection closed without a response'
      : 'connection closed within the response head';
  }

  #readLine(line: string): HeadVerdict | undefined {
    if (this.#status === 0) return this.#readStatusLine(line);
    return line === '' ? this.#endHead() : this.#readHeader(line);
  }

  #readStatusLine(line: string): HeadVerdict | undefined {
    const match = STATUS_LINE.exec(line);
    if (match === null) return invalid('a control character in the status line');
    this.#minor = Number(match[1]);
    this.#status = Number(match[2]);
    return this.#status === 101 ? bad('HTTP 101, though no upgrade was asked for') : undefined;
  }

  #readHeader(line: string): HeadVerdict | undefined {
    const match = HEADER_LINE.exec(line);
    if (match === null) return invalid('malformed header line');
    const value = match[2]!;
    switch (match[1]!.toLowerCase()) {
      case 'content-length':
        if (this.#contentLength) return invalid('two Content-Length headers');
        if (!LENGTH.test(value)) return invalid('malformed Content-Length');
        this.#contentLength = true;
        return undefined;
      case 'transfer-encoding':
        if (!CHUNKED.test(value)) return invalid('Transfer-Encoding is not chunked');
        if (this.#chunked) return invalid('two Transfer-Encoding headers');
        if (this.#minor === 0) return invalid('HTTP/1.0 with Transfer-Encoding');
        this.#chunked = true;
        return undefined;
      case 'connection':
        this.#connection = this.#connection === undefined ? value : `${this.#connection}, ${value}`;
        return undefined;
      default:
        return undefined;
    }
  }

  #endHead(): HeadVerdict | undefined {
    if (this.#chunked && this.#contentLength) return invalid('Content-Length and Transfer-Encoding');
    if (this.#status >= 200) return { kind: 'status', status: this.#status };
    // No response can follow, and a final response must.
    if (this.#closes()) return invalid('an interim response closes the connection');
    this.#passed += this.#at;
    this.#text = this.#text.slice(this.#at);
    this.#at = 0;
    this.#status = 0;
    this.#contentLength = false;
    this.#chunked = false;
    this.#connection = undefined;
    return undefined;
  }

  #closes(): boolean {
    const options = (this.#connection ?? '').toLowerCase().split(',');
    const names = (option: string) => options.some((one) => one.trim() === option);
    return names('close') || (this.#minor === 0 && !names('keep-alive'));
  }
}

function bad(detail: string): HeadVerdict {
  return { kind: 'bad', detail };
}

function invalid(problem: string): HeadVerdict {
  return bad(`invalid HTTP/1 response: ${problem}`);
}
