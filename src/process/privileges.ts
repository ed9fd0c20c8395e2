/**
 * What a process that was started as root does with that: it gives it up before it serves anybody, so that whoever gets
 * hold of it has next to nothing. With the last id of root the kernel takes all capabilities (capabilities(7)).
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { type Account, accountOf } from './account.ts';

/** What the decision needs to know of the system. */
export interface System {
  /** Undefined where there are no users, as on Windows. */
  readonly uid: number | undefined;
  /** '' when it cannot be read. */
  readonly readText: (file: string) => string;
  /** Why the account could not read the file, or could not be had at all; undefined when it can. */
  readonly refusal: (account: Account, file: string) => string | undefined;
}

export interface Privileges {
  /** Who the process is to become; undefined: it stays what it is. */
  readonly account: Account | undefined;
  /** Why it stays root though nobody said that it should. */
  readonly warning: string | undefined;
}

const KEPT: Privileges = { account: undefined, warning: undefined };

/** Ports from here on need no rights. */
const UNPRIVILEGED_PORTS = 1_024;

/**
 * @param files that are read again later: the configuration, and the program itself for workers that are started again
 * @throws Error when the configuration names a user that the process cannot be
 */
export function decidePrivileges(config: Config, files: readonly string[], system: System): Privileges {
  const { user } = config.runAs;
  if (system.uid !== 0 || user === 'root' || user === 0) return KEPT;
  const account = accountOf(config.runAs, system.readText('/etc/passwd'), system.readText('/etc/group'));
  const why = typeof account === 'string' ? account : obstacleOf(config, account, files, system);
  if (typeof account !== 'string' && why === undefined) return { account, warning: undefined };
  if (user !== undefined) throw new Error(`cannot run as ${nameOf(config.runAs)}: ${why}`);
  return {
    account: undefined,
    warning: `runs as root, since it cannot run as ${nameOf(config.runAs)}: ${why}; or say runAs: { user: root }`,
  };
}

/** The port can be opened by root alone. */
export function isPrivileged(port: number, system: Pick<System, 'readText'>): boolean {
  const first = Number.parseInt(system.readText('/proc/sys/net/ipv4/ip_unprivileged_port_start'), 10);
  return port !== 0 && port < (Number.isNaN(first) ? UNPRIVILEGED_PORTS : first);
}

/** For good. @throws Error when the system refuses, or root could be had back */
export function become({ uid, gid }: Account): void {
  process.setgroups!([]);
  process.setgid!(gid);
  process.setuid!(uid);
  if (canBeRoot()) throw new Error(`the process became user ${uid} and can still become root again`);
}

export const SYSTEM: System = {
  uid: process.getuid?.(),
  readText: (file) => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  },
  refusal: (account, file) => {
    const groups = process.getgroups!();
    const gid = process.getegid!();
    try {
      process.setgroups!([]);
      process.setegid!(account.gid);
      process.seteuid!(account.uid);
      closeSync(openSync(file, 'r'));
      return undefined;
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException;
      return syscall === 'open'
        ? `it could not read ${file} (${code}), which is read again later; give it the right to`
        : `the system does not allow it (${code ?? (error as Error).message})`;
    } finally {
      process.seteuid!(0);
      process.setegid!(gid);
      process.setgroups!(groups);
    }
  },
};

function obstacleOf(
  config: Config,
  account: Account,
  files: readonly string[],
  system: System,
): string | undefined {
  const { listen, workers, acting, redis } = config;
  if (workers !== 1 && isPrivileged(listen.port, system)) {
    return `workers that are started again could not open port ${listen.port}; choose a port from ${UNPRIVILEGED_PORTS} up, lower net.ipv4.ip_unprivileged_port_start, or use one worker`;
  }
  const named = [
    ...files,
    ...(acting !== undefined && 'tokenFile' in acting ? [acting.tokenFile] : []),
    ...(redis?.tls.ca === undefined ? [] : [redis.tls.ca]),
  ];
  for (const file of named) {
    const refusal = system.refusal(account, file);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function nameOf({ user, group }: Config['runAs']): string {
  return `user ${user ?? 'nobody'}${group === undefined ? '' : ` and group ${group}`}`;
}

function canBeRoot(): boolean {
  try {
    process.setuid!(0);
    return true;
  } catch {
    return false;
  }
}
