/**
 * Scans the header lines of a request or a response, one per call.
 *
 *     header-line = token ":" OWS *( HTAB / SP / VCHAR / obs-text ) OWS CRLF
 *
 * Stricter than RFC 9112, 5: no bare LF or CR, no folded line, no whitespace in front of the colon.
 */
import { type FieldClassifier, hashStep, type KnownName } from './fields.ts';
import * as octets from './octets.ts';

/** Copies: V8 folds a constant of the same module into the code, but loads an imported one at each use. */
const { CLASS, COLON, CR, HT, LF, SP, TOKEN, VALUE } = octets;

/** Returned for the empty line that ends the head, which is two bytes long. */
export const HEAD_END = 0;
/** Returned if the end of the line has not come. */
export const LINE_PARTIAL = -1;
/** Returned if the bytes are not a header line. */
export const LINE_MALFORMED = -2;

/** The line of the last `scanHeaderLine`: one object, filled again by each call, so that a line allocates nothing. */
export const headerLine: {
  name: KnownName;
  /** Offset of the value, without the whitespace in front of it. */
  start: number;
  /** Offset behind the value, without the whitespace behind it. */
  end: number;
} = { name: { text: '', lower: '', role: 'pass' }, start: 0, end: 0 };

/**
 * Scans the line that begins at `from`.
 *
 * @param to     offset behind the last byte that has come
 * @param fields classifies the name
 * @returns the offset behind the CR LF of the line, which `headerLine` then describes; or `HEAD_END`, `LINE_PARTIAL` or
 * `LINE_MALFORMED`, none of which is above 0
 */
export function scanHeaderLine(bytes: Buffer, from: number, to: number, fields: FieldClassifier): number {
  if (from >= to) return LINE_PARTIAL;
  if (bytes[from] === CR) {
    if (from + 1 >= to) return LINE_PARTIAL;
    return bytes[from + 1] === LF ? HEAD_END : LINE_MALFORMED;
  }
  let i = from;
  let hash = 0;
  for (; i < to; i++) {
    const byte = bytes[i]!;
    if ((CLASS[byte]! & TOKEN) === 0) break;
    hash = hashStep(hash, byte);
  }
  if (i >= to) return LINE_PARTIAL;
  if (bytes[i] !== COLON || i === from) return LINE_MALFORMED;
  const nameEnd = i;
  i++;
  while (i < to && (bytes[i] === SP || bytes[i] === HT)) i++;
  const start = i;
  while (i < to && (CLASS[bytes[i]!]! & VALUE) !== 0) i++;
  if (i + 1 >= to) return i < to && bytes[i] !== CR ? LINE_MALFORMED : LINE_PARTIAL;
  if (bytes[i] !== CR || bytes[i + 1] !== LF) return LINE_MALFORMED;
  let end = i;
  while (end > start && (bytes[end - 1] === SP || bytes[end - 1] === HT)) end--;
  headerLine.name = fields.nameAt(bytes, from, nameEnd, hash);
  headerLine.start = start;
  headerLine.end = end;
  return i + 2;
}
