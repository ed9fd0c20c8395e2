/** What the schema finds wrong, in plain English and at its place. */
import type { z } from 'zod';
import { knownKeys, schemasAt } from './json-schema.ts';
import { isFaulty, keyOffsetOf, type LocatedNode, nodeAt, offsetOf } from './located.ts';
import { nearestName, suggestion } from './nearest.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';
import { isSecret, mayHoldSecrets, shownPath } from './secrets.ts';
import { expectedWords, kindOf, orList } from './type-words.ts';

type Issue = z.core.$ZodIssue;

export function schemaFaults(issues: readonly Issue[], root: LocatedNode): Fault[] {
  return issues.flatMap((issue) => faultsOf(issue, issue.path as KeyPath, root));
}

function faultsOf(issue: Issue, path: KeyPath, root: LocatedNode): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey([...path, key], root));
  }
  if (isFaulty(root, path)) return [];
  if (issue.code === 'invalid_union') return unionFaults(issue, path, root);
  if (issue.code === 'invalid_key') {
    const message = `${shownKey(path) ?? `the key ${NOT_SHOWN}`} ${issue.issues[0]?.message ?? 'is not a valid name'}`;
    return [{ offset: keyOffsetOf(root, path), path, message }];
  }
  return [{ offset: offsetOf(root, path), path, message: messageOf(issue, path, nodeAt(root, path)) }];
}

function unknownKey(path: KeyPath, root: LocatedNode): Fault {
  const key = String(path.at(-1));
  const message = `unknown key ${shownKey(path) ?? NOT_SHOWN}${suggestion(key, knownKeys(path.slice(0, -1)), 'known keys here')}`;
  return { offset: keyOffsetOf(root, path), path, message };
}

const NOT_SHOWN = '(not shown, as it may hold a secret: is a blank missing after its colon, or a quote?)';

function shownKey(path: KeyPath): string | undefined {
  const key = String(shownPath(path).at(-1));
  return key === '…' ? undefined : quote(key);
}

/** Of the forms a value may have, speaks about the one that was meant. */
function unionFaults(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: KeyPath,
  root: LocatedNode,
): Fault[] {
  const offset = offsetOf(root, path);
  const node = nodeAt(root, path);
  const forms = issue.errors.filter((errors) => !errors.some(isWrongKind));
  if (forms.length === 0) return [{ offset, path, message: wrongKind(path, node) }];
  if (forms.length > 1 && node?.kind === 'map') {
    const keys = knownKeys(path);
    const given = keys.filter((key) => node.entries.has(key));
    const unknown = [...node.entries.keys()].filter((key) => !keys.includes(key));
    if (unknown.length > 0) return unknown.map((key) => unknownKey([...path, key], root));
    if (given.length === 0) return [{ offset, path, message: `must have the key ${orList(keys)}` }];
    if (given.length > 1) {
      return [{ offset, path, message: `has ${given.join(' and ')}; give only one of them` }];
    }
    const meant = forms.find((errors) => errors.some(({ path: [key] }) => key === given[0])) ?? forms[0]!;
    return meant
      .filter(({ path: [key] }) => key === given[0])
      .flatMap((inner) => faultsOf(inner, [...path, ...(inner.path as KeyPath)], root));
  }
  return forms[0]!.flatMap((inner) => faultsOf(inner, [...path, ...(inner.path as KeyPath)], root));
}

function isWrongKind(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

function messageOf(issue: Issue, path: KeyPath, node: LocatedNode | undefined): string {
  switch (issue.code) {
    case 'invalid_type':
      if (node === undefined) return `is missing; it must be ${expectedWords(schemasAt(path)) || 'there'}`;
      return wrongKind(path, node);
    case 'invalid_value':
      return wrongKind(path, node);
    case 'too_small':
      if (!issue.message.startsWith('Too small')) return withValue(issue.message, path, node);
      return bound(issue.origin, 'at least', Number(issue.minimum), path, node);
    case 'too_big':
      if (!issue.message.startsWith('Too big')) return withValue(issue.message, path, node);
      return bound(issue.origin, 'at most', Number(issue.maximum), path, node);
    default:
      return withValue(issue.message, path, node);
  }
}

function bound(
  origin: string,
  words: string,
  limit: number,
  path: KeyPath,
  node: LocatedNode | undefined,
): string {
  if (origin === 'string') {
    if (words === 'at least' && limit === 1) return 'must not be empty';
    return `must have ${words} ${limit} characters`;
  }
  if (origin === 'array') return `must have ${words} ${limit} ${limit === 1 ? 'entry' : 'entries'}`;
  return `must be ${words} ${limit}, found ${foundWords(path, node)}`;
}

/** `"5x" is not a duration; …` */
function withValue(message: string, path: KeyPath, node: LocatedNode | undefined): string {
  if (!/^(?:is|has) /.test(message) || node?.kind !== 'scalar') return message;
  if (isSecret(path)) return `the value ${message}`;
  // A password that somebody wrote into a URL is not repeated in logs.
  const shown = quote(node.written.replace(/\/\/[^/@]*@/, '//***@'));
  return node.variables.length === 0
    ? `${shown} ${message}`
    : `${shown}, filled in from the environment, ${message}`;
}

function wrongKind(path: KeyPath, node: LocatedNode | undefined): string {
  const schemas = schemasAt(path);
  const message = `expected ${expectedWords(schemas)}, found ${foundWords(path, node)}`;
  return `${message}${advice(schemas.map(kindOf), path, node)}`;
}

/** What to do, where that is clear from what was found. */
function advice(
  kinds: readonly ReturnType<typeof kindOf>[],
  path: KeyPath,
  node: LocatedNode | undefined,
): string {
  if (node?.kind !== 'scalar') return '';
  const { value, written, variables, quoted } = node;
  if (value === null) return '; give it a value, or remove the key';
  if (typeof value === 'string') {
    const numeric = kinds.includes('integer') || kinds.includes('number');
    if (quoted && numeric && /^-?\d+(\.\d+)?$/.test(value)) return '; remove the quotes';
    if (quoted && kinds.includes('boolean') && /^(true|false)$/.test(value)) return '; remove the quotes';
    const choices = schemasAt(path).flatMap((schema) => (schema.enum ?? []).map(String));
    const near = variables.length > 0 ? undefined : nearestName(value, choices);
    return near === undefined ? '' : `; did you mean ${near}?`;
  }
  if (kinds.includes('duration') && typeof value === 'number') {
    return variables.length > 0 ? '; add a unit to it' : `; add a unit: ${written}ms or ${written}s`;
  }
  if (kinds.includes('size') && typeof value === 'number') {
    return variables.length > 0 ? '; add a unit to it' : `; add a unit: ${written}B or ${written}KiB`;
  }
  if (!kinds.includes('text') && !kinds.includes('choice')) return '';
  return mayHoldSecrets(path) ? '; put it in quotes' : `; put it in quotes: "${written}"`;
}

/** `text "abc"`, `the number 5`, `a list`; of what may be a secret its kind, and where it came from. */
function foundWords(path: KeyPath, node: LocatedNode | undefined): string {
  if (node === undefined || node.kind === 'fault') return 'nothing';
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list';
  const { value, written, variables } = node;
  if (variables.length > 0) {
    const from = variables.map((name) => `\${${name}}`).join(' and ');
    if (value === null) return `nothing (${from} is empty)`;
    return `${kindWords(value)} from ${from}`;
  }
  if (value === null) return 'nothing';
  if (mayHoldSecrets(path)) return kindWords(value);
  if (typeof value === 'number') return `the number ${quote(written).slice(1, -1)}`;
  return typeof value === 'boolean' ? String(value) : `text ${quote(value)}`;
}

function kindWords(value: string | number | boolean): string {
  return typeof value === 'string' ? 'text' : typeof value === 'number' ? 'a number' : 'true or false';
}
