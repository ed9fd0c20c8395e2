/** Words of the command line, read from the texts of --help: what is not explained there is not completed either. */

export interface Option {
  /** `-c`, or undefined. */
  readonly short: string | undefined;
  /** `--config` */
  readonly long: string;
  /** What follows it; undefined for a switch. */
  readonly value: Value | undefined;
  readonly summary: string;
}

export type Value =
  | { readonly kind: 'file' | 'directory' | 'text' }
  | { readonly kind: 'words'; readonly words: readonly string[] };

export interface Word {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option[];
  /** Subcommands or verbs. */
  readonly words: readonly Word[];
  /** Whether its arguments are files. */
  readonly takesFiles: boolean;
}

/** `-c, --config FILE`, `--tls-cert FILE, --tls-key FILE`, `-H, --header 'NAME: VALUE'`: what stands left of a text. */
const PLACEHOLDER = String.raw`'[^']+'|[A-Z][A-Z:=]*|[a-z]+(?:\|[a-z]+)+`;
const ITEM = new RegExp(`(-\\w)(?=,)|(--[a-z][a-z-]*)(?: (${PLACEHOLDER}))?`, 'g');
const LEFT = new RegExp(
  `^(?:-\\w|--[a-z][a-z-]*(?: (?:${PLACEHOLDER}))?)(?:, (?:-\\w|--[a-z][a-z-]*(?: (?:${PLACEHOLDER}))?))*$`,
);

/** The options of a text of help, each as it is explained first. */
export function optionsOf(help: string): Option[] {
  const options = new Map<string, Option>();
  for (const line of help.split('\n')) {
    const [left = '', ...rest] = line.replace(/^ {2,}/, '').split(/ {2,}/);
    if (!line.startsWith('  ') || !LEFT.test(left)) continue;
    const text = rest.join(' ');
    let short: string | undefined;
    for (const [, letter, long, placeholder] of left.matchAll(ITEM)) {
      if (long === undefined) {
        short = letter;
        continue;
      }
      if (!options.has(long)) {
        const value = placeholder === undefined ? undefined : valueFor(long, placeholder, text);
        options.set(long, { short, long, value, summary: firstClause(text) });
      }
      short = undefined;
    }
  }
  return [...options.values()];
}

function valueFor(long: string, placeholder: string, text: string): Value {
  if (placeholder.includes('|')) return { kind: 'words', words: placeholder.split('|') };
  const listed = /^([a-z]+(?:, [a-z]+)* or [a-z]+)\b/.exec(text)?.[1];
  if (long === '--output' && listed !== undefined) return { kind: 'words', words: listed.split(/, | or /) };
  if (placeholder === 'DIR') return { kind: 'directory' };
  return { kind: /^(FILE|OLD|NEW|PATH)$/.test(placeholder) ? 'file' : 'text' };
}

export interface Heading {
  readonly name: string;
  readonly summary: string;
  /** Those named in its own line of the synopsis. */
  readonly options: readonly Option[];
}

/** Subcommands, verbs or shells: `  status  survey once`, and the verbs of a manual page with their synopsis. */
export function wordsOf(help: string): Heading[] {
  const verbs = /^VERBS\n([\s\S]*?)^\S/m.exec(help)?.[1];
  if (verbs === undefined) {
    return [...help.matchAll(/^ {2}([a-z]+)(?: [^a-z\s]\S*)* {2,}(\S.*)$/gm)].map(([, name, text]) => ({
      name: name!,
      summary: firstClause(text!),
      options: [],
    }));
  }
  return [...verbs.matchAll(/^ {4}([a-z]+)(.*)\n {8}(.*)$/gm)].map(([, name, synopsis, text]) => ({
    name: name!,
    summary: firstClause(text!),
    options: [...synopsis!.matchAll(/(--[a-z-]+)(?: ([A-Z]+))?/g)].map(([, long, placeholder]) => ({
      short: undefined,
      long: long!,
      value: placeholder === undefined ? undefined : valueFor(long!, placeholder, ''),
      summary: '',
    })),
  }));
}

/** Whether the usage line has an argument that is a file. */
export function takesFiles(help: string): boolean {
  return /^Usage: pointsman [a-z]+ (?:\[[^\]]*\] )*FILE/m.test(help);
}

/** What fits beside a completion; without quotes and brackets, which shells would read. */
function firstClause(text: string): string {
  const clause = /^(.*?)(?:[.;:](?:\s|$)|$)/.exec(text)![1]!.replaceAll(/['"`$\\[\]]/g, '');
  return clause.length > 60 ? `${clause.slice(0, 59)}…` : clause;
}
