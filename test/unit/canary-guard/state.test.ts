import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { followed, newGuard, notedTrip, released } from '../../../src/canary-guard/state.ts';
import { type Behaviour, SETTINGS, simulate } from './simulation.ts';

const GOOD: Behaviour = { perSecond: 190, errors: 0.002, medianMs: 20 };
const CANARY: Behaviour = { ...GOOD, perSecond: 10 };

/** A history of production, then the canary as it is to be tried. */
const after =
  (seconds: number, canary: Behaviour, main = GOOD) =>
  (at: number) =>
    at <= seconds ? { canary: CANARY, main: GOOD } : { canary, main };

const isLong = process.env['TEST_LONG'] === '1';

describe('the guard of a canary', () => {
  it('brakes a canary that begins to fail 10 % within 30 s, at 5 % of 200 requests a second', () => {
    const times = Array.from({ length: 200 }, (_, seed) => {
      const { happened } = simulate(seed, 200, after(60, { ...CANARY, errors: 0.1 }), SETTINGS, true);
      assert.equal(happened[0]?.effect.type, 'brake', `seed ${seed}`);
      return happened[0]!.at - 60;
    }).sort((a, b) => a - b);
    // Of 200 starts one may be a false alarm before the failures, never seen yet.
    assert.ok(times[0]! > 0);
    assert.ok(times.at(-1)! <= 30, `slowest of 200: ${times.at(-1)} s; median ${times[100]} s`);
  });

  it('brakes it within 3 s when all 200 requests a second are its own', () => {
    const own = { ...CANARY, perSecond: 200 };
    for (let seed = 0; seed < 50; seed++) {
      const { happened } = simulate(seed, 120, after(60, { ...own, errors: 0.1 }), SETTINGS, true);
      assert.ok(happened[0]!.at - 60 <= 3, `seed ${seed}: ${happened[0]!.at - 60} s`);
    }
  });

  it('brakes a canary that fails always after 20 requests, and not before', () => {
    const { happened } = simulate(1, 200, after(60, { ...CANARY, errors: 1 }), SETTINGS, true);
    assert.equal(happened[0]!.at - 60, 2);
    const { effect } = happened[0]!;
    assert.ok(effect.type === 'brake' && effect.verdict.requests >= 20);
  });

  it('brakes a canary that is twice as slow', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { happened } = simulate(seed, 300, after(60, { ...CANARY, medianMs: 40 }), SETTINGS, true);
      const [first] = happened;
      assert.ok(first?.effect.type === 'brake' && first.effect.verdict.cause === 'latency', `seed ${seed}`);
      assert.ok(first.at - 60 <= 60, `${first.at - 60} s`);
    }
  });

  it('leaves slowness alone when told so, and below the floor', () => {
    const slow = after(60, { ...CANARY, medianMs: 60 });
    assert.deepEqual(simulate(1, 600, slow, { ...SETTINGS, latency: false }).happened, []);
    assert.deepEqual(simulate(1, 600, slow, { ...SETTINGS, slowFloor: 5_000 }).happened, []);
  });

  it('does not brake a canary as good as production in 1,000,000 requests', () => {
    // As much traffic as its own is the least that production usually has: its rate is then known worst.
    let alarms = 0;
    for (const errors of [0, 0.005, 0.02]) {
      for (let seed = 0; seed < (isLong ? 100 : 1); seed++) {
        const canary = { perSecond: 50, errors, medianMs: 20 };
        const { happened } = simulate(seed, 20_000, () => ({ canary, main: canary }));
        alarms += happened.filter(({ effect }) => effect.type === 'brake').length;
      }
    }
    // TEST_LONG: of 300,000,000 requests; bench/guard.ts draws more.
    assert.ok(alarms <= (isLong ? 3 : 0), `${alarms} false alarms`);
  });

  it('does not brake a canary that fails with production at the same moment', () => {
    // A database that both need answers with errors for half a minute, every five minutes.
    const shared = (at: number) => {
      const errors = at % 300 < 30 && at > 300 ? 0.3 : 0.002;
      return { canary: { ...CANARY, errors }, main: { ...GOOD, errors } };
    };
    for (let seed = 0; seed < 10; seed++) {
      assert.deepEqual(simulate(seed, 3_000, shared, { ...SETTINGS, latency: false }).happened, []);
    }
  });

  it('judges nothing while production has answered less than a hundred requests', () => {
    const main = { ...GOOD, perSecond: 0.5 };
    const { happened } = simulate(1, 150, () => ({ canary: { ...CANARY, errors: 1 }, main }));
    assert.deepEqual(happened, []);
  });

  it('tries a small share after the hold, and gives the whole back once that is as good', () => {
    const { happened, state } = simulate(2, 2_000, (at) => ({
      canary: { ...CANARY, errors: at > 60 && at < 90 ? 0.3 : 0.002 },
      main: GOOD,
    }));
    assert.deepEqual(
      happened.map(({ effect }) => effect.type),
      ['brake', 'probe', 'recover'],
    );
    assert.equal(happened[1]!.at - happened[0]!.at, 30);
    assert.equal(state.phase, 'watching');
  });

  it('holds longer each time and latches at the third, and never moves again by itself', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { happened, state } = simulate(seed, 3_600, after(60, { ...CANARY, errors: 0.3 }));
      assert.deepEqual(
        happened.map(({ effect }) => effect.type),
        ['brake', 'probe', 'brake', 'probe', 'latch'],
        `seed ${seed}`,
      );
      assert.equal(happened[3]!.at - happened[2]!.at, 60);
      assert.equal(state.phase, 'latched');
      const again = released(state, 3_600_000);
      assert.deepEqual([again.phase, again.trips.length], ['watching', 0]);
      assert.ok(again.baseline.long.requests > 1_000);
    }
  });

  it('does not flap on a canary that is bad in every other minute', () => {
    const { happened } = simulate(3, 7_200, (at) => ({
      canary: { ...CANARY, errors: at % 120 < 60 ? 0.2 : 0.002 },
      main: GOOD,
    }));
    assert.ok(happened.length <= 8, JSON.stringify(happened.map(({ effect }) => effect.type)));
    assert.equal(happened.at(-1)!.effect.type, 'latch');
  });

  it('warns at most three times of a canary that stays bad, and once that it is good again', () => {
    const { happened } = simulate(
      4,
      7_200,
      (at) => ({ canary: { ...CANARY, errors: at > 60 && at < 3_600 ? 0.3 : 0.002 }, main: GOOD }),
      { ...SETTINGS, mode: 'warn' },
    );
    assert.deepEqual(
      happened.map(({ effect }) => effect.type).filter((type) => type !== 'probe'),
      ['brake', 'brake', 'latch', 'recover'],
    );
    assert.ok(happened.at(-1)!.at >= 3_600);
  });

  it('counts verdicts of other replicas towards the latch, and leaves the trial to them', () => {
    let state = notedTrip(notedTrip(newGuard(0), 1_000, SETTINGS), 2_000, SETTINGS);
    assert.deepEqual(state.trips, [1_000, 2_000]);
    state = followed({ ...state, phase: 'braked', until: 9_000 }, 3_000);
    assert.deepEqual([state.phase, state.trips], ['watching', [1_000, 2_000]]);
    assert.deepEqual(notedTrip(state, 2_000 + SETTINGS.latchWithin, SETTINGS).trips, [2_000, 1_802_000]);
  });
});
