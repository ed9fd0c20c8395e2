/**
 * A request for an upgrade that is not offered is an ordinary request (RFC 9110, 7.8): curl asks for h2c unasked, and so
 * do Java's clients. Left to itself Node answers it and then loses what came behind it in the same packet, since its
 * parser stops there, so that a later packet would be read from the middle.
 */
import type { IncomingMessage } from 'node:http';

/** Whether Node hands out the connection at once: with a body it does so behind that, in a way of its own. */
export function hasNoBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

/** The head of the request as Node read it, without what asks for the upgrade; Latin-1. */
export function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const lower = name.toLowerCase();
    if (lower === 'upgrade') continue;
    let value = rawHeaders[i + 1]!;
    if (lower === 'connection') {
      // Whatever else it names still ends with this hop.
      value = value
        .split(',')
        .filter((option) => option.trim().toLowerCase() !== 'upgrade')
        .join(',')
        .trim();
      if (value === '') continue;
    }
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}
