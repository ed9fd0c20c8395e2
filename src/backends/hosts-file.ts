/** `/etc/hosts` (hosts(5)), where Kubernetes writes the `hostAliases` of a pod. */

import { isIP } from 'node:net';

/** Addresses by name in lower case, in the order of the file, each once. */
export type HostsFile = ReadonlyMap<string, readonly string[]>;

/**
 * Never fails: lines that do not start with an address are ignored, as are addresses with a scope (`fe80::1%eth0`),
 * which no URL can hold.
 */
export function parseHostsFile(text: string): HostsFile {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const comment = line.indexOf('#');
    const [address = '', ...names] = (comment === -1 ? line : line.slice(0, comment)).trim().split(/\s+/);
    if (isIP(address) === 0 || address.includes('%')) continue;
    for (const name of names) {
      const key = keyOf(name);
      const known = hosts.get(key);
      if (known === undefined) hosts.set(key, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return hosts;
}

/**
 * Addresses of a name, as it stands, without search domains (as glibc's `files`); undefined when DNS is to be asked.
 * `localhost` and what is below it are this host even if the file lacks them, and never a DNS question (RFC 6761, 6.3).
 */
export function lookUpHost(hosts: HostsFile, name: string): readonly string[] | undefined {
  const key = keyOf(name);
  const known = hosts.get(key);
  if (known !== undefined) return known;
  return key === 'localhost' || key.endsWith('.localhost') ? ['127.0.0.1', '::1'] : undefined;
}

function keyOf(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}
