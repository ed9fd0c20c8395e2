/**
 * How many users met what, as this replica knows it: what its processes saw, what other replicas share, and what the
 * table says runs now.
 */
import { buildOf, type Config } from '../config/schema.ts';
import type { ExposureChange } from './exposure.ts';
import { type ExposureReport, ExposureTotals } from './exposure-totals.ts';
import type { ExposureMetrics } from './metrics.ts';
import { SharedExposure } from './shared-exposure.ts';
import { exposureWords, type Reach } from './words.ts';

export interface BlastRadiusEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly metrics: ExposureMetrics;
}

const NOT_SHARED: Reach = { of: 'replica', asOf: undefined, why: 'no Redis is configured' };

export class BlastRadius {
  readonly #edges: BlastRadiusEdges;
  readonly #totals = new ExposureTotals();
  #config: Pick<Config, 'backends' | 'routes'> = { backends: {}, routes: [] };
  #shared: { readonly settings: string; readonly link: SharedExposure } | undefined;

  constructor(edges: BlastRadiusEdges) {
    this.#edges = edges;
  }

  /** Users are known where a row has a pin; what is known is shared where there is a Redis. */
  configure(config: Pick<Config, 'backends' | 'routes' | 'redis' | 'service'>): void {
    this.#config = config;
    const wanted = config.routes.some(({ pin }) => pin !== undefined) ? config.redis : undefined;
    const settings = JSON.stringify([wanted ?? null, config.service]);
    if (this.#shared?.settings === settings) return;
    this.#shared?.link.close();
    this.#shared = undefined;
    if (wanted === undefined) return;
    const { now, clock, random } = this.#edges;
    this.#shared = {
      settings,
      link: new SharedExposure(wanted, config.service, {
        now,
        clock,
        random,
        records: (slot) => this.#totals.records(slot),
        onChanges: (changes) => this.update(changes),
      }),
    };
  }

  update(changes: readonly ExposureChange[]): void {
    this.#totals.update(changes, this.#edges.clock());
  }

  get reach(): Reach {
    return this.#shared?.link.reach ?? NOT_SHARED;
  }

  /** Of the rows of the table and the builds that run now. */
  reports(): ExposureReport[] {
    return this.#config.routes
      .filter(({ pin }) => pin !== undefined)
      .flatMap(({ name, split }) => Object.keys(split).map((backend) => this.#report(name, backend)))
      .filter((report) => report !== undefined);
  }

  /** '' for nobody. */
  words(route: string, backend: string): string {
    return exposureWords(this.#report(route, backend), this.reach);
  }

  showMetrics(): void {
    this.#edges.metrics.show(this.reports(), this.reach);
  }

  /** What the last requests brought is not to be lost with this process. */
  async flush(): Promise<void> {
    await this.#shared?.link.flush();
  }

  close(): void {
    this.#shared?.link.close();
  }

  #report(route: string, backend: string): ExposureReport | undefined {
    return this.#totals.report({ route, backend, build: buildOf(this.#config, backend) });
  }
}
