/** Whether something grew over a run: the medians of a window after the warm-up and of one at the end. Pure. */

import { median } from '../report.ts';

export interface Windows {
  /** Of the first window compared and of the last one; in the unit of the times. */
  readonly warmUp: number;
  readonly length: number;
  readonly end: number;
}

export interface Trend {
  readonly first: number;
  readonly last: number;
  /** Per unit of time, over all that came after the warm-up: the median of the slopes of all pairs (Theil and Sen). */
  readonly slope: number;
}

export type Verdict = 'flat' | 'grows' | 'falls';

/** Changes below either are noise: of a garbage-collected heap, or of clients that come and go. */
export interface Noise {
  readonly share: number;
  readonly absolute: number;
}

/** @param values null: not measured, as of a worker that is being replaced */
export function trendOf(
  times: readonly number[],
  values: readonly (number | null)[],
  { warmUp, length, end }: Windows,
): Trend {
  const points = times.flatMap((time, index) => {
    const value = values[index];
    return typeof value === 'number' && time >= warmUp ? [{ time, value }] : [];
  });
  const within = (from: number, to: number) =>
    median(points.filter(({ time }) => time >= from && time <= to).map(({ value }) => value));
  const slopes: number[] = [];
  for (const [index, a] of points.entries()) {
    for (const b of points.slice(index + 1)) slopes.push((b.value - a.value) / (b.time - a.time));
  }
  return { first: within(warmUp, warmUp + length), last: within(end - length, end), slope: median(slopes) };
}

export function verdictOf({ first, last }: Trend, { share, absolute }: Noise): Verdict {
  const change = last - first;
  if (Math.abs(change) <= Math.max(absolute, share * first)) return 'flat';
  return change > 0 ? 'grows' : 'falls';
}
