/** Everything a test opens is closed again by whoever opened it. */

import { after } from 'node:test';

/**
 * Runs `task` when the running test has ended or, called outside of one, after the last test of the file. `task` must
 * be safe to call when its thing was closed before.
 */
export function cleanUp(task: () => unknown): void {
  after(async () => {
    await task();
  });
}
