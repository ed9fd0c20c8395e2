/**
 * CPU time and memory of a process and all its descendants, from the kernel's accounting.
 *
 * Totals come from /proc/PID/task/TID/schedstat, in nanoseconds, since /proc/PID/stat counts in ticks of 10 ms; the
 * proportion of user and system time comes from stat, which knows nothing finer. A thread or child that ends between
 * two readings takes its time with it; proxies under load have none such.
 */

import { readdirSync, readFileSync } from 'node:fs';

export interface CpuReading {
  /** Nanoseconds on a CPU since each process started, all threads of all processes. */
  readonly totalNs: number;
  /** Clock ticks, for the proportion only. */
  readonly userTicks: number;
  readonly systemTicks: number;
}

export interface CpuUse {
  readonly totalUs: number;
  readonly userUs: number;
  readonly systemUs: number;
}

interface ProcessStat {
  readonly parent: number;
  readonly userTicks: number;
  readonly systemTicks: number;
}

const NS_PER_TICK = 10_000_000; // USER_HZ is 100 on every Linux that Node runs on

/** @throws when the root process is gone: a measurement of nothing would look like a free proxy. */
export function readCpu(rootPid: number): CpuReading {
  let totalNs = 0;
  let userTicks = 0;
  let systemTicks = 0;
  for (const [pid, stat] of processTree(rootPid)) {
    userTicks += stat.userTicks;
    systemTicks += stat.systemTicks;
    totalNs += threadsNs(pid) ?? (stat.userTicks + stat.systemTicks) * NS_PER_TICK;
  }
  return { totalNs, userTicks, systemTicks };
}

export function cpuBetween(before: CpuReading, after: CpuReading): CpuUse {
  const totalUs = (after.totalNs - before.totalNs) / 1000;
  const user = after.userTicks - before.userTicks;
  const system = after.systemTicks - before.systemTicks;
  const userShare = user + system === 0 ? 0 : user / (user + system);
  return { totalUs, userUs: totalUs * userShare, systemUs: totalUs * (1 - userShare) };
}

/** Bytes: the sum over the process tree of each process's highest resident set so far (VmHWM). */
export function peakRss(rootPid: number): number {
  return sumOfStatus(rootPid, 'VmHWM');
}

/** Bytes resident now (VmRSS), over the process tree. */
export function currentRss(rootPid: number): number {
  return sumOfStatus(rootPid, 'VmRSS');
}

/** Bytes resident now, of one process; undefined when it is gone. */
export function residentBytes(pid: number): number | undefined {
  return statusBytes(pid, 'VmRSS');
}

/** File descriptors open now, over the process tree. */
export function openFiles(rootPid: number): number {
  let count = 0;
  for (const pid of processTree(rootPid).keys()) {
    try {
      count += readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      // the process has just ended
    }
  }
  return count;
}

/** Time that one core was busy, from /proc/stat, in microseconds; `stolen` is what the hypervisor took away. */
export function readCore(core: number): { busyUs: number; stolenUs: number } {
  const line = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`cpu${core} `));
  if (line === undefined) throw new Error(`/proc/stat has no core ${core}`);
  const ticks = line.split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  return { busyUs: (user + nice + system + irq + softirq) * 10_000, stolenUs: steal * 10_000 };
}

function sumOfStatus(rootPid: number, field: 'VmHWM' | 'VmRSS'): number {
  let bytes = 0;
  for (const pid of processTree(rootPid).keys()) bytes += statusBytes(pid, field) ?? 0;
  return bytes;
}

function statusBytes(pid: number, field: 'VmHWM' | 'VmRSS'): number | undefined {
  const text = readIfThere(`/proc/${pid}/status`);
  const kib = text === undefined ? undefined : new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

function processTree(rootPid: number): Map<number, ProcessStat> {
  const all = new Map<number, ProcessStat>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(Number(entry));
    if (stat !== undefined) all.set(Number(entry), stat);
  }
  const root = all.get(rootPid);
  if (root === undefined) throw new Error(`process ${rootPid} is gone; its log says why`);
  const tree = new Map([[rootPid, root]]);
  for (let found = true; found; ) {
    found = false;
    for (const [pid, stat] of all) {
      if (tree.has(stat.parent) && !tree.has(pid)) {
        tree.set(pid, stat);
        found = true;
      }
    }
  }
  return tree;
}

function readStat(pid: number): ProcessStat | undefined {
  const text = readIfThere(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The command name stands in parentheses and may itself hold blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), userTicks: Number(fields[11]), systemTicks: Number(fields[12]) };
}

function threadsNs(pid: number): number | undefined {
  let sum = 0;
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return undefined;
  }
  for (const thread of threads) {
    const text = readIfThere(`/proc/${pid}/task/${thread}/schedstat`);
    if (text === undefined) return undefined; // a kernel without CONFIG_SCHED_INFO
    sum += Number(text.split(' ')[0]);
  }
  return sum;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // the process or thread has just ended
  }
}
