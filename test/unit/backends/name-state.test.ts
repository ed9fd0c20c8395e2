import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  afterHold,
  afterResolution,
  type Hold,
  holdLeft,
  isDecided,
  type NameState,
  nextQuestionIn,
  pendingName,
  staticName,
} from '../../../src/backends/name-state.ts';
import type { Answer, FailureKind, Resolution } from '../../../src/backends/resolution.ts';
import { plainTargets } from '../../../src/backends/target.ts';

const BOUNDS = { minTtl: 1_000, maxTtl: 30_000 };

const answer = (addresses: string[], ttlMs = 5_000): Resolution => ({
  kind: 'answer',
  targets: plainTargets(addresses),
  ttlMs,
  omitted: 0,
});
const failed: Resolution = { kind: 'failure', reason: 'serverFailure', detail: 'SERVFAIL' };
const absent: Resolution = { kind: 'failure', reason: 'notFound', detail: 'no such name' };

const FOREVER: Hold = {
  notFound: Number.POSITIVE_INFINITY,
  noAddresses: Number.POSITIVE_INFINITY,
  serverFailure: Number.POSITIVE_INFINITY,
  refused: Number.POSITIVE_INFINITY,
  timeout: Number.POSITIVE_INFINITY,
  other: Number.POSITIVE_INFINITY,
};

/** Both clocks show `at`. */
const after = (before: NameState, resolution: Resolution, at: number, hold = FOREVER) =>
  afterResolution(before, resolution, { now: at, monotonic: at }, hold);

const addressesOf = ({ targets }: NameState) => targets.map(({ address }) => address);

describe('what is known of a name', () => {
  test('an answer replaces the addresses', () => {
    const first = after(pendingName(0), answer(['10.0.0.1']), 10);
    const second = after(first, answer(['10.0.0.2', '10.0.0.3']), 20);
    assert.deepEqual(addressesOf(second), ['10.0.0.2', '10.0.0.3']);
    assert.equal(second.state, 'resolved');
    assert.equal(second.since, 10);
    assert.equal(second.answeredAt, 20);
    assert.equal(second.reason, '2 addresses');
  });

  test('a failure of any kind keeps the last good addresses and says why they are stale', () => {
    const good = after(pendingName(0), answer(['10.0.0.1']), 10);
    for (const resolution of [failed, absent]) {
      const stale = after(good, resolution, 20);
      assert.deepEqual(addressesOf(stale), ['10.0.0.1']);
      assert.equal(stale.state, 'stale');
      assert.equal(stale.since, 20);
      assert.equal(stale.answeredAt, 10);
      assert.equal(stale.reason, resolution.kind === 'failure' ? resolution.detail : '');
    }
  });

  test('a name that never resolved is failed, and resolves when it appears', () => {
    const failure = after(after(pendingName(0), absent, 5), absent, 6);
    assert.equal(failure.state, 'failed');
    assert.equal(failure.since, 5);
    assert.deepEqual(addressesOf(failure), []);
    const resolved = after(failure, answer(['10.0.0.1']), 9);
    assert.equal(resolved.state, 'resolved');
    assert.equal(resolved.since, 9);
    assert.equal(resolved.failures, 0);
  });

  test('says how many addresses were left out', () => {
    const state = after(
      pendingName(0),
      { kind: 'answer', targets: plainTargets(['10.0.0.1']), ttlMs: 1, omitted: 744 },
      1,
    );
    assert.equal(state.reason, '1 address, 744 more left out');
  });

  test('says what could not be resolved of an answer', () => {
    const partial: Resolution = {
      ...(answer(['10.0.0.1']) as Answer),
      note: '1 host could not be resolved: b',
    };
    assert.equal(after(pendingName(0), partial, 1).reason, '1 address; 1 host could not be resolved: b');
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
          state = after(state, next, 1);
          if (next.kind === 'answer') last = next.targets.map(({ address }) => address);
          assert.deepEqual(addressesOf(state), last);
          const expected = next.kind === 'answer' ? 'resolved' : last.length > 0 ? 'stale' : 'failed';
          assert.equal(state.state, expected);
        }
      }),
    );
  });
});

describe('hold', () => {
  const failing = (reason: FailureKind): Resolution => ({
    kind: 'failure',
    reason,
    detail: `${reason} happened`,
  });
  const good = after(pendingName(0), answer(['10.0.0.1']), 1_000);

  for (const kind of Object.keys(FOREVER) as FailureKind[]) {
    test(`after ${kind} the last good addresses stay as long as hold.${kind} says, then the name is failed and says why`, () => {
      const hold = { ...FOREVER, [kind]: 10_000 };
      const stale = after(good, failing(kind), 31_000, hold);
      assert.deepEqual([stale.state, addressesOf(stale)], ['stale', ['10.0.0.1']]);
      assert.equal(holdLeft(stale, 31_000, hold), 10_000);
      assert.equal(afterHold(stale, { now: 40_999, monotonic: 40_999 }, hold), stale);
      const over = afterHold(stale, { now: 41_000, monotonic: 41_000 }, hold);
      assert.deepEqual([over.state, over.since, addressesOf(over)], ['failed', 41_000, []]);
      assert.equal(
        over.reason,
        `${kind} happened; the last addresses were given up after 10s (resolver.hold.${kind})`,
      );
      const still = after(over, failing('timeout'), 50_000, hold);
      assert.equal(
        still.reason,
        `timeout happened; the last addresses were given up after 10s (resolver.hold.${kind})`,
      );
      const back = after(still, answer(['10.0.0.2']), 60_000, hold);
      assert.deepEqual([back.state, back.reason, addressesOf(back)], ['resolved', '1 address', ['10.0.0.2']]);
      assert.equal(after(back, failing(kind), 61_000, hold).state, 'stale');
    });
  }

  test('the kind of the latest failure counts, from the first failure after the last good answer', () => {
    const hold = { ...FOREVER, notFound: 10_000, timeout: 60_000 };
    const silent = after(good, failing('timeout'), 30_000, hold);
    assert.equal(holdLeft(silent, 30_000, hold), 60_000);
    const soon = after(silent, failing('notFound'), 35_000, hold);
    assert.deepEqual([soon.state, holdLeft(soon, 35_000, hold)], ['stale', 5_000]);
    const later = after(silent, failing('notFound'), 45_000, hold);
    assert.deepEqual([later.state, addressesOf(later)], ['failed', []]);
    const mild = after(
      after(good, failing('notFound'), 30_000, hold),
      failing('serverFailure'),
      35_000,
      hold,
    );
    assert.equal(holdLeft(mild, 1e9, hold), Number.POSITIVE_INFINITY);
  });

  test('of 0 gives the addresses up at the first such failure, and no other', () => {
    const hold = { ...FOREVER, notFound: 0 };
    assert.equal(after(good, failing('notFound'), 2_000, hold).state, 'failed');
    assert.equal(after(good, failing('refused'), 2_000, hold).state, 'stale');
  });

  test('a wall clock that is set forward gives nothing up', () => {
    const hold = { ...FOREVER, timeout: 10_000 };
    const stale = after(good, failing('timeout'), 2_000, hold);
    assert.equal(afterHold(stale, { now: 1e12, monotonic: 3_000 }, hold), stale);
  });

  test('targets are there exactly while the latest kind of failure still holds them, whatever the sequence', () => {
    const kinds = Object.keys(FOREVER) as FailureKind[];
    const time = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 0, max: 100 }));
    const holds = fc.record(Object.fromEntries(kinds.map((kind) => [kind, time]))) as fc.Arbitrary<Hold>;
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 40 }),
      what: fc.oneof(fc.constantFrom(...kinds), fc.constant('answer' as const), fc.constant('time' as const)),
    });
    fc.assert(
      fc.property(holds, fc.array(step, { maxLength: 30 }), (hold, steps) => {
        let [at, state] = [0, pendingName(0)];
        let [has, first] = [false, -1];
        for (const { wait, what } of steps) {
          at += wait;
          if (what === 'answer') {
            state = after(state, answer(['10.0.0.1']), at, hold);
            [has, first] = [true, -1];
          } else {
            state =
              what === 'time'
                ? afterHold(state, { now: at, monotonic: at }, hold)
                : after(state, failing(what), at, hold);
            if (first === -1 && what !== 'time') first = at;
            if (has && state.failure !== undefined) has = at < first + hold[state.failure];
          }
          assert.equal(state.targets.length > 0, has);
          const hasNone = state.state === 'pending' || state.state === 'failed';
          assert.equal(hasNone, !has, state.state);
          const denied = state.failure === 'notFound' || state.failure === 'noAddresses';
          assert.equal(isDecided(state), has || (state.state === 'failed' && denied));
        }
      }),
    );
  });
});

describe('when a name is asked for again', () => {
  const stale = (failures: number): NameState => {
    let state = after(pendingName(0), answer(['10.0.0.1']), 1);
    for (let i = 0; i < failures; i++) state = after(state, failed, 1);
    return state;
  };

  test('after the TTL, a little earlier at random', () => {
    const state = after(pendingName(0), answer(['10.0.0.1'], 20_000), 1);
    assert.equal(nextQuestionIn(state, BOUNDS, 0), 20_000);
    assert.equal(nextQuestionIn(state, BOUNDS, 0.5), 19_000);
  });

  test('after failures with a wait that doubles from minTtl up to maxTtl', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 60].map((failures) => nextQuestionIn(stale(failures), BOUNDS, 0));
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  test('every two seconds at most while there is no address at all, so that the name is found soon', () => {
    let state = pendingName(0);
    for (let i = 0; i < 20; i++) state = after(state, absent, 1);
    assert.equal(nextQuestionIn(state, BOUNDS, 0), 2_000);
    assert.equal(nextQuestionIn(state, { minTtl: 10_000, maxTtl: 60_000 }, 0), 10_000);
    assert.equal(nextQuestionIn(state, { minTtl: 100, maxTtl: 500 }, 0), 500);
  });

  test('after a denial when the server says that it may have changed, within the same bounds', () => {
    const denied = (ttlMs: number): Resolution => ({ ...absent, ttlMs }) as Resolution;
    const had = after(pendingName(0), answer(['10.0.0.1']), 1);
    assert.equal(nextQuestionIn(after(had, denied(5_000), 2), BOUNDS, 0), 5_000);
    assert.equal(nextQuestionIn(after(had, denied(0), 2), BOUNDS, 0), 1_000);
    assert.equal(nextQuestionIn(after(had, denied(3_600_000), 2), BOUNDS, 0), 30_000);
    assert.equal(nextQuestionIn(after(pendingName(0), denied(3_600_000), 2), BOUNDS, 0), 2_000);
    assert.equal(nextQuestionIn(after(had, failed, 2), BOUNDS, 0), 1_000);
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
