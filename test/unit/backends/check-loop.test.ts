import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CheckLoop } from '../../../src/backends/check-loop.ts';
import type { HealthState } from '../../../src/backends/endpoint.ts';
import { Gate } from '../../../src/backends/gate.ts';
import { type EndpointHealth, initialHealth } from '../../../src/backends/health.ts';
import type { ProbeResult } from '../../../src/backends/probe-attempt.ts';
import { configSchema, type HealthConfig, healthOf } from '../../../src/config/schema.ts';
import { ManualClock, settle } from './fixtures/manual-clock.ts';

const HEALTH = healthOf(
  configSchema.parse({ backends: {}, routes: [{ name: 'all', split: {} }], health: { interval: '2s' } }),
  '',
);

const GOOD: ProbeResult = { ok: true, detail: 'connected', durationMs: 1, local: false };
const BAD: ProbeResult = { ok: false, detail: 'connection refused', durationMs: 1, local: false };

/** A loop over a probe that a test answers by hand or by a rule. */
function start({
  answer,
  random = () => 0.5,
  known,
  settings = {},
  gate = new Gate(10),
}: {
  answer?: () => ProbeResult;
  random?: () => number;
  known?: EndpointHealth;
  settings?: Partial<HealthConfig>;
  gate?: Gate;
} = {}) {
  const clock = new ManualClock();
  const startedAt: number[] = [];
  const states: HealthState[] = [];
  const open: ((result: ProbeResult) => void)[] = [];
  let most = 0;
  const signals: AbortSignal[] = [];
  const probe = (_: unknown, signal: AbortSignal) => {
    signals.push(signal);
    startedAt.push(clock.monotonic());
    if (answer !== undefined) return Promise.resolve(answer());
    return new Promise<ProbeResult>((resolve) => {
      open.push(resolve);
      most = Math.max(most, open.length);
    });
  };
  const loop = new CheckLoop(
    { kind: 'tcp', address: '127.0.0.1', port: 1, timeout: 1_000 },
    { ...HEALTH, ...settings },
    known ?? initialHealth(0),
    { clock, random, probe, gate },
    (_result, _before, after) => states.push(after.state),
  );
  loop.start();
  const end = async (result: ProbeResult) => {
    open.shift()!(result);
    await settle();
  };
  return { clock, loop, startedAt, states, end, open, signals, mostAtOnce: () => most };
}

describe('the checks of one endpoint', () => {
  test('begin at once, and go on at the interval from start to start', async () => {
    const { clock, startedAt } = start({ answer: () => GOOD });
    await clock.advance(10_000);
    // The second one is spread over the interval: 10 % of it at least, here with a random number of one half.
    assert.deepEqual(startedAt, [0, 1_100, 3_100, 5_100, 7_100, 9_100]);
  });

  test('are spread by the jitter', async () => {
    const low = start({ answer: () => GOOD, random: () => 0 });
    await low.clock.advance(4_000);
    assert.deepEqual(low.startedAt, [0, 200, 2_000, 3_800]);
    const high = start({ answer: () => GOOD, random: () => 0.999999 });
    await high.clock.advance(7_000);
    assert.deepEqual(
      high.startedAt.map((at) => Math.round(at)),
      [0, 2_000, 4_200, 6_400],
    );
  });

  test('never overlap, however slow one is and whoever asks for more', async () => {
    const { clock, loop, end, open, startedAt, mostAtOnce } = start();
    await clock.advance(30_000);
    loop.checkNow();
    loop.reportFailure();
    await clock.advance(30_000);
    assert.equal(open.length, 1);
    await end(GOOD);
    await clock.advance(0);
    assert.equal(startedAt.length, 2);
    assert.equal(mostAtOnce(), 1);
  });

  test('a failure on the data path brings the next check forward', async () => {
    const { clock, loop, startedAt } = start({ answer: () => GOOD });
    await clock.advance(1_900);
    loop.reportFailure();
    await clock.advance(100);
    assert.deepEqual(startedAt, [0, 1_100, 1_900]);
    await clock.advance(2_000);
    assert.deepEqual(startedAt, [0, 1_100, 1_900, 3_900]);
  });

  test('a stream of failures on the data path brings checks every tenth of the interval, no more', async () => {
    let result = GOOD;
    const { clock, loop, startedAt, states } = start({ answer: () => result });
    await clock.advance(50);
    result = BAD;
    for (let i = 0; i < 60; i++) {
      loop.reportFailure();
      await clock.advance(10);
    }
    assert.deepEqual(startedAt, [0, 200, 400, 600]);
    assert.deepEqual(states, ['up', 'up', 'up', 'down']);
  });

  test('an endpoint that is down is not checked more often because of reports', async () => {
    const { clock, loop, startedAt } = start({ answer: () => BAD });
    await clock.advance(10);
    for (let i = 0; i < 50; i++) {
      loop.reportFailure();
      await clock.advance(10);
    }
    assert.deepEqual(startedAt, [0]);
  });

  test('a report during a check is followed by one more, since that one may have begun before', async () => {
    const { clock, loop, end, startedAt } = start();
    await clock.advance(500);
    loop.reportFailure();
    await end(GOOD);
    assert.deepEqual(startedAt, [0, 500]);
  });

  test('what this host lacks says nothing about the endpoint', async () => {
    const shortage: ProbeResult = { ok: false, detail: 'not checked (EMFILE)', durationMs: 1, local: true };
    let result = GOOD;
    const { clock, loop } = start({ answer: () => result });
    await clock.advance(0);
    result = shortage;
    await clock.advance(60_000);
    assert.equal(loop.health.state, 'up');
    assert.equal(loop.health.checks.length, 1);
  });

  test('a health that is known already is kept, and checked again within an interval', async () => {
    const known: EndpointHealth = { ...initialHealth(0), state: 'up', reason: 'connected' };
    const { clock, loop, startedAt } = start({ answer: () => GOOD, known });
    assert.equal(loop.health.state, 'up');
    assert.equal(loop.tried, true);
    await clock.advance(2_000);
    assert.deepEqual(startedAt.slice(0, 1), [1_000]);
  });

  test('stop calls the check off, reports nothing more and leaves no timer', async () => {
    const { clock, loop, end, states, signals, startedAt } = start();
    loop.stop();
    assert.equal(signals[0]!.aborted, true);
    await end(BAD);
    loop.checkNow();
    loop.reportFailure();
    await clock.advance(60_000);
    assert.deepEqual(states, []);
    assert.equal(startedAt.length, 1);
    assert.equal(clock.pending, 0);
  });

  test('are at the fast interval while results contradict the state, and at the slow one while it is down', async () => {
    let result = GOOD;
    const { clock, startedAt, states } = start({
      answer: () => result,
      settings: { fastInterval: 500, downInterval: 10_000, jitter: 0 },
    });
    await clock.advance(1_000);
    result = BAD;
    await clock.advance(2_200);
    // Three failures, then down; two good ones, of which the second is at the fast interval.
    assert.deepEqual(startedAt, [0, 1_100, 1_600, 2_100]);
    assert.deepEqual(states, ['up', 'up', 'up', 'down']);
    result = GOOD;
    await clock.advance(11_400);
    assert.deepEqual(startedAt.slice(4), [12_100, 12_600, 14_600]);
    assert.deepEqual(states.slice(4), ['down', 'up', 'up']);
  });

  test('wait at the gate for others that came with them, and only the first of each', async () => {
    const gate = new Gate(1);
    const first = start({ gate });
    const second = start({ gate });
    second.loop.checkNow();
    second.loop.reportFailure();
    await second.clock.advance(5_000);
    assert.deepEqual([first.startedAt.length, second.startedAt.length], [1, 0]);
    await first.end(GOOD);
    assert.equal(second.startedAt.length, 1);
    // Second checks of both go on while the first one of another is held up.
    await first.clock.advance(2_000);
    assert.equal(first.startedAt.length, 2);
  });

  test('that are stopped at the gate leave it to the next one', async () => {
    const gate = new Gate(1);
    const [first, second, third] = [start({ gate }), start({ gate }), start({ gate })];
    second.loop.stop();
    first.loop.stop();
    await first.end(BAD);
    assert.deepEqual([second.startedAt.length, third.startedAt.length], [0, 1]);
  });
});
