import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Circuit } from '../../../src/pinning/circuit.ts';

const LIMITS = { failures: 3, firstPause: 100, longestPause: 800 };

function closed(now = 0): Circuit {
  const circuit = new Circuit(LIMITS);
  circuit.probe();
  circuit.probed(true, now);
  return circuit;
}

describe('the circuit', () => {
  it('begins open: only what has answered once is asked', () => {
    const circuit = new Circuit(LIMITS);
    assert.equal(circuit.state, 'open');
    assert.equal(circuit.probe(), true);
    assert.equal(circuit.state, 'half-open');
    circuit.probed(true, 0);
    assert.equal(circuit.state, 'closed');
  });

  it('opens after failures in a row, and only then', () => {
    const circuit = closed();
    assert.deepEqual([circuit.failed(1), circuit.failed(1)], [false, false]);
    circuit.succeeded();
    assert.deepEqual([circuit.failed(1), circuit.failed(1), circuit.failed(1)], [false, false, true]);
    assert.equal(circuit.state, 'open');
    assert.equal(circuit.failed(1), false);
  });

  it('waits twice as long after every probe that failed, up to the longest pause', () => {
    const circuit = new Circuit(LIMITS);
    const pauses = [circuit.pause];
    for (let i = 0; i < 4; i++) {
      circuit.probe();
      circuit.probed(false, i);
      pauses.push(circuit.pause);
    }
    assert.deepEqual(pauses, [100, 200, 400, 800, 800]);
  });

  it('is patient with one that opens again at once, and forgets what held for long', () => {
    const circuit = closed(0);
    circuit.open(10);
    assert.equal(circuit.pause, 200);
    circuit.probe();
    circuit.probed(true, 20);
    circuit.open(30);
    assert.equal(circuit.pause, 400);
    circuit.probe();
    circuit.probed(true, 40);
    circuit.open(840);
    assert.equal(circuit.pause, 100);
  });

  it('is closed only by a probe that succeeds, whatever happens', () => {
    const step = fc.constantFrom('fail', 'succeed', 'open', 'probe', 'good', 'bad');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const circuit = new Circuit(LIMITS);
        for (const [now, what] of steps.entries()) {
          const before = circuit.state;
          if (what === 'fail') circuit.failed(now);
          else if (what === 'succeed') circuit.succeeded();
          else if (what === 'open') circuit.open(now);
          else if (what === 'probe') circuit.probe();
          else circuit.probed(what === 'good', now);
          if (before !== 'closed' && circuit.state === 'closed') {
            assert.deepEqual([before, what], ['half-open', 'good']);
          }
          assert.ok(circuit.pause >= LIMITS.firstPause && circuit.pause <= LIMITS.longestPause);
        }
      }),
    );
  });
});
