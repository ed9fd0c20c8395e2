/** Styled text for terminals. What clusters send is shown with its control characters taken off. */

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'magenta' | 'cyan';
export type Paint = (style: Style, text: string) => string;

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  magenta: 35,
  cyan: 36,
};

export function painter(color: boolean): Paint {
  return color
    ? (style, text) => (text === '' ? '' : `\x1b[${CODES[style]}m${text}\x1b[0m`)
    : (_, text) => text;
}

/** C0 and C1 controls, and marks that reorder or hide text: a pod's message must not steer the terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken off
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g;

export function clean(text: string): string {
  return text.replaceAll(CONTROLS, ' ');
}

export function cut(text: string, columns: number): string {
  return text.length <= columns ? text : columns < 1 ? '' : `${text.slice(0, columns - 1)}…`;
}

/** Words into lines of at most `columns`; a longer word stands alone. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}

/** 90 s → `1m`, 26 h → `1d`: one unit, as kubectl. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
