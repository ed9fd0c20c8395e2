/** Addresses of one absolute name, of one family or both. */

import { isIP } from 'node:net';
import { type Failure, failure, isDenial, worseOf } from '../resolution.ts';
import type { Answered } from './answer.ts';
import type { AddressRecord, Question } from './message.ts';

export type Ask = (question: Question) => Promise<Answered | Failure>;

type Family = 4 | 6;
/** Which addresses are wanted: of one family, and of the other where there are none, or of both together. */
export type FamilyPreference = 'ipv4' | 'ipv6' | 'both';
export type ByFamily = ReadonlyMap<Family, readonly string[]>;

export interface Addresses {
  readonly kind: 'addresses';
  readonly byFamily: ByFamily;
  readonly ttlMs: number;
}

type Outcome = { readonly kind: 'addresses'; readonly addresses: string[]; readonly ttlMs: number } | Failure;

const TYPES = { 4: 'A', 6: 'AAAA' } as const;

/**
 * @param known what the name had before: a family whose server fails while the other one answers keeps it, since a
 *   failure takes nothing away
 */
export async function askAddresses(
  name: string,
  preference: FamilyPreference,
  ask: Ask,
  known: ByFamily | undefined,
): Promise<Addresses | Failure> {
  const outcomes = await askFamilies(name, preference, ask);
  let worst: Failure | undefined;
  let ttlMs = Number.POSITIVE_INFINITY;
  const byFamily = new Map<Family, readonly string[]>();
  for (const [family, outcome] of outcomes) {
    if (outcome.kind === 'addresses') {
      ttlMs = Math.min(ttlMs, outcome.ttlMs);
      byFamily.set(family, outcome.addresses);
    } else {
      worst = worseOf(worst, outcome);
      if (!isDenial(outcome.reason)) byFamily.set(family, known?.get(family) ?? []);
    }
  }
  return ttlMs === Number.POSITIVE_INFINITY ? worst! : { kind: 'addresses', byFamily, ttlMs };
}

/** Those that were sent along with other records; undefined when a wanted family is missing among them. */
export function addressesAmong(
  records: readonly AddressRecord[],
  name: string,
  preference: FamilyPreference,
): Addresses | undefined {
  const families: Family[] = preference === 'both' ? [4, 6] : preference === 'ipv4' ? [4] : [6];
  const byFamily = new Map<Family, readonly string[]>();
  let ttlMs = Number.POSITIVE_INFINITY;
  for (const family of families) {
    const outcome = usable(
      name,
      records.filter((record) => record.name === name && record.type === TYPES[family]),
    );
    if (outcome.kind === 'failure') return undefined;
    byFamily.set(family, outcome.addresses);
    ttlMs = Math.min(ttlMs, outcome.ttlMs);
  }
  return { kind: 'addresses', byFamily, ttlMs };
}

/** Of the preferred family, or else all of them. */
export function ofFamily(addresses: readonly string[], preference: FamilyPreference): readonly string[] {
  if (preference === 'both') return addresses;
  const version = preference === 'ipv4' ? 4 : 6;
  const preferred = addresses.filter((address) => isIP(address) === version);
  return preferred.length > 0 ? preferred : addresses;
}

async function askFamilies(
  name: string,
  preference: FamilyPreference,
  ask: Ask,
): Promise<Map<Family, Outcome>> {
  if (preference === 'both') {
    const [a, aaaa] = await Promise.all([askFamily(name, 4, ask), askFamily(name, 6, ask)]);
    return new Map([
      [4, a],
      [6, aaaa],
    ]);
  }
  const first: Family = preference === 'ipv4' ? 4 : 6;
  const outcome = await askFamily(name, first, ask);
  const outcomes = new Map<Family, Outcome>([[first, outcome]]);
  if (outcome.kind === 'failure') {
    // Some servers answer NXDOMAIN for AAAA of a name that has only A (RFC 4074, 4.2), hence also after `notFound`.
    const absent = outcome.reason === 'noAddresses' || (first === 6 && outcome.reason === 'notFound');
    const second: Family = first === 4 ? 6 : 4;
    if (absent) outcomes.set(second, await askFamily(name, second, ask));
  }
  return outcomes;
}

async function askFamily(name: string, family: Family, ask: Ask): Promise<Outcome> {
  const answer = await ask({ name, type: TYPES[family] });
  if (answer.kind === 'failure') return answer;
  const outcome = usable(name, answer.records as readonly AddressRecord[]);
  if (outcome.kind === 'failure') return outcome;
  return { ...outcome, ttlMs: Math.min(outcome.ttlMs, answer.ttl * 1_000) };
}

/** 0.0.0.0 and :: (what sinkholes answer) would connect to this very host. */
function usable(name: string, records: readonly AddressRecord[]): Outcome {
  const left = records.filter(({ address }) => address !== '0.0.0.0' && address !== '::');
  if (left.length === 0) return failure('noAddresses', `${name} has no usable address`);
  let ttl = Number.POSITIVE_INFINITY;
  for (const record of left) ttl = Math.min(ttl, record.ttl);
  return { kind: 'addresses', addresses: left.map(({ address }) => address), ttlMs: ttl * 1_000 };
}
