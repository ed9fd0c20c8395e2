/** What guards found and did, as metrics. */
import type { Family, Ledger } from '../observe/ledger.ts';
import type { Cause, Phase } from './state.ts';

const PHASES: readonly Phase[] = ['watching', 'braked', 'probing', 'latched'];

export class GuardMetrics {
  readonly #state: Family;
  readonly #score: Family;
  readonly #trips: Family;

  constructor(ledger: Ledger) {
    this.#state = ledger.gauge(
      'pointsman_guard_state',
      '1 for the state that the guard of a canary is in (watching, braked, probing, latched), else 0.',
      ['route', 'backend', 'state'],
    );
    this.#score = ledger.gauge(
      'pointsman_guard_score_ratio',
      'Evidence against a canary by cause, as a share of what brakes it.',
      ['route', 'backend', 'cause'],
    );
    this.#trips = ledger.counter(
      'pointsman_guard_trips_total',
      'Times that a canary was found to be worse than production.',
      ['route', 'backend', 'cause'],
    );
  }

  /** Before all that are guarded now are shown: what is no longer guarded goes. */
  clear(): void {
    this.#state.clear();
    this.#score.clear();
  }

  show(route: string, backend: string, phase: Phase, scores: Readonly<Record<Cause, number>>): void {
    for (const one of PHASES) this.#state.cell(route, backend, one).value = one === phase ? 1 : 0;
    this.#score.cell(route, backend, 'errors').value = Math.max(0, scores.errors);
    this.#score.cell(route, backend, 'latency').value = Math.max(0, scores.latency);
  }

  trip(route: string, backend: string, cause: Cause): void {
    this.#trips.cell(route, backend, cause).value++;
  }
}
