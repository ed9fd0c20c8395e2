import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  drawAtRandom,
  drawBackend,
  everyBackend,
  newRotation,
  type Rotation,
} from '../../../src/routing/split.ts';

const weightLists = fc
  .array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 6 })
  .filter((weights) => weights.some((weight) => weight > 0));

function draw(weights: readonly number[], rotation: Rotation, count: number): number[] {
  return Array.from({ length: count }, () => drawBackend(weights, rotation.turns, everyBackend));
}

describe('smooth weighted round robin', () => {
  it('gives 5 and 95 of every 100 consecutive requests, at whatever phase it starts', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(300), (phase, offset) => {
        const weights = [5, 95];
        const rotation = newRotation(weights, phase);
        draw(weights, rotation, offset);
        const canary = draw(weights, rotation, 100).filter((index) => index === 0).length;
        assert.equal(canary, 5);
      }),
    );
  });

  it('gives every backend exactly its weight in every window of one cycle', () => {
    fc.assert(
      fc.property(weightLists, fc.nat(500), (weights, offset) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const rotation = newRotation(weights, 0.37);
        draw(weights, rotation, offset);
        const counts = weights.map(() => 0);
        for (const index of draw(weights, rotation, total)) counts[index]!++;
        assert.deepEqual(counts, weights);
      }),
    );
  });

  it('starts at different phases, so that restarts do not starve the canary', () => {
    const firsts = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const rotation = newRotation([5, 95], i / 20);
      firsts.add(draw([5, 95], rotation, 20).indexOf(0));
    }
    assert.equal(firsts.size, 20);
  });

  it('gives the share of an unusable backend to the others in proportion, and nothing to weight 0', () => {
    const weights = [50, 30, 20, 0];
    const rotation = newRotation(weights, 0);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 500; i++) counts[drawBackend(weights, rotation.turns, (index) => index !== 0)]!++;
    assert.deepEqual(counts, [0, 300, 200, 0]);
  });

  it('says so when nothing is usable', () => {
    assert.equal(
      drawBackend([1, 2], newRotation([1, 2], 0).turns, () => false),
      -1,
    );
    assert.equal(drawAtRandom([0, 0], 0.5, everyBackend), -1);
  });

  it('never draws at random what has no weight or is unusable', () => {
    fc.assert(
      fc.property(
        weightLists,
        fc.double({ min: 0, max: 0.9999, noNaN: true }),
        fc.nat(5),
        (weights, random, down) => {
          const index = drawAtRandom(weights, random, (i) => i !== down);
          const possible = weights.some((weight, i) => weight > 0 && i !== down);
          if (possible) assert.ok(weights[index]! > 0 && index !== down);
          else assert.equal(index, -1);
        },
      ),
    );
  });
});
