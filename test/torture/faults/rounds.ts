/** The long form: all cases in several rounds, and every scenario, on one subject. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { casesFor } from './cases.ts';
import { startFaultRun } from './run.ts';
import { playClockJump } from './scenarios/clock-jump.ts';
import { mountSmallDisk, playFullDisk, playNoDisk } from './scenarios/full-disk.ts';
import { playIdleConnections } from './scenarios/idle-connections.ts';
import { playKilledPrimary, playKilledWorker } from './scenarios/killed.ts';
import { playOpenFiles } from './scenarios/open-files.ts';
import { type Subject, subjectName } from './scenarios/scenario.ts';

const IDLE_CONNECTIONS = 20_000;

/** Heap and buffers of all processes together may grow by so much from the first round to the last. */
const MOST_GROWTH = 1.25;
const MIB = 1024 ** 2;

type Print = (line: string) => void;

export async function playFaultRounds(subject: Subject, rounds: number, print: Print): Promise<void> {
  const cases = casesFor(subject);
  const run = await startFaultRun(subject, cases);
  const used: number[] = [];
  const resident: number[] = [];
  for (let round = 0; round < rounds; round++) {
    assert.deepEqual(await run.play(), [], `round ${round}`);
    const { heapUsed, external, rss } = await run.census.memory();
    used.push(heapUsed + external);
    resident.push(rss);
  }
  const mib = (bytes: readonly number[]) => bytes.map((one) => (one / MIB).toFixed(0)).join(', ');
  print(
    `${subjectName(subject)}: ${rounds} rounds of ${cases.length} faults; heap and buffers ${mib(used)} MiB, RSS ${mib(resident)} MiB`,
  );
  const growth = used.at(-1)! / used[0]!;
  assert.ok(growth < MOST_GROWTH, `heap and buffers grew to ${growth} times what they were`);
}

/** A test for each. */
export function playScenarios(subject: Subject, print: Print): void {
  const name = subjectName(subject);
  test(`out of file descriptors: ${name}`, () => playOpenFiles(subject));
  test(`idle connections: ${name}`, async () => {
    const { connections, each } = await playIdleConnections(subject, IDLE_CONNECTIONS);
    print(`${name}: ${connections} idle connections, ${each} octets each`);
  });
  test(`a full disk: ${name}`, async (context) => {
    const folder = mountSmallDisk();
    if (folder === undefined) context.skip('no file system may be mounted here');
    else await playFullDisk(subject, folder);
  });
  test(`no disk: ${name}`, () => playNoDisk(subject));
  test(`a clock that jumps: ${name}`, () => playClockJump(subject));
  if (subject.workers > 1) test(`a worker killed: ${name}`, () => playKilledWorker(subject));
  test(`the primary killed: ${name}`, () => playKilledPrimary(subject));
}
