/** How late the event loop of this process runs, and how busy it is. */

import {
  type ELDHistogram,
  type EventLoopUtilization,
  eventLoopUtilization,
  monitorEventLoopDelay,
} from 'node:perf_hooks';
import type { Cell, Ledger } from './ledger.ts';

export interface EventLoopReading {
  /** Milliseconds by which timers ran late. */
  readonly lagMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  /** Share of the time the loop was not idle, 0…1. */
  readonly utilization: number;
}

/**
 * Measures over windows of its own, so that reading changes nothing: a measurement that each scrape resets tells two
 * scrapers half the truth each.
 */
export class EventLoopMonitor {
  readonly #resolutionMs: number;
  readonly #histogram: ELDHistogram;
  readonly #timer: NodeJS.Timeout;
  #windowStart: EventLoopUtilization;
  #last: EventLoopReading | undefined;

  constructor(options: { readonly windowMs?: number; readonly resolutionMs?: number } = {}) {
    this.#resolutionMs = options.resolutionMs ?? 20;
    this.#histogram = monitorEventLoopDelay({ resolution: this.#resolutionMs });
    this.#histogram.enable();
    this.#windowStart = eventLoopUtilization();
    this.#timer = setInterval(() => this.#rotate(), options.windowMs ?? 10_000);
    this.#timer.unref();
  }

  /** The last whole window; until the first has ended, the time since the start. */
  read(): EventLoopReading {
    return this.#last ?? this.#measure();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #rotate(): void {
    this.#last = this.#measure();
    this.#histogram.reset();
    this.#windowStart = eventLoopUtilization();
  }

  #measure(): EventLoopReading {
    return {
      lagMs: {
        p50: this.#lag(this.#histogram.percentile(50)),
        p90: this.#lag(this.#histogram.percentile(90)),
        p99: this.#lag(this.#histogram.percentile(99)),
        max: this.#histogram.count === 0 ? 0 : this.#lag(this.#histogram.max),
      },
      utilization: eventLoopUtilization(this.#windowStart).utilization,
    };
  }

  /** Node records the whole interval between two ticks, so an idle loop would seem to lag by the resolution. */
  #lag(nanoseconds: number): number {
    return Math.max(0, nanoseconds / 1e6 - this.#resolutionMs);
  }
}

/** The gauges of one process; `worker` tells the processes apart. */
export class EventLoopMetrics {
  readonly #lag: Readonly<Record<'p50' | 'p90' | 'p99' | 'max', Cell>>;
  readonly #utilization: Cell;

  constructor(ledger: Ledger, worker: string) {
    const lag = ledger.gauge(
      'pointsman_event_loop_lag_seconds',
      'By how much timers ran late in the last 10 s; quantile 1 is the worst.',
      ['worker', 'quantile'],
    );
    this.#lag = {
      p50: lag.cell(worker, '0.5'),
      p90: lag.cell(worker, '0.9'),
      p99: lag.cell(worker, '0.99'),
      max: lag.cell(worker, '1'),
    };
    this.#utilization = ledger
      .gauge(
        'pointsman_event_loop_utilization',
        'Share of the last 10 s in which the event loop was busy, 0 to 1.',
        ['worker'],
      )
      .cell(worker);
  }

  set(reading: EventLoopReading): void {
    for (const quantile of ['p50', 'p90', 'p99', 'max'] as const) {
      this.#lag[quantile].value = reading.lagMs[quantile] / 1_000;
    }
    this.#utilization.value = reading.utilization;
  }
}
