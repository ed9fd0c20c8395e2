/**
 * The cookie that Pointsman issues where a request names no user: a random id, signed, with its end inside the
 * signature.
 *
 *   1.<id>.<end>.<mac>   id: 16 random bytes; end: seconds since 1970 in base 36;
 *                        mac: the first 16 bytes of HMAC-SHA256(key, scope NUL "1.<id>.<end>"); bytes in base64url
 *
 * The scope is the service and the name of the cookie, so that a cookie of another service counts for nothing. What is
 * signed is only that the id was drawn here: an id is no secret and opens nothing.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { BoundedMap } from './bounded-map.ts';
import { cookieValue } from './cookie-value.ts';

const VERSION = '1';
const ID_BYTES = 16;
/** 128 bits: guessing one is out of reach, and what would be won is a bucket of one's own choice. */
const MAC_BYTES = 16;
const COOKIE = /^1\.([A-Za-z0-9_-]{22})\.([0-9a-z]{1,9})\.([A-Za-z0-9_-]{22})$/;
/** Cookies of that name that are looked at: a client may send old ones of other paths besides. */
const MAX_CANDIDATES = 4;
/** Verified cookies that are remembered. Forged ones are not, or they could drive the good ones out. */
const REMEMBERED = 10_000;

export interface CookieSettings {
  readonly name: string;
  /** Milliseconds. */
  readonly ttl: number;
  readonly sameSite: 'Strict' | 'Lax' | 'None';
  readonly secure: boolean;
  readonly path: string;
  readonly domain: string | undefined;
  /** The first one signs, all verify. */
  readonly keys: readonly string[];
}

export interface CookieEdges {
  /** Epoch milliseconds: the end of a cookie means the same to all replicas. */
  readonly now: () => number;
  readonly random: (bytes: number) => Buffer;
}

const PROCESS_EDGES: CookieEdges = { now: Date.now, random: randomBytes };

/** A user known by such a cookie. */
export interface CookieUser {
  readonly user: string;
  /** The id was drawn for this request: nobody has been seen with it before. */
  readonly fresh: boolean;
  /** Value of a Set-Cookie field for the response; undefined when the client's cookie is good for long enough. */
  readonly setCookie: string | undefined;
}

interface Verified {
  readonly known: CookieUser;
  readonly endsAt: number;
  /** From then on it is issued anew: half of its time is over, or another key has signed it. */
  readonly renewsAt: number;
}

export class CookieIssuer {
  readonly #settings: CookieSettings;
  readonly #scope: string;
  readonly #edges: CookieEdges;
  readonly #attributes: string;
  readonly #verified = new BoundedMap<Verified>(REMEMBERED);

  constructor(settings: CookieSettings, service: string, edges: CookieEdges = PROCESS_EDGES) {
    this.#settings = settings;
    this.#scope = `${service}\0${settings.name}\0`;
    this.#edges = edges;
    this.#attributes = attributesOf(settings);
  }

  /** The user of the request's cookie or, when there is no good one, a new one. */
  identify(rawHeaders: readonly string[]): CookieUser {
    for (let nth = 0; nth < MAX_CANDIDATES; nth++) {
      const value = cookieValue(rawHeaders, this.#settings.name, nth);
      if (value === undefined) break;
      const verified = this.#verified.peek(value) ?? this.#verify(value);
      if (verified === undefined) continue;
      const now = this.#edges.now();
      if (now >= verified.endsAt) continue;
      if (now < verified.renewsAt) return verified.known;
      const { user } = verified.known;
      return { user, fresh: false, setCookie: this.#issue(user) };
    }
    const user = this.#edges.random(ID_BYTES).toString('base64url');
    return { user, fresh: true, setCookie: this.#issue(user) };
  }

  #issue(user: string): string {
    const { name, ttl, keys } = this.#settings;
    const end = Math.floor((this.#edges.now() + ttl) / 1_000).toString(36);
    const signed = `${VERSION}.${user}.${end}`;
    const mac = this.#mac(keys[0]!, signed).toString('base64url');
    return `${name}=${signed}.${mac}${this.#attributes}`;
  }

  #verify(value: string): Verified | undefined {
    if (value.length > 64) return undefined;
    const match = COOKIE.exec(value);
    if (match === null) return undefined;
    const [, user, end, mac] = match;
    const given = Buffer.from(mac!, 'base64url');
    const signed = value.slice(0, value.lastIndexOf('.'));
    const { keys, ttl } = this.#settings;
    const key = keys.findIndex((candidate) => timingSafeEqual(this.#mac(candidate, signed), given));
    if (key === -1) return undefined;
    const endsAt = Number.parseInt(end!, 36) * 1_000;
    const verified = {
      known: { user: user!, fresh: false, setCookie: undefined },
      endsAt,
      renewsAt: key === 0 ? endsAt - ttl / 2 : 0,
    };
    this.#verified.set(value, verified);
    return verified;
  }

  #mac(key: string, signed: string): Buffer {
    return createHmac('sha256', key).update(this.#scope).update(signed).digest().subarray(0, MAC_BYTES);
  }
}

function attributesOf({ ttl, sameSite, secure, path, domain }: CookieSettings): string {
  return [
    '',
    `Max-Age=${Math.floor(ttl / 1_000)}`,
    `Path=${path}`,
    ...(domain === undefined ? [] : [`Domain=${domain}`]),
    `SameSite=${sameSite}`,
    ...(secure ? ['Secure'] : []),
    'HttpOnly',
  ].join('; ');
}
