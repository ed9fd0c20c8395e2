/**
 * Bounds all retries together: in an outage every request fails, and retrying every one of them would multiply the
 * load on what is left. A share of the requests of the last seconds, as Envoy and Linkerd do it.
 */
import type { Config } from '../config/schema.ts';

/** Parts of the window; it slides by one of them at a time. */
const SLOTS = 10;

export type RetryBudgetSettings = Config['retries']['budget'];

export class RetryBudget {
  readonly #requests = new Float64Array(SLOTS);
  readonly #retries = new Float64Array(SLOTS);
  #settings: RetryBudgetSettings;
  #slot = 0;
  #slotEnd = 0;
  #requestsInWindow = 0;
  #retriesInWindow = 0;

  constructor(settings: RetryBudgetSettings) {
    this.#settings = settings;
  }

  /** Takes over a reload; what was counted stays counted. */
  configure(settings: RetryBudgetSettings): void {
    this.#settings = settings;
  }

  /** @param now monotonic milliseconds; need not be exact */
  countRequest(now: number): void {
    if (now >= this.#slotEnd) this.#slide(now);
    this.#requests[this.#slot]!++;
    this.#requestsInWindow++;
  }

  /** Takes one retry out of the budget; false when there is none left. */
  take(now: number): boolean {
    if (now >= this.#slotEnd) this.#slide(now);
    const { percent, floor } = this.#settings;
    if (this.#retriesInWindow >= Math.max(floor, (this.#requestsInWindow * percent) / 100)) return false;
    this.#retries[this.#slot]!++;
    this.#retriesInWindow++;
    return true;
  }

  #slide(now: number): void {
    const length = this.#settings.window / SLOTS;
    const steps = Math.min(SLOTS, 1 + Math.floor((now - this.#slotEnd) / length));
    for (let i = 0; i < steps; i++) {
      this.#slot = (this.#slot + 1) % SLOTS;
      this.#requestsInWindow -= this.#requests[this.#slot]!;
      this.#retriesInWindow -= this.#retries[this.#slot]!;
      this.#requests[this.#slot] = 0;
      this.#retries[this.#slot] = 0;
    }
    this.#slotEnd = steps === SLOTS ? now + length : this.#slotEnd + steps * length;
  }
}
