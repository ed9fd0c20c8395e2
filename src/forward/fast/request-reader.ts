/**
 * Reads the head of a request off the wire, for the fast lane: a small and strict part of RFC 9112 that nearly all
 * requests are in.
 *
 *     head        = request-line *field-line CRLF
 *     request-line = method SP target SP "HTTP/1.1" CRLF
 *     method      = GET / HEAD / POST / PUT / PATCH / DELETE / OPTIONS, without those that are not configured
 *     target      = "/" *( VCHAR except "#" )
 *     field-line  = token ":" OWS *( HTAB / SP / VCHAR / obs-text ) OWS CRLF
 *
 *     Host               exactly one: letters, digits, "." "-" "_", and a port
 *     Content-Length     at most one, up to 15 digits; not beside Transfer-Encoding
 *     Transfer-Encoding  at most one, "chunked"
 *     Connection         at most one, "keep-alive" or "close"
 *     Upgrade, Expect    none
 *     the group field    at most one, without a comma
 *
 * Whatever is not in it, valid or not, is judged by the full lane, which gets the bytes unread. So nothing is refused
 * here, and what is forwarded has one reading only.
 */

import { HEAD_END, headerLine, LINE_PARTIAL, scanHeaderLine } from '../../http/header-line.ts';
import { MAX_PORT } from '../../http/host-field.ts';
import { latin1 } from '../../http/latin1.ts';
import { clientAddress, withoutPort } from '../../http/message-fields.ts';
import * as octets from '../../http/octets.ts';
import { decimalAt, isWord } from '../../http/octets.ts';
import type { RequestFacts } from '../../routing/match.ts';
import { ForwardedHeaders } from '../forwarded-headers.ts';
import type { Peer } from '../peer.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { RequestDescription } from '../request-description.ts';

/** Copies, as in header-line.ts. */
const { CLASS, COLON, CR, HOST, HT, SLASH, SP, TARGET } = octets;

/** The end of the head has not come. */
export const PARTIAL = 0;
/** Not in the grammar of this lane. */
export const FOREIGN = 1;

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS'] as const;

const VERSION = 'HTTP/1.1\r\n';

/** What is passed on of the head that is being read, as pairs of offsets. Used within one call only. */
const passed: number[] = [];

/** Of the head that is being read. */
const forwarded = new ForwardedHeaders();

/** A request in the grammar of the fast lane. */
export interface FastRequest extends RequestDescription {
  /** Bytes of the body; -1: chunked. */
  readonly contentLength: number;
  /** The client ends the connection after this one. */
  readonly closes: boolean;
  /** For the upstream, as a Latin-1 string, without the empty line at its end. */
  readonly upstreamHead: string;
  /** Bytes of the head as it came. */
  readonly length: number;
}

class Facts implements RequestFacts {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly group: string;
  readonly groups = undefined;
  readonly client: string;
  readonly #head: string;
  readonly #hiddenField: string | undefined;
  #rawHeaders: string[] | undefined = undefined;

  /**
   * @param head        as it came
   * @param hiddenField lower-case name of a field that routing must not see
   */
  constructor(
    head: string,
    hiddenField: string | undefined,
    method: string,
    path: string,
    host: string,
    group: string,
    client: string,
  ) {
    this.#head = head;
    this.#hiddenField = hiddenField;
    this.method = method;
    this.path = path;
    this.host = host;
    this.group = group;
    this.client = client;
  }

  /** Made when something looks at them, which most tables never do. */
  get rawHeaders(): readonly string[] {
    this.#rawHeaders ??= fieldsOf(this.#head, this.#hiddenField);
    return this.#rawHeaders;
  }
}

/**
 * @param from  offset of the first octet of the head
 * @param to    offset behind the last octet that has come
 * @param limit most field lines
 * @returns the request, `PARTIAL` or `FOREIGN`
 */
export function readRequest(
  bytes: Buffer,
  from: number,
  to: number,
  limit: number,
  policy: ForwardPolicy,
  peer: Peer,
): FastRequest | typeof PARTIAL | typeof FOREIGN {
  const method = methodAt(bytes, from, to);
  if (method === undefined) return to - from < 8 && isBeginning(bytes, from, to) ? PARTIAL : FOREIGN;
  if (!policy.methods.has(method)) return FOREIGN;
  const targetStart = from + method.length + 1;
  let i = targetStart;
  if (i < to && bytes[i] !== SLASH) return FOREIGN;
  while (i < to && (CLASS[bytes[i]!]! & TARGET) !== 0) i++;
  const targetEnd = i;
  for (let j = -1; j < VERSION.length; j++, i++) {
    if (i >= to) return PARTIAL;
    if (bytes[i] !== (j === -1 ? SP : VERSION.charCodeAt(j))) return FOREIGN;
  }

  const fields = policy.requestFields;
  const { trusted } = peer;
  let passedCount = 0;
  let passStart = from;
  let hostStart = -1;
  let hostEnd = -1;
  let contentLength = 0;
  let hasLength = false;
  let isChunked = false;
  let hasConnection = false;
  let closes = false;
  let groupStart = -1;
  let groupEnd = -1;
  let hiddenField: string | undefined;
  let debug: string | undefined;
  let baggage: string | undefined;
  forwarded.clear();

  for (let count = 0; ; count++) {
    if (count === limit && i < to && bytes[i] !== CR) return FOREIGN;
    const next = scanHeaderLine(bytes, i, to, fields);
    if (next <= 0) {
      if (next === HEAD_END) break;
      return next === LINE_PARTIAL ? PARTIAL : FOREIGN;
    }
    const lineStart = i;
    i = next;
    const { name, start, end } = headerLine;
    switch (name.role) {
      case 'pass':
      case 'accept':
      case 'via':
      case 'keepAlive':
      case 'date':
        continue;
      case 'host':
        if (hostStart !== -1 || end === start) return FOREIGN;
        for (let j = start; j < end; j++) {
          const octet = bytes[j]!;
          if (octet === COLON && j > start) {
            const port = decimalAt(bytes, j + 1, end);
            if (port === -1 || port > MAX_PORT) return FOREIGN;
            break;
          }
          if ((CLASS[octet]! & HOST) === 0) return FOREIGN;
        }
        hostStart = start;
        hostEnd = end;
        continue;
      case 'contentLength':
        contentLength = decimalAt(bytes, start, end);
        if (hasLength || contentLength === -1) return FOREIGN;
        hasLength = true;
        continue;
      case 'transferEncoding':
        // Passed on as it stands: with a blank behind it, readers differ on whether it says chunked.
        if (isChunked || end !== i - 2 || !isWord(bytes, start, end, 'chunked')) return FOREIGN;
        isChunked = true;
        continue;
      case 'group':
        if (groupStart !== -1 || hiddenField !== undefined) return FOREIGN;
        if (trusted || !policy.groupNeedsTrust) {
          for (let j = start; j < end; j++) if (bytes[j] === 0x2c) return FOREIGN;
          groupStart = start;
          groupEnd = end;
          continue;
        }
        hiddenField = name.lower;
        break;
      case 'connection':
        if (hasConnection) return FOREIGN;
        hasConnection = true;
        if (isWord(bytes, start, end, 'close')) closes = true;
        else if (!isWord(bytes, start, end, 'keep-alive')) return FOREIGN;
        break;
      case 'upgrade':
      case 'expect':
        return FOREIGN;
      case 'requestId':
      case 'xForwardedFor':
      case 'xForwardedProto':
      case 'xForwardedHost':
        if (trusted) forwarded.take(name.role, latin1(bytes, start, end));
        break;
      case 'alias':
        break;
      case 'debug':
        debug ??= latin1(bytes, start, end);
        break;
      case 'baggage': {
        const value = latin1(bytes, start, end);
        baggage = baggage === undefined ? value : `${baggage},${value}`;
        break;
      }
      case 'xForwardedOther':
      case 'forwarded':
        if (trusted && end > start) continue;
        break;
    }
    // Comes here: a field that ends with this hop, or is written anew.
    if (lineStart > passStart) {
      passed[passedCount++] = passStart;
      passed[passedCount++] = lineStart;
    }
    passStart = i;
  }
  if (hostStart === -1 || (isChunked && hasLength)) return FOREIGN;
  const text = latin1(bytes, from, i + 2);
  let head = '';
  for (let j = 0; j < passedCount; j += 2) head += text.slice(passed[j]! - from, passed[j + 1]! - from);
  if (i > passStart) head += text.slice(passStart - from, i - from);

  const authority = text.slice(hostStart - from, hostEnd - from);
  // Expected with methods that have a body (RFC 9110, 8.6), and undici sends it, too.
  if (!hasLength && !isChunked && (method === 'POST' || method === 'PUT' || method === 'PATCH')) {
    head += 'Content-Length: 0\r\n';
  }
  forwarded.complete(policy, peer, authority);
  head += forwarded.lines();
  const path = text.slice(targetStart - from, targetEnd - from);
  return {
    facts: new Facts(
      text,
      hiddenField,
      method,
      path,
      policy.needsHost ? withoutPort(authority) : '',
      groupStart === -1 ? '' : text.slice(groupStart - from, groupEnd - from).toLowerCase(),
      policy.needsClient
        ? clientAddress(peer.address, forwarded.receivedFor, policy.isTrusted)
        : peer.address,
    ),
    requestId: forwarded.requestId,
    host: authority,
    target: path,
    debug,
    baggage,
    protocol: 'HTTP/1.1',
    contentLength: isChunked ? -1 : contentLength,
    closes,
    upstreamHead: head,
    length: text.length,
  };
}

/** The method, with the space behind it. */
function methodAt(bytes: Buffer, from: number, to: number): (typeof METHODS)[number] | undefined {
  for (const method of METHODS) {
    const end = from + method.length;
    if (end < to && bytes[end] === SP && startsWith(bytes, from, method)) return method;
  }
  return undefined;
}

function startsWith(bytes: Buffer, from: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[from + i] !== word.charCodeAt(i)) return false;
  return true;
}

/** Whether what has come so far may become one of the methods. */
function isBeginning(bytes: Buffer, from: number, to: number): boolean {
  const text = latin1(bytes, from, to);
  return METHODS.some((method) => `${method} `.startsWith(text));
}

/** @param hiddenField lower-case name of a field that is not to be seen */
function fieldsOf(text: string, hiddenField: string | undefined): string[] {
  const fields: string[] = [];
  let at = text.indexOf('\r\n') + 2;
  for (;;) {
    const end = text.indexOf('\r\n', at);
    if (end === at) return fields;
    const colon = text.indexOf(':', at);
    const name = text.slice(at, colon);
    if (hiddenField === undefined || name.toLowerCase() !== hiddenField) {
      fields.push(name, trimmed(text, colon + 1, end));
    }
    at = end + 2;
  }
}

/** Without the blanks around it; `trim()` would take more than blanks. */
function trimmed(text: string, from: number, to: number): string {
  let [start, end] = [from, to];
  while (start < end && (text.charCodeAt(start) === SP || text.charCodeAt(start) === HT)) start++;
  while (end > start && (text.charCodeAt(end - 1) === SP || text.charCodeAt(end - 1) === HT)) end--;
  return text.slice(start, end);
}
