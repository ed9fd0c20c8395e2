import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  CLEAN,
  comeBack,
  eject,
  isRefuted,
  mayEject,
  type OutlierRecord,
  timesNow,
} from '../../../src/backends/outlier.ts';
import type { OutlierConfig } from '../../../src/config/schema.ts';

const SETTINGS: OutlierConfig = {
  enabled: true,
  gatewayFailures: 5,
  connectFailures: 3,
  baseEjection: 30_000,
  maxEjection: 300_000,
  maxEjectionPercent: 50,
};

const at = (ms: number) => ({ now: 1_000_000 + ms, monotonic: ms });

/** Lengths of ejections that follow each other without a pause. */
function lengths(count: number, random: number): number[] {
  let record = CLEAN;
  let time = 0;
  return Array.from({ length: count }, () => {
    record = eject(record, 'connect', SETTINGS, at(time), random);
    const length = record.ejection!.deadline - time;
    time += length;
    record = comeBack(record, at(time));
    return length;
  });
}

describe('an ejection', () => {
  test('lasts the base time, twice as long each time it follows at once, and never longer than the longest', () => {
    assert.deepEqual(lengths(6, 0), [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
  });

  test('is shortened at random by a tenth at most, so that endpoints do not come back in step', () => {
    assert.deepEqual(lengths(2, 1), [27_000, 54_000]);
  });

  test('says why, since when and until when', () => {
    const { ejection } = eject(CLEAN, 'gateway', SETTINGS, at(500), 0);
    assert.deepEqual(ejection, {
      cause: 'gateway',
      reason: '5 answers of 502, 503 or 504 in a row',
      since: 1_000_500,
      until: 1_030_500,
      deadline: 30_500,
    });
    assert.equal(
      eject(CLEAN, 'connect', SETTINGS, at(0), 0).ejection!.reason,
      '3 requests in a row without a response',
    );
  });

  test('is forgiven one at a time, for each base time in quiet', () => {
    const record: OutlierRecord = { times: 3, ejection: undefined, returnedAt: 1_000 };
    assert.deepEqual(
      [1_000, 30_999, 31_000, 61_000, 91_000, 10_000_000].map((now) => timesNow(record, 30_000, now)),
      [3, 3, 2, 1, 0, 0],
    );
    assert.equal(eject(record, 'connect', SETTINGS, at(61_000), 0).times, 2);
  });

  test('under way is not prolonged by further failures', () => {
    const first = eject(CLEAN, 'connect', SETTINGS, at(0), 0);
    assert.equal(eject(first, 'gateway', SETTINGS, at(5_000), 0), first);
  });

  test('by connect ends with a good HTTP check that began after it; no other check ends one', () => {
    const ejected = (cause: 'connect' | 'gateway') => eject(CLEAN, cause, SETTINGS, at(0), 0).ejection!;
    const good = { ok: true, at: 1_000_100, durationMs: 50 };
    assert.equal(isRefuted(ejected('connect'), good, true), true);
    assert.equal(isRefuted(ejected('connect'), { ...good, durationMs: 100 }, true), false);
    assert.equal(isRefuted(ejected('connect'), { ...good, ok: false }, true), false);
    assert.equal(isRefuted(ejected('connect'), good, false), false);
    assert.equal(isRefuted(ejected('gateway'), good, true), false);
  });
});

test('endpoints are ejected up to the share, at least one, never the last usable one, and none when it is off', () => {
  const may = (endpoints: number, ejected: number, usableOthers: number, changes = {}) =>
    mayEject({ endpoints, ejected, usableOthers }, { ...SETTINGS, ...changes });
  assert.equal(may(4, 0, 3), true);
  assert.equal(may(4, 1, 2), true);
  assert.equal(may(4, 2, 1), false);
  assert.equal(may(2, 0, 1), true);
  assert.equal(may(10, 0, 9, { maxEjectionPercent: 5 }), true);
  assert.equal(may(10, 1, 8, { maxEjectionPercent: 5 }), false);
  assert.equal(may(1, 0, 0), false);
  assert.equal(may(10, 0, 0), false);
  assert.equal(may(10, 0, 9, { maxEjectionPercent: 0 }), false);
  assert.equal(may(10, 0, 9, { enabled: false }), false);
});

test('after any history every ejection is within its bounds, and a quiet endpoint has a clean record in the end', () => {
  const settings = fc.record({
    baseEjection: fc.integer({ min: 100, max: 3_600_000 }),
    maxEjection: fc.integer({ min: 100, max: 86_400_000 }),
  });
  const step = fc.record({
    wait: fc.integer({ min: 0, max: 7_200_000 }),
    cause: fc.constantFrom('gateway' as const, 'connect' as const),
    random: fc.double({ min: 0, max: 0.999_999, noNaN: true }),
    early: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(settings, fc.array(step, { maxLength: 60 }), (bounds, steps) => {
      const config = { ...SETTINGS, ...bounds };
      let record = CLEAN;
      let time = 0;
      for (const { wait, cause, random, early } of steps) {
        time += wait;
        const before = timesNow(record, config.baseEjection, time);
        record = eject(record, cause, config, at(time), random);
        assert.equal(record.times, before + 1);
        const length = record.ejection!.deadline - time;
        const full = Math.min(config.baseEjection * 2 ** before, config.maxEjection);
        assert.ok(length <= full && length >= Math.floor(full * 0.9), `${length} of ${full}`);
        assert.equal(record.ejection!.until - record.ejection!.since, length);
        time += Math.floor(length * early);
        record = comeBack(record, at(time));
      }
      assert.equal(timesNow(record, config.baseEjection, time + config.baseEjection * steps.length), 0);
    }),
  );
});
