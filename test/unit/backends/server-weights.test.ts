import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { srvFactors, srvRanks, weightsOf } from '../../../src/backends/server-weights.ts';

const plain = (...weights: number[]) =>
  weightsOf(weights.map((serverWeight) => ({ serverWeight, factor: 1 })));

test('weights of servers are told as small as they can be', () => {
  assert.deepEqual(plain(1, 1, 1), [1, 1, 1]);
  assert.deepEqual(plain(100, 50), [2, 1]);
  assert.deepEqual(plain(3, 5), [3, 5]);
  assert.deepEqual(plain(), []);
});

test('weights of SRV records share what their server has, each priority by itself', () => {
  const targets = [
    { priority: 10, weight: 60 },
    { priority: 10, weight: 20 },
    { priority: 20, weight: 7 },
  ];
  assert.deepEqual(srvFactors(targets), [1.5, 0.5, 1]);
  assert.deepEqual(srvRanks(targets), [0, 0, 1]);
  assert.deepEqual(weightsOf(srvFactors(targets).map((factor) => ({ serverWeight: 2, factor }))), [3, 1, 2]);
});

test('SRV weights of 0 throughout are all alike; beside others 0 is the least there is', () => {
  const of = (...weights: number[]) =>
    weightsOf(
      srvFactors(weights.map((weight) => ({ priority: 0, weight }))).map((factor) => ({
        serverWeight: 1,
        factor,
      })),
    );
  assert.deepEqual(of(0, 0), [1, 1]);
  const [least, most] = of(0, 100);
  assert.ok(least === 1 && most! >= 100);
});

test('whatever the records say, weights are whole numbers of at least 1 in the right order', () => {
  const target = fc.record({ priority: fc.nat({ max: 2 }), weight: fc.nat({ max: 65_535 }) });
  fc.assert(
    fc.property(
      fc.array(target, { maxLength: 12 }),
      fc.integer({ min: 1, max: 256 }),
      (targets, serverWeight) => {
        const factors = srvFactors(targets);
        const weights = weightsOf(factors.map((factor) => ({ serverWeight, factor })));
        for (const [i, weight] of weights.entries()) {
          assert.ok(Number.isSafeInteger(weight) && weight >= 1, String(weight));
          for (const [j, other] of weights.entries()) {
            const a = targets[i]!;
            const b = targets[j]!;
            if (a.priority === b.priority && a.weight >= b.weight) assert.ok(weight >= other);
          }
        }
        const ranks = srvRanks(targets);
        for (const [i, a] of targets.entries()) {
          for (const [j, b] of targets.entries()) {
            assert.equal(Math.sign(ranks[i]! - ranks[j]!), Math.sign(a.priority - b.priority));
          }
        }
      },
    ),
  );
});
