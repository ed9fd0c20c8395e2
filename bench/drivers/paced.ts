/**
 * Load at a fixed rate, for latency. autocannon's `overallRate` sends each second's requests in one burst at its
 * start, which measures the burst; here they are spread evenly, and each is timed from when it was due, so that a
 * proxy that stalls cannot hide the requests it kept from being sent.
 */

import { fileURLToPath } from 'node:url';
import type { Load, LoadResult } from './driver.ts';
import { runChild } from './run-child.ts';

const PROCESS = fileURLToPath(new URL('./paced-process.ts', import.meta.url));

export interface PacedLoad extends Load {
  /** Requests a second. */
  readonly rate: number;
  /** Of `seconds`, how many pass before what is due is timed: connections are new, and so is this process. Default: 0. */
  readonly settle?: number;
}

export function drivePaced(load: PacedLoad, core: number | undefined): Promise<LoadResult> {
  return runChild(process.execPath, [PROCESS], {
    core,
    seconds: load.seconds,
    input: JSON.stringify(load),
    parse: (text) => JSON.parse(text) as LoadResult,
  });
}
