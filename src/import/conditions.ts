/** `if` and `unless` conditions over ACLs, as alternatives that a table can be made of. */
import { suggestion } from '../config/nearest.ts';
import { type CriterionContext, type Factor, readCriterion } from './criteria.ts';
import type { Word } from './lexer.ts';
import { conjunction, MAX_TERMS, not, type Term } from './logic.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

/** One way for a condition to hold: tests of the request, draws of dice, and backends that live or do not. */
export interface Choice {
  readonly term: Term;
  /** All must hit; each is drawn anew for each reference. */
  readonly dice: readonly Dice[];
  readonly alive: readonly Alive[];
}

export interface Dice {
  readonly hits: number;
  readonly draws: number;
}

export interface Alive {
  readonly backend: string;
  readonly alive: boolean;
}

export interface ReadCondition {
  readonly choices: readonly Choice[];
  /** In what the result differs. */
  readonly how: readonly string[];
  /** Why the condition cannot be translated; then `choices` say nothing. */
  readonly why: string | undefined;
}

interface Acl {
  readonly statements: Statement[];
  readonly factors: Factor[];
}

/** ACLs that HAProxy defines itself (Configuration Manual, 7.4). */
const PREDEFINED: Readonly<Record<string, string>> = {
  FALSE: 'always_false',
  TRUE: 'always_true',
  HTTP: 'always_true',
  HTTP_CONTENT: 'req.hdr_val(content-length) gt 0',
  LOCALHOST: 'src 127.0.0.1/8 ::1',
  METH_CONNECT: 'method CONNECT',
  METH_DELETE: 'method DELETE',
  METH_GET: 'method GET HEAD',
  METH_HEAD: 'method HEAD',
  METH_OPTIONS: 'method OPTIONS',
  METH_POST: 'method POST',
  METH_PUT: 'method PUT',
  METH_TRACE: 'method TRACE',
  HTTP_URL_SLASH: 'path_beg /',
  WAIT_END: 'always_true',
};

const EVERYTHING: Choice = { term: [], dice: [], alive: [] };

/** The ACLs of one proxy. */
export class Acls {
  readonly #acls = new Map<string, Acl>();
  readonly #context: CriterionContext;
  readonly #verdicts: Verdicts;

  constructor(context: CriterionContext, verdicts: Verdicts) {
    this.#context = context;
    this.#verdicts = verdicts;
  }

  /** `acl NAME CRITERION …` */
  define(statement: Statement): void {
    const [keyword, name, ...criterion] = statement.words;
    if (name === undefined || criterion.length === 0) {
      const message = "'acl' needs a name and a criterion, such as acl is_free hdr(X-Group) -i FREE";
      this.#verdicts.refuse(statement, (name ?? keyword!).column, message);
      return;
    }
    if (!/^[A-Za-z0-9._:-]+$/.test(name.text)) {
      this.#verdicts.refuse(statement, name.column, `'${name.text}' is not a name for an ACL`);
      return;
    }
    const acl = this.#acls.get(name.text) ?? { statements: [], factors: [] };
    this.#acls.set(name.text, acl);
    const factor = readCriterion(criterion, this.#context);
    acl.statements.push(statement);
    acl.factors.push(factor);
    if (factor.kind === 'fault') this.#verdicts.refuse(statement, factor.column, factor.message);
  }

  /** Why the ACL of a line cannot be tested; undefined when it can. */
  whyNot(statement: Statement): string | undefined {
    for (const { statements, factors } of this.#acls.values()) {
      const factor = factors[statements.indexOf(statement)];
      if (factor?.kind === 'unsupported') return factor.why;
    }
    return undefined;
  }

  /** @param words from `if` or `unless` on; empty: always */
  read(statement: Statement, words: readonly Word[]): ReadCondition {
    const [keyword, ...rest] = words;
    if (keyword === undefined) return { choices: [EVERYTHING], how: [], why: undefined };
    if (rest.length === 0) {
      this.#verdicts.refuse(statement, keyword.column, `'${keyword.text}' needs a condition`);
    }
    const reading = { how: new Set<string>(), why: undefined as string | undefined };
    let choices: Choice[] = [];
    for (const alternative of this.#alternatives(statement, rest)) {
      let way: Choice[] = [EVERYTHING];
      for (const { factors, negated } of alternative)
        way = product(way, this.#ways(factors, negated, reading));
      choices.push(...way);
      if (choices.length > MAX_TERMS * 4)
        reading.why ??= 'the condition has too many alternatives; simplify it';
      if (reading.why !== undefined) break;
    }
    if (keyword.text === 'unless' && reading.why === undefined) {
      const inverted = invert(choices);
      if (inverted === undefined)
        reading.why = 'the negation of this condition is too large; write it with if';
      choices = inverted ?? [];
    }
    return { choices, how: [...reading.how], why: reading.why };
  }

  #alternatives(
    statement: Statement,
    words: readonly Word[],
  ): { factors: readonly Factor[]; negated: boolean }[][] {
    const alternatives: { factors: readonly Factor[]; negated: boolean }[][] = [[]];
    let negated = false;
    for (let at = 0; at < words.length; at++) {
      const word = words[at]!;
      let { text } = word;
      if (/^(or|\|\|)$/i.test(text)) {
        alternatives.push([]);
        continue;
      }
      while (text.startsWith('!')) {
        negated = !negated;
        text = text.slice(1);
      }
      if (text === '') continue;
      let factors: readonly Factor[];
      if (text === '{') {
        const end = words.findIndex((other, i) => i > at && other.text === '}');
        if (end === -1) {
          this.#verdicts.refuse(statement, word.column, "missing closing '}' in condition");
          return alternatives;
        }
        const factor: Factor =
          end === at + 1
            ? { kind: 'fault', column: word.column, message: "empty condition between '{' and '}'" }
            : readCriterion(words.slice(at + 1, end), this.#context);
        if (factor.kind === 'fault') this.#verdicts.refuse(statement, factor.column, factor.message);
        factors = [factor];
        at = end;
      } else factors = this.#factorsOf(statement, { ...word, text });
      alternatives.at(-1)!.push({ factors, negated });
      negated = false;
    }
    return alternatives;
  }

  #factorsOf(statement: Statement, name: Word): readonly Factor[] {
    const acl = this.#acls.get(name.text);
    if (acl !== undefined) return acl.factors;
    const own = Object.hasOwn(PREDEFINED, name.text) ? PREDEFINED[name.text] : undefined;
    if (own !== undefined) {
      const words = own.split(' ').map((text) => ({ text, column: name.column, bare: true }));
      return [readCriterion(words, this.#context)];
    }
    const advice = /^and$|^&&$/i.test(name.text)
      ? '; conditions side by side must all hold, without a word between them'
      : name.text.startsWith('{')
        ? '; put blanks around { and }'
        : suggestion(name.text, this.#acls.keys(), 'ACLs');
    this.#verdicts.refuse(statement, name.column, `no such ACL : '${name.text}'${advice}`);
    return [];
  }

  #ways(
    factors: readonly Factor[],
    negated: boolean,
    reading: { how: Set<string>; why: string | undefined },
  ): Choice[] {
    for (const factor of factors) {
      if (factor.kind === 'unsupported') reading.why ??= factor.why;
      if ('how' in factor && factor.how !== undefined) reading.how.add(factor.how);
    }
    const ways = factors.flatMap(waysOf);
    if (!negated) return ways;
    const inverted = invert(ways);
    if (inverted === undefined) reading.why ??= 'the negation of this condition is too large';
    return inverted ?? [];
  }
}

function waysOf(factor: Factor): Choice[] {
  switch (factor.kind) {
    case 'condition':
      return factor.condition.map((term) => ({ ...EVERYTHING, term }));
    case 'dice':
      return [{ ...EVERYTHING, dice: [{ hits: factor.hits, draws: factor.draws }] }];
    case 'alive':
      return [{ ...EVERYTHING, alive: [{ backend: factor.backend, alive: factor.alive }] }];
    default:
      return [];
  }
}

function product(a: readonly Choice[], b: readonly Choice[]): Choice[] {
  return a.flatMap((left) =>
    b.flatMap((right) => {
      const term = conjunction(left.term, right.term);
      if (term === undefined) return [];
      return [{ term, dice: [...left.dice, ...right.dice], alive: [...left.alive, ...right.alive] }];
    }),
  );
}

/** Undefined when the result would be too large. */
function invert(choices: readonly Choice[]): Choice[] | undefined {
  let result: Choice[] = [EVERYTHING];
  for (const { term, dice, alive } of choices) {
    const inverse = not([term]);
    if (inverse === undefined) return undefined;
    // What fails is the first of the parts that does: draws are made only when the tests before them hold.
    const ways: Choice[] = [
      ...inverse.map((one) => ({ ...EVERYTHING, term: one })),
      ...dice.map(({ hits, draws }) => ({ ...EVERYTHING, dice: [{ hits: draws - hits, draws }] })),
      ...alive.map((one) => ({ ...EVERYTHING, alive: [{ ...one, alive: !one.alive }] })),
    ];
    result = product(result, ways);
    if (result.length > MAX_TERMS * 4) return undefined;
  }
  return result;
}
