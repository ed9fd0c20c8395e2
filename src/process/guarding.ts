/** The guards of canaries, wired to the primary: looked at once a second while there are any, and their alerts. */
import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { performance } from 'node:perf_hooks';
import { Notifier } from '../alerts/notifier.ts';
import { type Board, boardBrake } from '../canary-guard/brake.ts';
import { CanaryGuard, type GuardFacts, type GuardView } from '../canary-guard/canary-guard.ts';
import { GuardMetrics } from '../canary-guard/metrics.ts';
import type { Told } from '../canary-guard/words.ts';
import type { Config } from '../config/schema.ts';
import type { Cell, Ledger } from '../observe/ledger.ts';
import type { Logger } from '../observe/log.ts';
import type { LedgerTotals } from '../observe/totals.ts';

const LOOK_MS = 1_000;

export interface GuardingEdges {
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly board: Board;
  /** What all processes counted since the start. */
  readonly totals: () => Promise<LedgerTotals>;
  /** More to say of a canary that was found to be worse, such as how many users met it; '' for nothing. */
  readonly exposure?: (route: string, backend: string) => string;
}

export class Guarding {
  readonly #edges: GuardingEdges;
  readonly #guard: CanaryGuard;
  readonly #notifier: Notifier;
  readonly #alerts: { cell(...labels: string[]): Cell };
  #service = '';
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(edges: GuardingEdges) {
    this.#edges = edges;
    this.#alerts = edges.ledger.counter(
      'pointsman_alerts_total',
      'Alerts by channel: sent, or given up after an hour or because they were refused.',
      ['channel', 'result'],
    );
    this.#notifier = new Notifier({
      now: () => performance.now(),
      onResult: (channel, result, error) => {
        this.#alerts.cell(channel, result).value++;
        if (result === 'failed') edges.log.error({ channel, error }, 'an alert could not be delivered');
      },
    });
    this.#guard = new CanaryGuard({
      now: () => performance.now(),
      totals: edges.totals,
      brake: boardBrake(edges.board),
      metrics: new GuardMetrics(edges.ledger),
      log: (fields, message) => edges.log.info(fields, message),
      tell: (told, facts) => this.#tell(told, facts),
    });
  }

  /** @param config of the file, without what holds by hand */
  configure(config: Config): void {
    this.#service = config.service;
    this.#notifier.configure(config.alerts);
    this.#guard.configure(config);
    if (!this.#guard.active) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else if (this.#timer === undefined) {
      this.#timer = setInterval(() => void this.#look(), LOOK_MS);
      this.#timer.unref();
    }
  }

  view(): GuardView[] {
    return this.#guard.view();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#notifier.close();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      await this.#guard.look();
    } catch (error) {
      this.#edges.log.error({ err: error }, 'the canary guard could not look');
    } finally {
      this.#looking = false;
    }
  }

  #tell({ title, text }: Told, facts: GuardFacts): void {
    const { log, exposure } = this.#edges;
    const { route, backend, event, mode } = facts;
    const more = event === 'recover' ? '' : (exposure?.(route, backend) ?? '');
    const words = [text, more].filter((part) => part !== '').join(' ');
    if (event === 'recover') log.info({ ...facts, detail: words }, title);
    else log.warn({ ...facts, detail: words }, title);
    this.#notifier.notify({
      id: randomBytes(8).toString('hex'),
      at: Date.now(),
      severity: event === 'recover' ? 'resolved' : mode === 'act' ? 'critical' : 'warning',
      kind: 'canary_guard',
      service: this.#service,
      host: os.hostname(),
      title,
      text: words,
      facts: { route, backend, event, mode },
    });
  }
}
