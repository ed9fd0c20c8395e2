/** Who the user of a request is, as a pin defines it. */
import { clientAddress } from './client-address.ts';
import { cookieValue } from './cookie-value.ts';
import type { Pin, PinSource } from './pin.ts';
import { userOfField } from './user-id.ts';

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
