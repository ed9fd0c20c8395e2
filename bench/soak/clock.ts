/** Milliseconds of the clock that all processes of one machine share and that nobody can set. */

import { performance } from 'node:perf_hooks';

const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export function monotonic(): number {
  return performance.now() + offset;
}
