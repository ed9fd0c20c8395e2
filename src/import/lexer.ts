/** One line of a haproxy.cfg → its words, by HAProxy's rules of quoting (Configuration Manual, 2.2 and 2.3). */

export interface Word {
  readonly text: string;
  /** From 1. */
  readonly column: number;
  /** Nothing of it was quoted or escaped. */
  readonly bare: boolean;
}

export interface LexFault {
  readonly column: number;
  readonly message: string;
}

export interface LexedLine {
  /** Empty for blank lines and comments. */
  readonly words: readonly Word[];
  readonly fault: LexFault | undefined;
  /** Variables that were referred to and are not set. */
  readonly unset: readonly string[];
}

/** HAProxy's MAX_LINE_ARGS. */
const MAX_WORDS = 64;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** @param variables value of an environment variable; undefined when it is not set */
export function lexLine(line: string, variables: (name: string) => string | undefined): LexedLine {
  return new Lexer(line, variables).run();
}

class Lexer {
  readonly #line: string;
  readonly #variables: (name: string) => string | undefined;
  readonly #words: Word[] = [];
  readonly #unset: string[] = [];
  #at = 0;
  #text = '';
  #start = -1;
  #bare = true;
  #fault: LexFault | undefined;

  constructor(line: string, variables: (name: string) => string | undefined) {
    this.#line = line.endsWith('\r') ? line.slice(0, -1) : line;
    this.#variables = variables;
  }

  run(): LexedLine {
    const line = this.#line;
    while (this.#at < line.length && this.#fault === undefined) {
      const char = line[this.#at]!;
      if (char === ' ' || char === '\t') {
        this.#endWord();
        this.#at++;
      } else if (char === '#') break;
      else {
        if (this.#start === -1) this.#start = this.#at;
        if (char === '\\') this.#escape();
        else if (char === '"') this.#double();
        else if (char === "'") this.#single();
        else {
          this.#text += char;
          this.#at++;
        }
      }
    }
    this.#endWord();
    return { words: this.#words, fault: this.#fault, unset: this.#unset };
  }

  #endWord(): void {
    if (this.#start === -1) return;
    if (this.#words.length === MAX_WORDS) {
      this.#fail(this.#start, `has more than ${MAX_WORDS} words`);
    } else this.#words.push({ text: this.#text, column: this.#start + 1, bare: this.#bare });
    this.#text = '';
    this.#start = -1;
    this.#bare = true;
  }

  #fail(at: number, message: string): void {
    this.#fault ??= { column: at + 1, message };
    this.#at = this.#line.length;
  }

  /** Blanks, `#`, quotes and `\` for themselves; `\n`, `\r`, `\t`, `\xNN`; before anything else a `\` is a `\`. */
  #escape(): void {
    this.#bare = false;
    const next = this.#line[this.#at + 1];
    if (next === undefined) {
      this.#text += '\\';
      this.#at++;
    } else if (' #\\\'"'.includes(next)) {
      this.#text += next;
      this.#at += 2;
    } else if (ESCAPES[next] !== undefined) {
      this.#text += ESCAPES[next];
      this.#at += 2;
    } else if (next === 'x') {
      const hex = /^[0-9A-Fa-f]{2}/.exec(this.#line.slice(this.#at + 2))?.[0];
      if (hex === undefined) {
        this.#fail(this.#at, 'has an invalid or truncated \\x sequence; write two hexadecimal digits');
        return;
      }
      this.#text += String.fromCharCode(Number.parseInt(hex, 16));
      this.#at += 4;
    } else {
      this.#text += '\\';
      this.#at++;
    }
  }

  #single(): void {
    this.#bare = false;
    const end = this.#line.indexOf("'", this.#at + 1);
    if (end === -1) {
      this.#fail(this.#at, "has an unmatched quote (')");
      return;
    }
    this.#text += this.#line.slice(this.#at + 1, end);
    this.#at = end + 1;
  }

  #double(): void {
    this.#bare = false;
    const open = this.#at++;
    while (this.#at < this.#line.length) {
      const char = this.#line[this.#at]!;
      if (char === '"') {
        this.#at++;
        return;
      }
      if (char === '\\' && '"\\$'.includes(this.#line[this.#at + 1] ?? '\0')) {
        this.#text += this.#line[this.#at + 1];
        this.#at += 2;
      } else if (char === '\\') this.#escape();
      else if (char === '$') this.#variable();
      else {
        this.#text += char;
        this.#at++;
      }
      if (this.#fault !== undefined) return;
    }
    this.#fail(open, 'has an unmatched quote (")');
  }

  /** `$NAME`, `${NAME}`, `${NAME-default}`; `${NAME[*]}` would be several words and is taken as one. */
  #variable(): void {
    const rest = this.#line.slice(this.#at);
    const plain = /^\$([A-Za-z_][A-Za-z0-9_]*)/.exec(rest);
    const braced = /^\$\{([A-Za-z_.][A-Za-z0-9_.]*)(\[\*\])?(?:-([^}]*))?\}/.exec(rest);
    const match = plain ?? braced;
    if (match === null) {
      this.#fail(this.#at, 'has a $ that begins no variable; write \\$ for a literal one');
      return;
    }
    const name = match[1]!;
    const value = this.#variables(name) ?? match[3];
    if (value === undefined) this.#unset.push(name);
    this.#text += value ?? '';
    this.#at += match[0].length;
  }
}
