/** The promises of the schedule under any sequence of events, on a clock that stands still. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CheckLoop } from '../../../src/backends/check-loop.ts';
import { Gate } from '../../../src/backends/gate.ts';
import { initialHealth } from '../../../src/backends/health.ts';
import type { ProbeResult } from '../../../src/backends/probe-attempt.ts';
import { configSchema, type HealthConfig, healthOf } from '../../../src/config/schema.ts';
import { ManualClock, settle } from './fixtures/manual-clock.ts';

const DEFAULTS = healthOf(configSchema.parse({ backends: {}, routes: [{ name: 'all', split: {} }] }), '');

const outcome = fc.record({
  ok: fc.boolean(),
  local: fc.boolean(),
  durationMs: fc.integer({ min: 0, max: 5_000 }),
});

type Action =
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'reportFailure' }
  | { readonly kind: 'checkNow' };

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  fc.constant({ kind: 'reportFailure' as const }),
);
const anyAction = fc.oneof(
  { weight: 5, arbitrary: action },
  { weight: 1, arbitrary: fc.constant({ kind: 'checkNow' as const }) },
);

/** Runs the actions over probes that take as long as they say, and notes when each began and ended. */
async function run(
  actions: readonly Action[],
  outcomes: readonly Omit<ProbeResult, 'detail'>[],
  random: () => number,
) {
  const clock = new ManualClock();
  const begun: number[] = [];
  let running = 0;
  let mostAtOnce = 0;
  const settings: HealthConfig = { ...DEFAULTS, interval: 2_000, jitter: 0.5 };
  const loop = new CheckLoop(
    { kind: 'tcp', address: '127.0.0.1', port: 1, timeout: 5_000 },
    settings,
    initialHealth(0),
    {
      clock,
      random,
      gate: new Gate(1),
      probe: () => {
        const { ok, local, durationMs } = outcomes[begun.length % outcomes.length]!;
        begun.push(clock.monotonic());
        mostAtOnce = Math.max(mostAtOnce, ++running);
        return new Promise((resolve) => {
          clock.setTimeout(() => {
            running--;
            resolve({ ok, local, durationMs, detail: 'made up' });
          }, durationMs);
        });
      },
    },
    () => {},
  );
  loop.start();
  for (const step of actions) {
    if (step.kind === 'advance') await clock.advance(step.ms);
    else loop[step.kind]();
  }
  await settle();
  return { clock, begun, loop, settings, mostAtOnce: () => mostAtOnce };
}

const outcomes = fc.array(outcome, { minLength: 1, maxLength: 8 });
const randoms = fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 1, maxLength: 8 });

function cycle(values: readonly number[]): () => number {
  let next = 0;
  return () => values[next++ % values.length]!;
}

test('whatever happens, the first check is at once, no two are in flight, and there is always a next one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyAction, { maxLength: 25, size: 'max' }),
      outcomes,
      randoms,
      async (actions, results, values) => {
        const { begun, clock, mostAtOnce, loop, settings } = await run(actions, results, cycle(values));
        assert.equal(begun[0], 0);
        assert.equal(mostAtOnce(), 1);
        const before = begun.length;
        await clock.advance(settings.interval * (1 + settings.jitter) + 5_000);
        assert.ok(begun.length > before, 'another check follows');
        loop.stop();
        const stopped = begun.length;
        await clock.advance(60_000);
        assert.equal(begun.length, stopped, 'none follows once stopped');
        assert.equal(clock.pending, 0);
      },
    ),
    { numRuns: 150 },
  );
});

test('however many failures traffic reports, checks are a tenth of the interval apart at least', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 40, size: 'max' }),
      outcomes,
      randoms,
      async (actions, results, values) => {
        const { begun, settings } = await run(actions, results, cycle(values));
        for (let i = 1; i < begun.length; i++) {
          const gap = begun[i]! - begun[i - 1]!;
          assert.ok(gap >= settings.interval / 10 - 1e-6, `checks ${gap} ms apart`);
        }
      },
    ),
    { numRuns: 150 },
  );
});
