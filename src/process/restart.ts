/** Decides when a worker that died is started again. Pure. */

/** A worker that dies at once is started again after 100 ms, then 200, up to 10 s; one that lived a while, at once. */
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 10_000;
const LIVED_A_WHILE_MS = 10_000;

export interface Restart {
  /** Deaths in a row of workers that did not live a while, this one included. */
  readonly failuresInRow: number;
  /** Milliseconds to wait. */
  readonly delay: number;
}

/**
 * Returns when a worker is started again. The first death in a row causes no delay. Pure.
 *
 * @param failuresInRow deaths before this one
 * @param lived         milliseconds from the start of the worker to its death
 */
export function restartAfter(failuresInRow: number, lived: number): Restart {
  const failures = lived >= LIVED_A_WHILE_MS ? 0 : failuresInRow + 1;
  if (failures <= 1) return { failuresInRow: failures, delay: 0 };
  const delay = FIRST_BACKOFF_MS * 2 ** Math.min(failures - 2, 10);
  return { failuresInRow: failures, delay: Math.min(delay, MAX_BACKOFF_MS) };
}
