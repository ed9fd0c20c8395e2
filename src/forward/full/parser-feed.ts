/**
 * Feeds the bytes of a client to Node's parser in small pieces. Without this, the parser reads 64 KiB at once and creates
 * objects for all requests in them: thousands for one client, unaccounted, while other clients wait.
 */

/** Bytes of one piece: a head of ordinary size. The smallest requests are 200 to a piece. */
export const PIECE = 4 * 1024;

/** Pieces fed in a row before other connections have a turn. */
const MAX_PIECES = 8;

export interface FeedTarget {
  /** Takes bytes that never change. */
  take(piece: Buffer): void;
  /** All was taken: reads on. */
  readOn(): void;
}

export class ParserFeed {
  readonly #target: FeedTarget;
  #rest: Buffer | undefined = undefined;
  #at = 0;
  /** Reasons to feed nothing. */
  #blocks = 0;
  #isFeeding = false;
  #isScheduled = false;
  #isOpen = true;
  /** Content bytes that are known to follow: they are fed in one piece. */
  #bulk = 0;

  constructor(target: FeedTarget) {
    this.#target = target;
  }

  /** Bytes that wait. */
  get heldBytes(): number {
    return this.#rest === undefined ? 0 : this.#rest.length - this.#at;
  }

  /** Takes bytes that never change. @returns false to stop reading until `FeedTarget.readOn` */
  push(bytes: Buffer): boolean {
    const rest = this.#rest;
    this.#rest = rest === undefined ? bytes : Buffer.concat([rest.subarray(this.#at), bytes]);
    this.#at = 0;
    this.#feed();
    return this.#rest === undefined;
  }

  /** Puts bytes before those that wait. */
  unshift(bytes: Buffer): void {
    const rest = this.#rest;
    this.#rest = rest === undefined ? bytes : Buffer.concat([bytes, rest.subarray(this.#at)]);
    this.#at = 0;
  }

  /** Feeds nothing until `unblock` was called as often. */
  block(): void {
    this.#blocks++;
  }

  unblock(): void {
    this.#blocks--;
    this.feedSoon();
  }

  /** The next `bytes` are content of a body: they are fed in one piece. */
  expectContent(bytes: number): void {
    this.#bulk = bytes;
  }

  /** Feeds no more, and returns what waits. */
  close(): Buffer | undefined {
    this.#isOpen = false;
    const rest = this.#rest?.subarray(this.#at);
    this.#rest = undefined;
    return rest;
  }

  /** Continues in a separate turn. */
  feedSoon(): void {
    if (this.#isScheduled || this.#rest === undefined) return;
    this.#isScheduled = true;
    setImmediate(feedAgain, this);
  }

  feedNow(): void {
    this.#isScheduled = false;
    if (!this.#isOpen) return;
    this.#feed();
    if (this.#rest === undefined) this.#target.readOn();
  }

  #feed(): void {
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    try {
      for (let pieces = 0; this.#rest !== undefined && this.#isOpen && this.#blocks === 0; pieces++) {
        if (pieces === MAX_PIECES) {
          this.feedSoon();
          break;
        }
        const { length } = this.#rest;
        const start = this.#at;
        const end = Math.min(length, start + Math.max(PIECE, this.#bulk));
        this.#bulk = Math.max(0, this.#bulk - (end - start));
        const piece = start === 0 && end === length ? this.#rest : this.#rest.subarray(start, end);
        this.#at = end;
        if (end === length) {
          this.#rest = undefined;
          this.#at = 0;
        }
        this.#target.take(piece);
      }
    } finally {
      this.#isFeeding = false;
    }
  }
}

function feedAgain(feed: ParserFeed): void {
  feed.feedNow();
}
