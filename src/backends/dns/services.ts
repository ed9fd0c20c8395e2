/** SRV records (RFC 2782) of one absolute name, with the addresses of the hosts that they point to. */

import { type Failure, failure, isDenial, worseOf } from '../resolution.ts';
import type { Target } from '../target.ts';
import {
  type Addresses,
  type Ask,
  addressesAmong,
  type ByFamily,
  type FamilyPreference,
} from './addresses.ts';
import type { SrvRecord } from './message.ts';

/** What a host of a SRV record had. */
export type KnownHosts = ReadonlyMap<string, ByFamily>;

export interface Service {
  readonly kind: 'service';
  /** In a stable order. */
  readonly targets: readonly Target[];
  readonly ttlMs: number;
  readonly hosts: KnownHosts;
  /** What is missing, and why; undefined: nothing. */
  readonly note: string | undefined;
  /** Records above the most that are followed. */
  readonly omitted: number;
}

/** Most SRV records that are followed: as many questions may be needed. */
const MAX_RECORDS = 256;
/** Hosts without address that the note names. */
const MAX_NAMED = 3;

/**
 * @param addressesOf asks for a host that came without addresses
 * @param known from the answer before; a host whose server fails keeps its addresses as long as a record names it
 */
export async function askService(
  name: string,
  preference: FamilyPreference,
  ask: Ask,
  addressesOf: (host: string, known: ByFamily | undefined) => Promise<Addresses | Failure>,
  known: KnownHosts | undefined,
): Promise<Service | Failure> {
  const answer = await ask({ name, type: 'SRV' });
  if (answer.kind === 'failure') return answer;
  const all = (answer.records as readonly SrvRecord[]).filter(
    ({ target, port }) => target !== '' && port !== 0,
  );
  if (all.length === 0) {
    return failure('noAddresses', `${name} says that there is no such service (a SRV record without a host)`);
  }
  const records = all.toSorted(inOrder).slice(0, MAX_RECORDS);
  const zone = zoneOf(answer.canonical);
  const lookUp = async (host: string): Promise<[string, Addresses | Failure]> => {
    // Addresses that came along count within the service's own domain only: of other domains other servers may know
    // better, and this one may know nothing.
    const along = isWithin(host, zone) ? addressesAmong(answer.additionals, host, preference) : undefined;
    return [host, along ?? (await addressesOf(host, known?.get(host)))];
  };
  const hosts = [...new Set(records.map(({ target }) => target))];
  const outcomes = new Map(await Promise.all(hosts.map(lookUp)));
  return assemble(name, records, answer.ttl * 1_000, outcomes, known, all.length - records.length);
}

/** Pure: targets of the records whose hosts have addresses, known ones where the server failed. */
export function assemble(
  name: string,
  records: readonly SrvRecord[],
  srvTtlMs: number,
  outcomes: ReadonlyMap<string, Addresses | Failure>,
  known: KnownHosts | undefined,
  omitted: number,
): Service | Failure {
  const hosts = new Map<string, ByFamily>();
  const failed = new Map<string, Failure>();
  let ttlMs = srvTtlMs;
  for (const [host, outcome] of outcomes) {
    if (outcome.kind === 'addresses') {
      hosts.set(host, outcome.byFamily);
      ttlMs = Math.min(ttlMs, outcome.ttlMs);
      continue;
    }
    failed.set(host, outcome);
    if (isDenial(outcome.reason)) continue;
    // It may be a new endpoint: asked for again as soon as allowed.
    ttlMs = 0;
    const before = known?.get(host);
    if (before !== undefined) hosts.set(host, before);
  }
  const targets = targetsOf(records, hosts);
  if (targets.length === 0) {
    let worst: Failure | undefined;
    for (const each of failed.values()) worst = worseOf(worst, each);
    const reason = isDenial(worst!.reason) ? 'noAddresses' : worst!.reason;
    return failure(
      reason,
      `none of the ${hostCount(failed.size)} of ${name} has an address: ${worst!.detail}`,
    );
  }
  return { kind: 'service', targets, ttlMs, hosts, note: noteOf(failed), omitted };
}

/** Each address and port once, by its first record; a host of several addresses shares its weight among them. */
function targetsOf(records: readonly SrvRecord[], hosts: KnownHosts): Target[] {
  const targets = new Map<string, Target>();
  for (const { target: host, port, priority, weight } of records) {
    const addresses = [...new Set([...(hosts.get(host)?.values() ?? [])].flat())].sort();
    for (const address of addresses) {
      const key = `${address} ${port}`;
      if (targets.has(key)) continue;
      targets.set(key, { address, port, host, weight: weight / addresses.length, priority });
    }
  }
  return [...targets.values()];
}

function noteOf(failed: ReadonlyMap<string, Failure>): string | undefined {
  if (failed.size === 0) return undefined;
  const named = [...failed.values()].slice(0, MAX_NAMED).map(({ detail }) => detail);
  return `${hostCount(failed.size)} could not be resolved: ${named.join('; ')}${failed.size > MAX_NAMED ? '; …' : ''}`;
}

function hostCount(count: number): string {
  return count === 1 ? '1 host' : `${count} hosts`;
}

function inOrder(a: SrvRecord, b: SrvRecord): number {
  return a.priority - b.priority || compare(a.target, b.target) || a.port - b.port || a.weight - b.weight;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `_http._tcp.shop.default.svc` → `shop.default.svc`. */
function zoneOf(name: string): string {
  return name.replace(/^(_[^.]*\.)+/, '');
}

function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}
