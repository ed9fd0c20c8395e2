/**
 * The counters of one process. The data path takes its cells once and then only writes `cell.value++`: no label is
 * hashed per request. What is scraped is made from `totals()`, plain data that workers send to the primary.
 */

import { HistogramCell } from './histogram.ts';
import { type FamilyTotals, type FamilyType, type LedgerTotals, type Series, seriesKey } from './totals.ts';

/** Series of one family before further label values are counted under `other`. */
export const DEFAULT_SERIES_LIMIT = 4096;

/** The label value that stands for all those beyond the limit. */
export const OTHER = 'other';

/** How full a family must be before `retain` forgets anything. */
const RETAIN_FROM = 0.75;

/** A counter (only ever raise it) or a gauge. */
export interface Cell {
  value: number;
}

export type Labels = Readonly<Record<string, string>>;

interface Entry<C> {
  readonly labels: readonly string[];
  readonly cell: C;
}

export class Family<C extends Cell | HistogramCell = Cell> {
  readonly name: string;
  readonly help: string;
  readonly type: FamilyType;
  readonly labelNames: readonly string[];
  readonly limit: number;
  readonly #mergedLimit: number | undefined;
  readonly #create: () => C;
  readonly #entries = new Map<string, Entry<C>>();
  #other: Entry<C> | undefined;

  constructor(
    shape: {
      name: string;
      help: string;
      type: FamilyType;
      labelNames: readonly string[];
      limit: number;
      mergedLimit?: number | undefined;
    },
    create: () => C,
  ) {
    this.name = shape.name;
    this.help = shape.help;
    this.type = shape.type;
    this.labelNames = shape.labelNames;
    this.limit = shape.limit;
    this.#mergedLimit = shape.mergedLimit;
    this.#create = create;
  }

  /** Series held now, the one for `other` not counted. */
  get size(): number {
    return this.#entries.size;
  }

  /** The cell of these label values, the same one every time; the shared `other` once the family is full. */
  cell(...labels: string[]): C {
    if (labels.length !== this.labelNames.length) {
      throw new TypeError(
        `${this.name} has the labels (${this.labelNames.join(', ')}), got ${labels.length} values`,
      );
    }
    const key = seriesKey(labels);
    const known = this.#entries.get(key);
    if (known !== undefined) return known.cell;
    if (this.#entries.size >= this.limit) {
      this.#other ??= { labels: labels.map(() => OTHER), cell: this.#create() };
      return this.#other.cell;
    }
    const cell = this.#create();
    this.#entries.set(key, { labels, cell });
    return cell;
  }

  /** Forgets one series. Whoever holds its cell writes into the void from then on. */
  forget(...labels: string[]): void {
    this.#entries.delete(seriesKey(labels));
  }

  /** Forgets every series; for families that are written anew before each scrape. */
  clear(): void {
    this.#entries.clear();
    this.#other = undefined;
  }

  /** Forgets the series that `keep` does not want, if the family is nearly full; returns how many. */
  retain(keep: (labels: Labels, family: string) => boolean): number {
    if (this.#entries.size < this.limit * RETAIN_FROM) return 0;
    let forgotten = 0;
    for (const [key, entry] of this.#entries) {
      const labels: Record<string, string> = {};
      for (const [i, name] of this.labelNames.entries()) labels[name] = entry.labels[i]!;
      if (keep(labels, this.name)) continue;
      this.#entries.delete(key);
      forgotten++;
    }
    return forgotten;
  }

  totals(): FamilyTotals {
    const series: Series[] = [];
    for (const entry of this.#entries.values()) series.push(seriesOf(entry));
    if (this.#other !== undefined) series.push(seriesOf(this.#other));
    const limit = this.#mergedLimit;
    return {
      name: this.name,
      help: this.help,
      type: this.type,
      labelNames: [...this.labelNames],
      series,
      ...(limit === undefined ? {} : { limit }),
    };
  }
}

export interface FamilyOptions {
  /** Most series; default 4096. */
  readonly limit?: number;
  /** Most series of all processes together, the one for `other` not counted; default: no limit of its own. */
  readonly mergedLimit?: number;
}

export class Ledger {
  readonly #families = new Map<string, Family<Cell> | Family<HistogramCell>>();

  counter(name: string, help: string, labelNames: readonly string[] = [], options?: FamilyOptions): Family {
    return this.#add(name, help, 'counter', labelNames, options, newCell);
  }

  gauge(name: string, help: string, labelNames: readonly string[] = [], options?: FamilyOptions): Family {
    return this.#add(name, help, 'gauge', labelNames, options, newCell);
  }

  /** Observed in milliseconds; its name ends in `_seconds`, which is what is exposed. */
  histogram(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    options?: FamilyOptions,
  ): Family<HistogramCell> {
    return this.#add(name, help, 'histogram', labelNames, options, () => new HistogramCell());
  }

  /**
   * Forgets series that `keep` does not want, in families that are at least three quarters full; returns how many.
   * Below that, what a removed row counted stays readable. Whoever memoised cells must take them anew afterwards.
   */
  retain(keep: (labels: Labels, family: string) => boolean): number {
    let forgotten = 0;
    for (const family of this.#families.values()) forgotten += family.retain(keep);
    return forgotten;
  }

  /** A copy of every value as plain data, fit for JSON and structured clone. */
  totals(): LedgerTotals {
    return { families: Array.from(this.#families.values(), (family) => family.totals()) };
  }

  #add<C extends Cell | HistogramCell>(
    name: string,
    help: string,
    type: FamilyType,
    labelNames: readonly string[],
    options: FamilyOptions | undefined,
    create: () => C,
  ): Family<C> {
    if (this.#families.has(name)) throw new Error(`the metric ${name} is declared twice`);
    const limit = options?.limit ?? DEFAULT_SERIES_LIMIT;
    const { mergedLimit } = options ?? {};
    const family = new Family<C>({ name, help, type, labelNames, limit, mergedLimit }, create);
    this.#families.set(name, family as unknown as Family<Cell>);
    return family;
  }
}

function newCell(): Cell {
  return { value: 0 };
}

function seriesOf(entry: Entry<Cell | HistogramCell>): Series {
  const { labels, cell } = entry;
  if (cell instanceof HistogramCell) {
    return { labels: [...labels], counts: Array.from(cell.counts), sum: cell.sum, count: cell.count };
  }
  return { labels: [...labels], value: cell.value };
}
