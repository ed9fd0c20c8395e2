/** What Host may say: `uri-host [ ":" port ]` (RFC 9112, 3.2; RFC 3986, 3.2.2), and nothing that readers differ on. */
import { isIPv6 } from 'node:net';

export const MAX_PORT = 65_535;

/** Octets of a name: unreserved, sub-delims without the comma, which joins two names for some, and `%`. */
const NAME = new Uint8Array(128);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+;=%") {
  NAME[character.charCodeAt(0)] = 1;
}

const PERCENT = 0x25;
const COLON = 0x3a;
const BRACKET = 0x5b;

/** @param value without blanks around it; empty where the target has no authority, which is valid */
export function isHostValid(value: string): boolean {
  if (value.charCodeAt(0) === BRACKET) {
    const end = value.indexOf(']');
    return end !== -1 && isIPv6(value.slice(1, end)) && isPortValid(value, end + 1);
  }
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    // A port alone names nobody.
    if (code === COLON) return i > 0 && isPortValid(value, i);
    if (code > 127 || NAME[code] === 0) return false;
    if (code === PERCENT && !/^%[0-9A-Fa-f]{2}/.test(value.slice(i, i + 3))) return false;
  }
  return true;
}

/** @param at of the colon, or the end: a port may be missing, and be empty */
function isPortValid(value: string, at: number): boolean {
  if (at === value.length) return true;
  if (value.charCodeAt(at) !== COLON || value.length - at > 6) return false;
  let port = 0;
  for (let i = at + 1; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= MAX_PORT;
}
