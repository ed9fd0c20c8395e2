/**
 * Reads the head of a response off the wire, for the fast lane. There is no other lane to ask here: what is not
 * strictly HTTP/1.x, or has two readings, is no response, and the client gets 502.
 *
 *     head        = status-line *field-line CRLF
 *     status-line = "HTTP/1." ( "0" / "1" ) SP 3DIGIT [ SP reason ] CRLF
 *
 * Body, in this order: none for 1xx, 204, 304 and answers to HEAD; Transfer-Encoding "chunked" and nothing else;
 * one Content-Length; else all up to the end of the connection (RFC 9112, 6.3). Both of them are an error.
 */

import type { FieldClassifier } from './fields.ts';
import { HEAD_END, headerLine, LINE_PARTIAL, scanHeaderLine } from './header-line.ts';
import { latin1 } from './latin1.ts';
import { CLASS, CR, decimalAt, HT, isWord, LF, SP, VALUE } from './octets.ts';
import { type Framing, TextHead } from './response-head.ts';

/** The end of the head has not come. */
export const INCOMPLETE = 0;
/** No response. */
export const MALFORMED = 1;

const VERSION = 'HTTP/1.';

/** What is passed on of the head that is being read, as pairs of offsets. Used within one call only. */
const passed: number[] = [];

/**
 * @param from    offset of the first octet of the head
 * @param to      offset behind the last octet that has come
 * @param isHead  the request was HEAD
 * @returns the response, `INCOMPLETE` or `MALFORMED`
 */
export function readResponse(
  bytes: Buffer,
  from: number,
  to: number,
  isHead: boolean,
  fields: FieldClassifier,
): TextHead | typeof INCOMPLETE | typeof MALFORMED {
  for (let j = 0; j < VERSION.length; j++) {
    if (from + j >= to) return INCOMPLETE;
    if (bytes[from + j] !== VERSION.charCodeAt(j)) return MALFORMED;
  }
  if (to - from < 14) return INCOMPLETE;
  const minor = bytes[from + 7]! - 0x30;
  if ((minor !== 0 && minor !== 1) || bytes[from + 8] !== SP) return MALFORMED;
  const status = decimalAt(bytes, from + 9, from + 12);
  if (status < 100 || status > 999) return MALFORMED;
  let i = from + 12;
  if (bytes[i] !== SP && bytes[i] !== CR) return MALFORMED;
  while (i < to && (CLASS[bytes[i]!]! & VALUE) !== 0) i++;
  if (i + 1 >= to) return i < to && bytes[i] !== CR ? MALFORMED : INCOMPLETE;
  if (bytes[i] !== CR || bytes[i + 1] !== LF) return MALFORMED;
  i += 2;
  const isInterim = status < 200;
  const isBodiless = isHead || isInterim || status === 204 || status === 304;

  let passedCount = 0;
  let passStart = from;
  let contentLength = -1;
  let isChunked = false;
  let closes = minor === 0;
  let connection: string | undefined;
  let keepAliveMs = -1;
  let hasDate = false;
  let trailer: string | undefined;

  for (;;) {
    const next = scanHeaderLine(bytes, i, to, fields);
    if (next <= 0) {
      if (next === HEAD_END) break;
      return next === LINE_PARTIAL ? INCOMPLETE : MALFORMED;
    }
    const lineStart = i;
    i = next;
    const { name, start, end } = headerLine;
    switch (name.role) {
      case 'pass':
      case 'xForwardedOther':
        continue;
      case 'date':
        hasDate = true;
        continue;
      case 'contentLength':
        if (contentLength !== -1) return MALFORMED;
        contentLength = decimalAt(bytes, start, end);
        if (contentLength === -1) return MALFORMED;
        // RFC 9110, 8.6: never with 1xx and 204.
        if (!isInterim && status !== 204) continue;
        break;
      case 'transferEncoding':
        if (isChunked || minor === 0 || !isWord(bytes, start, end, 'chunked')) return MALFORMED;
        // Passed on as it stands: with a tab behind it, readers differ on whether it says chunked.
        for (let j = end; j < i - 2; j++) if (bytes[j] === HT) return MALFORMED;
        isChunked = true;
        if (!isBodiless) continue;
        break;
      case 'connection': {
        const value = latin1(bytes, start, end);
        connection = connection === undefined ? value : `${connection}, ${value}`;
        break;
      }
      case 'keepAlive':
        keepAliveMs = timeoutIn(latin1(bytes, start, end));
        break;
      case 'trailer':
        trailer = latin1(bytes, start, end);
        break;
    }
    // Comes here: a field that ends with this hop, or is written anew.
    if (lineStart > passStart) {
      passed[passedCount++] = passStart;
      passed[passedCount++] = lineStart;
    }
    passStart = i;
  }
  if (isChunked && contentLength !== -1) return MALFORMED;
  const text = latin1(bytes, from, i);
  let head = '';
  for (let j = 0; j < passedCount; j += 2) head += text.slice(passed[j]! - from, passed[j + 1]! - from);
  if (i > passStart) head += text.slice(passStart - from);
  if (minor === 0) head = `HTTP/1.1${head.slice(8)}`;
  if (connection !== undefined) {
    const tokens = connection.toLowerCase();
    if (tokens !== 'keep-alive') {
      const options = tokens.split(',').map((option) => option.trim());
      if (options.includes('close')) closes = true;
      else if (minor === 0 && options.includes('keep-alive')) closes = false;
      const nominated = fields.nominated(tokens);
      if (nominated !== undefined) head = withoutFields(head, nominated);
    } else closes = false;
  }
  // Nothing can follow it, and a final response must.
  if (isInterim && closes) return MALFORMED;
  const framing: Framing = isBodiless
    ? 'none'
    : isChunked
      ? 'chunked'
      : contentLength !== -1
        ? 'length'
        : 'close';
  return new TextHead(
    head,
    status,
    framing,
    framing === 'length' ? contentLength : -1,
    hasDate,
    trailer,
    i + 2 - from,
    !closes && framing !== 'close',
    keepAliveMs,
  );
}

/** `timeout=5, max=100` → 5000; -1 when there is none. */
function timeoutIn(value: string): number {
  const match = /(?:^|[,\s])timeout=(\d{1,6})(?:$|[,\s])/i.exec(value);
  return match === null ? -1 : Number(match[1]) * 1_000;
}

/** @param names lower case */
function withoutFields(head: string, names: ReadonlySet<string>): string {
  const lines = head.split('\r\n');
  return lines
    .filter((line, at) => at === 0 || !names.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .join('\r\n');
}
