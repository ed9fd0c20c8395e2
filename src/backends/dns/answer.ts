/** What a server's message says about a question; pure. */

import { type Failure, failure } from '../resolution.ts';
import {
  type AddressRecord,
  type DnsRecord,
  type Message,
  type Question,
  type QuestionType,
  type SrvRecord,
  TYPE_CODES,
} from './message.ts';

/** Records of the type asked for, at least one. */
export interface Answered {
  readonly kind: 'records';
  readonly records: readonly (AddressRecord | SrvRecord)[];
  /** Seconds: the least along the way to them. */
  readonly ttl: number;
  /** What the records belong to: the name asked for, or the last of its aliases. */
  readonly canonical: string;
  /** Addresses that came along unasked. */
  readonly additionals: readonly AddressRecord[];
}

/** Most aliases that are followed, as in BIND and unbound. */
const MAX_ALIASES = 16;

const NOERROR = 0;
const FORMERR = 1;
const SERVFAIL = 2;
const NXDOMAIN = 3;
const NOTIMP = 4;
const REFUSED = 5;
const BADVERS = 16;
const RCODE_NAMES: Readonly<Record<number, string>> = {
  [FORMERR]: 'FORMERR',
  [NOTIMP]: 'NOTIMP',
  6: 'YXDOMAIN',
  9: 'NOTAUTH',
  10: 'NOTZONE',
  [BADVERS]: 'BADVERS',
};

/** Whether the message belongs to the query. What does not may come from anybody (RFC 5452, 9.1). */
export function isReplyTo(message: Message, id: number, { name, type }: Question): boolean {
  if (message.id !== id || !message.isResponse) return false;
  // A server that could not read the query repeats no question.
  if (message.question === undefined) return message.rcode !== NOERROR && message.rcode !== NXDOMAIN;
  return message.question.name === name && message.question.type === TYPE_CODES[type];
}

/** Whether the server may answer once it is asked without EDNS (RFC 6891, 7). */
export function refusesEdns({ rcode }: Message): boolean {
  return rcode === FORMERR || rcode === NOTIMP || rcode === BADVERS;
}

/** @param message one that is a reply to the question, and is not truncated */
export function judge(message: Message, question: Question): Answered | Failure {
  const { name, type } = question;
  switch (message.rcode) {
    case NOERROR:
      return follow(message, question);
    case NXDOMAIN: {
      return failure('notFound', `no such name (NXDOMAIN): ${name}`, denialTtl(message));
    }
    case SERVFAIL:
      return failure('serverFailure', `the DNS server failed (SERVFAIL) for ${name} (${type})`);
    case REFUSED:
      return failure('refused', `the DNS server refused to answer for ${name} (${type})`);
    default: {
      const rcode = RCODE_NAMES[message.rcode] ?? `the unknown code ${message.rcode}`;
      return failure('serverFailure', `the DNS server answered ${rcode} for ${name} (${type})`);
    }
  }
}

/** From alias to alias, among records of the names on that way alone. */
function follow(message: Message, { name, type }: Question): Answered | Failure {
  const byOwner = new Map<string, DnsRecord[]>();
  for (const record of message.answers) {
    const known = byOwner.get(record.name);
    if (known === undefined) byOwner.set(record.name, [record]);
    else known.push(record);
  }
  const way = [name];
  let ttl = Number.POSITIVE_INFINITY;
  for (;;) {
    const owner = way.at(-1)!;
    const owned = byOwner.get(owner) ?? [];
    const records = owned.filter((record) => record.type === type) as (AddressRecord | SrvRecord)[];
    if (records.length > 0) {
      for (const record of records) ttl = Math.min(ttl, record.ttl);
      const additionals = message.additionals.filter(isAddress);
      return { kind: 'records', records, ttl, canonical: owner, additionals };
    }
    const alias = owned.find((record) => record.type === 'CNAME');
    if (alias === undefined) break;
    if (way.includes(alias.target)) {
      return failure(
        'serverFailure',
        `the aliases of ${name} run in a circle: ${told([...way, alias.target])}`,
      );
    }
    if (way.length > MAX_ALIASES) {
      return failure('serverFailure', `${name} has more than ${MAX_ALIASES} aliases, one after the other`);
    }
    ttl = Math.min(ttl, alias.ttl);
    way.push(alias.target);
  }
  if (way.length > 1) {
    return failure('noAddresses', `${told(way)} has no ${wanted(type)} in the answer`, denialTtl(message));
  }
  const foreign = message.answers.find((record) => record.type === type);
  if (foreign !== undefined) {
    return failure(
      'serverFailure',
      `the DNS server answered for ${foreign.name} when asked for ${name} (${type})`,
    );
  }
  return failure('noAddresses', `${name} exists but has no ${wanted(type)}`, denialTtl(message));
}

/** How long the absence may be remembered (RFC 2308, 5). */
function denialTtl({ authorities }: Message): number | undefined {
  const authority = authorities.find((record) => record.type === 'SOA');
  return authority === undefined ? undefined : Math.min(authority.ttl, authority.minimum) * 1_000;
}

function wanted(type: QuestionType): string {
  return type === 'SRV' ? 'SRV record' : 'address';
}

/** The ends of a long way say enough. */
function told(way: readonly string[]): string {
  const shown = way.length <= 5 ? way : [...way.slice(0, 3), '…', way.at(-1)!];
  return shown.join(' → ');
}

function isAddress(record: DnsRecord): record is AddressRecord {
  return record.type === 'A' || record.type === 'AAAA';
}
