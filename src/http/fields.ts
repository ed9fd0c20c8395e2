import { DEBUG_FIELD } from '../debug-header/debug-fields.ts';
import { BAGGAGE, type Propagation } from '../propagation/propagate.ts';

/**
 * What a proxy does with each field of a message, found by one map lookup: names are classified once and remembered
 * under the exact bytes they came in, so that no name is lower-cased twice.
 */

export type FieldRole =
  | 'pass'
  /** Belongs to one connection (RFC 9110, 7.6.1) and ends here. */
  | 'hopByHop'
  | 'connection'
  | 'host'
  | 'contentLength'
  | 'transferEncoding'
  | 'group'
  | 'requestId'
  | 'xForwardedFor'
  | 'xForwardedProto'
  | 'xForwardedHost'
  | 'xForwardedOther'
  | 'forwarded'
  | 'via'
  | 'trailer'
  | 'accept'
  | 'upgrade'
  | 'expect'
  | 'debug'
  /** Tells of a decision, and is written anew for the upstream. */
  | 'decision'
  /** A header of ours with "_" for "-", which CGI and WSGI servers take for ours. */
  | 'alias'
  | 'baggage'
  | 'trace'
  | 'keepAlive'
  | 'date';

/** Hop-by-hop, and `expect`, which is answered here: undici cannot send it. */
const REQUEST_ROLES: Readonly<Record<string, FieldRole>> = {
  connection: 'connection',
  'keep-alive': 'hopByHop',
  'proxy-connection': 'hopByHop',
  'proxy-authenticate': 'hopByHop',
  'proxy-authorization': 'hopByHop',
  te: 'hopByHop',
  trailer: 'hopByHop',
  expect: 'expect',
  'http2-settings': 'hopByHop',
  upgrade: 'upgrade',
  host: 'host',
  'content-length': 'contentLength',
  'transfer-encoding': 'transferEncoding',
  'x-forwarded-for': 'xForwardedFor',
  'x-forwarded-proto': 'xForwardedProto',
  'x-forwarded-host': 'xForwardedHost',
  forwarded: 'forwarded',
  via: 'via',
  accept: 'accept',
  // A secret where debugging is on, and nobody's business behind this hop where it is not.
  [DEBUG_FIELD]: 'debug',
};

const RESPONSE_ROLES: Readonly<Record<string, FieldRole>> = {
  connection: 'connection',
  'keep-alive': 'keepAlive',
  'proxy-connection': 'hopByHop',
  'proxy-authenticate': 'hopByHop',
  te: 'hopByHop',
  upgrade: 'hopByHop',
  date: 'date',
  trailer: 'trailer',
  'transfer-encoding': 'transferEncoding',
  'content-length': 'contentLength',
};

/** Names a Connection field cannot take away: a client could hide its group, or unsettle framing and provenance. */
const PROTECTED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'authorization',
  'cookie',
  'set-cookie',
  'forwarded',
  'via',
]);

/** Spellings remembered at most; clients choose them, so the memory is bounded. */
const MAX_SPELLINGS = 2048;

/** A field name as it came off the wire, and what it means. */
export interface KnownName {
  readonly text: string;
  readonly lower: string;
  readonly role: FieldRole;
}

interface InternedName extends KnownName {
  readonly bytes: Buffer;
}

/** Slots of the table of interned names; a power of two, since names are never removed but by others. */
const INTERN_SLOTS = 1024;

export class FieldClassifier {
  readonly #interned: (InternedName | undefined)[] = new Array(INTERN_SLOTS).fill(undefined);
  readonly #roles: ReadonlyMap<string, FieldRole>;
  readonly #spellings = new Map<string, FieldRole>();
  readonly #protected: ReadonlySet<string>;
  /** Dashed names whose other spellings are aliases; undefined: aliases are headers like any other. */
  readonly #aliased: ReadonlySet<string> | undefined;
  /** Lower-case headers that name the user, which are no aliases themselves. */
  readonly #identity: ReadonlySet<string>;

  private constructor(
    roles: Readonly<Record<string, FieldRole>>,
    own: Readonly<Record<string, FieldRole>>,
    identityHeaders: readonly string[] | undefined,
  ) {
    this.#roles = new Map([...Object.entries(roles), ...Object.entries(own)]);
    this.#protected = new Set([...PROTECTED, ...Object.keys(own)]);
    this.#identity = new Set(identityHeaders?.map((name) => name.toLowerCase()));
    this.#aliased =
      identityHeaders === undefined
        ? undefined
        : new Set([...this.#roles.keys(), ...this.#identity].map(dashed));
  }

  /**
   * @param identityHeaders headers that name the user: their aliases, and the aliases of headers with a role, are
   * `alias`; undefined: no header is
   */
  static forRequests(
    groupHeader: string,
    requestId: string,
    propagation: Propagation | undefined,
    identityHeaders: readonly string[] | undefined,
  ): FieldClassifier {
    const own = {
      ...(propagation === undefined ? {} : propagatedRoles(propagation)),
      [groupHeader.toLowerCase()]: 'group',
      [requestId.toLowerCase()]: 'requestId',
    } as const;
    return new FieldClassifier(REQUEST_ROLES, own, identityHeaders);
  }

  static forResponses(requestId: string): FieldClassifier {
    return new FieldClassifier(RESPONSE_ROLES, { [requestId.toLowerCase()]: 'requestId' }, undefined);
  }

  roleOf(name: string): FieldRole {
    const known = this.#spellings.get(name);
    if (known !== undefined) return known;
    const lower = name.toLowerCase();
    const role = this.#roles.get(lower) ?? this.#otherRole(lower);
    if (this.#spellings.size >= MAX_SPELLINGS) this.#spellings.clear();
    this.#spellings.set(name, role);
    return role;
  }

  #otherRole(lower: string): FieldRole {
    if (lower.startsWith('x-forwarded-')) return 'xForwardedOther';
    if (this.#aliased === undefined || this.#identity.has(lower)) return 'pass';
    const name = dashed(lower);
    return this.#aliased.has(name) || name.startsWith('x-forwarded-') ? 'alias' : 'pass';
  }

  /**
   * The name in `bytes`, from a table of those met before: an upstream sends the same few names with every response,
   * and making a string of each anew is what costs most of building a head.
   */
  nameOf(bytes: Buffer): KnownName {
    let hash = 0;
    for (let i = 0; i < bytes.length; i++) hash = hashStep(hash, bytes[i]!);
    return this.nameAt(bytes, 0, bytes.length, hash);
  }

  /** The same for a part of `bytes`, whose octets went through `hashStep` one by one, beginning with 0. */
  nameAt(bytes: Buffer, start: number, end: number, hash: number): KnownName {
    const slot = (hash ^ (hash >>> 11) ^ (hash >>> 21)) & (INTERN_SLOTS - 1);
    const known = this.#interned[slot];
    if (known !== undefined && isAt(known.bytes, bytes, start, end)) return known;
    // Two names may share a slot; the neighbour takes the second, or they would displace each other every time.
    const second = this.#interned[slot ^ 1];
    if (second !== undefined && isAt(second.bytes, bytes, start, end)) return second;
    const text = bytes.toString('latin1', start, end);
    // Bytes of its own: `bytes` is a receive buffer, which a view would keep alive.
    const name = {
      text,
      lower: text.toLowerCase(),
      role: this.roleOf(text),
      bytes: Buffer.from(text, 'latin1'),
    };
    this.#interned[known === undefined ? slot : slot ^ 1] = name;
    return name;
  }

  /**
   * Lower-case names that a Connection field nominates, without those it may not take away; undefined when there are
   * none, which is nearly always.
   */
  nominated(connection: string | undefined): ReadonlySet<string> | undefined {
    if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
    let names: Set<string> | undefined;
    for (const token of connection.split(',')) {
      const name = token.trim().toLowerCase();
      if (name === '' || name === 'close' || name === 'keep-alive') continue;
      if (this.#protected.has(name) || name.startsWith('x-forwarded-')) continue;
      names ??= new Set();
      names.add(name);
    }
    return names;
  }
}

function propagatedRoles({ routeField, bucketField, baggage }: Propagation): Record<string, FieldRole> {
  return {
    [routeField.toLowerCase()]: 'decision',
    [bucketField.toLowerCase()]: 'decision',
    ...(baggage ? { [BAGGAGE]: 'baggage' } : {}),
  };
}

/** Returns the name in the spelling of which CGI makes the same variable (RFC 3875, 4.1.18). Pure. */
function dashed(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/** Of a name's octets so far, and the next one. */
export function hashStep(hash: number, octet: number): number {
  return (Math.imul(hash, 31) + octet) | 0;
}

function isAt(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}
