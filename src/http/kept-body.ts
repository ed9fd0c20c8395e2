/** Request content that is kept for another attempt: joined into few large pieces, and accounted at its real cost. */

/** Memory of a piece in addition to its bytes: the object and its list entry. */
const PIECE_COST = 128;

/** Up to this size a piece that has to be copied becomes text, which costs less and joins the head in one write. */
const MAX_TEXT = 16 * 1_024;

const FIRST_SEGMENT = 1_024;
const MAX_SEGMENT = 64 * 1_024;

import type { BodyPart } from './body-part.ts';
import { latin1 } from './latin1.ts';

export class KeptBody {
  /** The only piece, as it came; with a second one everything moves into segments. */
  #only: string | Buffer | undefined = undefined;
  #segments: Buffer[] | undefined = undefined;
  /** Bytes used of the last segment. */
  #used = 0;
  #segmentBytes = 0;
  /** Content bytes. */
  size = 0;

  /** Memory in bytes. */
  get cost(): number {
    if (this.#segments !== undefined) return this.#segmentBytes + this.#segments.length * PIECE_COST;
    const only = this.#only;
    return (typeof only === 'object' ? only.buffer.byteLength : this.size) + PIECE_COST;
  }

  /** Keeps the content of `part`. */
  add({ bytes, start, end, immutable }: BodyPart): void {
    if (this.size > 0) {
      this.#append(bytes, start, end);
      return;
    }
    this.size = end - start;
    // A small piece would keep the large buffer alive that it is a part of.
    if (immutable && bytes.buffer.byteLength <= 2 * this.size)
      this.#only = end - start === bytes.length ? bytes : bytes.subarray(start, end);
    else if (end - start <= MAX_TEXT) this.#only = latin1(bytes, start, end);
    else {
      // Not from Node's pool, which lives as long as the last piece of it.
      const copy = Buffer.allocUnsafeSlow(this.size);
      bytes.copy(copy, 0, start, end);
      this.#only = copy;
    }
  }

  /** Returns the content as one buffer, without a copy where it is one already. */
  joined(): Buffer {
    const pieces = this.pieces();
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  /** Returns the text if it is a single piece of text. */
  get text(): string | undefined {
    return typeof this.#only === 'string' ? this.#only : undefined;
  }

  /** Returns the content in order. */
  pieces(): Buffer[] {
    if (this.#segments !== undefined) {
      const last = this.#segments.length - 1;
      return this.#segments.map((segment, i) => (i === last ? segment.subarray(0, this.#used) : segment));
    }
    if (this.#only === undefined) return [];
    return [typeof this.#only === 'string' ? Buffer.from(this.#only, 'latin1') : this.#only];
  }

  #append(bytes: Buffer, start: number, end: number): void {
    if (this.#segments === undefined) {
      const first = this.#only;
      this.#only = undefined;
      this.#segments = [];
      if (first !== undefined) {
        const earlier = typeof first === 'string' ? Buffer.from(first, 'latin1') : first;
        this.#copy(earlier, 0, earlier.length);
      }
    }
    this.#copy(bytes, start, end);
    this.size += end - start;
  }

  #copy(bytes: Buffer, start: number, end: number): void {
    const segments = this.#segments!;
    let at = start;
    while (at < end) {
      let last = segments.at(-1);
      if (last === undefined || this.#used === last.length) {
        // As much again as there is: few segments, and at most half of them empty.
        const length = Math.max(FIRST_SEGMENT, end - at, Math.min(this.#segmentBytes, MAX_SEGMENT));
        last = Buffer.allocUnsafeSlow(length);
        segments.push(last);
        this.#segmentBytes += length;
        this.#used = 0;
      }
      const copied = bytes.copy(last, this.#used, at, end);
      this.#used += copied;
      at += copied;
    }
  }
}
