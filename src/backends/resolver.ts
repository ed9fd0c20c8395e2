/**
 * Names to addresses, as the pod's own resolver would: hosts file, search domains and `ndots` are applied here, the
 * questions go through c-ares, which also repeats a truncated answer over TCP. Unlike `getaddrinfo` this tells the TTL
 * and cannot block the thread pool that files share.
 */

import { Resolver } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';
import type { ResolverConfig } from '../config/schema.ts';
import type { Clock } from './clock.ts';
import { lookUpHost, parseHostsFile } from './hosts-file.ts';
import { plainTargets, type Target } from './name-state.ts';
import { ParsedFile } from './parsed-file.ts';
import {
  candidates,
  type NameServer,
  parseNameServer,
  parseResolvConf,
  type ResolvConf,
} from './resolv-conf.ts';

/**
 * `notFound`: the name does not exist (NXDOMAIN). `noAddresses`: it does, without an address. `serverFailure`: SERVFAIL
 * or an answer that makes no sense. `refused`: the server will not answer us. `other`: no server could be asked.
 */
export type FailureKind = 'notFound' | 'noAddresses' | 'timeout' | 'serverFailure' | 'refused' | 'other';

export interface Answer {
  readonly kind: 'answer';
  /** In a stable order, at least one. */
  readonly targets: readonly Target[];
  /** Between `minTtl` and `maxTtl`. */
  readonly ttlMs: number;
  /** Addresses above the most that are used. */
  readonly omitted: number;
}

export interface Failure {
  readonly kind: 'failure';
  readonly reason: FailureKind;
  /** For people: what was asked for, of whom, and what came back. */
  readonly detail: string;
}

export type Resolution = Answer | Failure;

/** What is asked for. */
export interface Name {
  readonly host: string;
  /** For the SRV records of the host, else for its addresses. */
  readonly srv: boolean;
}

/** What turns host names into addresses. */
export interface NameResolver {
  /** Never rejects. */
  resolve(name: Name): Promise<Resolution>;
  close(): void;
}

export interface ResolverOptions {
  readonly config: ResolverConfig;
  readonly clock: Clock;
  /** Default `/etc/resolv.conf`. */
  readonly resolvConf?: string | undefined;
  /** Default `/etc/hosts`. */
  readonly hosts?: string | undefined;
}

/** Most addresses of one name that are used. */
export const MAX_ADDRESSES = 256;
/** The hosts file tells no TTL; reading it again costs next to nothing. */
const HOSTS_TTL_MS = 5_000;
/** Beyond what c-ares needs itself, until its questions are called off. */
const GRACE_MS = 250;
/** Names whose latest failure is kept, and whose latest answer. */
const MAX_FAILURES = 1_000;
const MAX_KNOWN = 10_000;

type Family = 4 | 6;
type Outcome = { readonly addresses: string[]; readonly ttlMs: number } | Failure;

/** What a name was last: keeps a failing server from turning it into another one. */
interface Known {
  /** Which of the candidates answered. */
  readonly name: string;
  readonly byFamily: ReadonlyMap<Family, readonly string[]>;
}

interface Settings {
  readonly servers: readonly NameServer[];
  readonly search: readonly string[];
  readonly ndots: number;
  readonly timeoutMs: number;
  readonly attempts: number;
}

export class DnsResolver implements NameResolver {
  readonly #config: ResolverConfig;
  readonly #clock: Clock;
  readonly #resolvConf: ParsedFile<ResolvConf>;
  readonly #hosts: ParsedFile<ReturnType<typeof parseHostsFile>>;
  readonly #running = new Map<string, Promise<Resolution>>();
  readonly #failures = new Map<string, { failure: Failure; until: number; conf: ResolvConf }>();
  readonly #known = new Map<string, Known>();
  readonly #asking = new Set<Resolver>();
  #closed = false;

  constructor({ config, clock, resolvConf = '/etc/resolv.conf', hosts = '/etc/hosts' }: ResolverOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#resolvConf = new ParsedFile(resolvConf, parseResolvConf);
    this.#hosts = new ParsedFile(hosts, parseHostsFile);
  }

  /** One question at a time per name: callers that come meanwhile share its answer. */
  resolve({ host }: Name): Promise<Resolution> {
    if (isIP(host) !== 0) {
      return Promise.resolve(answer([host], this.#config.maxTtl, this.#config));
    }
    const key = host.toLowerCase();
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#resolve(key)
        .catch((error: Error) => failure('other', `${host} could not be asked for: ${error.message}`))
        .finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  /** Calls every question off; each ends as a failure. */
  close(): void {
    this.#closed = true;
    for (const resolver of this.#asking) resolver.cancel();
  }

  async #resolve(host: string): Promise<Resolution> {
    const [conf, hosts] = await Promise.all([this.#resolvConf.read(), this.#hosts.read()]);
    const local = lookUpHost(hosts, host);
    if (local !== undefined) return answer(ofFamily(local, this.#config.family), HOSTS_TTL_MS, this.#config);
    const earlier = this.#failures.get(host);
    if (earlier !== undefined && earlier.conf === conf && this.#clock.monotonic() < earlier.until) {
      return earlier.failure;
    }
    this.#failures.delete(host);
    const resolution = await this.#ask(host, this.#settings(conf));
    if (resolution.kind === 'failure') this.#rememberFailure(host, resolution, conf);
    return resolution;
  }

  /** Kept for half of `minTtl`: several callers share it, and whoever waits `minTtl` to try again does ask again. */
  #rememberFailure(host: string, resolution: Failure, conf: ResolvConf): void {
    if (this.#failures.size >= MAX_FAILURES) this.#failures.clear();
    const until = this.#clock.monotonic() + this.#config.minTtl / 2;
    this.#failures.set(host, { failure: resolution, until, conf });
  }

  /** The name that has not answered for longest is forgotten: reloads may bring ever new names. */
  #remember(host: string, known: Known): void {
    this.#known.delete(host);
    this.#known.set(host, known);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!);
  }

  #settings(conf: ResolvConf): Settings {
    const { nameservers, search, ndots, timeout, attempts } = this.#config;
    return {
      servers: nameservers?.map(parseNameServer).filter((server) => server !== undefined) ?? conf.nameservers,
      search: search ?? conf.search,
      ndots: ndots ?? conf.ndots,
      timeoutMs: timeout ?? conf.timeoutMs,
      attempts: attempts ?? conf.attempts,
    };
  }

  async #ask(host: string, settings: Settings): Promise<Resolution> {
    const { servers, timeoutMs, attempts } = settings;
    const names = candidates(host, settings);
    if (names.length === 0) return failure('other', `${host} is too long to be a DNS name`);
    // A resolver for each question: c-ares keeps its sockets, and one that a network policy or the replacement of a
    // CoreDNS pod has cut off would stay cut off (haproxy#2654). A new one has new source ports.
    const resolver = new Resolver({ timeout: timeoutMs, maxTimeout: timeoutMs, tries: attempts });
    resolver.setServers(
      servers.map(({ address, port }) => (isIPv4(address) ? `${address}:${port}` : `[${address}]:${port}`)),
    );
    if (this.#closed) return failure('other', 'the resolver is closed');
    // One bound for all candidates and families together: a search list must not multiply the time a dead server costs.
    const limit = timeoutMs * attempts * Math.max(1, servers.length) + GRACE_MS;
    let expired = false;
    const timer = this.#clock.setTimeout(() => {
      expired = true;
      resolver.cancel();
    }, limit);
    this.#asking.add(resolver);
    try {
      const resolution = await this.#search(resolver, host, names);
      if (expired && resolution.kind === 'failure') {
        return failure('timeout', `${host}: no answer from ${listOf(servers)} within ${limit}ms`);
      }
      if (
        resolution.kind === 'failure' &&
        resolution.reason !== 'notFound' &&
        resolution.reason !== 'noAddresses'
      ) {
        return failure(resolution.reason, `${resolution.detail} (asked ${listOf(servers)})`);
      }
      return resolution;
    } finally {
      this.#clock.clearTimeout(timer);
      this.#asking.delete(resolver);
    }
  }

  /** The search of glibc (res_nsearch), which also goes on after a server failure and stops when nobody answers. */
  async #search(resolver: Resolver, host: string, names: readonly string[]): Promise<Resolution> {
    const known = this.#known.get(host);
    let worst: Failure | undefined;
    for (const name of names) {
      const byFamily = await this.#askFamilies(resolver, name);
      const outcome = merged(name, byFamily, name === known?.name ? known : undefined);
      if (!('kind' in outcome)) {
        this.#remember(host, {
          name,
          byFamily: addressesOf(byFamily, name === known?.name ? known : undefined),
        });
        return answer(outcome.addresses, outcome.ttlMs, this.#config);
      }
      if (outcome.reason === 'timeout' || outcome.reason === 'other') return outcome;
      // The name that has answered so far cannot be asked for just now. A later candidate might answer, but it is
      // another service; traffic stays where it was.
      if (name === known?.name && isServerSide(outcome)) return outcome;
      if (worst === undefined || RANK[outcome.reason] > RANK[worst.reason]) worst = outcome;
    }
    if (worst!.reason === 'notFound') {
      return failure('notFound', `no such name (NXDOMAIN): ${names.slice(0, 8).join(', ')}`);
    }
    return worst!;
  }

  /** Outcomes by family, the preferred one first; the other is asked only if it is wanted. */
  async #askFamilies(resolver: Resolver, name: string): Promise<Map<Family, Outcome>> {
    const { family } = this.#config;
    if (family === 'both') {
      const [a, aaaa] = await Promise.all([ask(resolver, name, 4), ask(resolver, name, 6)]);
      return new Map([
        [4, a],
        [6, aaaa],
      ]);
    }
    const first: Family = family === 'ipv4' ? 4 : 6;
    const outcomes = new Map<Family, Outcome>([[first, await ask(resolver, name, first)]]);
    const outcome = outcomes.get(first)!;
    // Some servers answer NXDOMAIN for AAAA of a name that has only A (RFC 4074, 4.2), hence also after `notFound`.
    const absent =
      'kind' in outcome &&
      (outcome.reason === 'noAddresses' || (first === 6 && outcome.reason === 'notFound'));
    if (absent) {
      const second: Family = first === 4 ? 6 : 4;
      outcomes.set(second, await ask(resolver, name, second));
    }
    return outcomes;
  }
}

/** How much a failure says against the name being simply absent; the highest one is told. */
const RANK: Record<FailureKind, number> = {
  notFound: 0,
  noAddresses: 1,
  refused: 2,
  serverFailure: 3,
  timeout: 4,
  other: 5,
};

async function ask(resolver: Resolver, name: string, family: Family): Promise<Outcome> {
  try {
    const records =
      family === 4
        ? await resolver.resolve4(name, { ttl: true })
        : await resolver.resolve6(name, { ttl: true });
    // 0.0.0.0 and :: (what sinkholes answer) would connect to this very host.
    const usable = records.filter(({ address }) => address !== '0.0.0.0' && address !== '::');
    if (usable.length === 0) return failure('noAddresses', `${name} has no usable address`);
    let ttl = Number.POSITIVE_INFINITY;
    for (const record of usable) ttl = Math.min(ttl, record.ttl);
    return { addresses: usable.map(({ address }) => address), ttlMs: ttl * 1_000 };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const type = family === 4 ? 'A' : 'AAAA';
    switch (code) {
      case 'ENOTFOUND':
        return failure('notFound', `no such name (NXDOMAIN): ${name}`);
      case 'ENODATA':
        return failure('noAddresses', `${name} exists but has no address`);
      case 'ETIMEOUT':
      case 'ECANCELLED':
        return failure('timeout', `no answer for ${name} (${type})`);
      case 'EREFUSED':
        return failure('refused', `the DNS server refused to answer for ${name} (${type})`);
      case 'ESERVFAIL':
        return failure('serverFailure', `the DNS server failed (SERVFAIL) for ${name} (${type})`);
      case 'EBADRESP':
      case 'EFORMERR':
      case 'ENOTIMP':
        return failure('serverFailure', `the DNS server answered ${code.slice(1)} for ${name} (${type})`);
      case 'EBADNAME':
        return failure('notFound', `${name} is not a valid DNS name`);
      case 'ECONNREFUSED':
        return failure('other', `no DNS server listens (connection refused) for ${name} (${type})`);
      default:
        return failure('other', `${name} (${type}): ${message}`);
    }
  }
}

/**
 * One outcome of the families asked. A family whose server fails while the other one answers keeps the addresses it
 * had, since a failure takes nothing away.
 */
function merged(name: string, byFamily: ReadonlyMap<Family, Outcome>, known: Known | undefined): Outcome {
  let worst: Failure | undefined;
  let ttlMs = Number.POSITIVE_INFINITY;
  for (const outcome of byFamily.values()) {
    if (!('kind' in outcome)) ttlMs = Math.min(ttlMs, outcome.ttlMs);
    else if (worst === undefined || RANK[outcome.reason] > RANK[worst.reason]) worst = outcome;
  }
  if (ttlMs === Number.POSITIVE_INFINITY) return worst ?? failure('noAddresses', `${name} has no address`);
  return { addresses: [...addressesOf(byFamily, known).values()].flat(), ttlMs };
}

function addressesOf(
  byFamily: ReadonlyMap<Family, Outcome>,
  known: Known | undefined,
): Map<Family, readonly string[]> {
  const addresses = new Map<Family, readonly string[]>();
  for (const [family, outcome] of byFamily) {
    if (!('kind' in outcome)) addresses.set(family, outcome.addresses);
    else if (outcome.reason !== 'notFound' && outcome.reason !== 'noAddresses') {
      addresses.set(family, known?.byFamily.get(family) ?? []);
    }
  }
  return addresses;
}

function isServerSide({ reason }: Failure): boolean {
  return reason !== 'notFound' && reason !== 'noAddresses';
}

function answer(addresses: readonly string[], ttlMs: number, { minTtl, maxTtl }: ResolverConfig): Answer {
  // Servers shuffle their answers; sorted, an unchanged answer is an unchanged list, also when it is cut off.
  const sorted = [...new Set(addresses)].sort();
  return {
    kind: 'answer',
    targets: plainTargets(sorted.slice(0, MAX_ADDRESSES)),
    ttlMs: Math.min(maxTtl, Math.max(minTtl, ttlMs)),
    omitted: Math.max(0, sorted.length - MAX_ADDRESSES),
  };
}

function failure(reason: FailureKind, detail: string): Failure {
  return { kind: 'failure', reason, detail };
}

function ofFamily(addresses: readonly string[], family: ResolverConfig['family']): readonly string[] {
  if (family === 'both') return addresses;
  const version = family === 'ipv4' ? 4 : 6;
  const preferred = addresses.filter((address) => isIP(address) === version);
  return preferred.length > 0 ? preferred : addresses;
}

function listOf(servers: readonly NameServer[]): string {
  return servers
    .map(({ address, port }) =>
      port === 53 ? address : isIPv4(address) ? `${address}:${port}` : `[${address}]:${port}`,
    )
    .join(', ');
}
