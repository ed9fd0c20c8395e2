/**
 * Which lane the tests are about: `npm test` runs those of the proxy over the fast one, which is the default, and then
 * once more with `TEST_LANE=full`.
 */

const asked = process.env['TEST_LANE'] ?? 'fast';
if (asked !== 'fast' && asked !== 'full') {
  throw new Error(`TEST_LANE must be fast or full, not ${JSON.stringify(asked)}`);
}

export const LANE: 'fast' | 'full' = asked;
