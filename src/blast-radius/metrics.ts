/** How many users met a backend, as metrics. */
import type { Family, Ledger } from '../observe/ledger.ts';
import { MAX_CELLS } from './exposure.ts';
import type { ExposureReport } from './exposure-totals.ts';

export class ExposureMetrics {
  readonly #exposed: Family;
  readonly #hurt: Family;

  /** @param ledger of the primary: estimates of several processes must not be added up */
  constructor(ledger: Ledger) {
    const labels = ['route', 'backend'];
    const limit = { limit: MAX_CELLS };
    this.#exposed = ledger.gauge(
      'pointsman_users_exposed',
      'Different users whose requests a backend answered in the last 24 to 28 hours, estimated to 1.6 %.',
      labels,
      limit,
    );
    this.#hurt = ledger.gauge(
      'pointsman_users_hurt',
      'Of these, users who met an error there (5xx, or no answer), estimated.',
      labels,
      limit,
    );
  }

  show(reports: readonly ExposureReport[]): void {
    this.#exposed.clear();
    this.#hurt.clear();
    for (const { route, backend, exposed, hurt } of reports) {
      this.#exposed.cell(route, backend).value = exposed;
      this.#hurt.cell(route, backend).value = hurt;
    }
  }
}
