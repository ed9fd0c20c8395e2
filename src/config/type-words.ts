/** What kind of value a key takes, in words, for messages and the reference table. */
import { ADDRESS_REGEX_SOURCE } from './address.ts';
import { branchesOf, type JsonSchema } from './json-schema.ts';
import { DURATION_REGEX_SOURCE, SIZE_REGEX_SOURCE } from './units.ts';

export type Kind =
  | 'duration'
  | 'size'
  | 'address'
  | 'url'
  | 'choice'
  | 'text'
  | 'integer'
  | 'number'
  | 'boolean'
  | 'list'
  | 'map';

export function kindOf(schema: JsonSchema): Kind {
  if (schema.enum !== undefined || schema.const !== undefined) return 'choice';
  switch (schema.type) {
    case 'object':
      return 'map';
    case 'array':
      return 'list';
    case 'integer':
    case 'number':
    case 'boolean':
      return schema.type;
    default:
      if (schema.pattern === DURATION_REGEX_SOURCE) return 'duration';
      if (schema.pattern === SIZE_REGEX_SOURCE) return 'size';
      if (schema.format === 'uri') return 'url';
      return schema.pattern === ADDRESS_REGEX_SOURCE ? 'address' : 'text';
  }
}

/** The values of a choice. */
export function choicesOf(schema: JsonSchema): readonly string[] {
  return (schema.enum ?? (schema.const === undefined ? [] : [schema.const])).map(String);
}

const WORDS: Readonly<Record<Exclude<Kind, 'choice'>, string>> = {
  duration: 'a duration such as 250ms or 2s',
  size: 'a size such as 16KiB',
  address: 'an address such as 0.0.0.0:8080',
  url: 'a URL such as http://HOST:PORT',
  text: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  list: 'a list',
  map: 'a map of keys and values',
};

/** `a whole number or auto`; '' when nothing is known. */
export function expectedWords(schemas: readonly JsonSchema[]): string {
  const words = new Set<string>();
  for (const schema of schemas.flatMap(branchesOf)) {
    const kind = kindOf(schema);
    if (kind === 'choice') for (const choice of choicesOf(schema)) words.add(choice);
    else words.add(WORDS[kind]);
  }
  return orList([...words]);
}

/** `a`, `a or b`, `a, b or c`. */
export function orList(words: readonly string[]): string {
  if (words.length < 2) return words[0] ?? '';
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
