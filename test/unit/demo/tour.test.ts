import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { captionOf, type Facts, moveOf, nextStep, type Position, TOUR } from '../../../src/demo/tour.ts';

const PACE = { holdMs: 1_000, maxHoldMs: 3_000, waitMs: 5_000 };
const FACTS: Facts = { canary: 'up', canaryWeight: 5, fileIsTheirs: false };

function at(id: string, state: Position['state']): Position {
  return { step: TOUR.findIndex((step) => step.id === id), state, since: 10_000 };
}

describe('the tour', () => {
  it('waits until the proxy says what the step is about', () => {
    const killed = at('killed', 'waiting');
    assert.equal(moveOf(killed, FACTS, 11_000, PACE, true), 'stay');
    assert.equal(moveOf(killed, { ...FACTS, canary: 'down' }, 11_000, PACE, true), 'hold');
    const restored = at('restored', 'waiting');
    assert.equal(moveOf(restored, { ...FACTS, canary: 'down' }, 11_000, PACE, true), 'stay');
    assert.equal(moveOf(restored, FACTS, 11_000, PACE, true), 'hold');
    const edited = at('edited', 'waiting');
    assert.equal(moveOf(edited, FACTS, 11_000, PACE, true), 'stay');
    assert.equal(moveOf(edited, { ...FACTS, canaryWeight: 25 }, 11_000, PACE, true), 'hold');
  });

  it('takes no status at all for not yet', () => {
    const nothing: Facts = { canary: undefined, canaryWeight: undefined, fileIsTheirs: false };
    for (const step of TOUR.keys()) {
      assert.equal(moveOf({ step, state: 'waiting', since: 0 }, nothing, 1, PACE, true), 'stay');
    }
  });

  it('gives up on what does not come true in time', () => {
    assert.equal(moveOf(at('killed', 'waiting'), FACTS, 14_999, PACE, true), 'stay');
    assert.equal(moveOf(at('killed', 'waiting'), FACTS, 15_000, PACE, true), 'stuck');
  });

  it('holds a step for its time, and longer while there is too little to judge, but not for ever', () => {
    const steady = at('steady', 'holding');
    assert.equal(moveOf(steady, FACTS, 10_999, PACE, true), 'stay');
    assert.equal(moveOf(steady, FACTS, 11_000, PACE, true), 'next');
    assert.equal(moveOf(steady, FACTS, 11_000, PACE, false), 'stay');
    assert.equal(moveOf(steady, FACTS, 13_000, PACE, false), 'next');
  });

  it('goes round, and keeps off a file that a person has changed', () => {
    const round = (facts: Facts) => {
      const steps = [TOUR[0]!.id];
      for (let step = nextStep(0, facts); step !== 0; step = nextStep(step, facts))
        steps.push(TOUR[step]!.id);
      return steps;
    };
    assert.deepEqual(round(FACTS), ['steady', 'killed', 'restored', 'edited']);
    const theirs = { ...FACTS, canaryWeight: 40, fileIsTheirs: true };
    assert.deepEqual(round(theirs), ['steady', 'killed', 'restored']);
    assert.equal(moveOf(at('steady', 'waiting'), theirs, 10_001, PACE, true), 'hold');
    assert.match(captionOf(at('steady', 'holding'), true), /^Your table is in force/);
    assert.match(captionOf(at('steady', 'holding'), false), /5 meet canary/);
    assert.match(captionOf(at('killed', 'holding'), true), /canary is down/);
  });
});
