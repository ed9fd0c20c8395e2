/** Octets by what they may be part of, as one table: reading a head is one look per octet. */

export const HT = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;
export const SLASH = 0x2f;

/** RFC 9110, 5.6.2: names of fields. */
export const TOKEN = 1;
/** RFC 9110, 5.5: field values, tabs and obs-text included; no other control character. */
export const VALUE = 2;
/** What a request target is made of (RFC 9112, 3.2); a fragment has no place in it. */
export const TARGET = 4;
/** Names and IPv4 addresses. Whatever else Host may hold in front of a port is for the full lane to judge. */
export const HOST = 8;
export const DIGIT = 16;
export const HEX = 32;

export const CLASS = new Uint8Array(256);

const TOKEN_MARKS = "!#$%&'*+-.^_`|~";

for (let octet = 0; octet < 256; octet++) {
  const character = String.fromCharCode(octet);
  const isDigit = octet >= 0x30 && octet <= 0x39;
  const isAlphanumeric = isDigit || /^[A-Za-z]$/.test(character);
  let bits = 0;
  if (isAlphanumeric || TOKEN_MARKS.includes(character)) bits |= TOKEN;
  if (octet === HT || (octet >= SP && octet !== 0x7f)) bits |= VALUE;
  if (octet > SP && octet < 0x7f && character !== '#') bits |= TARGET;
  if (isAlphanumeric || '.-_'.includes(character)) bits |= HOST;
  if (isDigit) bits |= DIGIT;
  if (isDigit || /^[A-Fa-f]$/.test(character)) bits |= HEX;
  CLASS[octet] = bits;
}

/** Whether the octets are `word`, in any case; `word` is lower case and has letters and marks alone. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i++) {
    const octet = bytes[start + i]!;
    const lower = octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
    if (lower !== word.charCodeAt(i)) return false;
  }
  return true;
}

/** A number of at most 15 digits, which a double holds exactly; -1: it is none. */
export function decimalAt(bytes: Uint8Array, start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const octet = bytes[i]!;
    if ((CLASS[octet]! & DIGIT) === 0) return -1;
    value = value * 10 + octet - 0x30;
  }
  return value;
}
