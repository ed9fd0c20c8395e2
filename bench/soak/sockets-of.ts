/** Which TCP connections a process holds, from /proc; so that a killed worker answers for its own alone. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const ESTABLISHED = '01';
/** Of a connection that no process has accepted yet. */
const NOBODY = 0;

/** Client ports of the connections to `port` that the process has accepted, and of those that wait to be accepted by anybody. */
export function clientPortsOf(pid: number, port: number): { accepted: Set<number>; waiting: Set<number> } {
  const inodes = socketInodes(pid);
  const accepted = new Set<number>();
  const waiting = new Set<number>();
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields.length < 10 || portOf(fields[1]!) !== port) continue;
    const inode = Number(fields[9]);
    if (inodes.has(inode)) accepted.add(portOf(fields[2]!));
    else if (inode === NOBODY && fields[3] === ESTABLISHED) waiting.add(portOf(fields[2]!));
  }
  return { accepted, waiting };
}

/** Open descriptors by what they are. */
export interface OpenFiles {
  readonly sockets: number;
  readonly pipes: number;
  readonly others: number;
}

/** @throws when the process is gone */
export function openFilesOf(pid: number): OpenFiles {
  const count = { sockets: 0, pipes: 0, others: 0 };
  for (const target of descriptors(pid)) {
    if (target.startsWith('socket:')) count.sockets += 1;
    else if (target.startsWith('pipe:')) count.pipes += 1;
    else count.others += 1;
  }
  return count;
}

function socketInodes(pid: number): Set<number> {
  const inodes = descriptors(pid).flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []);
  return new Set(inodes.map(Number));
}

function descriptors(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((name) => {
    try {
      return [readlinkSync(`${folder}/${name}`)];
    } catch {
      return []; // closed since
    }
  });
}

/** `0100007F:1F90` */
function portOf(address: string): number {
  return Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
}
