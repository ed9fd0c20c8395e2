/**
 * DNS messages (RFC 1035, 4). Queries are written by dns-packet. What comes back is read here: a hostile message of
 * 64 KiB, every record of which names its owner through thousands of compression pointers, keeps a reader without a
 * bound busy for a second, and one odd record must not spoil the rest.
 */

import { encode, RECURSION_DESIRED } from 'dns-packet';

export type QuestionType = 'A' | 'AAAA' | 'SRV';

/** What is asked: `name` in lower case, without the trailing dot. */
export interface Question {
  readonly name: string;
  readonly type: QuestionType;
}

export interface AddressRecord {
  readonly type: 'A' | 'AAAA';
  readonly name: string;
  readonly ttl: number;
  readonly address: string;
}

export interface SrvRecord {
  readonly type: 'SRV';
  readonly name: string;
  readonly ttl: number;
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  /** `''`: there is no such service (RFC 2782). */
  readonly target: string;
}

export interface AliasRecord {
  readonly type: 'CNAME';
  readonly name: string;
  readonly ttl: number;
  readonly target: string;
}

export interface AuthorityRecord {
  readonly type: 'SOA';
  readonly name: string;
  readonly ttl: number;
  /** Seconds that the absence of a name in the zone may be remembered. */
  readonly minimum: number;
}

/** TTLs in seconds; names in lower case, without the trailing dot. */
export type DnsRecord = AddressRecord | SrvRecord | AliasRecord | AuthorityRecord;

/** What a server sent. Records of other types and classes are left out. */
export interface Message {
  readonly id: number;
  readonly isResponse: boolean;
  /** Extended by EDNS where there is some. */
  readonly rcode: number;
  /** The records did not fit; none of them is told. */
  readonly truncated: boolean;
  /** Undefined when the message has none, as some errors. */
  readonly question: { readonly name: string; readonly type: number } | undefined;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** Largest datagram that is asked for; more would be fragmented on some paths (DNS flag day 2020). */
const UDP_PAYLOAD = 1232;
/** Longest name on the wire, and the most labels that it can have; as many pointers are the most that make sense. */
const MAX_NAME_BYTES = 255;
const MAX_POINTERS = 127;
/** Longest name in text form, without the trailing dot. */
const MAX_NAME = 253;

export const TYPE_CODES: Record<QuestionType, number> = { A: 1, AAAA: 28, SRV: 33 };
const CNAME = 5;
const SOA = 6;
const OPT = 41;
const IN = 1;

/** Whether a name can be asked for at all; dns-packet would write a label of 64 bytes as something else. */
export function isQueryable(name: string): boolean {
  return name.length <= MAX_NAME && name.split('.').every((label) => /^[\x21-\x7e]{1,63}$/.test(label));
}

export function encodeQuery(id: number, { name, type }: Question, edns: boolean): Buffer {
  return encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type }],
    additionals: edns
      ? [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: UDP_PAYLOAD,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
      : [],
  });
}

/** Undefined when the bytes are no DNS message. */
export function readMessage(bytes: Buffer): Message | undefined {
  try {
    return new Reader(bytes).message();
  } catch (error) {
    // Beyond the end of the message.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  #extendedRcode = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(): Message {
    const id = this.#u16();
    const flags = this.#u16();
    const [questions, answerCount, authorityCount, additionalCount] = [
      this.#u16(),
      this.#u16(),
      this.#u16(),
      this.#u16(),
    ];
    if (questions > 1) throw new RangeError('more than one question');
    const question = questions === 0 ? undefined : this.#question();
    const truncated = (flags & 0x0200) !== 0;
    const answers = truncated ? [] : this.#records(answerCount);
    const authorities = truncated ? [] : this.#records(authorityCount);
    const additionals = truncated ? [] : this.#records(additionalCount);
    return {
      id,
      isResponse: (flags & 0x8000) !== 0,
      rcode: (flags & 0xf) | this.#extendedRcode,
      truncated,
      question,
      answers,
      authorities,
      additionals,
    };
  }

  #question(): { name: string; type: number } {
    const name = this.#name();
    const type = this.#u16();
    if (this.#u16() !== IN) throw new RangeError('a class other than IN');
    return { name, type };
  }

  #records(count: number): DnsRecord[] {
    const records: DnsRecord[] = [];
    for (let i = 0; i < count; i++) {
      const owner = this.#at;
      this.#skipName();
      const type = this.#u16();
      const isInternet = this.#u16() === IN;
      const ttl = this.#u32();
      const length = this.#u16();
      const end = this.#at + length;
      if (end > this.#bytes.length) throw new RangeError('a record beyond the end');
      if (type === OPT) this.#extendedRcode = (ttl >>> 24) << 4;
      else if (isInternet) {
        const record = this.#record(owner, type, ttl, length);
        if (record !== undefined) records.push(record);
      }
      this.#at = end;
    }
    return records;
  }

  /** Undefined for types that nobody asks for, and for records whose data is not what their type says. */
  #record(owner: number, type: number, ttl: number, length: number): DnsRecord | undefined {
    const end = this.#at + length;
    const within = (record: DnsRecord) => (this.#at === end ? record : undefined);
    switch (type) {
      case TYPE_CODES.A:
        if (length !== 4) return undefined;
        return { type: 'A', name: this.#nameAt(owner), ttl, address: [...this.#take(4)].join('.') };
      case TYPE_CODES.AAAA:
        if (length !== 16) return undefined;
        return { type: 'AAAA', name: this.#nameAt(owner), ttl, address: formatIpv6(this.#take(16)) };
      case CNAME:
        return within({ type: 'CNAME', name: this.#nameAt(owner), ttl, target: this.#name() });
      case TYPE_CODES.SRV:
        return within({
          type: 'SRV',
          name: this.#nameAt(owner),
          ttl,
          priority: this.#u16(),
          weight: this.#u16(),
          port: this.#u16(),
          target: this.#name(),
        });
      case SOA:
        this.#skipName();
        this.#skipName();
        this.#take(16);
        return within({ type: 'SOA', name: this.#nameAt(owner), ttl, minimum: this.#u32() });
      default:
        return undefined;
    }
  }

  #u16(): number {
    const value = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  #u32(): number {
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    if (taken.length < length) throw new RangeError('beyond the end');
    this.#at += length;
    return taken;
  }

  #skipName(): void {
    for (;;) {
      const length = this.#bytes.readUInt8(this.#at);
      if (length >= 0xc0) {
        this.#at += 2;
        return;
      }
      if (length > 63) throw new RangeError('a label of an unknown kind');
      this.#at += 1 + length;
      if (length === 0) return;
    }
  }

  /** Reads the name here and goes on behind it. */
  #name(): string {
    const name = this.#nameAt(this.#at);
    this.#skipName();
    return name;
  }

  #nameAt(start: number): string {
    let name = '';
    let at = start;
    let size = 1;
    for (let pointers = 0; ; ) {
      const length = this.#bytes.readUInt8(at);
      if (length === 0) return name;
      if (length >= 0xc0) {
        if (++pointers > MAX_POINTERS) throw new RangeError('a name that never ends');
        at = this.#bytes.readUInt16BE(at) & 0x3fff;
        continue;
      }
      size += 1 + length;
      if (length > 63 || size > MAX_NAME_BYTES || at + 1 + length > this.#bytes.length) {
        throw new RangeError('a name that is none');
      }
      name += `${name === '' ? '' : '.'}${labelText(this.#bytes, at + 1, length)}`;
      at += 1 + length;
    }
  }
}

/** In lower case. A dot within a label is told apart from one between labels, as in zone files (RFC 1035, 5.1). */
function labelText(bytes: Buffer, start: number, length: number): string {
  const text = bytes.toString('latin1', start, start + length).toLowerCase();
  return text.includes('.') || text.includes('\\') ? text.replace(/[.\\]/g, '\\$&') : text;
}

/** As RFC 5952 wants it written. */
function formatIpv6(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i));
  let [start, run] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (words[i + length] === 0) length++;
    if (length > run) [start, run] = [i, length];
  }
  const text = (from: number, to?: number) =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(':');
  return run === 1 ? text(0) : `${text(0, start)}::${text(start + run)}`;
}
