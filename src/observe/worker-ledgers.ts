/** What the primary knows of its workers' counters, the dead ones included, so that counters never go backwards. */

import { DEFAULT_SERIES_LIMIT } from './ledger.ts';
import { type LedgerTotals, mergeTotals, NO_TOTALS, withoutGauges } from './totals.ts';

/** A worker's last message may be read after its exit; the last few dead keep their own entry so that it counts. */
const RECENT_DEAD = 16;

/** Bounds what a long row of dead workers leaves behind: four ledgers' worth of series per family. */
const RETIRED_SERIES_LIMIT = 4 * DEFAULT_SERIES_LIMIT;

export class WorkerLedgers {
  readonly #live = new Map<number, LedgerTotals>();
  readonly #recentlyDead = new Map<number, LedgerTotals>();
  #retired: LedgerTotals = NO_TOTALS;

  /** Takes a worker's totals since its start; they replace those it sent before. */
  update(workerId: number, totals: LedgerTotals): void {
    if (this.#recentlyDead.has(workerId)) this.#recentlyDead.set(workerId, withoutGauges(totals));
    else this.#live.set(workerId, totals);
  }

  /** The worker has ended: its counters and histograms are kept for ever, its gauges go. Ids are never used again. */
  retire(workerId: number): void {
    if (this.#recentlyDead.has(workerId)) return;
    this.#recentlyDead.set(workerId, withoutGauges(this.#live.get(workerId) ?? NO_TOTALS));
    this.#live.delete(workerId);
    for (const [id, totals] of this.#recentlyDead) {
      if (this.#recentlyDead.size <= RECENT_DEAD) break;
      this.#retired = mergeTotals([this.#retired, totals], RETIRED_SERIES_LIMIT);
      this.#recentlyDead.delete(id);
    }
  }

  /** `own`, every live worker and every dead one, added up. */
  merged(own: LedgerTotals): LedgerTotals {
    return mergeTotals([own, this.#retired, ...this.#recentlyDead.values(), ...this.#live.values()]);
  }
}
