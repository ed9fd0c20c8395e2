/** The address of a client as an id: the peer's, or the one that so many proxies of our own have handed on. */
import { isIP } from 'node:net';

/**
 * @param trustedHops  proxies between the client and us; 0: the peer is the client
 * @param peer         address of the peer
 * @param trusted      whether the peer is in `trust.cidrs`; what another one says of its client is not believed
 * @param rawHeaders   flat list of names and values
 * @returns undefined when the proxies did not say: the list is too short, or that element is no address
 */
export function clientAddress(
  trustedHops: number,
  peer: string,
  trusted: boolean,
  rawHeaders: readonly string[],
): string | undefined {
  if (trustedHops === 0 || !trusted) return peer === '' ? undefined : peer;
  let hops = trustedHops;
  // From the right: every proxy appends the address of its peer (the last line was added last).
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 15 || name.toLowerCase() !== 'x-forwarded-for') continue;
    const line = rawHeaders[i + 1]!;
    let end = line.length;
    for (;;) {
      const comma = end === 0 ? -1 : line.lastIndexOf(',', end - 1);
      if (--hops === 0) return addressIn(line.slice(comma + 1, end).trim());
      if (comma === -1) break;
      end = comma;
    }
  }
  return undefined;
}

/** Without brackets and port, and in one spelling as far as case and mapped addresses go. */
function addressIn(text: string): string | undefined {
  if (text.length > 64) return undefined;
  let address = text;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close === -1) return undefined;
    address = text.slice(1, close);
  } else if (isIP(text) === 0) {
    const colon = text.lastIndexOf(':');
    if (colon === -1) return undefined;
    address = text.slice(0, colon);
    if (isIP(address) !== 4) return undefined;
  }
  if (isIP(address) === 0) return undefined;
  const lower = address.toLowerCase();
  return lower.startsWith('::ffff:') && isIP(lower.slice(7)) === 4 ? lower.slice(7) : lower;
}
