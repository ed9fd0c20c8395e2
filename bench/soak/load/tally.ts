/** What the clients of one process count, and tell by lines of JSON on standard output. */

import { latencyHistogram, latencyOf, record } from '../../drivers/histogram.ts';
import type { Failure } from './failure.ts';

/** Requests of one interval, by kind of traffic. */
export interface Interval {
  readonly done: Readonly<Record<string, number>>;
  /** Not sent, since too many of their kind were under way. */
  readonly held: number;
  /** Milliseconds from when it was due; of the kinds that are timed. */
  readonly latency: Readonly<
    Record<string, { readonly p50: number; readonly p99: number; readonly max: number }>
  >;
}

export type Told = { readonly begun: true } | { readonly failure: Failure } | { readonly interval: Interval };

/** More would only say the same, and a proxy that is gone must not fill the disk. */
const MOST_FAILURES = 2_000;

export class Tally {
  readonly #histograms: ReadonlyMap<string, ReturnType<typeof latencyHistogram>>;
  #done: Record<string, number> = {};
  #held = 0;
  #failures = 0;

  constructor(timed: readonly string[]) {
    this.#histograms = new Map(timed.map((kind) => [kind, latencyHistogram()]));
  }

  done(kind: string, milliseconds?: number): void {
    this.#done[kind] = (this.#done[kind] ?? 0) + 1;
    const histogram = this.#histograms.get(kind);
    if (histogram !== undefined && milliseconds !== undefined) record(histogram, milliseconds);
  }

  held(): void {
    this.#held += 1;
  }

  fail(failure: Failure): void {
    this.#failures += 1;
    if (this.#failures <= MOST_FAILURES) this.#tell({ failure });
  }

  tellBegun(): void {
    this.#tell({ begun: true });
  }

  /** Tells what was counted since the last time. */
  tellInterval(): void {
    const latency = [...this.#histograms].flatMap(([kind, histogram]) => {
      if (histogram.count === 0) return [];
      const { p50, p99, max } = latencyOf(histogram);
      return [[kind, { p50, p99, max }] as const];
    });
    const interval = { done: this.#done, held: this.#held, latency: Object.fromEntries(latency) };
    this.#tell({ interval });
    this.#done = {};
    this.#held = 0;
    for (const histogram of this.#histograms.values()) histogram.reset();
  }

  #tell(told: Told): void {
    process.stdout.write(`${JSON.stringify(told)}\n`);
  }
}
