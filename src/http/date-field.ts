/** `Date` for responses that came without one (RFC 9110, 6.6.1), made once per second. */

let second = -1;
let field = '';

export function dateField(): string {
  const now = Math.floor(Date.now() / 1_000);
  if (now !== second) {
    second = now;
    field = `Date: ${new Date(now * 1_000).toUTCString()}\r\n`;
  }
  return field;
}
