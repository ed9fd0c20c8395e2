import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  calm,
  type LoadReading,
  nextLoadState,
  type OverloadLimits,
} from '../../../src/admission/overload.ts';

const LIMITS: OverloadLimits = { inFlight: 1_000, lateMs: 100, bufferedBytes: 1_000_000 };
const IDLE: LoadReading = { inFlight: 10, lateMs: 0, bufferedBytes: 0 };
const LATE: LoadReading = { inFlight: 500, lateMs: 300, bufferedBytes: 0 };

const readings = fc.record({
  inFlight: fc.integer({ min: 0, max: 3_000 }),
  lateMs: fc.integer({ min: 0, max: 400 }),
  bufferedBytes: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 2_000_000 }) },
  ),
});

function after(all: readonly LoadReading[], limits = LIMITS) {
  return all.reduce((state, reading) => nextLoadState(state, reading, limits), calm(limits));
}

suite('the ceiling of requests under way', () => {
  test('is the configured one while nothing is wrong', () => {
    assert.deepEqual(after([IDLE, IDLE]), calm(LIMITS));
  });

  test('stays at one late reading, which may be a pause, and falls below what is under way at the next', () => {
    assert.equal(after([LATE]).ceiling, 1_000);
    assert.deepEqual(after([LATE, LATE]), { ceiling: 400, cause: 'eventLoop', lateReadings: 2 });
    assert.equal(after([LATE, IDLE, LATE]).ceiling, 1_000, 'two that do not follow each other are pauses');
  });

  test('is nothing while buffers are over their bound, and what it was as soon as they are not', () => {
    const full = { ...IDLE, bufferedBytes: 1_000_001 };
    assert.deepEqual(after([full]), { ceiling: 0, cause: 'bufferedBytes', lateReadings: 0 });
    assert.deepEqual(after([full, IDLE]), calm(LIMITS));
  });

  test('is always between 0 and the configured one, and 0 for buffers alone', () => {
    fc.assert(
      fc.property(fc.array(readings, { maxLength: 60 }), (all) => {
        let state = calm(LIMITS);
        for (const reading of all) {
          state = nextLoadState(state, reading, LIMITS);
          assert.ok(state.ceiling >= 0 && state.ceiling <= LIMITS.inFlight);
          assert.equal(state.ceiling === 0, reading.bufferedBytes > LIMITS.bufferedBytes);
          assert.equal(state.cause === 'bufferedBytes', state.ceiling === 0);
        }
      }),
    );
  });

  test('never rises while the loop is late, and is free again a while after it was last', () => {
    fc.assert(
      fc.property(fc.array(readings, { maxLength: 60 }), (all) => {
        let state = calm(LIMITS);
        for (const reading of all) {
          const next = nextLoadState(state, { ...reading, bufferedBytes: 0 }, LIMITS);
          if (reading.lateMs > LIMITS.lateMs) assert.ok(next.ceiling <= state.ceiling);
          state = next;
        }
        for (let i = 0; i < 25; i++) state = nextLoadState(state, { ...IDLE, inFlight: 3_000 }, LIMITS);
        assert.deepEqual(state, calm(LIMITS));
      }),
    );
  });

  test('comes down to few for as long as the loop stays late, but not to none', () => {
    const state = after(Array.from({ length: 50 }, () => LATE));
    assert.ok(state.ceiling >= 1 && state.ceiling < 20, String(state.ceiling));
  });

  test('obeys a smaller bound that a reload brings', () => {
    assert.equal(nextLoadState(calm(LIMITS), IDLE, { ...LIMITS, inFlight: 5 }).ceiling, 5);
    const late = nextLoadState(after([LATE]), LATE, { ...LIMITS, inFlight: 5 });
    assert.equal(late.ceiling, 5);
  });
});
