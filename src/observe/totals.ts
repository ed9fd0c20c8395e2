/** What a ledger holds, as plain data, and how the data of several processes add up. */

export type FamilyType = 'counter' | 'gauge' | 'histogram';

export interface ValueSeries {
  readonly labels: readonly string[];
  readonly value: number;
}

/** `counts` per bucket of `BOUNDARIES_MS` and one for the overflow, not cumulative; `sum` in milliseconds. */
export interface HistogramSeries {
  readonly labels: readonly string[];
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export type Series = ValueSeries | HistogramSeries;

export interface FamilyTotals {
  readonly name: string;
  readonly help: string;
  readonly type: FamilyType;
  readonly labelNames: readonly string[];
  readonly series: readonly Series[];
  /** Most series of this family when processes are added up, the one for `other` not counted. */
  readonly limit?: number;
}

export interface LedgerTotals {
  readonly families: readonly FamilyTotals[];
}

export const NO_TOTALS: LedgerTotals = { families: [] };

/** Label values → one key, without ambiguity whatever the values hold. */
export function seriesKey(labels: readonly string[]): string {
  return labels.length === 1 ? labels[0]! : JSON.stringify(labels);
}

export function isHistogram(series: Series): series is HistogramSeries {
  return 'counts' in series;
}

/**
 * The sum of all: families by name and series by labels are added up, gauges too (connections of two workers are the
 * connections of both). The result is sorted, so that neither order nor grouping of the arguments shows in it.
 * `seriesLimit` bounds the series of each family; those beyond it are added to one labelled `other`.
 */
export function mergeTotals(
  list: readonly LedgerTotals[],
  seriesLimit = Number.POSITIVE_INFINITY,
): LedgerTotals {
  const families = new Map<string, { shape: FamilyTotals; series: Map<string, Series> }>();
  for (const totals of list) {
    for (const family of totals.families) {
      let merged = families.get(family.name);
      if (merged === undefined) {
        merged = { shape: family, series: new Map() };
        families.set(family.name, merged);
      } else if (!sameShape(merged.shape, family)) {
        throw new Error(`the metric ${family.name} has different types or labels in two processes`);
      }
      const limit = Math.min(seriesLimit, family.limit ?? Number.POSITIVE_INFINITY);
      for (const series of family.series) addSeries(merged.series, series, limit);
    }
  }
  return {
    families: [...families.entries()].sort(byKey).map(([, { shape, series }]) => ({
      name: shape.name,
      help: shape.help,
      type: shape.type,
      labelNames: shape.labelNames,
      series: [...series.entries()].sort(byKey).map(([, value]) => value),
      ...(shape.limit === undefined ? {} : { limit: shape.limit }),
    })),
  };
}

/** The totals without gauges: what stays true of a process that has ended. */
export function withoutGauges(totals: LedgerTotals): LedgerTotals {
  return { families: totals.families.filter((family) => family.type !== 'gauge') };
}

/** The family of that name, if there is one. */
export function familyOf(totals: LedgerTotals, name: string): FamilyTotals | undefined {
  return totals.families.find((family) => family.name === name);
}

function addSeries(into: Map<string, Series>, series: Series, limit: number): void {
  let labels = series.labels;
  let key = seriesKey(labels);
  if (!into.has(key) && into.size >= limit) {
    labels = labels.map(() => 'other');
    key = seriesKey(labels);
  }
  const known = into.get(key);
  into.set(key, known === undefined ? { ...series, labels } : add(known, series));
}

function add(a: Series, b: Series): Series {
  if (isHistogram(a) && isHistogram(b)) {
    return {
      labels: a.labels,
      counts: a.counts.map((count, i) => count + (b.counts[i] ?? 0)),
      sum: a.sum + b.sum,
      count: a.count + b.count,
    };
  }
  return { labels: a.labels, value: (a as ValueSeries).value + (b as ValueSeries).value };
}

function sameShape(a: FamilyTotals, b: FamilyTotals): boolean {
  return a.type === b.type && seriesKey(a.labelNames) === seriesKey(b.labelNames);
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
