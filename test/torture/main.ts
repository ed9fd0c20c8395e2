/**
 * The long form of the suite.
 *
 *     npm run torture                         all cases, over both lanes, one and four workers, several rounds
 *     npm run torture -- --rounds 20 --seed 7
 *     npm run torture -- --faults             of these, what upstreams, clients, the machine and processes do wrong
 *     npm run torture -- --score              the same cases against HAProxy and nginx; writes README.md beside this
 *     npm run torture -- --fuzz 30m --seed 1  the fast lane's readers against llhttp, by CPU time
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { between } from '../support/between-marks.ts';
import { lanes } from '../support/lane.ts';
import { startOrigin } from '../support/origin.ts';
import { startPointsman } from '../support/pointsman-process.ts';
import { BACKENDS } from './cases/case.ts';
import { REQUEST_CASES, RESPONSE_CASES } from './cases/index.ts';
import { playFaultRounds, playScenarios } from './faults/rounds.ts';
import { subjectName } from './faults/scenarios/scenario.ts';
import { fuzz } from './fuzz/main.ts';
import { failures, runRequestCases, WAYS } from './requests.ts';
import { ResponseOrigin, responseFailures, runResponseCases, SENDING_WAYS } from './responses.ts';
import { scoreAll, scoreTable } from './scores.ts';
import { brokenUpstreamConfig, RESPONSE_GROUPS, startTortured } from './subject.ts';

const { values } = parseArgs({
  options: {
    score: { type: 'boolean', default: false },
    faults: { type: 'boolean', default: false },
    fuzz: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
});
const seed = wholeNumber('--seed', values.seed);

if (values.fuzz !== undefined) {
  const cpuMs = minutesOf(values.fuzz) * 60_000;
  process.exitCode = fuzz({ cpuMs, seed, log: (line) => console.log(line) }) === 0 ? 0 : 1;
} else if (values.score) {
  test('scores', async () => {
    const scores = await scoreAll((line) => console.log(line));
    for (const { name, failed } of scores) {
      for (const [theCase, problems] of failed) console.log(`${name}: ${theCase}: ${problems.slice(0, 300)}`);
    }
    writeScores(scoreTable(scores));
    for (const { name, failed } of scores) {
      if (name.startsWith('Pointsman')) assert.deepEqual([...failed.keys()], [], name);
    }
  });
} else {
  const rounds = wholeNumber('--rounds', values.rounds);
  if (!values.faults) testMessages(rounds);
  for (const lane of lanes()) {
    for (const workers of [1, 4]) {
      const subject = { lane, workers };
      test(`faults: ${subjectName(subject)}`, () => playFaultRounds(subject, rounds, console.log));
      playScenarios(subject, console.log);
    }
  }
}

/** What is sent. */
function testMessages(rounds: number): void {
  console.log(
    `${REQUEST_CASES.length} requests, ${RESPONSE_CASES.length} responses, ${rounds} rounds, seed ${seed}`,
  );
  for (const lane of lanes()) {
    for (const workers of [1, 4]) {
      test(`${lane} lane, ${workers} ${workers === 1 ? 'worker' : 'workers'}`, async () => {
        const origin = await startOrigin(BACKENDS);
        const proxy = await startTortured(origin.ports, { lane, workers });
        const upstream = await ResponseOrigin.start(RESPONSE_GROUPS);
        const broken = await startPointsman(brokenUpstreamConfig(upstream.origin.ports, lane), { workers });
        let sent = 0;
        for (let round = 0; round < rounds; round++) {
          const roundSeed = seed + round * 100_000;
          for (const way of WAYS) {
            const options = { way, ours: true, seed: roundSeed };
            const results = await runRequestCases(proxy.trafficPort, origin, REQUEST_CASES, options);
            assert.deepEqual(failures(results), [], `seed ${roundSeed}`);
            sent += results.length;
          }
          for (const way of SENDING_WAYS) {
            const results = await runResponseCases(
              broken.trafficPort,
              upstream,
              RESPONSE_GROUPS,
              RESPONSE_CASES,
              { way, lane, seed: roundSeed },
            );
            assert.deepEqual(responseFailures(results), [], `seed ${roundSeed}`);
            sent += results.length;
          }
        }
        assert.deepEqual(origin.faults(''), []);
        for (const each of [proxy, broken]) assert.equal(each.hasExited, false, 'it still runs');
        console.log(`${lane} lane, ${workers} workers: ${sent} cases`);
      });
    }
  }
}

function writeScores(table: string): void {
  const file = new URL('README.md', import.meta.url);
  writeFileSync(file, between(readFileSync(file, 'utf8'), 'scores', table));
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} must be a whole number, not ${text}`);
  return value;
}

/** `30m`, `90s` → minutes. */
function minutesOf(text: string): number {
  const match = /^(\d+)([ms])$/.exec(text);
  if (match === null) throw new Error(`--fuzz must be like 30m or 90s, not ${text}`);
  return Number(match[1]) / (match[2] === 'm' ? 1 : 60);
}
