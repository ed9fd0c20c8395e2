/** Addresses and networks of `src` patterns → CIDRs. */
import { isIP } from 'node:net';

/** `10.0.0.1`, `10/8`, `10.1/16`, `10.0.0.0/255.0.0.0`, `fd00::/8`; undefined for anything else, such as a host name. */
export function parseNetwork(text: string): string | undefined {
  const [address = '', mask, more] = text.split('/');
  if (more !== undefined) return undefined;
  if (address.includes(':')) {
    if (isIP(address) !== 6 || (mask !== undefined && !/^\d{1,3}$/.test(mask))) return undefined;
    if (mask === undefined) return address;
    return Number(mask) <= 128 ? `${address}/${Number(mask)}` : undefined;
  }
  const parts = address.split('.');
  if (parts.length > 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255))
    return undefined;
  const full = [...parts.map(Number), 0, 0, 0].slice(0, 4).join('.');
  if (mask === undefined) return parts.length === 4 ? full : undefined;
  const bits = mask.includes('.') ? bitsOf(mask) : /^\d{1,2}$/.test(mask) ? Number(mask) : undefined;
  return bits === undefined || bits > 32 ? undefined : `${full}/${bits}`;
}

/** `255.255.0.0` → 16; undefined when the ones are not all in front. */
function bitsOf(mask: string): number | undefined {
  if (isIP(mask) !== 4) return undefined;
  const bits = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) ? bits.replace(/0+$/, '').length : undefined;
}
