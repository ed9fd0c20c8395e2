/**
 * The reference table of the README, derived from the schema.
 *
 * `node src/config/reference.ts README.md` rewrites what stands between the two marks in a file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { branchesOf, type JsonSchema, valueSchema } from './json-schema.ts';
import { choicesOf, kindOf } from './type-words.ts';

const BEGIN = '<!-- reference:begin -->';
const END = '<!-- reference:end -->';

/** One key, as a row of the table. */
export interface ReferenceRow {
  readonly key: string;
  readonly type: string;
  readonly fallback: string;
  readonly meaning: string;
}

/** Every key: nested ones dotted, as in the table. */
export function referenceRows(): readonly ReferenceRow[] {
  return rowsOf('', valueSchema());
}

/** Markdown: key, type, default, meaning; nested keys dotted (`backends.<name>.url`, `routes[].split`). */
export function referenceTable(): string {
  const lines = referenceRows().map(
    ({ key, type, fallback, meaning }) => `| \`${key}\` | ${type} | ${fallback} | ${meaning} |`,
  );
  return ['| Key | Type | Default | Meaning |', '|---|---|---|---|', ...lines, ''].join('\n');
}

/**
 * The text with the table between the marks.
 *
 * @throws when a mark is missing or they are the wrong way round
 */
export function replaceReference(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`the text has no ${BEGIN} followed by ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${referenceTable()}${readme.slice(end)}`;
}

function rowsOf(prefix: string, schema: JsonSchema): ReferenceRow[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const key = `${prefix}${name}`;
    const required = schema.required?.includes(name) === true;
    const row: ReferenceRow = {
      key,
      type: typeWords(value),
      fallback: defaultWords(value, required),
      meaning: cell(`${value.description ?? ''}${isSecretValue(value) ? ' Never shown.' : ''}`),
    };
    return [row, ...inner(key, value)];
  });
}

/** The keys of the maps that a value is, or is a map or list of. */
function inner(key: string, schema: JsonSchema): ReferenceRow[] {
  const rows = new Map<string, ReferenceRow>();
  const branches = branchesOf(schema);
  const oneOf = branches.filter(({ properties }) => properties !== undefined).length > 1;
  for (const branch of branches) {
    const own = NESTED_CONDITIONS.test(key) ? [] : rowsOf(`${key}.`, branch);
    const nested = [
      ...(oneOf ? own.map((row) => ({ ...row, fallback: '**one of these**' })) : own),
      ...(typeof branch.additionalProperties === 'object'
        ? inner(`${key}.<${placeholder(key)}>`, branch.additionalProperties)
        : []),
      ...(branch.items === undefined || branches.some((other) => isSame(other, branch.items!))
        ? []
        : inner(`${key}[]`, branch.items)),
    ];
    for (const row of nested) if (!rows.has(row.key)) rows.set(row.key, row);
  }
  return [...rows.values()];
}

/** Conditions within conditions have the same keys again. */
const NESTED_CONDITIONS = /\.match\.(and|not)$/;

function isSame(a: JsonSchema, b: JsonSchema): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function placeholder(key: string): string {
  if (key.endsWith('.set') || key.endsWith('.add')) return 'field';
  if (key.endsWith('.cookies')) return 'cookie';
  if (key.endsWith('.query')) return 'parameter';
  return key.endsWith('headers') ? 'field' : key.endsWith('split') ? 'backend' : 'name';
}

function typeWords(schema: JsonSchema): string {
  const branches = branchesOf(schema);
  const [first, second] = branches;
  // One or many of the same is said shorter.
  if (branches.length === 2 && second?.items !== undefined && kindOf(first!) === kindOf(second.items)) {
    return `${typeWords(first!)}, or a list`;
  }
  return [...new Set(branches.map(branchWords))].join(' or ');
}

function branchWords(schema: JsonSchema): string {
  const kind = kindOf(schema);
  switch (kind) {
    case 'choice':
      return choicesOf(schema)
        .map((choice) => `\`${choice}\``)
        .join(', ');
    case 'integer':
      return `integer${bounds(schema)}`;
    case 'number':
      return `number${bounds(schema)}`;
    case 'list':
      return `list of ${schema.items === undefined ? 'values' : typeWords(schema.items)}`;
    case 'map':
      return typeof schema.additionalProperties === 'object' &&
        branchesOf(schema.additionalProperties).every(isScalar)
        ? `map to ${typeWords(schema.additionalProperties)}`
        : 'map';
    case 'url':
      return 'URL';
    default:
      return kind;
  }
}

function isScalar(schema: JsonSchema): boolean {
  return schema.type !== 'object' && schema.type !== 'array';
}

function bounds({ minimum, maximum }: JsonSchema): string {
  if (minimum !== undefined && maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) {
    return ` ${minimum}–${maximum}`;
  }
  return minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? '' : ` from ${minimum}`;
}

function defaultWords(schema: JsonSchema, required: boolean): string {
  if (required) return '**required**';
  const { default: value } = schema;
  if (
    value === undefined ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  ) {
    return '';
  }
  return `\`${typeof value === 'string' && value !== '' ? value : JSON.stringify(value)}\``;
}

/** A secret, or a map or list of them. */
function isSecretValue({ writeOnly, additionalProperties, items }: JsonSchema): boolean {
  return (
    writeOnly === true ||
    items?.writeOnly === true ||
    (typeof additionalProperties === 'object' && additionalProperties.writeOnly === true)
  );
}

/** Pipes would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

if (import.meta.main) {
  const file = process.argv[2];
  if (file === undefined) {
    process.stderr.write('Usage: node src/config/reference.ts README.md\n');
    process.exitCode = 2;
  } else {
    writeFileSync(file, replaceReference(readFileSync(file, 'utf8')));
  }
}
