/** Time as the backends' side needs it, passed in so that schedules can be tested. */
export interface Clock {
  /** Epoch milliseconds, for what people read. */
  now(): number;
  /** Milliseconds that never run backwards, for intervals. */
  monotonic(): number;
  setTimeout(run: () => void, ms: number): Timer;
  clearTimeout(timer: Timer | undefined): void;
}

/** What `Clock.setTimeout` returns; only `Clock.clearTimeout` looks inside. */
export type Timer = NodeJS.Timeout | number;

/** Longest delay Node takes; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, Math.min(ms, MAX_DELAY)),
  clearTimeout: (timer) => clearTimeout(timer),
};
