/** Shares as exact fractions, so that 5 of 100 and then 26 of 95 are 5, 26 and 69. */
export interface Rational {
  readonly n: bigint;
  readonly d: bigint;
}

export const ZERO: Rational = { n: 0n, d: 1n };
export const ONE: Rational = { n: 1n, d: 1n };

export function ratio(n: number, d: number): Rational {
  return reduced(BigInt(n), BigInt(d));
}

export function times(a: Rational, b: Rational): Rational {
  return reduced(a.n * b.n, a.d * b.d);
}

export function plus(a: Rational, b: Rational): Rational {
  return reduced(a.n * b.d + b.n * a.d, a.d * b.d);
}

export function complement(a: Rational): Rational {
  return reduced(a.d - a.n, a.d);
}

/** Most that a weight of a split may be. */
const MAX_WEIGHT = 1_000_000n;

/** Whole numbers in the same proportion; `exact` is false when they had to be rounded to fit. */
export function wholeNumbers(shares: readonly Rational[]): { weights: number[]; exact: boolean } {
  const common = shares.reduce((product, { d }) => (product / gcd(product, d)) * d, 1n);
  let weights = shares.map(({ n, d }) => (n * common) / d);
  const divisor = weights.reduce(gcd, 0n);
  if (divisor > 1n) weights = weights.map((weight) => weight / divisor);
  const largest = weights.reduce((max, weight) => (weight > max ? weight : max), 0n);
  if (largest <= MAX_WEIGHT) return { weights: weights.map(Number), exact: true };
  return {
    weights: weights.map((weight) => Math.max(weight > 0n ? 1 : 0, Number((weight * MAX_WEIGHT) / largest))),
    exact: false,
  };
}

function reduced(n: bigint, d: bigint): Rational {
  const divisor = gcd(n, d) || 1n;
  return { n: n / divisor, d: d / divisor };
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}
