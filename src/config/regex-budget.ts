/** Judges regular expressions: their syntax (RE2), and that all of them together stay small. */
import { RE2JS, RE2JSException, RE2JSSyntaxException } from 're2js';

/** Instructions of one compiled expression. Matching is linear in them times the length of the value. */
const MAX_PROGRAM = 5_000;
/** Instructions of all expressions; what is refused counts too, so that a hostile file compiles in bounded time. */
const MAX_TOTAL = 100_000;

export class RegexBudget {
  #used = 0;

  /**
   * @param secret no part of the expression may be shown
   * @returns what is wrong, in words; undefined when the expression is good
   */
  judge(expression: string, ignoreCase: boolean, secret: boolean): string | undefined {
    if (this.#used > MAX_TOTAL) {
      return `the regular expressions are too large together (over ${MAX_TOTAL} instructions); simplify them`;
    }
    let size: number;
    try {
      size = RE2JS.compile(expression, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0).programSize();
    } catch (error) {
      return `is not a regular expression in RE2 syntax${reason(error, secret)}`;
    }
    this.#used += size;
    if (size <= MAX_PROGRAM) return undefined;
    return `the regular expression is too large (${size} instructions, at most ${MAX_PROGRAM}); use smaller repeats`;
  }
}

function reason(error: unknown, secret: boolean): string {
  if (error instanceof RE2JSSyntaxException) {
    const { error: what, input } = error as unknown as { error: string; input: string | null };
    const lookaround = input !== null && /^\(\?<?[=!]/.test(input);
    const advice =
      lookaround || /^\\\d/.test(input ?? '') ? '; look-around and back-references are not possible' : '';
    return `: ${what}${secret || input === null ? '' : ` in ${input}`}${advice}`;
  }
  return error instanceof RE2JSException && !secret ? `: ${error.message}` : '';
}
