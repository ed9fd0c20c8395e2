/** How requests ended, row by row and backend by backend, from the counters that all processes report. Pure. */
import { BUCKETS } from '../observe/histogram.ts';
import { familyOf, isHistogram, type LedgerTotals, seriesKey } from '../observe/totals.ts';
import { NO_OUTCOMES, type Outcomes } from './evidence.ts';

/** Since the start, by `outcomeKey`. */
export type OutcomeTotals = ReadonlyMap<string, Outcomes>;

export function outcomeKey(route: string, backend: string): string {
  return seriesKey([route, backend]);
}

/** Requests whose client left before an answer count neither way. */
export function readOutcomes(totals: LedgerTotals): OutcomeTotals {
  const found = new Map<string, { requests: number; errors: number; latency: ArrayLike<number> }>();
  const at = (route: string, backend: string) => {
    const key = outcomeKey(route, backend);
    let outcomes = found.get(key);
    if (outcomes === undefined) {
      outcomes = { requests: 0, errors: 0, latency: [] };
      found.set(key, outcomes);
    }
    return outcomes;
  };
  for (const series of familyOf(totals, 'pointsman_requests_total')?.series ?? []) {
    if (isHistogram(series)) continue;
    const [route, backend, , code] = series.labels;
    if (code === 'none') continue;
    const outcomes = at(route!, backend!);
    outcomes.requests += series.value;
    if (code === '5xx') outcomes.errors += series.value;
  }
  for (const series of familyOf(totals, 'pointsman_upstream_response_seconds')?.series ?? []) {
    if (!isHistogram(series)) continue;
    at(series.labels[0]!, series.labels[1]!).latency = series.counts;
  }
  return found;
}

/** What came since `before`, which is nothing where there was no series yet; none where counters went backwards. */
export function outcomesSince(before: Outcomes = NO_OUTCOMES, after: Outcomes = NO_OUTCOMES): Outcomes {
  const latency = new Float64Array(BUCKETS);
  for (let i = 0; i < BUCKETS; i++) {
    latency[i] = Math.max(0, (after.latency[i] ?? 0) - (before.latency[i] ?? 0));
  }
  const requests = Math.max(0, after.requests - before.requests);
  return { requests, errors: Math.min(requests, Math.max(0, after.errors - before.errors)), latency };
}
