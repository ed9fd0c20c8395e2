/** What became of every line: each statement is accounted for once, by the worst that any part of it met. */
import type { Statement } from './statement.ts';
import { printable } from './verdict.ts';

export type Fate = 'translated' | 'approximated' | 'not supported';

export interface ReportLine {
  readonly statement: Statement;
  readonly fate: Fate;
  /** What it became, how it differs, or why it cannot be and what to do; '' when there is nothing to say. */
  readonly note: string;
}

const RANK: Readonly<Record<Fate, number>> = { translated: 0, approximated: 1, 'not supported': 2 };

export class Report {
  readonly #lines = new Map<Statement, { fate: Fate; notes: Set<string> }>();

  translated(statement: Statement, note = ''): void {
    this.#account(statement, 'translated', note);
  }

  /** @param how in what the result differs */
  approximated(statement: Statement, how: string): void {
    this.#account(statement, 'approximated', how);
  }

  /** @param why why not, and what to do instead */
  unsupported(statement: Statement, why: string): void {
    this.#account(statement, 'not supported', why);
  }

  has(statement: Statement): boolean {
    return this.#lines.has(statement);
  }

  /** One line for each statement, in their order; what nothing has accounted for is not supported. */
  lines(statements: readonly Statement[]): ReportLine[] {
    return statements.map((statement) => {
      const known = this.#lines.get(statement);
      if (known === undefined) {
        return { statement, fate: 'not supported', note: 'is not understood; check what it is for' };
      }
      return { statement, fate: known.fate, note: [...known.notes].join('; ') };
    });
  }

  #account(statement: Statement, fate: Fate, note: string): void {
    const known = this.#lines.get(statement);
    if (known === undefined || RANK[known.fate] < RANK[fate]) {
      this.#lines.set(statement, { fate, notes: new Set(note === '' ? [] : [note]) });
    } else if (known.fate === fate && note !== '') known.notes.add(note);
  }
}

/** Most of a statement that is shown. */
const SHOWN = 100;

/** @param isShown of the lines that the summary counts, which are written out */
export function formatReport(
  lines: readonly ReportLine[],
  isShown: (line: ReportLine) => boolean = () => true,
): string {
  const text = lines.filter(isShown).map(({ statement, fate, note }) => {
    const { file, line, words } = statement;
    const source = words.map((word) => word.text).join(' ');
    const shown = source.length > SHOWN ? `${source.slice(0, SHOWN)}…` : source;
    const tail = note === '' ? '' : ` → ${note}`;
    return `${file}:${line}: ${fate}: ${printable(shown)}${printable(tail)}\n`;
  });
  const count = (fate: Fate) => lines.filter((line) => line.fate === fate).length;
  const summary = `${lines.length} lines: ${count('translated')} translated, ${count('approximated')} approximated, ${count('not supported')} not supported\n`;
  return text.join('') + summary;
}
