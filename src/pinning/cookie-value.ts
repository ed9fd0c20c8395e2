/**
 * Returns the value of a cookie, read from Cookie headers (RFC 6265, 5.4); undefined if there is none. Names compare
 * exactly. Quotes around the value are not part of it.
 *
 * @param nth which pair with that name, from 0. A client sends several if cookies of one name were set for several
 *            paths or domains.
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
