/** Content of a message, passed from one port to the other. */

export class BodyPart {
  bytes: Buffer = EMPTY;
  /** Offsets in `bytes` of the content. */
  start = 0;
  end = 0;
  /** Bytes of the buffer between `floor` and `start`, and between `end` and `limit`, may be overwritten by framing. */
  floor = 0;
  limit = 0;
  /** True if the bytes never change: then they may be kept without a copy. */
  immutable = false;

  get size(): number {
    return this.end - this.start;
  }

  /** Points to content. @returns this */
  set(bytes: Buffer, start: number, end: number, floor = start, limit = end): this {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.floor = floor;
    this.limit = limit;
    this.immutable = false;
    return this;
  }

  /** Points to a whole buffer that never changes. @returns this */
  whole(bytes: Buffer): this {
    this.set(bytes, 0, bytes.length);
    this.immutable = true;
    return this;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

export const NO_TRAILERS: readonly string[] = [];
