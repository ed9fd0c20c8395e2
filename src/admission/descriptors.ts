/**
 * How many sockets the limit of open files allows. Left alone, clients take the last descriptor: then libuv closes
 * whatever it accepts without a word, probes among it, and the kubelet restarts a process that only has many clients.
 */
import { readFileSync } from 'node:fs';

/** For the admin port, checks, DNS, Redis and files; of a low limit at least the smaller one, which a bare start needs. */
const RESERVE = 320;
const MIN_RESERVE = 64;

/** However low the limit is: a process that takes nobody is of no use. */
const LEAST = 16;

export interface DescriptorShares {
  /** Sockets of traffic at once, to clients and to upstreams. */
  readonly sockets: number;
  /** Of these, to clients: each may need one to an upstream, but most that are open at once ask nothing. */
  readonly clients: number;
}

/** @param limit files that the process may open */
export function descriptorShares(limit: number): DescriptorShares {
  const reserve = Math.max(MIN_RESERVE, Math.min(RESERVE, limit / 4));
  const sockets = Math.max(LEAST, Math.floor(limit - reserve));
  return { sockets, clients: Math.floor((sockets * 3) / 4) };
}

/** Files that this process may open; Infinity where the system does not say. Node has raised it as far as it may. */
export function openFilesLimit(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? Number.POSITIVE_INFINITY : Number(match[1]);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
