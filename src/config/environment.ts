/**
 * References to the environment in values: `${NAME}`, and `${NAME:-default}` for when NAME is unset or empty (as in a
 * shell). `$$` is a literal `$`; a `$` before anything else stands for itself. What is put in is never read as YAML
 * structure or as another reference.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Expansion {
  readonly text: string;
  /** Names of the variables referred to, in order, each once. */
  readonly variables: readonly string[];
  /** In words; none of them contains a value of the environment. */
  readonly problems: readonly string[];
}

/** A few references to a long variable must not become a text that fills memory. */
const MAX_EXPANDED = 65_536;

const REFERENCE = /\$\$|\$\{([A-Za-z_][A-Za-z0-9_]{0,127})(?::-([^{}]*))?\}|\$\{/g;

export function hasReference(text: string): boolean {
  return text.includes('${') || text.includes('$$');
}

/** Replaces every reference in `text`. Where there are problems, the text is not to be used. */
export function expandReferences(text: string, environment: Environment): Expansion {
  const variables = new Set<string>();
  const problems = new Set<string>();
  let size = text.length;
  // What follows a malformed reference may be a part of it.
  let malformed = false;
  const expanded = text.replace(REFERENCE, (found: string, name: string | undefined, fallback?: string) => {
    if (found === '$$') return '$';
    if (malformed) return '';
    if (name === undefined) {
      malformed = true;
      problems.add(
        'a reference to the environment is malformed; write ${NAME} or ${NAME:-default}, and $$ for a literal $',
      );
      return '';
    }
    variables.add(name);
    const set = Object.hasOwn(environment, name) ? environment[name] : undefined;
    const value = fallback !== undefined && set === '' ? fallback : (set ?? fallback);
    if (value === undefined) {
      problems.add(
        `the environment variable ${name} is not set; set it, or give a default: \${${name}:-default}`,
      );
      return '';
    }
    size += value.length;
    return size > MAX_EXPANDED ? '' : value;
  });
  if (size > MAX_EXPANDED) {
    problems.add(`with its environment variables filled in, it is longer than ${MAX_EXPANDED} characters`);
  }
  return { text: expanded, variables: [...variables], problems: [...problems] };
}

const NULL = /^(?:~|null|Null|NULL)?$/;
const TRUE = /^(?:true|True|TRUE)$/;
const FALSE = /^(?:false|False|FALSE)$/;
const DECIMAL = /^[-+]?[0-9]+$/;
const OCTAL = /^0o[0-7]+$/;
const HEXADECIMAL = /^0x[0-9a-fA-F]+$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INFINITE = /^([-+]?)\.(?:inf|Inf|INF)$/;
const NOT_A_NUMBER = /^\.(?:nan|NaN|NAN)$/;

/** The value of a plain scalar by the core schema of YAML 1.2 (section 10.3.2). */
export function coreScalar(text: string): string | number | boolean | null {
  if (NULL.test(text)) return null;
  if (TRUE.test(text)) return true;
  if (FALSE.test(text)) return false;
  if (DECIMAL.test(text) || FLOAT.test(text) || OCTAL.test(text) || HEXADECIMAL.test(text))
    return Number(text);
  if (NOT_A_NUMBER.test(text)) return Number.NaN;
  const infinite = INFINITE.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? -Infinity : Infinity;
  return text;
}

/** Hides references from the YAML parser, at unchanged offsets, and brings them back afterwards. */
export interface ReferenceMask {
  readonly masked: string;
  unmask(text: string): string;
}

/** What would end a plain scalar: braces and brackets, the comma, the colon and the number sign. */
const STRUCTURAL = '{}[],:#';
/** Without quotes, so that no match can reach beyond the end of a quoted scalar. */
const MASKABLE = /\$\$(?:\{[^{}"'\n]*\})?|\$\{[^{}"'\n]*\}/g;

/**
 * `{ url: ${URL} }` is no YAML: a brace cannot stand in a plain scalar of a flow collection. So the structural
 * characters of each reference are swapped, one for one, for private-use characters that the text does not contain.
 */
export function maskReferences(text: string): ReferenceMask {
  const base = unusedCharacters(text);
  if (base === undefined || !text.includes('${')) return { masked: text, unmask: (same) => same };
  const marks = String.fromCharCode(...Array.from(STRUCTURAL, (_, i) => base + i));
  const hide = new RegExp(`[${STRUCTURAL.replace(/[[\]]/g, '\\$&')}]`, 'g');
  const reveal = new RegExp(`[${marks}]`, 'g');
  return {
    masked: text.replace(MASKABLE, (reference) =>
      reference.replace(hide, (mark) => marks[STRUCTURAL.indexOf(mark)]!),
    ),
    unmask: (hidden) => hidden.replace(reveal, (mark) => STRUCTURAL[marks.indexOf(mark)]!),
  };
}

/** First of a row of private-use characters that are neither in the text nor spelt in it as an escape. */
function unusedCharacters(text: string): number | undefined {
  const upper = /[\uE000-\uF8FF]|\\[uU]/.test(text) ? text.toUpperCase() : '';
  for (let base = 0xe000; base + STRUCTURAL.length <= 0xf8ff; base += STRUCTURAL.length) {
    const free = Array.from(STRUCTURAL, (_, i) => base + i).every(
      (code) =>
        !upper.includes(String.fromCharCode(code)) && !upper.includes(code.toString(16).toUpperCase()),
    );
    if (free) return base;
  }
  return undefined;
}
