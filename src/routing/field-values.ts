/** The values within a field, taken apart as HAProxy and RFC 9110, 5.6.1 do. */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/** Where the value that begins at `from` ends: at the next comma outside of quotes, or at the end of the line. */
export function endOfValue(line: string, from: number): number {
  let quoted = false;
  for (let at = from; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (quoted) {
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) quoted = false;
    } else if (code === QUOTE) quoted = true;
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

/** The values of a comma-separated list, empty ones included; a comma within quotes separates nothing. */
export function listValues(line: string): string[] {
  const values: string[] = [];
  for (let from = 0; ; ) {
    const end = endOfValue(line, from);
    values.push(trimBlanks(line, from, end));
    if (end >= line.length) return values;
    from = end + 1;
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
