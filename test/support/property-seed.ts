/**
 * Loaded before every test file (`node --import`): property tests draw the same inputs in every run, so that a change is
 * judged by what it changes. `TEST_SEED=random` looks further, and `TEST_SEED=<number>` repeats what it found.
 */

import fc from 'fast-check';

const asked = process.env['TEST_SEED'] ?? '20261123';

if (asked !== 'random') {
  const seed = Number(asked);
  if (!Number.isInteger(seed)) {
    throw new Error(`TEST_SEED must be an integer or "random", not ${JSON.stringify(asked)}`);
  }
  fc.configureGlobal({ seed });
}
