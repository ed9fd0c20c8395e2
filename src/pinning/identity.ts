/** Who the user of a request is, as a pin defines it. */
import type { Pin } from '../routing/table.ts';

/** Longer ids count as missing: they are no ids, and hashing them would cost time that a client chooses. */
export const MAX_USER_LENGTH = 256;

/**
 * The first source that yields an id of 1–256 characters after trimming.
 *
 * @param rawHeaders flat list of names and values
 */
export function identifyUser(pin: Pin, rawHeaders: readonly string[]): string | undefined {
  for (const source of pin.sources) {
    const value =
      'header' in source ? firstField(rawHeaders, source.header) : firstCookie(rawHeaders, source.cookie);
    if (value === undefined) continue;
    const user = value.trim();
    if (user.length > 0 && user.length <= MAX_USER_LENGTH) return user;
  }
  return undefined;
}

function firstField(rawHeaders: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return rawHeaders[i + 1];
  }
  return undefined;
}

/** Cookie pairs as RFC 6265, 5.4 sends them; the first pair of that name counts, names compare exactly. */
function firstCookie(rawHeaders: readonly string[], cookie: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') continue;
    const line = rawHeaders[i + 1]!;
    let from = 0;
    while (from < line.length) {
      let end = line.indexOf(';', from);
      if (end === -1) end = line.length;
      const equals = line.indexOf('=', from);
      if (equals !== -1 && equals < end && line.slice(from, equals).trim() === cookie) {
        const value = line.slice(equals + 1, end).trim();
        return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
      }
      from = end + 1;
    }
  }
  return undefined;
}
