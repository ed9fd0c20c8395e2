/** Reads the head of a response as undici, or Node's own client, parsed it. */

import { type Framing, ListHead } from '../../http/response-head.ts';
import type { ForwardPolicy } from '../policy.ts';

/**
 * @param raw    names and values as they came off the wire: order, case and bytes are kept
 * @param parsed the same by lower-case name, as the parser has decoded them already
 */
export function readUndiciHead(
  raw: readonly Buffer[],
  parsed: Readonly<Record<string, string | string[] | undefined>>,
  status: number,
  statusText: string,
  isHead: boolean,
  policy: ForwardPolicy,
): ListHead {
  const fields = policy.responseFields;
  const connection = parsed['connection'];
  const nominated = fields.nominated(Array.isArray(connection) ? connection.join(',') : connection);
  const headers: string[] = [];
  let contentLength: string | undefined;
  let trailer: string | undefined;
  let hasDate = false;
  let size = 0;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = fields.nameOf(raw[i]!);
    const bytes = raw[i + 1]!;
    size += raw[i]!.length + bytes.length + 4;
    const decoded = parsed[name.lower];
    // The parser joins headers of one name in a list; here each keeps its own place.
    const value = typeof decoded === 'string' ? decoded : bytes.toString('latin1');
    switch (name.role) {
      case 'date':
        hasDate = true;
        if (nominated?.has(name.lower) !== true) headers.push(name.text, value);
        break;
      case 'pass':
      case 'xForwardedOther':
        if (nominated === undefined || !nominated.has(name.lower)) headers.push(name.text, value);
        break;
      case 'contentLength':
        contentLength = value;
        break;
      case 'trailer':
        trailer = value;
        break;
    }
  }
  const isBodiless = isHead || status < 200 || status === 204 || status === 304;
  // RFC 9110 §8.6: never with 1xx and 204.
  if (status < 200 || status === 204) contentLength = undefined;
  const isChunked = parsed['transfer-encoding'] !== undefined;
  const framing: Framing = isBodiless
    ? 'none'
    : contentLength !== undefined
      ? 'length'
      : isChunked
        ? 'chunked'
        : 'close';
  return new ListHead(headers, status, statusText, framing, contentLength, hasDate, trailer, size);
}

/**
 * True if what undici read of the body is its content: it leaves any other coding in it, and the header that names it
 * ends with this hop. Spaces only: with a tab behind the word llhttp does not see it.
 */
export function isCodingUnderstood(transferEncoding: string | string[] | undefined): boolean {
  if (transferEncoding === undefined || transferEncoding === 'chunked') return true;
  return typeof transferEncoding === 'string' && /^chunked *$/i.test(transferEncoding);
}
