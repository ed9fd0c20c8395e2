/** Lines of styled text that know how wide they are. Every character used is one column wide. */

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan' | 'inverse';

export interface Span {
  readonly text: string;
  readonly styles: readonly Style[];
}

export type Line = readonly Span[];

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  inverse: 7,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
};

export function span(text: string, ...styles: Style[]): Span {
  return { text, styles };
}

export function widthOf(line: Line): number {
  return line.reduce((width, { text }) => width + text.length, 0);
}

/** Cuts to `columns`, with "…" for what is lost. */
export function fit(line: Line, columns: number): Line {
  if (widthOf(line) <= columns) return line;
  const kept: Span[] = [];
  let room = Math.max(0, columns - 1);
  for (const { text, styles } of line) {
    if (text.length > room) {
      kept.push({ text: columns > 0 ? `${text.slice(0, room)}…` : '', styles });
      break;
    }
    kept.push({ text, styles });
    room -= text.length;
  }
  return kept;
}

/** Two lines in one, the second at the right edge; without room, the first alone. */
export function spread(left: Line, right: Line, columns: number): Line {
  const gap = columns - widthOf(left) - widthOf(right);
  return gap < 2 ? left : [...left, span(' '.repeat(gap)), ...right];
}

/** With ANSI sequences when `color`; trailing blanks are left out. */
export function toText(line: Line, color: boolean): string {
  if (!color)
    return line
      .map(({ text }) => text)
      .join('')
      .trimEnd();
  return line
    .map(({ text, styles }) =>
      styles.length === 0 || (text.trim() === '' && !styles.includes('inverse'))
        ? text
        : `\x1b[${styles.map((style) => CODES[style]).join(';')}m${text}\x1b[0m`,
    )
    .join('');
}
