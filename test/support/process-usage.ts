/** Memory and CPU time of a process, by the accounts of the kernel. */

import { readFileSync } from 'node:fs';

export const MIB = 1024 ** 2;

/** Linux counts in these whatever the machine (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Returns the resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

/** Returns the CPU time of a process since its start: all threads, user and system, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name of the program may hold spaces; utime and stime are the 14th and 15th field of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Watches the resident memory of a process: `sample` when something has happened, `growth` is the most seen. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #before: number;
  #most: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.#before = residentBytes(pid);
    this.#most = this.#before;
  }

  sample(): void {
    this.#most = Math.max(this.#most, residentBytes(this.#pid));
  }

  /** The most that the process grew by, in bytes. */
  get growth(): number {
    this.sample();
    return this.#most - this.#before;
  }

  /** For messages, such as `12 MiB`. */
  get text(): string {
    return `${Math.round(this.growth / MIB)} MiB`;
  }
}
