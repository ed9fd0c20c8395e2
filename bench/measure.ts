/** One round of one subject: load for some seconds, and what the kernel says that it cost. */

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
  return {
    result,
    cpu,
    busy: cpu === undefined ? undefined : cpu.totalUs / (result.seconds * 1e6),
    disturbed,
    peakRss: pid === undefined ? undefined : peakRss(pid),
    problems: problemsOf(result, options.size),
  };
}

function problemsOf(result: LoadResult, size: number): string[] {
  const problems: string[] = [];
  if (result.requests === 0) problems.push('no request was answered');
  if (result.errors > 0) problems.push(`${result.errors} errors`);
  if (result.non2xx > 0) problems.push(`${result.non2xx} answers not 2xx`);
  if (result.bytes < result.requests * size) problems.push('answers were cut short');
  return problems;
}
