import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from '../../../src/backends/gate.ts';

test('a gate lets so many in at a time and the others after them, in turn', () => {
  const gate = new Gate(2);
  const entered: number[] = [];
  const leave: (() => void)[] = [];
  for (let i = 0; i < 5; i++) {
    gate.enter((done) => {
      entered.push(i);
      leave.push(done);
    });
  }
  assert.deepEqual(entered, [0, 1]);
  leave[1]!();
  assert.deepEqual(entered, [0, 1, 2]);
  leave[0]!();
  leave[2]!();
  assert.deepEqual(entered, [0, 1, 2, 3, 4]);
});

test('those that leave at once do not pile up calls', () => {
  const gate = new Gate(1);
  let hold = () => {};
  let entered = 0;
  gate.enter((leave) => {
    hold = leave;
  });
  for (let i = 0; i < 100_000; i++) {
    gate.enter((leave) => {
      entered++;
      leave();
    });
  }
  hold();
  assert.equal(entered, 100_000);
});
