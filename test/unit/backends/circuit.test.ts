import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { availabilityOf } from '../../../src/backends/availability.ts';
import { circuitOf } from '../../../src/backends/circuit.ts';
import type { HealthState } from '../../../src/backends/endpoint.ts';

/** `u` up, `d` down, `?` unchecked, `e` ejected, `x` drained; capitals are of the second tier. */
function of(states: string, panicThreshold = 50) {
  const health: Record<string, HealthState> = { d: 'down', '?': 'unchecked' };
  const endpoints = [...states].map((letter) => ({
    health: health[letter.toLowerCase()] ?? 'up',
    tier: letter === letter.toLowerCase() ? 0 : 1,
    drained: letter.toLowerCase() === 'x',
    ejected: letter.toLowerCase() === 'e',
  }));
  const { state, reason, healthyShare } = circuitOf(endpoints, panicThreshold, 'no such name');
  return [state, reason, Math.round(healthyShare * 100)];
}

test('a backend is closed while nothing is wrong, drained endpoints left aside', () => {
  assert.deepEqual(of('uu'), ['closed', '2 available', 100]);
  assert.deepEqual(of('uux'), ['closed', '2 available', 100]);
  assert.deepEqual(of('uU'), ['closed', '1 available', 100]);
  assert.deepEqual(of('??'), ['closed', 'not checked yet', 100]);
  assert.deepEqual(of('u?????'), ['closed', '1 available', 100], 'a scale-up is no outage');
});

test('degraded when some endpoints are down or ejected, with backups that stand in too', () => {
  assert.deepEqual(of('uud'), ['degraded', '2 of 3 available; 1 down', 67]);
  assert.deepEqual(of('uude'), ['degraded', '2 of 4 available; 1 down, 1 ejected', 50]);
  assert.deepEqual(of('ddUU'), ['degraded', '2 of 4 available, which stand in for the others; 2 down', 100]);
});

test('in panic when fewer are healthy than the threshold, unless that is 0', () => {
  assert.deepEqual(of('udd'), ['panic', '1 of 3 available; 2 down; 33 % healthy is less than 50 %', 33]);
  assert.equal(of('udd', 0)[0], 'degraded');
  assert.equal(of('ud')[0], 'degraded', 'half of two is not less than 50 %');
});

test('open when none is available, and says why', () => {
  assert.deepEqual(of('dd'), ['open', 'none available: 2 down', 0]);
  assert.deepEqual(of('de'), ['open', 'none available: 1 down, 1 ejected', 0]);
  assert.deepEqual(of('xx'), ['open', 'every endpoint is drained', 0]);
  assert.deepEqual(of(''), ['open', 'no endpoints: no such name', 0]);
});

test('the circuit agrees with what traffic does: open exactly when nothing is available', () => {
  const endpoint = fc.record({
    health: fc.constantFrom<HealthState>('up', 'down', 'unchecked'),
    tier: fc.nat({ max: 2 }),
    drained: fc.boolean(),
    ejected: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(endpoint, { maxLength: 8 }), fc.nat({ max: 100 }), (endpoints, threshold) => {
      const { state, reason } = circuitOf(endpoints, threshold, 'none');
      const { available, healthyPercent } = availabilityOf(endpoints);
      assert.equal(state === 'open', available.length === 0);
      if (available.length > 0) assert.equal(state === 'panic', healthyPercent < threshold);
      const isWhole = endpoints.every(
        ({ drained, health, ejected }) => drained || (health !== 'down' && !ejected),
      );
      if (available.length > 0 && isWhole) assert.equal(state, 'closed');
      assert.notEqual(reason, '');
    }),
  );
});
