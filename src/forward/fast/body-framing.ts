/** Where the body of a message ends, and what of it goes on: followed as it passes, never collected. */
import { ChunkedBody, type Passage } from './chunked-body.ts';

export class BodyFraming {
  readonly chunked: ChunkedBody | undefined;
  /** Bytes that are still to come, of a body whose length is known; Infinity: until the connection ends. */
  #left: number;
  #received = 0;

  /** @param length bytes; -1: chunked; Infinity: until the connection ends */
  constructor(length: number) {
    this.chunked = length === -1 ? new ChunkedBody() : undefined;
    this.#left = length;
  }

  get ended(): boolean {
    return this.chunked === undefined ? this.#left === 0 : this.chunked.ended;
  }

  /** It cannot be told where it ends. */
  get bad(): boolean {
    return this.chunked?.bad === true;
  }

  /** Bytes of content so far. */
  get received(): number {
    return this.chunked === undefined ? this.#received : this.chunked.received;
  }

  /** Bytes that are to come; Infinity when nobody knows. */
  get left(): number {
    return this.chunked === undefined ? this.#left : this.ended ? 0 : Number.POSITIVE_INFINITY;
  }

  /** As `ChunkedBody.follow`. */
  follow(bytes: Uint8Array, from: number, to: number, passage: Passage): number {
    if (this.chunked !== undefined) return this.chunked.follow(bytes, from, to, passage);
    const length = Math.min(this.#left, to - from);
    this.#left -= length;
    this.#received += length;
    passage.prefix = '';
    passage.ranges.length = 0;
    if (length > 0) passage.ranges.push(from, from + length);
    return from + length;
  }
}
