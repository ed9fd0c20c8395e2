/**
 * Fuzzes the readers of the fast lane against llhttp for as much CPU as was asked for: streams made by the grammar, then
 * spoilt, cut into packets anywhere.
 *
 *     npm run torture -- --fuzz 30m --seed 1
 *
 * What nothing in `differences.ts` explains is made as small as can be, printed, and added to `findings.json`, which
 * the unit tests repeat.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { cutAt, mutated, requestStream, responseStream } from '../../support/http-streams.ts';
import { DIFFERENCES } from './differences.ts';
import { compareRequests } from './requests.ts';
import { compareResponses } from './responses.ts';

export interface Finding {
  readonly reader: 'request' | 'response';
  /** Latin-1. */
  readonly text: string;
  readonly shares: readonly number[];
  readonly isHead: boolean;
}

export const FINDINGS = new URL('findings.json', import.meta.url);

/** Inputs of one seed. */
const ROUND = 5_000;

/** Rounds between two lines of numbers. */
const TOLD_EVERY = 400;

export interface FuzzOptions {
  readonly cpuMs: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

/** @returns how many findings there are */
export function fuzz({ cpuMs, seed, log }: FuzzOptions): number {
  const ends = new Map<string, number>();
  let inputs = 0;
  let octets = 0;
  let findings = 0;
  const count = (text: string, end: string): boolean => {
    inputs++;
    octets += text.length;
    ends.set(end, (ends.get(end) ?? 0) + 1);
    return true;
  };
  const readers = [
    fc.property(mutated(requestStream), cutAt, fc.constant(false), (text, shares, _isHead) =>
      count(text, `request: ${compareRequests(text, shares)}`),
    ),
    fc.property(mutated(responseStream), cutAt, fc.boolean(), (text, shares, isHead) =>
      count(text, `response: ${compareResponses(text, shares, isHead)}`),
    ),
  ];
  log(`seed ${seed}, ${(cpuMs / 60_000).toFixed(1)} minutes of CPU`);
  const usedMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  const start = usedMs();
  const tell = () =>
    log(`${inputs} inputs, ${octets} octets, ${((usedMs() - start) / 60_000).toFixed(1)} min of CPU`);
  for (let round = 0; usedMs() - start < cpuMs; round++) {
    const at = round % readers.length;
    const details = fc.check(readers[at]!, { seed: (seed + round) | 0, numRuns: ROUND });
    if (details.failed && details.counterexample !== null) {
      findings++;
      const [text, shares, isHead] = details.counterexample;
      const finding: Finding = { reader: at === 0 ? 'request' : 'response', text, shares, isHead };
      log(`FINDING (seed ${seed + round}): ${String(details.errorInstance)}\n${JSON.stringify(finding)}`);
      keep(finding);
    }
    if (round % TOLD_EVERY === TOLD_EVERY - 1) tell();
  }
  tell();
  for (const [end, times] of [...ends].sort(([a], [b]) => a.localeCompare(b))) log(`  ${end}: ${times}`);
  const unseen = DIFFERENCES.filter(({ name }) => ![...ends.keys()].some((end) => end.endsWith(name)));
  for (const { name } of unseen) log(`  allowed and never seen: ${name}`);
  log(findings === 0 ? 'every difference is explained' : `${findings} differences that nothing explains`);
  return findings;
}

function keep(finding: Finding): void {
  const known = JSON.parse(readFileSync(FINDINGS, 'utf8')) as Finding[];
  const line = JSON.stringify(finding);
  if (known.some((other) => JSON.stringify(other) === line)) return;
  writeFileSync(FINDINGS, `${JSON.stringify([...known, finding], undefined, 2)}\n`);
}
