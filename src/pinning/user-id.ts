/**
 * Ids of users as this program compares and hashes them: strings of bytes, one character a byte, which is what fields
 * of requests are here. Text from elsewhere (the claims of a token, a command line) becomes the bytes of its UTF-8, so
 * that the same id is the same user wherever it is read.
 */

/** In bytes. Longer ids count as missing: they are no ids, and hashing them would cost time that a client chooses. */
export const MAX_USER_LENGTH = 256;

const BEYOND_ASCII = /[^\0-\x7f]/;

/** The id in the value of a field; undefined when there is none in it. */
export function userOfField(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const user = trimBlanks(value);
  return user.length > 0 && user.length <= MAX_USER_LENGTH ? user : undefined;
}

/** The id in a text of Unicode; undefined when there is none in it. */
export function userOfText(text: string): string | undefined {
  // A character is at least a byte: what is too long already need not be converted.
  if (text.length > 2 * MAX_USER_LENGTH) return undefined;
  return userOfField(BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text);
}

/** `String.trim` would also take a no-break space, which may be the last byte of a letter here. */
function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
