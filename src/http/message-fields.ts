/** Single values out of a flat list of names and values. */
import { isIP } from 'node:net';
import { trimBlanks } from '../routing/field-values.ts';

/** The last line of a field, as HAProxy's `req.hdr()` in a value; undefined when there is none. */
export function fieldValue(rawHeaders: readonly string[], lowerName: string): string | undefined {
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    const name = rawHeaders[i]!;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return rawHeaders[i + 1];
  }
  return undefined;
}

/** The first cookie of that name, as it stands; undefined when there is none. */
export function cookieValue(rawHeaders: readonly string[], cookie: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') continue;
    const line = rawHeaders[i + 1]!;
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=');
      if (equals !== -1 && trimBlanks(pair, 0, equals) === cookie) {
        return trimBlanks(pair, equals + 1, pair.length);
      }
    }
  }
  return undefined;
}

/** Lower case, without the port. */
export function withoutPort(host: string): string {
  const lower = host.toLowerCase();
  const colon = lower.lastIndexOf(':');
  return colon > lower.lastIndexOf(']') ? lower.slice(0, colon) : lower;
}

/**
 * The address of the client: the peer or, where the peer is trusted, the last address of X-Forwarded-For that is not
 * itself a trusted one. What is no address ends the search: a client may have written it.
 *
 * @param forwardedFor the lines of X-Forwarded-For, joined by commas; undefined when there are none or the peer is
 * not trusted
 */
export function clientAddress(
  peer: string,
  forwardedFor: string | undefined,
  isTrusted: (address: string) => boolean,
): string {
  if (forwardedFor === undefined) return peer;
  let client = peer;
  const hops = forwardedFor.split(',');
  for (let i = hops.length - 1; i >= 0; i--) {
    const address = bareAddress(hops[i]!.trim());
    if (address === undefined) break;
    client = address;
    if (!isTrusted(address)) break;
  }
  return client;
}

/** `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]:80` → the address alone. */
function bareAddress(text: string): string | undefined {
  const match = /^\[([^\]]+)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(text);
  const address = match === null ? text : (match[1] ?? match[2]!);
  return isIP(address) === 0 ? undefined : address;
}
