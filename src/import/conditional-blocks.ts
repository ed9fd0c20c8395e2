/** `.if`, `.elif`, `.else`, `.endif` and the messages of `.notice` and its kin (Configuration Manual, 2.4). */
import type { Statement } from './statement.ts';
import type { Place, Verdicts } from './verdict.ts';

interface Block {
  readonly opened: Place;
  /** The block applies now. */
  applies: boolean;
  /** One of its branches has applied, or the block around it does not. */
  done: boolean;
}

export class ConditionalBlocks {
  readonly #lookUp: (name: string) => string | undefined;
  readonly #verdicts: Verdicts;
  readonly #blocks: Block[] = [];

  constructor(lookUp: (name: string) => string | undefined, verdicts: Verdicts) {
    this.#lookUp = lookUp;
    this.#verdicts = verdicts;
  }

  get active(): boolean {
    return this.#blocks.every(({ applies }) => applies);
  }

  /** @returns what became of the directive, in words */
  take(statement: Statement): string {
    const [keyword, ...rest] = statement.words.map(({ text }) => text);
    const block = this.#blocks.at(-1);
    switch (keyword) {
      case '.if': {
        const outer = this.active;
        const applies = outer && this.#holds(statement, rest.join(' '));
        this.#blocks.push({ opened: statement, applies, done: !outer || applies });
        return applies ? 'holds' : 'does not hold';
      }
      case '.elif':
      case '.else': {
        if (block === undefined) {
          this.#verdicts.refuse(statement, statement.words[0]!.column, `lone '${keyword}' without '.if'`);
          return 'is refused';
        }
        block.applies = !block.done && (keyword === '.else' || this.#holds(statement, rest.join(' ')));
        block.done ||= block.applies;
        return block.applies ? 'applies' : 'does not apply';
      }
      case '.endif':
        if (block === undefined) {
          this.#verdicts.refuse(statement, statement.words[0]!.column, "lone '.endif' without '.if'");
        }
        this.#blocks.pop();
        return 'ends the block';
      case '.notice':
      case '.warning':
      case '.diag':
        return 'is a message for whoever starts HAProxy';
      case '.alert':
        if (this.active) {
          this.#verdicts.refuse(statement, statement.words[0]!.column, `.alert: ${rest.join(' ')}`);
        }
        return 'is a message for whoever starts HAProxy';
      default:
        this.#verdicts.refuse(statement, statement.words[0]!.column, `unknown directive '${keyword}'`);
        return 'is refused';
    }
  }

  end(place: Place): void {
    for (const { opened } of this.#blocks) {
      const message = `'.if' of line ${opened.line} has no '.endif'`;
      this.#verdicts.refuse({ file: place.file, line: opened.line }, 1, message);
    }
  }

  #holds(statement: Statement, expression: string): boolean {
    const value = new Expression(expression, this.#lookUp).value();
    if (typeof value === 'boolean') return value;
    this.#verdicts.refuse(statement, statement.words[1]?.column ?? statement.words[0]!.column, value.message);
    return false;
  }
}

/** `or`s of `and`s of terms; a term is an integer, a predicate, `!term` or `(expression)`. */
class Expression {
  #rest: string;
  readonly #lookUp: (name: string) => string | undefined;

  constructor(text: string, lookUp: (name: string) => string | undefined) {
    this.#rest = text.trim();
    this.#lookUp = lookUp;
  }

  value(): boolean | Error {
    try {
      if (this.#rest === '') return false;
      const value = this.#or();
      if (this.#rest !== '') throw new Error(`unparsable conditional expression at '${this.#rest}'`);
      return value;
    } catch (error) {
      return error as Error;
    }
  }

  #or(): boolean {
    let value = this.#and();
    while (this.#eat(/^\|\|\s*/) !== undefined) value = this.#and() || value;
    return value;
  }

  #and(): boolean {
    let value = this.#term();
    while (this.#eat(/^&&\s*/) !== undefined) value = this.#term() && value;
    return value;
  }

  #term(): boolean {
    if (this.#eat(/^!\s*/) !== undefined) return !this.#term();
    if (this.#eat(/^\(\s*/) !== undefined) {
      const value = this.#or();
      if (this.#eat(/^\)\s*/) === undefined) throw new Error('a parenthesis is not closed');
      return value;
    }
    const number = this.#eat(/^(\d+)\s*/);
    if (number !== undefined) return Number(number[1]) !== 0;
    const call = this.#eat(/^([a-z_]+)\(([^()]*)\)\s*/);
    if (call === undefined) throw new Error(`unparsable conditional expression at '${this.#rest}'`);
    return this.#predicate(
      call[1]!,
      call[2]!.split(',').map((argument) => argument.trim()),
    );
  }

  #predicate(name: string, [first = '', second = '']: readonly string[]): boolean {
    switch (name) {
      case 'defined':
        return this.#lookUp(first) !== undefined;
      case 'streq':
        return first === second;
      case 'strneq':
        return first !== second;
      case 'version_atleast':
      case 'version_before': {
        const version = this.#lookUp('HAPROXY_VERSION');
        if (version === undefined) {
          throw new Error(`${name}() needs the version of HAProxy; give --define HAPROXY_VERSION=2.6`);
        }
        const atLeast = compareVersions(version, first) >= 0;
        return name === 'version_atleast' ? atLeast : !atLeast;
      }
      default:
        throw new Error(`${name}() cannot be known without HAProxy; write the result, 0 or 1, in its place`);
    }
  }

  #eat(pattern: RegExp): RegExpExecArray | undefined {
    const match = pattern.exec(this.#rest);
    if (match === null) return undefined;
    this.#rest = this.#rest.slice(match[0].length);
    return match;
  }
}

function compareVersions(a: string, b: string): number {
  const parts = (text: string) => (text.match(/\d+/g) ?? []).map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
