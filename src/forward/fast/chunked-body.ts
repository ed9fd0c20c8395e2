/**
 * Follows a chunked body (RFC 9112, 7.1) as it passes, so that its end is known: chunks go on as they came, except for
 * extensions, which belong to this hop, and for the last chunk and the trailers, which whoever uses this writes anew.
 *
 *     chunk      = 1*12HEXDIG *extension CRLF data CRLF
 *     last       = 1*12"0" *extension CRLF *field-line CRLF
 *     extension  = ";" [ token ] [ "=" [ token ] [ quoted-string ] ]
 *
 * Extensions are read as llhttp reads them, by which the full lane goes: each has something, but may lack its name or its
 * value. None goes any further. A bare LF, a sign, a blank around the size, a trailer that frames, and whatever else readers differ on, is an error.
 */
import { CLASS, CR, HEX, LF, TOKEN, VALUE } from './octets.ts';

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** 16 TiB; a size that a double cannot hold exactly would let two readers disagree. */
const MAX_SIZE_DIGITS = 12;
/** All extensions of one body, and all of its trailers. */
const MAX_EXTRAS = 16 * 1024;

type State =
  | 'size'
  // Of an extension: behind its semicolon; in its name; behind the equals sign; in the value; within quotes; and so on.
  | 'nameStart'
  | 'name'
  | 'valueStart'
  | 'value'
  | 'quoted'
  | 'escaped'
  | 'quotedEnd'
  | 'sizeLf'
  | 'data'
  | 'dataCr'
  | 'dataLf'
  | 'trailer'
  | 'trailerLf'
  | 'end';

/** What goes on of the octets that were just followed. */
export interface Passage {
  /** Goes in front: a size whose digits had come in parts. */
  prefix: string;
  /** Offsets, start and end in turn. */
  readonly ranges: number[];
}

export class ChunkedBody {
  #state: State = 'size';
  #digits = 0;
  #size = 0;
  /** The size under way began in octets that are gone. */
  #isSplit = false;
  #extras = 0;
  #line = '';
  #trailers: string[] | undefined = undefined;
  /** Bytes of data that have come. */
  received = 0;
  /** This is no chunked body: there is no way to know where it ends. */
  bad = false;

  get ended(): boolean {
    return this.#state === 'end';
  }

  /** Field lines behind the last chunk, valid ones, without their line ends. */
  get trailers(): readonly string[] {
    return this.#trailers ?? [];
  }

  /**
   * Goes on with `bytes`, to the end of the body or to `to`.
   *
   * @param passage is emptied, and gets what is to be passed on
   * @returns the offset behind the last octet of the body that was here
   */
  follow(bytes: Uint8Array, from: number, to: number, passage: Passage): number {
    const { ranges } = passage;
    passage.prefix = '';
    ranges.length = 0;
    // Of what is passed on and stands in no range yet; -1: nothing, before the end of a size and behind the last one.
    let start = this.#isSplit || this.#isBehindChunks ? -1 : from;
    let lineStart = from;
    let extensionStart = -1;
    let i = from;
    while (i < to) {
      const octet = bytes[i]!;
      switch (this.#state) {
        case 'size':
          if ((CLASS[octet]! & HEX) !== 0) {
            if (this.#digits === 0) lineStart = i;
            if (++this.#digits > MAX_SIZE_DIGITS) return this.#fail(i);
            this.#size = this.#size * 16 + digitOf(octet);
          } else {
            if (this.#digits === 0) return this.#fail(i);
            if (octet === CR) this.#state = 'sizeLf';
            else if (octet === SEMICOLON) {
              this.#state = 'nameStart';
              extensionStart = i;
            } else return this.#fail(i);
          }
          i++;
          break;
        case 'nameStart':
        case 'name':
        case 'valueStart':
        case 'value':
        case 'quoted':
        case 'escaped':
        case 'quotedEnd': {
          const next = afterExtensionOctet(this.#state, octet);
          if (next === undefined || ++this.#extras > MAX_EXTRAS) return this.#fail(i);
          this.#state = next;
          i++;
          break;
        }
        case 'sizeLf':
          if (octet !== LF) return this.#fail(i);
          i++;
          this.#digits = 0;
          if (this.#size === 0) {
            if (start !== -1 && lineStart > start) ranges.push(start, lineStart);
            start = -1;
            this.#state = 'trailer';
          } else {
            if (start === -1) {
              passage.prefix = `${this.#size.toString(16)}\r\n`;
              start = i;
            } else if (extensionStart !== -1) {
              ranges.push(start, extensionStart);
              start = i - 2;
            }
            this.#state = 'data';
          }
          this.#isSplit = false;
          extensionStart = -1;
          break;
        case 'data': {
          const length = Math.min(this.#size, to - i);
          this.#size -= length;
          this.received += length;
          i += length;
          if (this.#size === 0) this.#state = 'dataCr';
          break;
        }
        case 'dataCr':
          if (octet !== CR) return this.#fail(i);
          this.#state = 'dataLf';
          i++;
          break;
        case 'dataLf':
          if (octet !== LF) return this.#fail(i);
          this.#state = 'size';
          i++;
          break;
        case 'trailer':
          i++;
          if (octet === CR) this.#state = 'trailerLf';
          else if ((CLASS[octet]! & VALUE) === 0 || ++this.#extras > MAX_EXTRAS) return this.#fail(i);
          else this.#line += String.fromCharCode(octet);
          break;
        case 'trailerLf':
          if (octet !== LF) return this.#fail(i);
          i++;
          if (this.#line === '') {
            this.#state = 'end';
            return i;
          }
          if (!isTrailer(this.#line)) return this.#fail(i);
          this.#trailers ??= [];
          this.#trailers.push(this.#line);
          this.#line = '';
          this.#state = 'trailer';
          break;
        case 'end':
          return i;
      }
    }
    // A size whose end has not come waits: it may be the last one, or have an extension.
    const isInSize = this.#digits > 0;
    if (isInSize && !this.#isSplit) {
      if (start !== -1 && lineStart > start) ranges.push(start, lineStart);
      this.#isSplit = true;
    } else if (!isInSize && start !== -1 && i > start) ranges.push(start, i);
    return i;
  }

  /** The last chunk has come: nothing of what follows goes on as it is. */
  get #isBehindChunks(): boolean {
    return this.#state === 'trailer' || this.#state === 'trailerLf';
  }

  #fail(at: number): number {
    this.bad = true;
    return at;
  }
}

/** @returns undefined: this octet has no place there */
function afterExtensionOctet(state: State, octet: number): State | undefined {
  if (state === 'quoted') {
    if (octet === QUOTE) return 'quotedEnd';
    if (octet === BACKSLASH) return 'escaped';
    return (CLASS[octet]! & VALUE) === 0 ? undefined : 'quoted';
  }
  if (state === 'escaped') return (CLASS[octet]! & VALUE) === 0 ? undefined : 'quoted';
  if ((CLASS[octet]! & TOKEN) !== 0) {
    if (state === 'quotedEnd') return undefined;
    return state === 'nameStart' || state === 'name' ? 'name' : 'value';
  }
  if (octet === SEMICOLON) return 'nameStart';
  // A semicolon that nothing follows.
  if (octet === CR) return state === 'nameStart' ? undefined : 'sizeLf';
  if (octet === QUOTE) return state === 'valueStart' || state === 'value' ? 'quoted' : undefined;
  return octet === EQUALS && (state === 'nameStart' || state === 'name') ? 'valueStart' : undefined;
}

function digitOf(octet: number): number {
  return octet <= 0x39 ? octet - 0x30 : (octet | 0x20) - 0x57;
}

/** Framing must not come as a trailer (RFC 9110, 6.5.1); llhttp refuses it, too. */
function isTrailer(line: string): boolean {
  const colon = line.indexOf(':');
  if (colon < 1) return false;
  for (let i = 0; i < colon; i++) if ((CLASS[line.charCodeAt(i)]! & TOKEN) === 0) return false;
  const name = line.slice(0, colon).toLowerCase();
  return name !== 'content-length' && name !== 'transfer-encoding';
}
