/**
 * Deadlines of everything that is under way, in one intrusive list swept by one timer: setting and moving a deadline
 * is an assignment, where a timer per request would cost an allocation and a place in Node's timer queue each.
 */

/** Precision of every timeout on the data path, in milliseconds. */
const SWEEP_MS = 25;

/** Something that can run out of time. The link fields belong to `Deadlines`. */
export interface Timed {
  /** Clock milliseconds; Infinity: none. */
  deadline: number;
  onDeadline(now: number): void;
  /** Bytes that it keeps in memory; what keeps none leaves it out. */
  readonly heldBytes?: number;
  nextTimed: Timed | undefined;
  previousTimed: Timed | undefined;
}

export class Deadlines {
  readonly #now: () => number;
  #first: Timed | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.coarseNow = now();
  }

  /** The time at the last sweep; while nothing is under way, when that began to be so. */
  coarseNow: number;

  add(timed: Timed): void {
    timed.previousTimed = undefined;
    timed.nextTimed = this.#first;
    if (this.#first !== undefined) this.#first.previousTimed = timed;
    this.#first = timed;
    if (this.#timer === undefined) {
      this.coarseNow = this.#now();
      this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
      this.#timer.unref();
    }
  }

  remove(timed: Timed): void {
    if (timed.previousTimed !== undefined) timed.previousTimed.nextTimed = timed.nextTimed;
    else if (this.#first === timed) this.#first = timed.nextTimed;
    else return;
    if (timed.nextTimed !== undefined) timed.nextTimed.previousTimed = timed.previousTimed;
    timed.nextTimed = undefined;
    timed.previousTimed = undefined;
  }

  /** What everything under way keeps in memory together, bytes. */
  heldBytes(): number {
    let sum = 0;
    for (let timed = this.#first; timed !== undefined; timed = timed.nextTimed) sum += timed.heldBytes ?? 0;
    return sum;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    const now = this.#now();
    this.coarseNow = now;
    let timed = this.#first;
    while (timed !== undefined) {
      // Taken before the call, which may remove the element and with it the link.
      const next: Timed | undefined = timed.nextTimed;
      if (timed.deadline <= now) {
        timed.deadline = Number.POSITIVE_INFINITY;
        timed.onDeadline(now);
      }
      timed = next;
    }
    if (this.#first === undefined) this.close();
  }
}
