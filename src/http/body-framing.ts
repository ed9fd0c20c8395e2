/** Finds the content of a message body, and its end, in the bytes of a connection. Collects nothing. */
import { ChunkedBody } from './chunked-body.ts';

export class BodyFraming {
  readonly chunked: ChunkedBody | undefined;
  /** Bytes still to come of a body of known length; Infinity: until the connection ends. */
  #left: number;
  #received = 0;
  /** As `ChunkedBody.contentStart`. */
  contentStart = 0;
  /** As `ChunkedBody.contentEnd`. */
  contentEnd = 0;

  /** @param length bytes; -1: chunked; Infinity: until the connection ends */
  constructor(length: number) {
    this.chunked = length === -1 ? new ChunkedBody() : undefined;
    this.#left = length;
  }

  get ended(): boolean {
    return this.chunked === undefined ? this.#left === 0 : this.chunked.ended;
  }

  /** True if the end of the body cannot be found. */
  get bad(): boolean {
    return this.chunked?.bad === true;
  }

  /** Content bytes received. */
  get received(): number {
    return this.chunked === undefined ? this.#received : this.chunked.received;
  }

  /** Bytes still to come; Infinity if the length is not known. */
  get left(): number {
    return this.chunked === undefined ? this.#left : this.ended ? 0 : Number.POSITIVE_INFINITY;
  }

  /** As `ChunkedBody.follow`. */
  follow(bytes: Buffer, from: number, to: number): number {
    const { chunked } = this;
    if (chunked !== undefined) {
      const end = chunked.follow(bytes, from, to);
      this.contentStart = chunked.contentStart;
      this.contentEnd = chunked.contentEnd;
      return end;
    }
    const length = Math.min(this.#left, to - from);
    this.#left -= length;
    this.#received += length;
    this.contentStart = from;
    this.contentEnd = from + length;
    return from + length;
  }
}
