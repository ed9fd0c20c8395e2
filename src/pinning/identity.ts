/** Who the user of a request is, as a pin defines it. */
import type { Pin, PinSource } from '../routing/table.ts';
import { clientAddress } from './client-address.ts';
import { userOfField } from './user-id.ts';

export { MAX_USER_LENGTH, userOfText } from './user-id.ts';

/**
 * The first source that yields an id of 1–256 bytes after trimming.
 *
 * @param rawHeaders flat list of names and values, as the client sent them
 * @param peer       address of the connection's other end; '' when it is not known
 * @param trusted    whether that address is in `trust.cidrs`
 */
export function identifyUser(
  pin: Pin,
  rawHeaders: readonly string[],
  peer = '',
  trusted = false,
): string | undefined {
  const { sources } = pin;
  for (let i = 0; i < sources.length; i++) {
    const user = userOf(sources[i]!, rawHeaders, peer, trusted);
    if (user !== undefined) return user;
  }
  return undefined;
}

function userOf(
  source: PinSource,
  rawHeaders: readonly string[],
  peer: string,
  trusted: boolean,
): string | undefined {
  switch (source.kind) {
    case 'header':
      return userOfField(firstField(rawHeaders, source.name));
    case 'cookie':
      return userOfField(cookieValue(rawHeaders, source.name, 0));
    case 'bearerClaim': {
      const authorization = firstField(rawHeaders, 'authorization');
      return authorization === undefined ? undefined : source.claim.userOf(authorization);
    }
    case 'clientAddress':
      return clientAddress(source.trustedHops, peer, trusted, rawHeaders);
  }
}

function firstField(rawHeaders: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return rawHeaders[i + 1];
  }
  return undefined;
}

/**
 * Cookie pairs as RFC 6265, 5.4 sends them; names compare exactly, and quotes around a value are no part of it.
 *
 * @param nth which pair of that name: 0 for the first. A client sends several when cookies of one name were set for
 *            several paths or domains.
 */
export function cookieValue(rawHeaders: readonly string[], cookie: string, nth: number): string | undefined {
  let left = nth;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') continue;
    const line = rawHeaders[i + 1]!;
    for (let from = 0; from < line.length; ) {
      let end = line.indexOf(';', from);
      if (end === -1) end = line.length;
      while (from < end && isBlank(line.charCodeAt(from))) from++;
      if (line.startsWith(cookie, from)) {
        let equals = from + cookie.length;
        while (equals < end && isBlank(line.charCodeAt(equals))) equals++;
        if (equals < end && line.charCodeAt(equals) === EQUALS && left-- === 0) {
          const value = line.slice(equals + 1, end).trim();
          return value.length >= 2 && value.startsWith('"') && value.endsWith('"')
            ? value.slice(1, -1)
            : value;
        }
      }
      from = end + 1;
    }
  }
  return undefined;
}

const EQUALS = 0x3d;

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
