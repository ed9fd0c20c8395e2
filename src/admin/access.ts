/**
 * Who may act: whoever shows the token, from no other site. No cookie counts, so a page elsewhere has nothing to ride
 * on; that requests come from one is refused besides, as is anything a plain form could send.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface AccessRefusal {
  readonly status: number;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A browser says where a request comes from: by Sec-Fetch-Site, older ones by Origin. Others send neither. */
export function refuseForeign(headers: IncomingHttpHeaders): AccessRefusal | undefined {
  if (!/^application\/json *(;|$)/i.test(headers['content-type'] ?? '')) {
    return { status: 415, message: 'the body must be JSON, with content-type application/json' };
  }
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') {
    return { status: 403, message: 'requests from other sites are refused' };
  }
  const { origin, host } = headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return { status: 403, message: `requests from other origins are refused, and ${host} is not this one's` };
  }
  return undefined;
}

/** Of wrong tokens: who guesses is slowed down to so many in so long, and nobody else with him. */
const MAX_WRONG = 20;
const WRONG_WINDOW_MS = 10_000;
const MAX_PEERS = 256;

export class TokenGate {
  readonly #read: () => string | undefined;
  readonly #now: () => number;
  readonly #wrong = new Map<string, { count: number; since: number }>();

  /**
   * @param read the token as it is now; undefined when nobody may act, throws when it cannot be read
   * @param now  monotonic milliseconds
   */
  constructor(read: () => string | undefined, now: () => number) {
    this.#read = read;
    this.#now = now;
  }

  /** @param peer address of who asks */
  refuse(authorization: string | undefined, peer: string): AccessRefusal | undefined {
    let expected: string | undefined;
    try {
      expected = this.#read();
    } catch (error) {
      return { status: 503, message: (error as Error).message };
    }
    if (expected === undefined) {
      return {
        status: 403,
        message: 'nobody may act here: the configuration has no acting.token or acting.tokenFile',
      };
    }
    const challenge = { 'www-authenticate': 'Bearer realm="pointsman"' };
    if (authorization === undefined) {
      return { status: 401, message: 'this needs the token: Authorization: Bearer …', headers: challenge };
    }
    const now = this.#now();
    const guesses = this.#wrong.get(peer);
    const isOpen = guesses !== undefined && now - guesses.since < WRONG_WINDOW_MS;
    // Nor is the right token let in meanwhile: the answer would tell that it is.
    if (isOpen && guesses.count >= MAX_WRONG) {
      return {
        status: 429,
        message: 'too many wrong tokens; wait ten seconds',
        headers: { 'retry-after': '10' },
      };
    }
    const given = /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '';
    // Hashes are of equal length: time tells nothing of the token.
    if (timingSafeEqual(sha256(given), sha256(expected))) return undefined;
    if (isOpen) guesses.count++;
    else {
      if (this.#wrong.size >= MAX_PEERS) this.#wrong.clear();
      this.#wrong.set(peer, { count: 1, since: now });
    }
    return { status: 403, message: 'the token is wrong', headers: challenge };
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
