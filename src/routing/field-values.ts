/**
 * Splits a header into values at its commas (RFC 9110, 5.6.1). A comma in a quoted string separates nothing. Strings may
 * be anywhere in a value, and a backslash escapes the next character of a string, as in HAProxy. Unlike HAProxy, a quote
 * that is not closed protects nothing: otherwise a client that sends `"x` would hide the values that a gateway appends.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/**
 * Returns the offset of the quote that is not closed; the length of the line if there is none. Every later quote is not
 * closed either: a string that begins there reads the same characters.
 */
export function unclosedQuote(line: string): number {
  for (let open = line.indexOf('"'); open !== -1; ) {
    let at = open + 1;
    while (at < line.length && line.charCodeAt(at) !== QUOTE) at += line.charCodeAt(at) === BACKSLASH ? 2 : 1;
    if (at >= line.length) return open;
    open = line.indexOf('"', at + 1);
  }
  return line.length;
}

/**
 * Returns the offset of the comma that ends the value; the length of the line for the last value.
 *
 * @param from     offset at which the value begins
 * @param unclosed result of `unclosedQuote` for this line
 */
export function endOfValue(line: string, from: number, unclosed: number): number {
  let quoted = false;
  for (let at = from; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (quoted) {
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) quoted = false;
    } else if (code === QUOTE) quoted = at < unclosed;
    else if (code === COMMA) return at;
  }
  return line.length;
}

/** Without the blanks and tabs around it. `String.trim` would also take a no-break space, which is part of a value. */
export function trimBlanks(line: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(line.charCodeAt(start))) start++;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--;
  return start === 0 && end === line.length ? line : line.slice(start, end);
}

/** Returns the values of a comma-separated list, empty values included. */
export function listValues(line: string): string[] {
  const values: string[] = [];
  const unclosed = unclosedQuote(line);
  for (let from = 0; ; ) {
    const end = endOfValue(line, from, unclosed);
    values.push(trimBlanks(line, from, end));
    if (end >= line.length) return values;
    from = end + 1;
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
