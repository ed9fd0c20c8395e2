/**
 * Buffers that responses are read into. What is written in front of a body, and behind it, is put where it is read, so
 * that a response of any size leaves in one write without being copied.
 */

/** In front of what is read: our fields make a head longer than it came. */
export const HEADROOM = 4 * 1024;
/** Behind it: the end of a chunk, or of a chunked body. */
export const TAILROOM = 64;

/** A body of 64 KiB with its head in one read; memory that small responses never touch is never there. */
const SMALL = 80 * 1024;
/** For bodies that fill the small one: fewer and larger steps. */
const LARGE = 256 * 1024;
/** Large ones that are kept when nobody uses them. */
const MAX_SPARE = 16;

export function smallBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(HEADROOM + SMALL + TAILROOM);
}

export class LargeBuffers {
  readonly #spare: Buffer[] = [];

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(HEADROOM + LARGE + TAILROOM);
  }

  /** Nothing reads from it or writes from it any more. */
  give(buffer: Buffer): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer);
  }
}

/** The part that is read into. */
export function readable(buffer: Buffer): Buffer {
  return buffer.subarray(HEADROOM, buffer.length - TAILROOM);
}
