/** The metrics of what people do at the admin port. */

import type { Family, Ledger } from '../observe/ledger.ts';
import type { Effect } from '../overrides/apply.ts';
import { targetKey } from '../overrides/override.ts';

export class SteeringMetrics {
  readonly #active: Family;
  readonly #ends: Family;
  readonly #actions: Family;

  constructor(ledger: Ledger) {
    this.#active = ledger.gauge(
      'pointsman_override_active',
      '1 for each thing set by hand that holds, 0 where it names what the table does not have.',
      ['kind', 'target'],
    );
    this.#ends = ledger.gauge(
      'pointsman_override_end_timestamp_seconds',
      'When what was set by hand ends by itself.',
      ['kind', 'target'],
    );
    this.#actions = ledger.counter(
      'pointsman_admin_actions_total',
      'Actions asked for with the right token, by what became of them.',
      ['action', 'result'],
    );
  }

  setOverrides(effects: readonly Effect[]): void {
    this.#active.clear();
    this.#ends.clear();
    for (const { override, state } of effects) {
      const { kind } = override.target;
      const target = targetKey(override.target).slice(kind.length + 1);
      this.#active.cell(kind, target).value = state === 'holds' ? 1 : 0;
      this.#ends.cell(kind, target).value = override.until / 1_000;
    }
  }

  action(action: string, result: 'done' | 'refused'): void {
    this.#actions.cell(action, result).value++;
  }
}
