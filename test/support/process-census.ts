/** What a process under test holds: file descriptors, seen from outside, and handles and memory, by its own word. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HeldByProcess } from './process-census-main.ts';
import { waitFor } from './wait-for.ts';

const PRELOAD = fileURLToPath(import.meta.resolve('./process-census-main.ts'));

/** For `StartOptions.env` of a process that is to be asked. */
export function censusEnvironment(folder: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${PRELOAD}`, CENSUS_FOLDER: folder };
}

export interface TcpSocket {
  readonly localPort: number;
  /** 0: it listens. */
  readonly remotePort: number;
}

export interface Descriptors {
  /** Everything but TCP sockets, by what it is: `pipe`, `anon_inode`, a file by its path. */
  readonly others: Readonly<Record<string, number>>;
  readonly tcp: readonly TcpSocket[];
}

export function openDescriptors(pid: number): Descriptors {
  const inodes = tcpSockets();
  const others: Record<string, number> = {};
  const tcp: TcpSocket[] = [];
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    let target: string;
    try {
      target = readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      // Closed meanwhile.
      continue;
    }
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    const socket = inode === undefined ? undefined : inodes.get(inode);
    if (socket !== undefined) {
      tcp.push(socket);
      continue;
    }
    const kind = target.replace(/:\[?[^/]*$/, '');
    others[kind] = (others[kind] ?? 0) + 1;
  }
  return { others, tcp };
}

/** By inode. */
function tcpSockets(): Map<string, TcpSocket> {
  const sockets = new Map<string, TcpSocket>();
  const port = (address: string) => Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(file, 'latin1').split('\n').slice(1)) {
      const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
      if (inode === undefined) continue;
      sockets.set(inode, { localPort: port(local!), remotePort: port(remote!) });
    }
  }
  return sockets;
}

export class ProcessCensus {
  readonly #folder: string;
  readonly #asked = new Map<number, number>();

  /** @param folder that the processes were started with */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** After a garbage collection. */
  async held(pid: number): Promise<HeldByProcess> {
    const number = (this.#asked.get(pid) ?? 0) + 1;
    this.#asked.set(pid, number);
    process.kill(pid, 'SIGUSR2');
    const file = `${this.#folder}/${pid}-${number}.json`;
    return await waitFor(
      `the census of process ${pid}`,
      () => JSON.parse(readFileSync(file, 'utf8')) as HeldByProcess,
    );
  }
}
