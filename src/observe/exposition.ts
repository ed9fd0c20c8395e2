/** Totals → the text that Prometheus scrapes. */

import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { BOUNDARIES_MS } from './histogram.ts';
import { type FamilyTotals, type HistogramSeries, isHistogram, type LedgerTotals } from './totals.ts';

/** Buckets exposed, in milliseconds: every second or third boundary would only make dashboards slow. */
export const EXPOSED_MS: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

/** Exact only because each is a boundary of the histogram too. */
const EXPOSED: readonly { readonly le: string; readonly index: number }[] = EXPOSED_MS.map((ms) => ({
  le: String(ms / 1_000),
  index: BOUNDARIES_MS.indexOf(ms),
}));

interface Sample {
  metricName?: string;
  labels: Record<string, string>;
  value: number;
}

export class Exposition {
  readonly #defaults: Registry | undefined;

  /**
   * `processDefaults` adds prom-client's metrics of this process (CPU, memory, garbage collection); make one such object
   * per process, since its observers run until the end.
   */
  constructor(options: { readonly processDefaults?: boolean } = {}) {
    if (options.processDefaults ?? true) {
      this.#defaults = new Registry();
      collectDefaultMetrics({ register: this.#defaults });
    }
  }

  /** Each call has a registry of its own, so scrapes at the same time do not see each other's totals. */
  async render(totals: LedgerTotals): Promise<{ contentType: string; body: string }> {
    const registry = new Registry();
    for (const family of totals.families) {
      if (family.series.length > 0) registry.registerMetric(asMetric(family));
    }
    const parts = [await registry.metrics()];
    if (this.#defaults !== undefined) parts.push(await this.#defaults.metrics());
    return { contentType: registry.contentType, body: parts.filter((part) => part !== '\n').join('\n') };
  }
}

/** A registry takes any object with these members; the values are computed while it renders. */
function asMetric(family: FamilyTotals): Metric {
  const { name, help, type } = family;
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: () => Promise.resolve({ name, help, type, aggregator: 'sum', values: samplesOf(family) }),
  };
  return metric as unknown as Metric;
}

function samplesOf(family: FamilyTotals): Sample[] {
  const samples: Sample[] = [];
  for (const series of family.series) {
    const labels: Record<string, string> = {};
    for (const [i, label] of family.labelNames.entries()) labels[label] = series.labels[i]!;
    if (isHistogram(series)) pushHistogram(samples, family.name, labels, series);
    else samples.push({ labels, value: series.value });
  }
  return samples;
}

function pushHistogram(
  samples: Sample[],
  name: string,
  labels: Record<string, string>,
  series: HistogramSeries,
): void {
  let cumulative = 0;
  let next = 0;
  for (const { le, index } of EXPOSED) {
    for (; next <= index; next++) cumulative += series.counts[next]!;
    samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulative });
  }
  samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: series.count });
  samples.push({ metricName: `${name}_sum`, labels, value: series.sum / 1_000 });
  samples.push({ metricName: `${name}_count`, labels, value: series.count });
}
