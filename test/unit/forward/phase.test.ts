import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mayFollow, NEXT_PHASES, type Phase } from '../../../src/forward/phase.ts';

const PHASES = Object.keys(NEXT_PHASES) as Phase[];

/** Returns every phase that an exchange in `from` can still enter. */
function reachable(from: Phase): Set<Phase> {
  const seen = new Set<Phase>();
  const left: Phase[] = [from];
  for (let phase = left.pop(); phase !== undefined; phase = left.pop()) {
    for (const next of NEXT_PHASES[phase]) {
      if (seen.has(next)) continue;
      seen.add(next);
      left.push(next);
    }
  }
  return seen;
}

describe('phases of an exchange', () => {
  it('reaches every phase from the first one', () => {
    assert.deepEqual([...reachable('reading'), 'reading'].sort(), [...PHASES].sort());
  });

  it('lists each next phase once, and never the phase itself', () => {
    for (const phase of PHASES) {
      const next = NEXT_PHASES[phase];
      assert.equal(new Set(next).size, next.length, phase);
      assert.equal(next.includes(phase), false, phase);
    }
  });

  it('leads from every phase to its end in one step', () => {
    for (const phase of PHASES) assert.equal(mayFollow(phase, 'done'), phase !== 'done', phase);
  });

  it('lets nothing follow the end', () => {
    assert.deepEqual(NEXT_PHASES.done, []);
    for (const phase of PHASES) assert.equal(mayFollow('done', phase), false, phase);
  });

  it('sends no further attempt once a response or a tunnel has begun', () => {
    for (const phase of ['responding', 'tunneling', 'lingering'] as const) {
      const after = reachable(phase);
      for (const attempt of ['deciding', 'queued', 'connecting', 'sending', 'waiting'] as const)
        assert.equal(after.has(attempt), false, `${attempt} after ${phase}`);
    }
  });
});
