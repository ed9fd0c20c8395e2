/**
 * A latency histogram cheap enough for every request: one binary search over 63 fixed boundaries and two additions.
 * Every process uses the same boundaries, so histograms of several workers add up exactly.
 */

const RENARD_R10 = [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8];

/** 30 s and 60 s are no Renard numbers, but timeouts are set to them and people ask for these buckets. */
const EXTRA_BOUNDARIES = [30_000, 60_000];

/**
 * Upper bounds of the buckets in milliseconds, inclusive: 0.1, 0.125, 0.16, … 100 000. Steps of about 26 %, so that an
 * interpolated percentile is off by at most that. Observations above the last one fall into an overflow bucket.
 */
export const BOUNDARIES_MS: readonly number[] = boundaries();

/** Length of `counts`: one per boundary and one for the overflow. */
export const BUCKETS = BOUNDARIES_MS.length + 1;

const SEARCHED = Float64Array.from(BOUNDARIES_MS);

/** Index of the bucket `ms` falls into: the first whose upper bound is not below it. */
export function bucketIndex(ms: number): number {
  let low = 0;
  let high = SEARCHED.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (SEARCHED[middle]! < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class HistogramCell {
  /** Observations per bucket, not cumulative. */
  readonly counts = new Float64Array(BUCKETS);
  /** Milliseconds. */
  sum = 0;
  count = 0;

  /** `ms` below 0 or not a number means that the phase was never reached; it is not counted. */
  observe(ms: number): void {
    if (!(ms >= 0)) return;
    this.counts[bucketIndex(ms)]!++;
    this.sum += ms;
    this.count++;
  }
}

/**
 * The `q`-quantile (0…1) in milliseconds, interpolated within its bucket as Prometheus' `histogram_quantile` does: it
 * lies between the bounds of the bucket that holds the true one, and is the last boundary for anything in the
 * overflow. Undefined when nothing was observed.
 */
export function percentile(counts: ArrayLike<number>, q: number): number | undefined {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  if (total === 0) return undefined;
  const rank = Math.min(1, Math.max(0, q)) * total;
  let below = 0;
  let lastFilled = 0;
  for (let i = 0; i < counts.length; i++) {
    const inBucket = counts[i]!;
    if (inBucket === 0) continue;
    lastFilled = i;
    if (below + inBucket >= rank) return interpolate(i, (rank - below) / inBucket);
    below += inBucket;
  }
  return interpolate(lastFilled, 1);
}

function interpolate(index: number, share: number): number {
  const upper = BOUNDARIES_MS[index];
  if (upper === undefined) return BOUNDARIES_MS[BOUNDARIES_MS.length - 1]!;
  const lower = index === 0 ? 0 : BOUNDARIES_MS[index - 1]!;
  return lower + (upper - lower) * share;
}

function boundaries(): number[] {
  const list = [...EXTRA_BOUNDARIES, 100_000];
  for (let decade = -1; decade <= 4; decade++) {
    // Through decimal text: 3.15 * 0.1 is not 0.315 in binary, and a boundary must read as people write it.
    for (const mantissa of RENARD_R10) list.push(Number(`${mantissa}e${decade}`));
  }
  return list.sort((a, b) => a - b);
}
