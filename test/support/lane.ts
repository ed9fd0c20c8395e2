/**
 * Which lane the tests are about: `npm test` runs those of the proxy over the fast one, which is the default, and then
 * once more with `TEST_LANE=full`.
 */

export type Lane = 'fast' | 'full';

const asked = process.env['TEST_LANE'] ?? 'fast';
if (asked !== 'fast' && asked !== 'full') {
  throw new Error(`TEST_LANE must be fast or full, not ${JSON.stringify(asked)}`);
}

export const LANE: Lane = asked;

/** Every lane, for suites that run over all of them in one go; with `TEST_LANE`, that one alone. */
export function lanes(): readonly Lane[] {
  return process.env['TEST_LANE'] === undefined ? ['fast', 'full'] : [LANE];
}
