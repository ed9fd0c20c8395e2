import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BOUNDARIES_MS,
  BUCKETS,
  bucketIndex,
  HistogramCell,
  percentile,
} from '../../../src/observe/histogram.ts';

const durations = fc.double({ min: 0, max: 1e6, noNaN: true });

test('the boundaries are decimal numbers as people write them, rising from 0.1 ms to 100 s', () => {
  assert.deepEqual(
    BOUNDARIES_MS.slice(0, 12),
    [0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8, 1, 1.25],
  );
  assert.equal(BOUNDARIES_MS.at(-1), 100_000);
  for (let i = 1; i < BOUNDARIES_MS.length; i++) assert.ok(BOUNDARIES_MS[i]! > BOUNDARIES_MS[i - 1]!);
  for (const ms of [30_000, 60_000]) assert.ok(BOUNDARIES_MS.includes(ms));
});

test('a value belongs to the first bucket whose upper bound is not below it', () => {
  fc.assert(
    fc.property(fc.oneof(durations, fc.constantFrom(...BOUNDARIES_MS)), (ms) => {
      const expected = BOUNDARIES_MS.findIndex((bound) => ms <= bound);
      assert.equal(bucketIndex(ms), expected === -1 ? BOUNDARIES_MS.length : expected);
    }),
  );
});

test('observing counts each value once and leaves out phases that were never reached', () => {
  const cell = new HistogramCell();
  for (const ms of [0, 0.1, 3, 1e9, -1, Number.NaN]) cell.observe(ms);
  assert.equal(cell.count, 4);
  assert.equal(
    cell.counts.reduce((a, b) => a + b),
    4,
  );
  assert.equal(cell.counts[0], 2);
  assert.equal(cell.counts[BUCKETS - 1], 1);
  assert.equal(cell.sum, 0.1 + 3 + 1e9);
});

test('a percentile lies within the bucket of the true one', () => {
  fc.assert(
    fc.property(
      fc.array(durations, { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, q) => {
        const cell = new HistogramCell();
        for (const ms of values) cell.observe(ms);
        const sorted = values.toSorted((a, b) => a - b);
        const truth = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
        const bucket = bucketIndex(truth);
        const estimate = percentile(cell.counts, q)!;
        const top = BOUNDARIES_MS.at(-1)!;
        assert.ok(estimate <= (BOUNDARIES_MS[bucket] ?? top), `${estimate} above the bucket of ${truth}`);
        assert.ok(estimate >= Math.min(top, BOUNDARIES_MS[bucket - 1] ?? 0), `${estimate} below ${truth}`);
      },
    ),
  );
});

test('percentiles rise with the quantile and are unknown where nothing was observed', () => {
  assert.equal(percentile(new HistogramCell().counts, 0.5), undefined);
  fc.assert(
    fc.property(fc.array(durations, { minLength: 1 }), (values) => {
      const cell = new HistogramCell();
      for (const ms of values) cell.observe(ms);
      let last = 0;
      for (let q = 0; q <= 1; q += 0.05) {
        const ms = percentile(cell.counts, q)!;
        assert.ok(ms >= last);
        last = ms;
      }
    }),
  );
});

test('interpolation is linear within a bucket', () => {
  const cell = new HistogramCell();
  for (let i = 0; i < 10; i++) cell.observe(9);
  assert.equal(percentile(cell.counts, 0.5), 9);
  assert.equal(percentile(cell.counts, 1), 10);
});
