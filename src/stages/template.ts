/**
 * Manifests with placeholders: `${name}` is replaced, `$${name}` stays as `${name}`, and anything else that begins with
 * `${` is an error. A value can change nothing but the scalar it stands in: what comes out is parsed again and compared
 * with what was meant, so that no value can add a key, end a quote or begin a comment.
 */

import * as yaml from 'yaml';
import { coreScalar } from '../config/environment.ts';
import { suggestion } from '../config/nearest.ts';
import type { Fault } from '../config/problems.ts';
import { InvalidFiles, located } from './strict-yaml.ts';

export type Placeholders = Readonly<Record<string, string | number | boolean>>;

const PLACEHOLDER = /\$(\$\{)|\$\{([a-z][a-z0-9_]{0,62})\}|\$\{([^}\n]{0,64}\}?)/g;
const MAX_TEMPLATE = 1024 ** 2;

/** Names of the placeholders that a template uses, in order, each once. */
export function placeholdersOf(text: string): string[] {
  const names = new Set<string>();
  for (const [, , name] of text.matchAll(PLACEHOLDER)) if (name !== undefined) names.add(name);
  return [...names];
}

/**
 * @param file  as messages name it
 * @throws InvalidFiles with the place of every placeholder that is unknown or malformed
 */
export function fillTemplate(text: string, file: string, values: Placeholders): string {
  const faults: Fault[] = [];
  const fault = (offset: number, message: string) => faults.push({ offset, path: [], message });
  if (text.length > MAX_TEMPLATE) fault(0, 'is larger than 1 MiB; a template is a manifest of some KiB');
  const used: { token: string; value: string }[] = [];
  const base = tokenBase(text);
  let shape = '';
  let filled = '';
  let end = 0;
  for (const match of text.matchAll(PLACEHOLDER)) {
    const [whole, escaped, name, malformed] = match;
    const before = text.slice(end, match.index);
    end = match.index + whole.length;
    shape += before;
    filled += before;
    if (escaped !== undefined) {
      shape += '${';
      filled += '${';
      continue;
    }
    if (name === undefined || !Object.hasOwn(values, name)) {
      fault(
        match.index,
        name === undefined
          ? malformedWords(malformed!)
          : `unknown placeholder "${name}"${suggestion(name, Object.keys(values), 'placeholders')}`,
      );
      continue;
    }
    const token = `${base}${used.length}q`;
    const value = String(values[name]);
    used.push({ token, value });
    shape += token;
    filled += value;
  }
  shape += text.slice(end);
  filled += text.slice(end);
  if (faults.length > 0) throw new InvalidFiles(located(faults, text, file));
  verify(shape, filled, used, file);
  return filled;
}

function malformedWords(rest: string): string {
  return /^[A-Z_]/.test(rest)
    ? `"\${${rest}" is no placeholder; to leave it for the proxy's environment write $\${${rest}`
    : `"\${${rest}" is malformed; write \${name} in small letters, digits and "_", or $\${ for a literal \${`;
}

/** Letters and a digit that the text does not contain, so that a scalar with tokens stays a plain text scalar. */
function tokenBase(text: string): string {
  for (let i = 0; ; i++) if (!text.includes(`zz${i}p`)) return `zz${i}p`;
}

function verify(
  shape: string,
  filled: string,
  used: readonly { token: string; value: string }[],
  file: string,
): void {
  const wrong = (message: string, line = 1, column = 1) =>
    new InvalidFiles([{ file, line, column, keyPath: '', message, severity: 'error' }]);
  const meant = parse(shape);
  const error = meant.errors[0];
  if (error !== undefined) {
    // Tokens are not as long as the placeholders they stand for, but the lines are the same.
    throw wrong(`is not valid YAML: ${error.message.split('\n')[0]}`, linePosition(shape, error.pos[0]).line);
  }
  if (meant.contents === null) throw wrong('is empty; remove the file, or put a manifest into it');
  const result = parse(filled);
  const replace = (value: string) =>
    used.reduceRight((whole, { token, value: by }) => whole.replaceAll(token, () => by), value);
  const expected = plain(meant.contents as yaml.Node, replace);
  if (
    result.errors.length === 0 &&
    JSON.stringify(expected) === JSON.stringify(plain(result.contents as yaml.Node, (value) => value))
  )
    return;
  const suspect = used.find(({ value }) => !/^[A-Za-z0-9._/@:-]*$/.test(value)) ?? used[0];
  const at = suspect === undefined ? undefined : linePosition(shape, shape.indexOf(suspect.token));
  throw wrong(
    `a value (${JSON.stringify(suspect?.value ?? '')}) would change the YAML around it; put its placeholder between quotes`,
    at?.line,
    at?.column,
  );
}

function parse(text: string): yaml.Document.Parsed {
  return yaml.parseDocument(text, { version: '1.2', prettyErrors: false, logLevel: 'error' });
}

function linePosition(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

/** The values of a document with `replace` applied to each key and scalar; plain scalars are typed after it. */
function plain(node: yaml.Node | null, replace: (text: string) => string): unknown {
  if (yaml.isMap(node)) {
    return [
      'map',
      ...node.items.map((pair) => [
        replace(keyText(pair.key as yaml.Node)),
        plain(pair.value as yaml.Node | null, replace),
      ]),
    ];
  }
  if (yaml.isSeq(node)) return ['list', ...node.items.map((item) => plain(item as yaml.Node, replace))];
  if (yaml.isAlias(node)) return ['alias', node.source];
  if (!yaml.isScalar(node)) return null;
  if (node.type !== 'PLAIN' || typeof node.source !== 'string') return replace(String(node.value ?? ''));
  return coreScalar(replace(node.source));
}

function keyText(node: yaml.Node): string {
  return yaml.isScalar(node) ? String(node.value) : '?';
}
