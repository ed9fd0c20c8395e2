import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatTraceparent, parseTraceparent } from '../../../src/tracing/traceparent.ts';

const GOOD = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''))
    .filter((text) => /[^0]/.test(text));

describe('traceparent', () => {
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, sampled) => {
        const parent = { traceId, spanId, sampled };
        assert.deepEqual(parseTraceparent(formatTraceparent(parent)), parent);
      }),
    );
  });

  it('is taken only as its grammar says: no single character may be another', () => {
    fc.assert(
      fc.property(fc.nat(54), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        const text = `${GOOD.slice(0, at)}${character}${GOOD.slice(at + 1)}`;
        const valid = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(
          text,
        );
        return (parseTraceparent(text) !== undefined) === valid;
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses zeros, upper case, version ff, missing and further parts', () => {
    for (const bad of [
      '',
      GOOD.slice(0, -1),
      `${GOOD}-extra`,
      `${GOOD} `,
      GOOD.toUpperCase(),
      `ff${GOOD.slice(2)}`,
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
      `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
      `cc${GOOD.slice(2)}.extra`,
      `cc${GOOD.slice(2)}-${'x'.repeat(600)}`,
    ]) {
      assert.equal(parseTraceparent(bad), undefined, bad);
    }
  });

  it('of a later version is taken without what it adds, and flags other than sampled say nothing', () => {
    assert.ok(parseTraceparent(`cc${GOOD.slice(2)}-what-the-future-brings`));
    assert.equal(parseTraceparent(`${GOOD.slice(0, 53)}fe`)?.sampled, false);
    assert.equal(parseTraceparent(`${GOOD.slice(0, 53)}ff`)?.sampled, true);
  });
});
