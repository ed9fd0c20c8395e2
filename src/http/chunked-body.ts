/**
 * Reads a chunked body (RFC 9112, 7.1) out of the bytes of a connection, and leaves its content where it was read.
 *
 *     chunk      = 1*12HEXDIG *extension CRLF data CRLF
 *     last       = 1*12"0" *extension CRLF *header-line CRLF
 *     extension  = ";" [ token ] [ "=" [ token ] [ quoted-string ] ]
 *
 * Chunk sizes and extensions belong to one hop (RFC 9112, 7.1.1), so they end here: the sender to the next hop frames
 * the content again.
 *
 * The grammar of extensions is llhttp's, which the full lane uses: an extension is not empty, but may lack its name or
 * its value. A bare LF, a sign, whitespace around the size, a trailer that frames, and anything else that two readers
 * may read in two ways, is an error.
 */
import { CLASS, CR, HEX, LF, TOKEN, VALUE } from './octets.ts';

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** 16 TiB. Two readers could disagree about a size that a double cannot hold exactly. */
const MAX_SIZE_DIGITS = 12;
/** Maximum bytes of all extensions and trailers of one body. */
const MAX_EXTRAS = 16 * 1024;
/** Content up to this size moves byte by byte: for so little, a call of `copyWithin` costs more. */
const TINY = 32;

// States. Integers, since a switch over them is a jump.
const SIZE = 0;
const SIZE_LF = 1;
const DATA = 2;
const DATA_CR = 3;
const DATA_LF = 4;
const TRAILER = 5;
const TRAILER_LF = 6;
const END = 7;
/** Behind the semicolon of an extension. */
const NAME_START = 8;
const NAME = 9;
/** Behind the equals sign of an extension. */
const VALUE_START = 10;
const EXTENSION_VALUE = 11;
const QUOTED = 12;
const ESCAPED = 13;
const QUOTED_END = 14;
/** No state: this byte must not stand here. */
const NOWHERE = -1;

export class ChunkedBody {
  #state = SIZE;
  #digits = 0;
  /** Of the chunk being read: its size so far, then its bytes still to come. */
  #size = 0;
  #extras = 0;
  #line = '';
  #trailers: string[] | undefined = undefined;
  /** Content bytes so far, of the whole body. */
  received = 0;
  /** True if this is not a chunked body: its end cannot be found. */
  bad = false;
  /** Offset of the first content byte of the last `follow`. */
  contentStart = 0;
  /** Offset behind the last content byte of the last `follow`. Equals `contentStart` if there was none. */
  contentEnd = 0;

  get ended(): boolean {
    return this.#state === END;
  }

  /** Valid header lines behind the last chunk, without their line ends. */
  get trailers(): readonly string[] {
    return this.#trailers ?? [];
  }

  /**
   * Reads on, to the end of the body or to `to`.
   *
   * Afterwards the content of these bytes is contiguous in `bytes`, from `contentStart` to `contentEnd`: content of
   * several chunks moves together, over the framing between them. Only bytes between `from` and the returned offset
   * change.
   *
   * @returns the offset behind the last byte of the body that was here; if the body is `bad`, the offset of the byte
   * that must not stand there
   */
  follow(bytes: Uint8Array, from: number, to: number): number {
    // In locals: a store to a field per byte would triple the time of a body of tiny chunks.
    let state = this.#state;
    let size = this.#size;
    let digits = this.#digits;
    let contentStart = from;
    let contentEnd = from;
    let i = from;
    let bad = false;
    reading: while (i < to) {
      const byte = bytes[i]!;
      switch (state) {
        case SIZE:
          if ((CLASS[byte]! & HEX) !== 0) {
            if (++digits > MAX_SIZE_DIGITS) bad = true;
            else size = size * 16 + digitOf(byte);
          } else if (digits === 0) bad = true;
          else if (byte === CR) state = SIZE_LF;
          else if (byte === SEMICOLON) state = NAME_START;
          else bad = true;
          break;
        case SIZE_LF:
          if (byte !== LF) bad = true;
          else {
            digits = 0;
            state = size === 0 ? TRAILER : DATA;
          }
          break;
        case DATA: {
          const length = Math.min(size, to - i);
          const before = contentEnd - contentStart;
          if (before === 0) {
            contentStart = i;
            contentEnd = i + length;
          } else if (length <= before) {
            moveDown(bytes, i, i + length, contentEnd);
            contentEnd += length;
          } else {
            // The smaller part moves: a large chunk stays where it is.
            moveUp(bytes, contentStart, contentEnd, i);
            contentStart = i - before;
            contentEnd = i + length;
          }
          size -= length;
          i += length;
          if (size > 0) continue;
          // Nearly always here in full.
          if (i + 1 < to && bytes[i] === CR && bytes[i + 1] === LF) {
            i += 2;
            state = SIZE;
          } else state = DATA_CR;
          continue;
        }
        case DATA_CR:
          if (byte === CR) state = DATA_LF;
          else bad = true;
          break;
        case DATA_LF:
          if (byte === LF) state = SIZE;
          else bad = true;
          break;
        case TRAILER:
          if (byte === CR) state = TRAILER_LF;
          else if ((CLASS[byte]! & VALUE) === 0 || ++this.#extras > MAX_EXTRAS) {
            i++;
            bad = true;
            break reading;
          } else this.#line += String.fromCharCode(byte);
          break;
        case TRAILER_LF:
          if (byte !== LF) bad = true;
          else if (this.#line === '') {
            i++;
            state = END;
            break reading;
          } else {
            if (!isTrailer(this.#line)) {
              i++;
              bad = true;
              break reading;
            }
            this.#trailers ??= [];
            this.#trailers.push(this.#line);
            this.#line = '';
            state = TRAILER;
          }
          break;
        case END:
          break reading;
        default: {
          const next = afterExtensionByte(state, byte);
          if (next === NOWHERE || ++this.#extras > MAX_EXTRAS) bad = true;
          else state = next;
        }
      }
      if (bad) break;
      i++;
    }
    this.#state = state;
    this.#size = size;
    this.#digits = digits;
    if (bad) this.bad = true;
    this.contentStart = contentStart;
    this.contentEnd = contentEnd;
    this.received += contentEnd - contentStart;
    return i;
  }
}

/** Moves bytes to a lower offset. The two places may overlap. */
function moveDown(bytes: Uint8Array, start: number, end: number, target: number): void {
  if (end - start > TINY) bytes.copyWithin(target, start, end);
  else for (let i = start, j = target; i < end; i++, j++) bytes[j] = bytes[i]!;
}

/** Moves bytes to a higher offset, where they end at `targetEnd`. The two places may overlap. */
function moveUp(bytes: Uint8Array, start: number, end: number, targetEnd: number): void {
  if (end - start > TINY) bytes.copyWithin(targetEnd - (end - start), start, end);
  else for (let i = end - 1, j = targetEnd - 1; i >= start; i--, j--) bytes[j] = bytes[i]!;
}

/** Returns the next state within an extension, or `NOWHERE`. Pure. */
function afterExtensionByte(state: number, byte: number): number {
  if (state === QUOTED) {
    if (byte === QUOTE) return QUOTED_END;
    if (byte === BACKSLASH) return ESCAPED;
    return (CLASS[byte]! & VALUE) === 0 ? NOWHERE : QUOTED;
  }
  if (state === ESCAPED) return (CLASS[byte]! & VALUE) === 0 ? NOWHERE : QUOTED;
  if ((CLASS[byte]! & TOKEN) !== 0) {
    if (state === QUOTED_END) return NOWHERE;
    return state === NAME_START || state === NAME ? NAME : EXTENSION_VALUE;
  }
  if (byte === SEMICOLON) return NAME_START;
  // An extension is not empty.
  if (byte === CR) return state === NAME_START ? NOWHERE : SIZE_LF;
  if (byte === QUOTE) return state === VALUE_START || state === EXTENSION_VALUE ? QUOTED : NOWHERE;
  return byte === EQUALS && (state === NAME_START || state === NAME) ? VALUE_START : NOWHERE;
}

function digitOf(byte: number): number {
  return byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57;
}

/** True if the line is a header line that does not frame, which a trailer must not (RFC 9110, 6.5.1). Pure. */
function isTrailer(line: string): boolean {
  const colon = line.indexOf(':');
  if (colon < 1) return false;
  for (let i = 0; i < colon; i++) if ((CLASS[line.charCodeAt(i)]! & TOKEN) === 0) return false;
  const name = line.slice(0, colon).toLowerCase();
  return name !== 'content-length' && name !== 'transfer-encoding';
}
