/**
 * When not to ask: after so many failures in a row the circuit opens, and only probes find out, at growing intervals,
 * whether to close it again. Pure: the time is passed in, and whoever owns it sets the timers.
 */
export type CircuitState = 'closed' | 'open' | 'half-open';

export interface CircuitLimits {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Milliseconds from opening to the first probe; every failed probe doubles it. */
  readonly firstPause: number;
  readonly longestPause: number;
}

export const CIRCUIT_LIMITS: CircuitLimits = { failures: 5, firstPause: 250, longestPause: 10_000 };

export class Circuit {
  readonly #limits: CircuitLimits;
  #state: CircuitState;
  #failures = 0;
  #pause: number;
  #closedAt = Number.NEGATIVE_INFINITY;

  /** Begins open: only what has answered once is asked. */
  constructor(limits: CircuitLimits = CIRCUIT_LIMITS) {
    this.#limits = limits;
    this.#state = 'open';
    this.#pause = limits.firstPause;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** How long to wait, once it is open, before the next probe. */
  get pause(): number {
    return this.#pause;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** @returns true when this failure has opened it */
  failed(now: number): boolean {
    if (this.#state !== 'closed') return false;
    this.#failures++;
    if (this.#failures < this.#limits.failures) return false;
    this.open(now);
    return true;
  }

  /** At once: the connection is lost. */
  open(now: number): void {
    if (this.#state === 'closed') {
      // One that closes and opens in turns is asked ever more rarely; one that held begins anew.
      const held = now - this.#closedAt >= this.#limits.longestPause;
      if (held) this.#pause = this.#limits.firstPause;
      else this.#lengthen();
    }
    this.#state = 'open';
    this.#failures = 0;
  }

  /** @returns false when nothing is to be probed: it is closed, or a probe is under way */
  probe(): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'half-open';
    return true;
  }

  probed(ok: boolean, now: number): void {
    if (this.#state !== 'half-open') return;
    if (ok) {
      this.#state = 'closed';
      this.#closedAt = now;
      this.#failures = 0;
      return;
    }
    this.#state = 'open';
    this.#lengthen();
  }

  #lengthen(): void {
    this.#pause = Math.min(this.#pause * 2, this.#limits.longestPause);
  }
}
