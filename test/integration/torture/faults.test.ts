/**
 * Upstreams and clients that reset, stall, half-close, trickle, stop reading and vanish: each case ends as documented, by
 * the timeout that is to end it, leaves nothing behind, and mixes nothing up. `npm run torture` plays them in several rounds.
 */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nameOf, TIMEOUT_KEYS } from '../../torture/faults/case.ts';
import { casesFor, FAULT_CASES } from '../../torture/faults/cases.ts';
import { CLIENTS } from '../../torture/faults/clients.ts';
import { startFaultRun } from '../../torture/faults/run.ts';
import { subjectName } from '../../torture/faults/scenarios/scenario.ts';
import { UPSTREAMS } from '../../torture/faults/upstreams.ts';

test('there is a case for every timeout, every client and every upstream, and no case twice', () => {
  assert.equal(new Set(FAULT_CASES.map(nameOf)).size, FAULT_CASES.length);
  assert.deepEqual(
    TIMEOUT_KEYS.filter((key) => !FAULT_CASES.some(({ timeout }) => timeout === key)),
    [],
  );
  assert.deepEqual(new Set(FAULT_CASES.map(({ client }) => client)), new Set(Object.keys(CLIENTS)));
  assert.deepEqual(new Set(FAULT_CASES.map(({ upstream }) => upstream)), new Set(Object.keys(UPSTREAMS)));
});

suite('every fault ends as documented', { concurrency: true }, () => {
  for (const subject of [
    { lane: 'fast', workers: 1 },
    { lane: 'full', workers: 1 },
    { lane: 'fast', workers: 2 },
  ] as const) {
    test(subjectName(subject), async () => {
      const run = await startFaultRun(subject, casesFor(subject));
      assert.deepEqual(await run.play(), []);
    });
  }
});
