/** One round of one subject: load for some seconds, and what the kernel says that it cost. */

import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CpuUse, cpuBetween, peakRss, readCore, readCpu } from './cpu.ts';
import type { LoadResult } from './drivers/driver.ts';
import type { RunningSubject } from './subjects/subject.ts';

export interface Round {
  readonly result: LoadResult;
  /** Of the proxy process and its children; undefined without a proxy. */
  readonly cpu: CpuUse | undefined;
  /** Share of one core that the proxy used while the load ran. */
  readonly busy: number | undefined;
  /** Share of the proxy's core that went to other processes or to the hypervisor; undefined when not pinned. */
  readonly disturbed: number | undefined;
  /** Bytes. */
  readonly peakRss: number | undefined;
  /** Empty when the round counts. */
  readonly problems: readonly string[];
}

export async function measureRound(options: {
  running: RunningSubject;
  /** Where the proxy is pinned; undefined: nowhere. */
  core: number | undefined;
  /** Bytes of each response body. */
  size: number;
  drive: () => Promise<LoadResult>;
}): Promise<Round> {
  const { running, core } = options;
  const pid = running.process?.pid;
  // What an earlier load left behind (closed connections, garbage) should not fall into this reading.
  await sleep(200);
  running.process?.assertAlive();
  const coreBefore = core === undefined ? undefined : readCore(core);
  const cpuBefore = pid === undefined ? undefined : readCpu(pid);
  const linesBefore = running.logFile === undefined ? 0 : countLines(running.logFile);
  const from = performance.now();
  const result = await options.drive();
  const elapsedUs = (performance.now() - from) * 1000;
  running.process?.assertAlive();
  const cpu = pid === undefined ? undefined : cpuBetween(cpuBefore!, readCpu(pid));
  let disturbed: number | undefined;
  if (core !== undefined && coreBefore !== undefined) {
    const after = readCore(core);
    const stolen = after.stolenUs - coreBefore.stolenUs;
    const others = after.busyUs - coreBefore.busyUs - (cpu?.totalUs ?? 0);
    disturbed = Math.max(0, others + stolen) / elapsedUs;
  }
  const problems = problemsOf(result, options.size);
  if (running.logFile !== undefined) {
    const logged = await settledLines(running.logFile, linesBefore + result.requests);
    if (logged - linesBefore < result.requests * LOGGED_AT_LEAST) {
      problems.push(`wrote ${logged - linesBefore} lines of log for ${result.requests} requests`);
    }
  }
  return {
    result,
    cpu,
    busy: cpu === undefined ? undefined : cpu.totalUs / (result.seconds * 1e6),
    disturbed,
    peakRss: pid === undefined ? undefined : peakRss(pid),
    problems,
  };
}

/** A proxy that drops lines under load does less work than one that writes them. */
const LOGGED_AT_LEAST = 0.999;

/** Lines are written a little after the answers; waits for them for up to 2 s. */
async function settledLines(file: string, wanted: number): Promise<number> {
  const deadline = performance.now() + 2000;
  for (;;) {
    const lines = countLines(file);
    if (lines >= wanted || performance.now() > deadline) return lines;
    await sleep(100);
  }
}

function countLines(path: string): number {
  const file = openSync(path, 'r');
  const chunk = Buffer.allocUnsafe(1024 ** 2);
  let lines = 0;
  for (;;) {
    const length = readSync(file, chunk);
    if (length === 0) break;
    const read = chunk.subarray(0, length);
    for (let at = read.indexOf(10); at !== -1; at = read.indexOf(10, at + 1)) lines += 1;
  }
  closeSync(file);
  return lines;
}

function problemsOf(result: LoadResult, size: number): string[] {
  const problems: string[] = [];
  if (result.requests === 0) problems.push('no request was answered');
  if (result.errors > 0) problems.push(`${result.errors} errors`);
  if (result.non2xx > 0) problems.push(`${result.non2xx} answers not 2xx`);
  if (result.bytes < result.requests * size) problems.push('answers were cut short');
  return problems;
}
