/** Changes of state as log lines: what, from what to what, why, and how long the former state had lasted. */

import type { Logger } from 'pino';
import { formatDuration } from '../config/units.ts';
import type { Clock } from './clock.ts';

export type StateLog = Pick<Logger, 'info' | 'warn'>;

/** What has a state: the health of an endpoint, the resolution of a name, a backend as a whole. */
interface Lasting {
  readonly state: string;
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

/** Addresses and backends listed in one line. */
const MAX_LISTED = 20;
const SHORTAGE_EVERY_MS = 10_000;

export class StateReporter {
  readonly #log: StateLog;
  readonly #clock: Clock;
  #shortageAt = Number.NEGATIVE_INFINITY;

  constructor(log: StateLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  health(endpoint: string, backends: readonly string[], before: Lasting, after: Lasting): void {
    const fields = { endpoint, backends: listed(backends), ...transition(before, after) };
    if (after.state === 'up') this.#log.info(fields, 'endpoint is up');
    else this.#log.warn(fields, 'endpoint is down');
  }

  resolution(host: string, backends: readonly string[], before: Lasting, after: Lasting): void {
    const fields = { host, backends: listed(backends), ...transition(before, after) };
    if (after.state === 'resolved') this.#log.info(fields, 'name resolved');
    else if (after.state === 'stale')
      this.#log.warn(fields, 'name not resolved, its last addresses stay in use');
    else this.#log.warn(fields, 'name not resolved');
  }

  addresses(host: string, added: readonly string[], removed: readonly string[]): void {
    if (added.length === 0 && removed.length === 0) return;
    this.#log.info({ host, added: listed(added), removed: listed(removed) }, 'addresses changed');
  }

  ejection(backend: string, endpoint: string, before: Lasting, after: Lasting): void {
    const fields = { endpoint, backend, ...transition(before, after) };
    if (after.state === 'ejected') this.#log.warn(fields, 'endpoint is ejected');
    else this.#log.info(fields, 'endpoint is back from its ejection');
  }

  drain(backend: string, endpoint: string, before: Lasting, after: Lasting): void {
    const fields = { endpoint, backend, ...transition(before, after) };
    this.#log.info(fields, after.state === 'drain' ? 'endpoint is drained' : 'endpoint is ready again');
  }

  circuit(backend: string, before: Lasting, after: Lasting): void {
    const fields = { backend, ...transition(before, after) };
    if (after.state === 'open') this.#log.warn(fields, 'backend has no available endpoint');
    else if (after.state === 'panic') this.#log.warn(fields, 'backend has too few healthy endpoints');
    else if (before.state === 'open') this.#log.info(fields, 'backend has an available endpoint again');
    else if (after.state === 'degraded') this.#log.warn(fields, 'backend is degraded');
    else this.#log.info(fields, 'backend has all of its endpoints again');
  }

  /** This host lacks what a check needs. It concerns every endpoint at once, so it is said now and then only. */
  shortage(endpoint: string, reason: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#shortageAt < SHORTAGE_EVERY_MS) return;
    this.#shortageAt = now;
    this.#log.warn({ endpoint, reason }, 'endpoint could not be checked, its health stays as it was');
  }
}

function transition(before: Lasting, after: Lasting) {
  // The wall clock may have been set back meanwhile.
  const ms = Math.max(0, after.since - before.since);
  return {
    from: before.state,
    to: after.state,
    reason: after.reason,
    lasted: formatDuration(ms < 1_000 ? Math.round(ms) : Math.round(ms / 1_000) * 1_000),
  };
}

function listed(items: readonly string[]): string[] {
  if (items.length <= MAX_LISTED) return [...items];
  return [...items.slice(0, MAX_LISTED), `and ${items.length - MAX_LISTED} more`];
}
