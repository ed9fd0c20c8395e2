/**
 * Joins the content that one turn of the event loop brings. Node's parser delivers each chunk of a chunked body as a
 * separate buffer, of one byte if the client sends such chunks.
 */
import type { BodyPart } from '../../http/body-part.ts';

/** Joined content is delivered at this size, bytes. */
const FULL = 16 * 1024;

export class GatheredBody {
  readonly #deliver: (part: BodyPart) => void;
  readonly #part: BodyPart;
  /** The only buffer of this turn, as received. */
  #only: Buffer | undefined = undefined;
  #joined: Buffer | undefined = undefined;
  #length = 0;
  #isScheduled = false;
  #isCleared = false;

  /** @param part    is passed on
   *  @param deliver called with content, at the end of a turn at the latest */
  constructor(part: BodyPart, deliver: (part: BodyPart) => void) {
    this.#part = part;
    this.#deliver = deliver;
  }

  /** Bytes that wait. */
  get heldBytes(): number {
    return this.#joined === undefined ? (this.#only?.length ?? 0) : FULL;
  }

  add(bytes: Buffer): void {
    if (this.#isCleared) return;
    if (this.#only === undefined && this.#joined === undefined) {
      this.#only = bytes;
      if (bytes.length >= FULL) {
        this.flush();
        return;
      }
      this.#schedule();
      return;
    }
    if (this.#joined === undefined) {
      this.#joined = Buffer.allocUnsafeSlow(FULL);
      this.#length = this.#only!.copy(this.#joined);
      this.#only = undefined;
    }
    if (this.#length + bytes.length > FULL) {
      this.flush();
      this.add(bytes);
      return;
    }
    this.#length += bytes.copy(this.#joined, this.#length);
  }

  /** Delivers what waits. */
  flush(): void {
    const only = this.#only;
    const joined = this.#joined;
    this.#only = undefined;
    this.#joined = undefined;
    if (only !== undefined) this.#deliver(this.#part.whole(only));
    else if (joined !== undefined) this.#deliver(this.#part.whole(joined.subarray(0, this.#length)));
  }

  /** Delivers nothing more, not even what is added later. */
  clear(): void {
    this.#isCleared = true;
    this.#only = undefined;
    this.#joined = undefined;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(flushLater, this);
  }

  /** Called at the end of a turn. */
  onTurnEnd(): void {
    this.#isScheduled = false;
    this.flush();
  }
}

function flushLater(body: GatheredBody): void {
  body.onTurnEnd();
}
