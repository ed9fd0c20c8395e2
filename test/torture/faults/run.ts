/** Plays all cases, by the timeout that ends them, next to requests that nothing is wrong with. */

import { newNonce } from '../../support/origin.ts';
import {
  type PointsmanProcess,
  startPointsman,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { censusEnvironment } from '../../support/process-census.ts';
import { RawClient } from '../../support/raw-client.ts';
import { pause } from '../../support/wait-for.ts';
import { type FaultCase, nameOf, TIMEOUT_KEYS, type TimeoutKey } from './case.ts';
import { Census } from './census.ts';
import { FaultyUpstream } from './faulty-upstream.ts';
import { playCase, type Stage } from './play.ts';
import { processesOf, type Subject } from './scenarios/scenario.ts';
import { faultBackends, faultConfig } from './subject.ts';
import { bodyFor } from './upstreams.ts';

/** Clients that ask one thing after the other while cases are played. */
const NEIGHBOURS = 2;
const NEIGHBOUR_MS = 20;

export interface FaultRun {
  readonly proxy: PointsmanProcess;
  readonly census: Census;
  /** @returns one line for each problem */
  play(): Promise<string[]>;
}

export async function startFaultRun(subject: Subject, cases: readonly FaultCase[]): Promise<FaultRun> {
  const { lane, workers } = subject;
  const upstream = await FaultyUpstream.start();
  const backends = await faultBackends(upstream);
  const config = (short: TimeoutKey | undefined) => faultConfig(backends, lane, workers, short);
  const folder = temporaryDirectory();
  const proxy = await startPointsman(config(undefined), { env: censusEnvironment(folder) });
  const pids = await processesOf(proxy, workers);
  const stage: Stage = { proxy, upstream };
  // What is made once, at the first request of a kind, is not what leaks.
  await playGroup(
    stage,
    cases.filter(({ timeout }) => timeout === undefined),
  );
  const census = await Census.take(proxy, upstream, folder, pids);
  let current: TimeoutKey | undefined;
  return {
    proxy,
    census,
    play: async () => {
      const problems: string[] = [];
      for (const key of [undefined, ...TIMEOUT_KEYS]) {
        const group = cases.filter(({ timeout }) => timeout === key);
        if (group.length === 0) continue;
        if (key !== current) await proxy.reload(config(key));
        current = key;
        // Asks every worker, behind the configuration that went to it.
        await proxy.metrics();
        problems.push(...(await playGroup(stage, group)));
        problems.push(
          ...(await census.problems()).map((problem) => `after ${key ?? 'no timeout'}: ${problem}`),
        );
      }
      problems.push(...upstream.violations.map((violation) => `the upstream got no request: ${violation}`));
      return problems;
    },
  };
}

async function playGroup(stage: Stage, group: readonly FaultCase[]): Promise<string[]> {
  const problems: string[] = [];
  let playing = true;
  const neighbours = Array.from({ length: NEIGHBOURS }, () => neighbour(stage.proxy, () => playing));
  await Promise.all(
    group.map(async (theCase) => {
      for (const problem of await playCase(stage, theCase)) problems.push(`${nameOf(theCase)}: ${problem}`);
    }),
  );
  playing = false;
  for (const found of await Promise.all(neighbours))
    problems.push(...found.map((one) => `a neighbour: ${one}`));
  return problems;
}

/** Asks what nothing is wrong with, over the same connections to the upstream. */
async function neighbour({ trafficPort }: PointsmanProcess, goesOn: () => boolean): Promise<string[]> {
  const problems: string[] = [];
  while (goesOn() && problems.length === 0) {
    const client = await RawClient.connect(trafficPort);
    try {
      for (let asked = 0; asked < 50 && goesOn(); asked++) {
        const nonce = newNonce();
        const target = `/calm/answers/${nonce}`;
        // What may be repeated: a connection that the upstream ends may be the one that is used again in that moment.
        const answer = await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).read();
        const text = answer.body.toString('latin1');
        await pause(NEIGHBOUR_MS);
        if (answer.status !== 200 || answer.value('x-nonce') !== nonce || text !== bodyFor(nonce, target))
          problems.push(`${nonce} got ${answer.status}, ${answer.value('x-nonce')}, ${text.slice(0, 80)}`);
      }
    } catch (error) {
      problems.push((error as Error).message);
    }
    client.destroy();
  }
  return problems;
}
