/**
 * `/etc/resolv.conf` as glibc reads it (resolv.conf(5)): its search domains and `ndots` are what makes a short name such
 * as `account-service-canary` work in a pod.
 */

import { isIP, isIPv6 } from 'node:net';

/** A server to ask. */
export interface NameServer {
  readonly address: string;
  readonly port: number;
  /** Scope of a link-local address: `eth0` of `fe80::1%eth0`. */
  readonly scope: string | undefined;
}

export interface ResolvConf {
  /** At most 3; one at 127.0.0.1 when the file names none, as in glibc. */
  readonly nameservers: readonly NameServer[];
  /** Without trailing dots; the root is `''`. */
  readonly search: readonly string[];
  readonly ndots: number;
  /** For one query to one server. */
  readonly timeoutMs: number;
  /** Rounds over the servers. */
  readonly attempts: number;
  /** Begins each question at the next server. */
  readonly rotate: boolean;
  /** `use-vc`: over TCP from the start. */
  readonly useTcp: boolean;
}

const MAX_NAMESERVERS = 3;
const MAX_SEARCH = 32;
/** Longest name in text form, without the trailing dot (RFC 1035, 2.3.4). */
const MAX_NAME = 253;

/** Never fails: what glibc would ignore is ignored. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: NameServer[] = [];
  let search: string[] = [];
  let ndots = 1;
  let timeoutMs = 5_000;
  let attempts = 2;
  let rotate = false;
  let useTcp = false;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = wordsOf(line);
    if (keyword === 'nameserver') {
      const server = parseNameServer(values[0] ?? '');
      if (server !== undefined && nameservers.length < MAX_NAMESERVERS) nameservers.push(server);
    } else if (keyword === 'domain') {
      search = values.slice(0, 1).map(withoutTrailingDot);
    } else if (keyword === 'search') {
      search = values.slice(0, MAX_SEARCH).map(withoutTrailingDot);
    } else if (keyword === 'options') {
      for (const option of values) {
        // The caps are glibc's (RES_MAXNDOTS, RES_MAXRETRANS, RES_MAXRETRY).
        ndots = numberOf(option, 'ndots', 0, 15) ?? ndots;
        timeoutMs = (numberOf(option, 'timeout', 1, 30) ?? timeoutMs / 1_000) * 1_000;
        attempts = numberOf(option, 'attempts', 1, 5) ?? attempts;
        rotate ||= option === 'rotate';
        useTcp ||= option === 'use-vc';
      }
    }
  }
  if (nameservers.length === 0) nameservers.push({ address: '127.0.0.1', port: 53, scope: undefined });
  return { nameservers, search, ndots, timeoutMs, attempts, rotate, useTcp };
}

/** `10.0.0.10`, `10.0.0.10:5353`, `fd00::a`, `fe80::1%eth0`, `[fd00::a]` or `[fd00::a]:5353`; port 53 by default. */
export function parseNameServer(text: string): NameServer | undefined {
  const match =
    /^\[([^[\]]+)\](?::(\d{1,5}))?$/.exec(text) ??
    /^([0-9.]+)(?::(\d{1,5}))?$/.exec(text) ??
    /^([0-9A-Fa-f:.]+(?:%[^[\]/]+)?)$/.exec(text);
  if (match === null) return undefined;
  const [address = '', scope] = match[1]!.split('%', 2);
  const port = Number(match[2] ?? 53);
  if (isIP(address) === 0 || port < 1 || port > 65_535) return undefined;
  return { address, port, scope };
}

/** As people write it; port 53 goes without saying. */
export function serverLabel({ address, port, scope }: NameServer): string {
  const whole = scope === undefined ? address : `${address}%${scope}`;
  if (port === 53) return whole;
  return isIPv6(address) ? `[${whole}]:${port}` : `${whole}:${port}`;
}

/**
 * The absolute names to ask for, in order, without trailing dots: a name that ends in a dot is asked as it stands and
 * nothing else; with `ndots` dots or more it is tried as it stands first, else last (res_nsearch of glibc).
 * Names that are too long to exist are left out, and so may the list be empty.
 */
export function candidates(
  name: string,
  { search, ndots }: { readonly search: readonly string[]; readonly ndots: number },
): string[] {
  if (name.endsWith('.')) return fitting([name.slice(0, -1)]);
  const dots = name.split('.').length - 1;
  // Search domains of the configuration come as they were written, `.` for the root among them.
  const searched = search
    .map(withoutTrailingDot)
    .map((domain) => (domain === '' ? name : `${name}.${domain}`));
  return fitting(dots >= ndots ? [name, ...searched] : [...searched, name]);
}

function fitting(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== '' && name.length <= MAX_NAME);
}

function wordsOf(line: string): string[] {
  const words = line.trim().split(/\s+/);
  const comment = words.findIndex((word) => word.startsWith('#') || word.startsWith(';'));
  return comment === -1 ? words : words.slice(0, comment);
}

function withoutTrailingDot(domain: string): string {
  return domain.endsWith('.') ? domain.slice(0, -1) : domain;
}

function numberOf(option: string, name: string, min: number, max: number): number | undefined {
  if (!option.startsWith(`${name}:`)) return undefined;
  const digits = option.slice(name.length + 1);
  return /^\d{1,9}$/.test(digits) ? Math.min(max, Math.max(min, Number(digits))) : undefined;
}
