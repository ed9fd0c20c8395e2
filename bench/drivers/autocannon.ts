/** autocannon, closed loop: each connection sends its next request when the answer to the last has come. */

import { fileURLToPath } from 'node:url';
import type { Load, LoadResult } from './driver.ts';
import { runChild } from './run-child.ts';

const PROCESS = fileURLToPath(new URL('./autocannon-process.ts', import.meta.url));

export function driveAutocannon(load: Load, core: number | undefined): Promise<LoadResult> {
  return runChild(process.execPath, [PROCESS], {
    core,
    seconds: load.seconds,
    input: JSON.stringify(load),
    parse: (text) => JSON.parse(text) as LoadResult,
  });
}
