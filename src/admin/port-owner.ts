/** Why a port could not be listened on, said so that a person can act on it. */

import fs from 'node:fs';
import { isIPv6 } from 'node:net';
import path from 'node:path';

const LISTENING = '0A';
/** Bounds the search on machines with very many processes or descriptors. */
const MAX_PROCESSES = 20_000;
const MAX_DESCRIPTORS = 65_536;

/**
 * Who listens on the port, as `haproxy (pid 123)`; undefined when nobody does or the system does not let us see (other
 * users' processes, no /proc). Reads /proc synchronously, so only for a start that has failed.
 */
export function describePortOwner(host: string, port: number): string | undefined {
  const inodes = listeningInodes(host, port);
  if (inodes.size === 0) return undefined;
  const pid = processHolding(inodes);
  if (pid === undefined) return undefined;
  return pid === process.pid ? `this process (pid ${pid})` : `${commandOf(pid)} (pid ${pid})`;
}

/** An error of `server.listen` → one sentence that says what is wrong and, for a port in use, by whom. */
export function describeListenError(error: unknown, host: string, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE': {
      const owner = describePortOwner(host, port);
      return `port ${port} on ${host} is in use${owner === undefined ? ' by another process' : ` by ${owner}`}`;
    }
    case 'EACCES':
      return `port ${port} on ${host} needs more rights than this process has; choose a port from 1024 up`;
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine`;
    case 'EAFNOSUPPORT':
      return `${host} is of an address family that this machine does not have`;
    default:
      return `cannot listen on port ${port} of ${host}: ${message}`;
  }
}

/** Inodes of the listening sockets that are in the way: of the same address, or of all addresses on either side. */
function listeningInodes(host: string, port: number): Set<string> {
  const inodes = new Set<string>();
  const wanted = isIPv6(host) ? expandIPv6(host) : host;
  const wantsAll = host === '0.0.0.0' || isAllZero(wanted);
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readText(`/proc/net/${table}`).split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      const [hexAddress, hexPort] = (columns[1] ?? '').split(':');
      if (columns[3] !== LISTENING || hexAddress === undefined || hexPort === undefined) continue;
      if (Number.parseInt(hexPort, 16) !== port) continue;
      const address = table === 'tcp' ? decodeIPv4(hexAddress) : decodeIPv6(hexAddress);
      if (wantsAll || address === wanted || address === '0.0.0.0' || isAllZero(address)) {
        inodes.add(columns[9]!);
      }
    }
  }
  return inodes;
}

/** The lowest pid, which is the parent where a server shares its socket with workers. */
function processHolding(inodes: ReadonlySet<string>): number | undefined {
  const pids = readDirectory('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
    .slice(0, MAX_PROCESSES);
  for (const pid of pids) {
    for (const descriptor of readDirectory(`/proc/${pid}/fd`).slice(0, MAX_DESCRIPTORS)) {
      const target = readLink(`/proc/${pid}/fd/${descriptor}`);
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined && inodes.has(inode)) return pid;
    }
  }
  return undefined;
}

/** The program, and for an interpreter its script; never other arguments, which may hold secrets. */
function commandOf(pid: number): string {
  const executable = path.basename(readLink(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''));
  const program = executable || readText(`/proc/${pid}/comm`).trim() || 'a process';
  if (!/^(node|python|ruby|java|perl|bun|deno)/.test(program)) return program;
  const [, ...args] = readText(`/proc/${pid}/cmdline`).split('\0');
  const script = args.find((arg) => /^[^-].*\.(js|cjs|mjs|ts|mts|py|rb|pl|jar)$/.test(arg));
  return script === undefined ? program : `${program} ${path.basename(script)}`;
}

/** /proc/net/tcp writes each 32-bit word in the byte order of the machine: little-endian wherever Node runs. */
function decodeIPv4(hex: string): string {
  return [...Buffer.from(hex, 'hex')].reverse().join('.');
}

/** An address as 32 hex digits in network order; one that maps IPv4 as dotted decimal. */
function decodeIPv6(hex: string): string {
  let full = '';
  for (let word = 0; word < 4; word++) {
    full += Buffer.from(hex.slice(word * 8, word * 8 + 8), 'hex')
      .reverse()
      .toString('hex');
  }
  return mappedIPv4(full) ?? full;
}

function expandIPv6(text: string): string {
  // The URL parser normalises every spelling, `::ffff:1.2.3.4` included.
  const compact = new URL(`http://[${text.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = compact.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...new Array<string>(zeros).fill('0'), ...right];
  const full = groups.map((group) => group.padStart(4, '0')).join('');
  return mappedIPv4(full) ?? full;
}

function mappedIPv4(full: string): string | undefined {
  if (!full.startsWith('00000000000000000000ffff')) return undefined;
  return [...Buffer.from(full.slice(24), 'hex')].join('.');
}

function isAllZero(address: string): boolean {
  return /^0{32}$/.test(address);
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function readDirectory(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function readLink(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
}
