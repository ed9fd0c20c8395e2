/** What happened lately, as far as a person on call asks for it: bounded lists, newest last. */

/** A reload, taken over or not. */
export interface ReloadRecord {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly result: 'ok' | 'rejected';
  readonly hash: string;
  /** What differs, row by row; secrets masked. */
  readonly changes: readonly string[];
  /** Why it was refused, each with its place. */
  readonly problems: readonly string[];
}

/** A state of an endpoint, a name or a backend that became another one. */
export interface StateChange {
  /** Epoch milliseconds. */
  readonly at: number;
  /** `health`, `ejection`, `drain`, `dns`, `circuit`. */
  readonly kind: string;
  readonly backend: string;
  readonly endpoint: string | null;
  readonly to: string;
}

export const MAX_RELOADS = 20;
export const MAX_STATE_CHANGES = 100;
/** A reload may change a thousand rows; of one record so many lines are kept. */
const MAX_LINES = 50;

export class Recent<T> {
  readonly #items: T[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(item: T): void {
    if (this.#items.length >= this.#limit) this.#items.shift();
    this.#items.push(item);
  }

  /** Newest last. */
  all(): readonly T[] {
    return [...this.#items];
  }
}

export function boundedLines(lines: readonly string[]): readonly string[] {
  if (lines.length <= MAX_LINES) return [...lines];
  return [...lines.slice(0, MAX_LINES - 1), `and ${lines.length - MAX_LINES + 1} more`];
}
