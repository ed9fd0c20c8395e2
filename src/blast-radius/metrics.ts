/** How many users met a backend, as metrics. */
import type { Cell, Family, Ledger } from '../observe/ledger.ts';
import { MAX_CELLS } from './exposure.ts';
import type { ExposureReport } from './exposure-totals.ts';
import type { Reach } from './words.ts';

const NOT_A_SUM =
  'An estimate, off by 1.6 %; never add up replicas, whose users are the same: take the largest.';

export class ExposureMetrics {
  readonly #exposed: Family;
  readonly #hurt: Family;
  readonly #shared: Cell;

  /** @param ledger of the primary: estimates of several processes must not be added up */
  constructor(ledger: Ledger) {
    const labels = ['route', 'backend'];
    const limit = { limit: MAX_CELLS };
    this.#exposed = ledger.gauge(
      'pointsman_users_exposed',
      `Different users whose requests the build that runs behind a backend answered in the last 24 to 28 hours. ${NOT_A_SUM}`,
      labels,
      limit,
    );
    this.#hurt = ledger.gauge(
      'pointsman_users_hurt',
      `Of these, users who met an error there: 5xx, or no whole answer. ${NOT_A_SUM}`,
      labels,
      limit,
    );
    this.#shared = ledger
      .gauge(
        'pointsman_users_shared',
        '1 while pointsman_users_exposed and _hurt count the users of all replicas, through Redis; 0 while those of this one alone.',
      )
      .cell();
  }

  show(reports: readonly ExposureReport[], reach: Reach): void {
    this.#exposed.clear();
    this.#hurt.clear();
    for (const { route, backend, exposed, hurt } of reports) {
      this.#exposed.cell(route, backend).value = exposed;
      this.#hurt.cell(route, backend).value = hurt;
    }
    this.#shared.value = reach.of === 'all' ? 1 : 0;
  }
}
