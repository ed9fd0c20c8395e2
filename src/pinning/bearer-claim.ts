/**
 * The claim of a bearer token (RFC 6750, RFC 7519) that names the user.
 *
 * The token is decoded, never verified: whoever sends it chooses his bucket, as he could by any other field, and
 * nothing else. No part of Pointsman may take a claim for more than that.
 */
import { BoundedMap } from './bounded-map.ts';
import { userOfText } from './user-id.ts';

/** Longest token that is looked into, in characters. */
export const MAX_TOKEN_LENGTH = 16 * 1024;

/** Tokens whose claim is remembered, so that a client's requests cost one look each; bounded in entries and text. */
const REMEMBERED_TOKENS = 2_048;
const REMEMBERED_LENGTH = 2_048;

const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** Stands for tokens without the claim, which are remembered too. */
const NO_CLAIM = '';

export class BearerClaim {
  readonly #path: string;
  readonly #remembered = new BoundedMap<string>(REMEMBERED_TOKENS);

  /** @param path names of members joined by dots; a member whose own name holds dots is found too */
  constructor(path: string) {
    this.#path = path;
  }

  /** The user that the value of an Authorization field names; undefined when it names none. */
  userOf(authorization: string): string | undefined {
    // A long token is decoded each time: remembering it would let clients choose how much memory is kept.
    if (authorization.length > REMEMBERED_LENGTH) return readClaim(authorization, this.#path);
    const known = this.#remembered.peek(authorization);
    if (known !== undefined) return known === NO_CLAIM ? undefined : known;
    const user = readClaim(authorization, this.#path);
    this.#remembered.set(authorization, user ?? NO_CLAIM);
    return user;
  }
}

function readClaim(authorization: string, path: string): string | undefined {
  const token = tokenOf(authorization);
  if (token === undefined || token.length > MAX_TOKEN_LENGTH) return undefined;
  // header.payload.signature; five parts would be an encrypted token, which nobody can look into.
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  if (first < 1 || second === -1 || token.indexOf('.', second + 1) !== -1) return undefined;
  const payload = token.slice(first + 1, second);
  if (!BASE64URL.test(payload)) return undefined;
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  const value = member(claims, path);
  if (typeof value === 'string') return userOfText(value);
  return typeof value === 'number' && Number.isFinite(value) ? userOfText(String(value)) : undefined;
}

/** The scheme compares without regard to case (RFC 9110, 11.1). */
function tokenOf(authorization: string): string | undefined {
  if (authorization.length < 8 || authorization.slice(0, 7).toLowerCase() !== 'bearer ') return undefined;
  return authorization.slice(7).trim();
}

/** A name that holds dots, such as `https://example.com/user`, is tried before the path that it could also be. */
function member(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const members = value as Readonly<Record<string, unknown>>;
  if (Object.hasOwn(members, path)) return members[path];
  for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) {
    const name = path.slice(0, dot);
    if (!Object.hasOwn(members, name)) continue;
    const inner = member(members[name], path.slice(dot + 1));
    if (inner !== undefined) return inner;
  }
  return undefined;
}
