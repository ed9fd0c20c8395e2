/**
 * The latest requests that failed, for people: bounded, and without anything that names a user. Neither the client's
 * address nor the query is kept, and parts of the path that may be an id are left out.
 */

import type { AccessRecord, FailureStore } from './access-log.ts';

export interface FailedRequest {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly method: string;
  /** `/users/…/orders` */
  readonly path: string;
  readonly group: string | null;
  readonly route: string | null;
  readonly backend: string | null;
  readonly endpoint: string | null;
  /** Null when nothing could be answered any more. */
  readonly status: number | null;
  /** Machine-readable; null when the upstream itself answered with 5xx. */
  readonly reason: string | null;
  /** Who ended it and when, as in the access log. */
  readonly termination: string;
  readonly retries: number;
  readonly durationMs: number | null;
  /** To find its line in the access log. */
  readonly requestId: string | null;
}

/** Kept in one process until they are taken, and shown at most. */
export const MAX_FAILURES = 50;

const MAX_TEXT = 64;

export class RecentFailures implements FailureStore {
  readonly #ring: FailedRequest[] = [];

  add(record: AccessRecord, at: number): void {
    if (this.#ring.length >= MAX_FAILURES) this.#ring.shift();
    this.#ring.push({
      at,
      method: clipped(record.method) ?? '',
      path: pathShape(record.path),
      group: clipped(record.group),
      route: record.route ?? null,
      backend: record.backend ?? null,
      endpoint: record.endpoint ?? null,
      status: record.status ?? null,
      reason: record.reason ?? null,
      termination: record.termination,
      retries: record.retries,
      durationMs: record.totalMs === undefined ? null : Math.round(record.totalMs * 10) / 10,
      requestId: clipped(record.requestId),
    });
  }

  /** Those since the last time, oldest first. */
  take(): FailedRequest[] {
    return this.#ring.splice(0);
  }
}

/** The newest of both, newest last. */
export function latestFailures(
  known: readonly FailedRequest[],
  more: readonly FailedRequest[],
): readonly FailedRequest[] {
  if (more.length === 0) return known;
  return [...known, ...more].sort((a, b) => a.at - b.at).slice(-MAX_FAILURES);
}

const MAX_SEGMENTS = 8;

/** The path with `…` for every part that holds a digit (save versions such as `v2`) or is too long to be a word. */
export function pathShape(target: string): string {
  const path = target.split(/[?#]/, 1)[0]!.slice(0, 2_048);
  const segments = path.split('/');
  const shown = segments.slice(0, MAX_SEGMENTS + 1).map((segment) => (isWord(segment) ? segment : '…'));
  if (segments.length > shown.length) shown.push('…');
  return shown.join('/');
}

function isWord(segment: string): boolean {
  return /^v\d{1,3}$/i.test(segment) || /^[A-Za-z._-]{0,24}$/.test(segment);
}

function clipped(text: string | undefined): string | null {
  return text === undefined ? null : text.slice(0, MAX_TEXT);
}
