/** What the counters gained lately, from samples that are taken only while somebody watches. Pure over plain data. */

import { isHistogram, type LedgerTotals, type Series, seriesKey } from '../observe/totals.ts';
import { TrafficSums } from './traffic-sums.ts';

/** How far back the figures look, and the points of a curve: one a second. */
export const WINDOW_MS = 60_000;
const POINTS = 60;
/** Whole samples hold every histogram, so they are kept more coarsely than the points of the curves. */
const SAMPLE_EVERY_MS = 5_000;

/** The families that the figures of the page are made from. */
const FAMILIES: ReadonlySet<string> = new Set([
  'pointsman_requests_total',
  'pointsman_request_duration_seconds',
]);

/** Requests and errors of a backend between two looks. */
export interface RatePoint {
  readonly perSecond: number;
  readonly errorsPerSecond: number;
}

interface Point {
  readonly at: number;
  readonly byBackend: ReadonlyMap<string, { readonly requests: number; readonly errors: number }>;
}

export class RecentTraffic {
  #samples: { readonly at: number; readonly totals: LedgerTotals }[] = [];
  #points: Point[] = [];
  #newest: LedgerTotals | undefined;
  #newestAt = 0;

  /** @param at monotonic milliseconds */
  add(totals: LedgerTotals, backends: readonly string[], at: number): void {
    const kept = { families: totals.families.filter(({ name }) => FAMILIES.has(name)) };
    const last = this.#samples.at(-1);
    // Nobody watched for a while: what lies before is not "lately" any more.
    if (this.#newest !== undefined && at - this.#newestAt > WINDOW_MS) this.clear();
    if (last === undefined || this.#newest === undefined || at - last.at >= SAMPLE_EVERY_MS)
      this.#samples.push({ at, totals: kept });
    while (this.#samples.length > 1 && at - this.#samples[1]!.at >= WINDOW_MS) this.#samples.shift();
    const sums = new TrafficSums(kept);
    const byBackend = new Map(
      backends.map((name) => {
        const { requests, errors } = sums.backend(name);
        return [name, { requests, errors }];
      }),
    );
    this.#points.push({ at, byBackend });
    if (this.#points.length > POINTS + 1) this.#points.shift();
    this.#newest = kept;
    this.#newestAt = at;
  }

  clear(): void {
    this.#samples = [];
    this.#points = [];
    this.#newest = undefined;
  }

  /** The sums since the oldest sample, at most some seconds more than a minute, and how long ago that was. */
  window(): { readonly seconds: number; readonly sums: TrafficSums } {
    const oldest = this.#samples[0];
    if (oldest === undefined || this.#newest === undefined)
      return { seconds: 0, sums: new TrafficSums({ families: [] }) };
    return {
      seconds: (this.#newestAt - oldest.at) / 1_000,
      sums: new TrafficSums(gained(oldest.totals, this.#newest)),
    };
  }

  /** Oldest first. */
  curve(backend: string): RatePoint[] {
    const rates: RatePoint[] = [];
    for (let i = 1; i < this.#points.length; i++) {
      const [from, to] = [this.#points[i - 1]!, this.#points[i]!];
      const seconds = Math.max(0.001, (to.at - from.at) / 1_000);
      const [was, is] = [from.byBackend.get(backend), to.byBackend.get(backend)];
      const rate = (a = 0, b = 0) => Math.max(0, b - a) / seconds;
      rates.push({
        perSecond: rate(was?.requests ?? is?.requests, is?.requests),
        errorsPerSecond: rate(was?.errors ?? is?.errors, is?.errors),
      });
    }
    return rates;
  }
}

/** What each counter gained; one that went down began anew, and all of it is a gain. */
export function gained(from: LedgerTotals, to: LedgerTotals): LedgerTotals {
  return {
    families: to.families.map((family) => {
      const before = new Map<string, Series>(
        from.families
          .find(({ name }) => name === family.name)
          ?.series.map((series) => [seriesKey(series.labels), series]),
      );
      return {
        ...family,
        series: family.series.map((series) => difference(series, before.get(seriesKey(series.labels)))),
      };
    }),
  };
}

function difference(series: Series, before: Series | undefined): Series {
  if (before === undefined) return series;
  if (isHistogram(series)) {
    if (!isHistogram(before) || before.count > series.count) return series;
    return {
      labels: series.labels,
      counts: series.counts.map((count, i) => count - (before.counts[i] ?? 0)),
      sum: series.sum - before.sum,
      count: series.count - before.count,
    };
  }
  if (isHistogram(before) || before.value > series.value) return series;
  return { labels: series.labels, value: series.value - before.value };
}
