import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { RateTable } from '../../../src/admission/rate-table.ts';
import { bucketShape, retryAfterSeconds, take, waitFor } from '../../../src/admission/token-bucket.ts';

const shapes = fc.record({
  rate: fc.double({ min: 0.01, max: 10_000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 1_000 }),
});
/** Milliseconds between requests, many of them none. */
const gaps = fc.array(
  fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 100_000 })),
  { minLength: 1, maxLength: 200 },
);

/** A bucket that is filled drop by drop, as textbooks have it. */
function modelOf(rate: number, burst: number) {
  let tokens = burst;
  let at = 0;
  return (now: number): { passes: boolean; tokens: number } => {
    tokens = Math.min(burst, tokens + ((now - at) / 1_000) * rate);
    at = now;
    const passes = tokens >= 1;
    const before = tokens;
    if (passes) tokens--;
    return { passes, tokens: before };
  };
}

suite('a token bucket', () => {
  test('passes what the textbook bucket passes', () => {
    fc.assert(
      fc.property(shapes, gaps, ({ rate, burst }, waits) => {
        const shape = bucketShape(rate, burst);
        const model = modelOf(rate, burst);
        let fullAt = Number.NEGATIVE_INFINITY;
        let now = 0;
        for (const wait of waits) {
          now += wait;
          const { passes, tokens } = model(now);
          const next = take(shape, fullAt, now);
          // At exactly one token the two round differently, and from then on they may be one token apart.
          if (Math.abs(tokens - 1) < 1e-6 + rate * 2e-6) return;
          assert.equal(next !== -1, passes, `${tokens} tokens at ${now}`);
          if (next !== -1) fullAt = next;
        }
      }),
    );
  });

  test('passes in no stretch of time more than its burst and what came meanwhile', () => {
    fc.assert(
      fc.property(shapes, gaps, ({ rate, burst }, waits) => {
        const shape = bucketShape(rate, burst);
        const passed: number[] = [];
        let fullAt = Number.NEGATIVE_INFINITY;
        let now = 0;
        for (const wait of waits) {
          now += wait;
          const next = take(shape, fullAt, now);
          if (next === -1) continue;
          fullAt = next;
          passed.push(now);
        }
        for (const [i, from] of passed.entries()) {
          for (let j = i; j < passed.length; j++) {
            const most = burst + ((passed[j]! - from) / 1_000) * rate;
            assert.ok(j - i + 1 <= most + 1e-3 + rate * 2e-6, `${j - i + 1} from ${from} to ${passed[j]}`);
          }
        }
      }),
    );
  });

  test('has a token after the wait that it names, and none a moment before', () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0, max: 1e9 }), ({ rate, burst }, start) => {
        const shape = bucketShape(rate, burst);
        let fullAt = Number.NEGATIVE_INFINITY;
        for (let i = 0; i < burst; i++) fullAt = take(shape, fullAt, start);
        assert.notEqual(fullAt, -1, 'the whole burst passes at once');
        assert.equal(take(shape, fullAt, start), -1);
        const wait = waitFor(shape, fullAt, start);
        assert.notEqual(take(shape, fullAt, start + wait), -1);
        if (wait > 1) assert.equal(take(shape, fullAt, start + wait - Math.min(1, wait / 2)), -1);
      }),
    );
  });

  test('asks clients to wait for whole seconds, one to an hour', () => {
    assert.deepEqual([0, 1, 1_000, 1_001, 1e12].map(retryAfterSeconds), [1, 1, 1, 2, 3_600]);
  });
});

suite('a table of buckets', () => {
  test('treats every key as a bucket of its own would be treated, while it has room', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 19 }), fc.integer({ min: 0, max: 30 })), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(shapes, steps, ({ rate, burst }, requests) => {
        const shape = bucketShape(rate, burst);
        const table = new RateTable(shape, 40);
        const alone = new Map<number, number>();
        let now = 0;
        for (const [key, wait] of requests) {
          now += wait;
          const next = take(shape, alone.get(key) ?? Number.NEGATIVE_INFINITY, now);
          if (next !== -1) alone.set(key, next);
          const verdict = table.take(String(key), now);
          assert.equal(verdict === 0, next !== -1);
          if (next === -1) assert.ok(verdict >= waitFor(shape, alone.get(key)!, now));
        }
        assert.equal(table.forgotten, 0);
      }),
    );
  });

  test('never holds more than it may, whatever keys come', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 500 }),
        (most, keys) => {
          const table = new RateTable(bucketShape(1, 1), most);
          for (const key of keys) {
            table.take(String(key), 0);
            assert.ok(table.size <= most, `${table.size} of ${most}`);
          }
        },
      ),
    );
  });

  test('keeps who is refused all the time, however many others come', () => {
    const table = new RateTable(bucketShape(0.001, 1), 100);
    assert.equal(table.take('flood', 0), 0);
    for (let i = 0; i < 10_000; i++) {
      assert.notEqual(table.take('flood', i / 100), 0);
      table.take(`other ${i}`, i / 100);
    }
    assert.ok(table.forgotten > 0, 'others were forgotten in debt, and that is counted');
  });
});
