/**
 * Ejection of endpoints on which traffic fails, pure: how long, how many at once, and what ends it. Envoy's outlier
 * detection for consecutive failures, with times that double instead of growing by one base time each.
 */

import type { OutlierConfig } from '../config/schema.ts';

/** `gateway`: answers 502, 503 or 504; `connect`: no response at all (refused, reset, timed out). */
export type OutlierCause = 'gateway' | 'connect';

export interface Ejection {
  readonly cause: OutlierCause;
  readonly reason: string;
  /** Epoch milliseconds, for people. */
  readonly since: number;
  readonly until: number;
  /** When it ends by the monotonic clock, which is what ends it. */
  readonly deadline: number;
}

/** What one endpoint has on its record. */
export interface OutlierRecord {
  /** Ejections that count towards the length of the next one, the running one included. */
  readonly times: number;
  readonly ejection: Ejection | undefined;
  /** When the last ejection ended, by the monotonic clock. */
  readonly returnedAt: number;
}

/** The endpoints of a backend that configuration does not keep from traffic. */
export interface Fleet {
  readonly endpoints: number;
  readonly ejected: number;
  /** Endpoints that would still take requests, if this one were ejected. */
  readonly usableOthers: number;
}

export interface Moment {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly monotonic: number;
}

/** Share of an ejection by which it is shortened at random, so that endpoints do not come back in step. */
const JITTER = 0.1;

export const CLEAN: OutlierRecord = { times: 0, ejection: undefined, returnedAt: 0 };

/** Whether one more endpoint may be ejected: one always may, unless it is the last or the share is 0. */
export function mayEject(fleet: Fleet, { enabled, maxEjectionPercent }: OutlierConfig): boolean {
  if (!enabled || maxEjectionPercent === 0 || fleet.usableOthers < 1) return false;
  const most = Math.max(1, Math.floor((fleet.endpoints * maxEjectionPercent) / 100));
  return fleet.ejected < most;
}

/**
 * The record after one more ejection; one that is ejected already stays as it is.
 * @param random uniform in [0, 1)
 */
export function eject(
  record: OutlierRecord,
  cause: OutlierCause,
  settings: OutlierConfig,
  { now, monotonic }: Moment,
  random: number,
): OutlierRecord {
  if (record.ejection !== undefined) return record;
  const times = timesNow(record, settings.baseEjection, monotonic) + 1;
  // 2^31 is beyond every `maxEjection`; higher powers would only lose precision.
  const grown = settings.baseEjection * 2 ** Math.min(times - 1, 31);
  const length = Math.round(Math.min(grown, settings.maxEjection) * (1 - JITTER * random));
  const reason =
    cause === 'gateway'
      ? `${settings.gatewayFailures} answers of 502, 503 or 504 in a row`
      : `${settings.connectFailures} requests in a row without a response`;
  const ejection = { cause, reason, since: now, until: now + length, deadline: monotonic + length };
  return { times, ejection, returnedAt: record.returnedAt };
}

/** The record once the ejection is over: it counts against the endpoint for a while yet. */
export function comeBack(record: OutlierRecord, { monotonic }: Pick<Moment, 'monotonic'>): OutlierRecord {
  return { times: record.times, ejection: undefined, returnedAt: monotonic };
}

/** One ejection is forgiven for each base time that has passed in quiet. */
export function timesNow(record: OutlierRecord, baseEjection: number, monotonic: number): number {
  const quiet =
    record.ejection === undefined ? Math.floor((monotonic - record.returnedAt) / baseEjection) : 0;
  return Math.max(0, record.times - quiet);
}

/**
 * Whether a good check ends the ejection: an HTTP check that began after it has shown that the endpoint answers, which
 * is what was in doubt after `connect`. A TCP check shows less than the traffic that failed, and none of them what
 * `gateway` failures were about.
 */
export function isRefuted(
  ejection: Ejection,
  check: { readonly ok: boolean; readonly at: number; readonly durationMs: number },
  byHttp: boolean,
): boolean {
  return byHttp && check.ok && ejection.cause === 'connect' && check.at - check.durationMs > ejection.since;
}
