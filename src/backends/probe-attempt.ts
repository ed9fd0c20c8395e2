/** One check under way: its timer, what must be torn down, and the verdict, which comes once. */

import { isLocalShortage, socketError } from './socket-error.ts';

export interface ProbeResult {
  readonly ok: boolean;
  /** `connected`, `HTTP 200`, `connection refused`, `timed out after 1000ms`, … */
  readonly detail: string;
  readonly durationMs: number;
  /** The probe could not even be tried for want of something on this host, which says nothing about the endpoint. */
  readonly local: boolean;
}

export class Attempt {
  readonly #resolve: (result: ProbeResult) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #abort = () => this.end(false, 'called off');
  #cleanups: (() => void)[] = [];
  #ended = false;

  constructor(timeout: number, signal: AbortSignal | undefined, resolve: (result: ProbeResult) => void) {
    this.#resolve = resolve;
    this.#signal = signal;
    this.#timer = setTimeout(() => this.end(false, `timed out after ${timeout}ms`), timeout);
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  onEnd(cleanup: () => void): void {
    if (this.#ended) cleanup();
    else this.#cleanups.push(cleanup);
  }

  /** The first verdict counts. */
  end(ok: boolean, detail: string, local = false): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const cleanup of this.#cleanups) cleanup();
    this.#cleanups = [];
    this.#resolve({ ok, detail, local, durationMs: performance.now() - this.#startedAt });
  }

  fail(error: Error): void {
    this.end(false, socketError(error), isLocalShortage(error));
  }
}
