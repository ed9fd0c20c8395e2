/** What is wrong in a configuration file, where, and what to do: one line each. */

export interface Problem {
  /** As the caller named the file. */
  readonly file: string;
  /** From 1; 0 when the problem is with the file as a whole, which could not be read. */
  readonly line: number;
  /** From 1, in UTF-16 units; 0 when `line` is. */
  readonly column: number;
  /** `routes[1].split.canary`; empty for the file as a whole and for its syntax. */
  readonly keyPath: string;
  readonly message: string;
  readonly severity: 'error' | 'warning';
}

/** Keys of maps and indexes of lists, from the root. */
export type KeyPath = readonly (string | number)[];

/** A problem before its place is turned into line and column. */
export interface Fault {
  /** Offset in the text, in UTF-16 units. */
  readonly offset: number;
  readonly path: KeyPath;
  readonly message: string;
}

const PLAIN_KEY = /^[A-Za-z0-9_-]+$/;

/** `pointsman.yaml:7:62: routes[1].split.canary: must not be negative`; never more than one line. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  const parts = [place];
  if (problem.severity === 'warning') parts.push('warning');
  if (problem.keyPath !== '') parts.push(problem.keyPath);
  parts.push(problem.message);
  return escapeControls(parts.join(': '));
}

/** By place, and errors before warnings at the same place. */
export function compareProblems(a: Problem, b: Problem): number {
  return (
    a.line - b.line ||
    a.column - b.column ||
    (a.severity === b.severity ? 0 : a.severity === 'error' ? -1 : 1)
  );
}

/** `routes[1].split.canary`; keys that would read badly are quoted: `match.headers["a.b"]`. */
export function formatKeyPath(path: KeyPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!PLAIN_KEY.test(part)) text += `[${quote(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** Quotes and clips text of the file, so that it can neither break the line nor steer a terminal. */
export function quote(text: string): string {
  const clipped = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return `"${escapeControls(clipped.replaceAll('"', '\\"'))}"`;
}

/** C0 and C1 controls, line separators and the marks that reorder text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function escapeControls(text: string): string {
  return text.replace(CONTROLS, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
