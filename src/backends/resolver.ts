/**
 * Names to targets, as the pod's own resolver would: hosts file, search domains, `ndots` and the servers of each domain
 * are applied here, and our own DNS client asks. Unlike `getaddrinfo` this tells the TTL and cannot block the thread
 * pool that files share; unlike c-ares it knows SRV with TTLs, several lists of servers, and which records belong to a
 * name.
 */

import { isIP } from 'node:net';
import type { ResolverConfig } from '../config/schema.ts';
import type { Clock } from './clock.ts';
import { type Ask, askAddresses, type ByFamily, ofFamily } from './dns/addresses.ts';
import { DnsClient, type Plan } from './dns/client.ts';
import { isQueryable } from './dns/message.ts';
import { askService, type KnownHosts } from './dns/services.ts';
import { serversFor, zonesOf } from './dns/zones.ts';
import { type HostsFile, lookUpHost, parseHostsFile } from './hosts-file.ts';
import { ParsedFile } from './parsed-file.ts';
import {
  type Answer,
  type Failure,
  failure,
  isDenial,
  type Name,
  type NameResolver,
  type Resolution,
  worseOf,
} from './resolution.ts';
import { candidates, parseResolvConf, type ResolvConf, serverLabel } from './resolv-conf.ts';
import { plainTargets, type Target } from './target.ts';

export interface ResolverOptions {
  readonly config: ResolverConfig;
  readonly clock: Clock;
  /** Default `/etc/resolv.conf`. */
  readonly resolvConf?: string | undefined;
  /** Default `/etc/hosts`. */
  readonly hosts?: string | undefined;
}

/** Most targets of one name that are used. */
export const MAX_TARGETS = 256;
/** The hosts file tells no TTL; reading it again costs next to nothing. */
const HOSTS_TTL_MS = 5_000;
/** Beyond what the client needs itself, until a name is given up. */
const GRACE_MS = 250;
/** Names whose latest failure is kept, and whose latest answer. */
const MAX_FAILURES = 1_000;
const MAX_KNOWN = 10_000;

/** What a name was last: keeps a failing server from turning it into another one. */
interface Known {
  /** Which of the candidates answered. */
  readonly name: string;
  /** For addresses. */
  readonly byFamily?: ByFamily;
  /** For SRV records. */
  readonly hosts?: KnownHosts;
}

interface Found {
  readonly kind: 'found';
  readonly targets: readonly Target[];
  readonly ttlMs: number;
  readonly omitted: number;
  readonly note: string | undefined;
  readonly known: Known;
}

/** What the questions of one name need. */
interface Inquiry {
  readonly ask: Ask;
  readonly hosts: HostsFile;
  /** The time for it is over; what is left is not asked. */
  expired: boolean;
}

export class DnsResolver implements NameResolver {
  readonly #config: ResolverConfig;
  readonly #clock: Clock;
  readonly #client: DnsClient;
  readonly #resolvConf: ParsedFile<ResolvConf>;
  readonly #hosts: ParsedFile<HostsFile>;
  readonly #running = new Map<string, Promise<Resolution>>();
  readonly #failures = new Map<string, { failure: Failure; until: number; conf: ResolvConf }>();
  readonly #known = new Map<string, Known>();

  constructor({ config, clock, resolvConf = '/etc/resolv.conf', hosts = '/etc/hosts' }: ResolverOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#client = new DnsClient(clock);
    this.#resolvConf = new ParsedFile(resolvConf, parseResolvConf);
    this.#hosts = new ParsedFile(hosts, parseHostsFile);
  }

  /** One question at a time per name: callers that come meanwhile share its answer. */
  resolve({ host, srv }: Name): Promise<Resolution> {
    if (isIP(host) !== 0) return Promise.resolve(this.#plainAnswer([host], this.#config.maxTtl));
    const name = { host: host.toLowerCase(), srv };
    const key = keyOf(name);
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#resolve(name)
        .catch((error: Error) => failure('other', `${host} could not be asked for: ${error.message}`))
        .finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  /** Calls every question off; each ends as a failure. */
  close(): void {
    this.#client.close();
  }

  async #resolve(name: Name): Promise<Resolution> {
    const [conf, hosts] = await Promise.all([this.#resolvConf.read(), this.#hosts.read()]);
    const local = name.srv ? undefined : lookUpHost(hosts, name.host);
    if (local !== undefined) return this.#plainAnswer(ofFamily(local, this.#config.family), HOSTS_TTL_MS);
    const key = keyOf(name);
    const earlier = this.#failures.get(key);
    if (earlier !== undefined && earlier.conf === conf && this.#clock.monotonic() < earlier.until) {
      return earlier.failure;
    }
    this.#failures.delete(key);
    const resolution = await this.#inquire(name, conf, hosts);
    if (resolution.kind === 'failure') this.#rememberFailure(key, resolution, conf);
    return resolution;
  }

  /** Kept for half of `minTtl`: several callers share it, and whoever waits `minTtl` to try again does ask again. */
  #rememberFailure(key: string, resolution: Failure, conf: ResolvConf): void {
    if (this.#failures.size >= MAX_FAILURES) this.#failures.clear();
    const until = this.#clock.monotonic() + this.#config.minTtl / 2;
    this.#failures.set(key, { failure: resolution, until, conf });
  }

  /** The name that has not answered for longest is forgotten: reloads may bring ever new names. */
  #remember(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!);
  }

  async #inquire(name: Name, conf: ResolvConf, hosts: HostsFile): Promise<Resolution> {
    const { search = conf.search, ndots = conf.ndots } = this.#config;
    const names = candidates(name.host, { search, ndots });
    if (names.length === 0) return failure('other', `${name.host} is too long to be a DNS name`);
    const plan: Omit<Plan, 'servers'> = {
      timeoutMs: this.#config.timeout ?? conf.timeoutMs,
      attempts: this.#config.attempts ?? conf.attempts,
      rotate: conf.rotate,
      tcp: conf.useTcp,
    };
    const zones = zonesOf(this.#config, conf.nameservers);
    const inquiry: Inquiry = {
      hosts,
      expired: false,
      ask: async (question) =>
        isQueryable(question.name)
          ? await this.#client.ask(question, { ...plan, servers: serversFor(question.name, zones) })
          : failure('notFound', `${question.name} is not a valid DNS name`),
    };
    // One bound for all candidates and families together: a search list must not multiply the time a dead server costs.
    // The hosts of SRV records are asked for afterwards, all at once.
    const servers = [...new Set(names.flatMap((each) => serversFor(each, zones)))];
    const perName = Math.max(...names.map((each) => serversFor(each, zones).length));
    const limit = plan.timeoutMs * plan.attempts * Math.max(1, perName) * (name.srv ? 2 : 1) + GRACE_MS;
    return await new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        inquiry.expired = true;
        const asked = servers.map(serverLabel).join(', ');
        resolve(failure('timeout', `${name.host}: no answer from ${asked} within ${limit}ms`));
      }, limit);
      this.#search(name, names, inquiry)
        .then(resolve, reject)
        .finally(() => this.#clock.clearTimeout(timer));
    });
  }

  /** The search of glibc (res_nsearch), which also goes on after a server failure and stops when nobody answers. */
  async #search(name: Name, names: readonly string[], inquiry: Inquiry): Promise<Resolution> {
    const key = keyOf(name);
    const known = this.#known.get(key);
    let worst: Failure | undefined;
    let deniedMs: number | undefined;
    for (const candidate of names) {
      if (inquiry.expired) break;
      const before = candidate === known?.name ? known : undefined;
      const outcome = name.srv
        ? await this.#service(candidate, inquiry, before)
        : await this.#addresses(candidate, inquiry, before);
      if (outcome.kind === 'found') {
        this.#remember(key, outcome.known);
        return this.#answer(outcome);
      }
      if (outcome.reason === 'timeout' || outcome.reason === 'other') return outcome;
      // The name that has answered so far cannot be asked for just now. A later candidate might answer, but it is
      // another service; traffic stays where it was.
      if (before !== undefined && !isDenial(outcome.reason)) return outcome;
      if (outcome.ttlMs !== undefined)
        deniedMs = Math.min(deniedMs ?? Number.POSITIVE_INFINITY, outcome.ttlMs);
      worst = worseOf(worst, outcome);
    }
    if (!isDenial(worst!.reason)) return worst!;
    const detail =
      worst!.reason === 'notFound' && names.length > 1
        ? `no such name (NXDOMAIN): ${names.slice(0, 8).join(', ')}`
        : worst!.detail;
    return failure(worst!.reason, detail, deniedMs);
  }

  async #addresses(name: string, { ask }: Inquiry, known: Known | undefined): Promise<Found | Failure> {
    const outcome = await askAddresses(name, this.#config.family, ask, known?.byFamily);
    if (outcome.kind === 'failure') return outcome;
    const { byFamily, ttlMs } = outcome;
    // Servers shuffle their answers; sorted, an unchanged answer is an unchanged list, also when it is cut off.
    const sorted = [...new Set([...byFamily.values()].flat())].sort();
    const targets = plainTargets(sorted);
    return { kind: 'found', targets, ttlMs, omitted: 0, note: undefined, known: { name, byFamily } };
  }

  async #service(
    name: string,
    { ask, hosts: file }: Inquiry,
    known: Known | undefined,
  ): Promise<Found | Failure> {
    const { family } = this.#config;
    const addressesOf = async (host: string, before: ByFamily | undefined) => {
      const local = lookUpHost(file, host);
      if (local === undefined) return await askAddresses(host, family, ask, before);
      const byFamily: ByFamily = new Map([[4, ofFamily(local, family)]]);
      return { kind: 'addresses', byFamily, ttlMs: HOSTS_TTL_MS } as const;
    };
    const outcome = await askService(name, family, ask, addressesOf, known?.hosts);
    if (outcome.kind === 'failure') return outcome;
    const { targets, ttlMs, omitted, note, hosts } = outcome;
    return { kind: 'found', targets, ttlMs, omitted, note, known: { name, hosts } };
  }

  #plainAnswer(addresses: readonly string[], ttlMs: number): Answer {
    const targets = plainTargets([...new Set(addresses)].sort());
    return this.#answer({ targets, ttlMs, omitted: 0, note: undefined });
  }

  #answer({ targets, ttlMs, omitted, note }: Pick<Found, 'targets' | 'ttlMs' | 'omitted' | 'note'>): Answer {
    const { minTtl, maxTtl } = this.#config;
    return {
      kind: 'answer',
      targets: targets.slice(0, MAX_TARGETS),
      ttlMs: Math.min(maxTtl, Math.max(minTtl, ttlMs)),
      omitted: omitted + Math.max(0, targets.length - MAX_TARGETS),
      ...(note === undefined ? {} : { note }),
    };
  }
}

function keyOf({ host, srv }: Name): string {
  return `${srv ? 'SRV ' : ''}${host}`;
}
