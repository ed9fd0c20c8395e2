/** The arithmetic of comparing a canary with production. Pure. */

/** Requests of one side in one window. */
export interface Tally {
  readonly requests: number;
  readonly errors: number;
  /** Upper bounds in seconds, ascending, and cumulative counts of the same length. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

export const NO_TALLY: Tally = { requests: 0, errors: 0, bounds: [], counts: [] };

export function rateOf({ requests, errors }: Tally): number {
  return requests === 0 ? 0 : errors / requests;
}

/** The quantile of a cumulative histogram in milliseconds, interpolated; undefined without observations. */
export function quantile({ bounds, counts }: Tally, q: number): number | undefined {
  const total = counts.at(-1) ?? 0;
  if (total <= 0) return undefined;
  const rank = q * total;
  const index = counts.findIndex((count) => count >= rank);
  const upper = bounds[index]!;
  const below = index === 0 ? 0 : counts[index - 1]!;
  const lower = index === 0 ? 0 : bounds[index - 1]!;
  if (upper >= Number.MAX_VALUE) return lower * 1_000;
  return (lower + (upper - lower) * ((rank - below) / (counts[index]! - below))) * 1_000;
}

/**
 * One-sided two-proportion z-test with pooled variance: true when the canary's error rate is higher than production's
 * with this confidence.
 */
export function isWorse(canary: Tally, main: Tally, confidence: number): boolean {
  const n = canary.requests;
  const m = main.requests;
  if (n === 0 || m === 0) return false;
  const pooled = (canary.errors + main.errors) / (n + m);
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  if (deviation === 0) return false;
  return (rateOf(canary) - rateOf(main)) / deviation > normalQuantile(confidence);
}

/** Inverse of the standard normal distribution (Acklam's approximation, relative error below 1.2e-9). */
export function normalQuantile(p: number): number {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
    2.506628277459239,
  ];
  const b = [
    -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572,
  ];
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const polynomial = (coefficients: readonly number[], x: number) =>
    coefficients.reduce((sum, k) => sum * x + k, 0);
  const low = 0.02425;
  if (p < low || p > 1 - low) {
    const q = Math.sqrt(-2 * Math.log(p < low ? p : 1 - p));
    const x = polynomial(c, q) / (polynomial(d, q) * q + 1);
    return p < low ? x : -x;
  }
  const q = p - 0.5;
  const r = q * q;
  return (polynomial(a, r) * q) / (polynomial(b, r) * r + 1);
}

export function add(a: Tally, b: Tally): Tally {
  return combine(a, b, (x, y) => x + y);
}

/** What came since `before`. */
export function subtract(after: Tally, before: Tally): Tally {
  return combine(after, before, (x, y) => Math.max(0, x - y));
}

function combine(a: Tally, b: Tally, by: (x: number, y: number) => number): Tally {
  const bounds = a.bounds.length >= b.bounds.length ? a.bounds : b.bounds;
  return {
    requests: by(a.requests, b.requests),
    errors: by(a.errors, b.errors),
    bounds,
    counts: bounds.map((_, i) => by(a.counts[i] ?? 0, b.counts[i] ?? 0)),
  };
}
