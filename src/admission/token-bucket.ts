/**
 * The token bucket, kept as one number: the time at which it will be full again. A request moves that time by what one
 * token takes to come; it is refused when the bucket would then be in debt. This is the generic cell rate algorithm
 * (ATM Forum TM 4.0, 4.4.2), the same as a bucket that is filled drop by drop, but with nothing to fill.
 */

/** How a bucket fills, derived once from `rate` and `burst`. */
export interface BucketShape {
  /** Milliseconds in which one token comes. */
  readonly interval: number;
  /** Milliseconds in which an empty bucket fills. */
  readonly capacity: number;
}

/** @param rate tokens per second, above 0. @param burst tokens that a full bucket holds, at least 1 */
export function bucketShape(rate: number, burst: number): BucketShape {
  const interval = 1_000 / rate;
  return { interval, capacity: interval * burst };
}

/** Milliseconds: the last token of a burst must not be lost to what sums of fractions lose. */
const ROUNDING = 1e-3;

/**
 * Takes a token.
 *
 * @param fullAt when the bucket will be full, clock milliseconds; anything in the past for one that is
 * @returns the new `fullAt`; -1 when there is no token, and the bucket stays as it is
 */
export function take({ interval, capacity }: BucketShape, fullAt: number, now: number): number {
  const next = (fullAt > now ? fullAt : now) + interval;
  return next - now <= capacity + ROUNDING ? next : -1;
}

/** Milliseconds until there is a token; 0 when there is one. */
export function waitFor({ interval, capacity }: BucketShape, fullAt: number, now: number): number {
  return Math.max(0, fullAt + interval - capacity - now);
}

/** For `Retry-After`: whole seconds, at least one, and no more than a client would wait for (RFC 9110, 10.2.3). */
export function retryAfterSeconds(waitMs: number): number {
  return Math.min(3_600, Math.max(1, Math.ceil(waitMs / 1_000)));
}
