/** Files → sections of statements, with environment and `.if` blocks resolved. */
import { suggestion } from '../config/nearest.ts';
import { ConditionalBlocks } from './conditional-blocks.ts';
import { lexLine, type Word } from './lexer.ts';
import type { Statement } from './statement.ts';
import type { Place, Verdicts } from './verdict.ts';

export interface Section {
  readonly kind: string;
  /** '' when it has none. */
  readonly name: string;
  readonly head: Statement;
  readonly statements: readonly Statement[];
}

export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

export interface ParsedFiles {
  readonly sections: readonly Section[];
  /** Every statement there is, section heads included, in order; those of `.if` blocks that do not apply too. */
  readonly statements: readonly Statement[];
  /** Statements that have no effect where they stand, and why. */
  readonly idle: ReadonlyMap<Statement, string>;
  readonly unset: readonly (Place & { readonly variable: string })[];
}

export const SECTION_KINDS: ReadonlySet<string> = new Set([
  'global',
  'defaults',
  'frontend',
  'backend',
  'listen',
  'resolvers',
  'userlist',
  'peers',
  'mailers',
  'ring',
  'http-errors',
  'cache',
  'program',
  'fcgi-app',
  'log-forward',
  'log-profile',
  'traces',
  'acme',
  'crt-store',
  'healthcheck',
]);

const NAME = /^[A-Za-z0-9._:-]+$/;

/** @param defines  values that come before the environment, from the command line */
export function parseFiles(
  files: readonly SourceFile[],
  defines: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
  verdicts: Verdicts,
): ParsedFiles {
  const set = new Map<string, string>();
  const lookUp = (name: string) => defines.get(name) ?? set.get(name) ?? environment[name];
  const sections: { kind: string; name: string; head: Statement; statements: Statement[] }[] = [];
  const statements: Statement[] = [];
  const idle = new Map<Statement, string>();
  const unset: (Place & { variable: string })[] = [];
  for (const { name: file, text } of files) {
    const blocks = new ConditionalBlocks(lookUp, verdicts);
    const source = text.startsWith('\ufeff') ? text.slice(1) : text;
    for (const [index, raw] of source.split('\n').entries()) {
      const lexed = lexLine(raw, lookUp);
      const place = { file, line: index + 1 };
      if (lexed.words.length === 0 && lexed.fault === undefined) continue;
      const statement: Statement = { ...place, words: lexed.words };
      statements.push(statement);
      const first = lexed.words[0]?.text ?? '';
      if (first.startsWith('.')) {
        idle.set(statement, blocks.take(statement));
        continue;
      }
      if (!blocks.active) {
        idle.set(statement, 'stands in an .if block that does not apply');
        continue;
      }
      if (lexed.fault !== undefined) {
        verdicts.refuse(place, lexed.fault.column, lexed.fault.message);
        continue;
      }
      for (const variable of lexed.unset) unset.push({ ...place, variable });
      if (SECTION_KINDS.has(first)) {
        const name = lexed.words[1]?.text ?? '';
        checkName(first, statement, verdicts);
        sections.push({ kind: first, name, head: statement, statements: [] });
        continue;
      }
      const section = sections.at(-1);
      if (section === undefined) {
        const near = suggestion(first, SECTION_KINDS, 'sections');
        verdicts.refuse(place, lexed.words[0]!.column, `unknown keyword '${first}' out of section${near}`);
        continue;
      }
      section.statements.push(statement);
      if (section.kind === 'global') setVariables(lexed.words, set, environment);
    }
    blocks.end({ file, line: source.split('\n').length });
  }
  return { sections, statements, idle, unset };
}

function checkName(kind: string, statement: Statement, verdicts: Verdicts): void {
  const name = statement.words[1];
  const needed = ['frontend', 'backend', 'listen', 'resolvers', 'userlist', 'peers'].includes(kind);
  if (name === undefined) {
    if (needed) verdicts.refuse(statement, statement.words[0]!.column, `'${kind}' needs a name`);
  } else if (needed && !NAME.test(name.text)) {
    const message = `'${name.text}' is not a name: letters, digits, '.', '_', '-' and ':' alone are permitted`;
    verdicts.refuse(statement, name.column, message);
  }
}

function setVariables(
  words: readonly Word[],
  set: Map<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): void {
  const [keyword, name, value] = words.map(({ text }) => text);
  if (name === undefined) return;
  if (keyword === 'setenv') set.set(name, value ?? '');
  if (keyword === 'presetenv' && environment[name] === undefined && !set.has(name))
    set.set(name, value ?? '');
  if (keyword === 'unsetenv') for (const { text } of words.slice(1)) set.delete(text);
}
