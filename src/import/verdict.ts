/** What makes a file unreadable: what HAProxy itself would refuse, with its place. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

export interface Verdict extends Place {
  /** From 1. */
  readonly column: number;
  readonly message: string;
}

/** Beyond this nobody reads on. */
const MAX_VERDICTS = 200;

export class Verdicts {
  readonly #list: Verdict[] = [];

  get all(): readonly Verdict[] {
    return [...this.#list].sort((a, b) =>
      a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1,
    );
  }

  refuse(place: Place, column: number, message: string): void {
    const { file, line } = place;
    const known = this.#list.some(
      (one) => one.file === file && one.line === line && one.column === column && one.message === message,
    );
    if (!known && this.#list.length < MAX_VERDICTS) this.#list.push({ file, line, column, message });
  }
}

export function formatVerdict({ file, line, column, message }: Verdict): string {
  return printable(`${file}:${line}:${column}: ${message}`);
}

/** A terminal must not obey what a file holds. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
