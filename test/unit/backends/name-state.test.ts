import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  afterResolution,
  type NameState,
  nextQuestionIn,
  pendingName,
  plainTargets,
  staticName,
} from '../../../src/backends/name-state.ts';
import type { Resolution } from '../../../src/backends/resolver.ts';

const BOUNDS = { minTtl: 1_000, maxTtl: 30_000 };

const answer = (addresses: string[], ttlMs = 5_000): Resolution => ({
  kind: 'answer',
  targets: plainTargets(addresses),
  ttlMs,
  omitted: 0,
});
const failed: Resolution = { kind: 'failure', reason: 'serverFailure', detail: 'SERVFAIL' };
const absent: Resolution = { kind: 'failure', reason: 'notFound', detail: 'no such name' };

const addressesOf = ({ targets }: NameState) => targets.map(({ address }) => address);

describe('what is known of a name', () => {
  test('an answer replaces the addresses', () => {
    const first = afterResolution(pendingName(0), answer(['10.0.0.1']), 10);
    const second = afterResolution(first, answer(['10.0.0.2', '10.0.0.3']), 20);
    assert.deepEqual(addressesOf(second), ['10.0.0.2', '10.0.0.3']);
    assert.equal(second.state, 'resolved');
    assert.equal(second.since, 10);
    assert.equal(second.answeredAt, 20);
    assert.equal(second.reason, '2 addresses');
  });

  test('a failure of any kind keeps the last good addresses and says why they are stale', () => {
    const good = afterResolution(pendingName(0), answer(['10.0.0.1']), 10);
    for (const resolution of [failed, absent]) {
      const stale = afterResolution(good, resolution, 20);
      assert.deepEqual(addressesOf(stale), ['10.0.0.1']);
      assert.equal(stale.state, 'stale');
      assert.equal(stale.since, 20);
      assert.equal(stale.answeredAt, 10);
      assert.equal(stale.reason, resolution.kind === 'failure' ? resolution.detail : '');
    }
  });

  test('a name that never resolved is failed, and resolves when it appears', () => {
    const failure = afterResolution(afterResolution(pendingName(0), absent, 5), absent, 6);
    assert.equal(failure.state, 'failed');
    assert.equal(failure.since, 5);
    assert.deepEqual(addressesOf(failure), []);
    const resolved = afterResolution(failure, answer(['10.0.0.1']), 9);
    assert.equal(resolved.state, 'resolved');
    assert.equal(resolved.since, 9);
    assert.equal(resolved.failures, 0);
  });

  test('says how many addresses were left out', () => {
    const state = afterResolution(
      pendingName(0),
      { kind: 'answer', targets: plainTargets(['10.0.0.1']), ttlMs: 1, omitted: 744 },
      1,
    );
    assert.equal(state.reason, '1 address, 744 more left out');
  });

  test('an address needs no question', () => {
    assert.deepEqual(addressesOf(staticName('10.0.0.1', 3)), ['10.0.0.1']);
    assert.equal(staticName('10.0.0.1', 3).state, 'static');
  });

  test('no sequence of failures takes an address away', () => {
    const resolution = fc.oneof(
      fc.constantFrom(failed, absent),
      fc.array(fc.ipV4(), { minLength: 1, maxLength: 4 }).map((addresses) => answer(addresses)),
    );
    fc.assert(
      fc.property(fc.array(resolution, { maxLength: 30 }), (resolutions) => {
        let state = pendingName(0);
        let last: readonly string[] = [];
        for (const next of resolutions) {
          state = afterResolution(state, next, 1);
          if (next.kind === 'answer') last = next.targets.map(({ address }) => address);
          assert.deepEqual(addressesOf(state), last);
          const expected = next.kind === 'answer' ? 'resolved' : last.length > 0 ? 'stale' : 'failed';
          assert.equal(state.state, expected);
        }
      }),
    );
  });
});

describe('when a name is asked for again', () => {
  const stale = (failures: number): NameState => {
    let state = afterResolution(pendingName(0), answer(['10.0.0.1']), 1);
    for (let i = 0; i < failures; i++) state = afterResolution(state, failed, 1);
    return state;
  };

  test('after the TTL, a little earlier at random', () => {
    const state = afterResolution(pendingName(0), answer(['10.0.0.1'], 20_000), 1);
    assert.equal(nextQuestionIn(state, BOUNDS, 0), 20_000);
    assert.equal(nextQuestionIn(state, BOUNDS, 0.5), 19_000);
  });

  test('after failures with a wait that doubles from minTtl up to maxTtl', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 60].map((failures) => nextQuestionIn(stale(failures), BOUNDS, 0));
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  test('every two seconds at most while there is no address at all, so that the name is found soon', () => {
    let state = pendingName(0);
    for (let i = 0; i < 20; i++) state = afterResolution(state, absent, 1);
    assert.equal(nextQuestionIn(state, BOUNDS, 0), 2_000);
    assert.equal(nextQuestionIn(state, { minTtl: 10_000, maxTtl: 60_000 }, 0), 10_000);
    assert.equal(nextQuestionIn(state, { minTtl: 100, maxTtl: 500 }, 0), 500);
  });

  test('never before minTtl, whatever happened', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (failures, a, b, random) => {
          const bounds = { minTtl: Math.min(a, b), maxTtl: Math.max(a, b) };
          const wait = nextQuestionIn({ ...stale(failures), ttlMs: bounds.minTtl }, bounds, random);
          assert.ok(wait >= bounds.minTtl && wait <= bounds.maxTtl, String(wait));
        },
      ),
    );
  });
});
