/** Latencies in microseconds, three significant figures, for the load generators written here. */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Latency } from './driver.ts';

export function latencyHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 });
}

export function record(histogram: RecordableHistogram, milliseconds: number): void {
  histogram.record(Math.max(1, Math.round(milliseconds * 1000)));
}

export function latencyOf(histogram: RecordableHistogram): Latency {
  if (histogram.count === 0) return { p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
  const at = (percentile: number) => histogram.percentile(percentile) / 1000;
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: histogram.max / 1000 };
}
