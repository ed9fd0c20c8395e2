/** YAML text → validated value, or every problem with its line and column: for the files of a pipeline repository. */

import { z } from 'zod';
import { readDocument } from '../config/document.ts';
import type { Environment } from '../config/environment.ts';
import {
  isFaulty,
  keyOffsetOf,
  type LocatedNode,
  lineIndex,
  nodeAt,
  offsetOf,
  plainValue,
} from '../config/located.ts';
import { suggestion } from '../config/nearest.ts';
import {
  compareProblems,
  type Fault,
  formatKeyPath,
  formatProblem,
  type KeyPath,
  type Problem,
  quote,
} from '../config/problems.ts';

/** Files of the repository that cannot be used; the message holds one line per problem. */
export class InvalidFiles extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** What the schema cannot say; `root` gives the places. */
export type Rules<T> = (value: T, root: LocatedNode) => readonly Fault[];

/**
 * @param file  as messages name it
 * @throws InvalidFiles with all problems
 */
export function readStrict<S extends z.ZodType>(
  schema: S,
  text: string,
  file: string,
  environment: Environment = {},
  rules: Rules<z.output<S>> = () => [],
): z.output<S> {
  const { root, faults } = readDocument(text, environment);
  if (root === undefined) {
    const empty = { offset: 0, path: [], message: 'the file is empty' };
    throw new InvalidFiles(located(faults.length > 0 ? faults : [empty], text, file));
  }
  const parsed = schema.safeParse(plainValue(root));
  const all = [...faults];
  if (!parsed.success)
    for (const issue of parsed.error.issues)
      all.push(...faultsOf(issue, issue.path as KeyPath, root, schema));
  else if (all.length === 0) all.push(...rules(parsed.data, root));
  if (all.length > 0 || !parsed.success) throw new InvalidFiles(located(all, text, file));
  return parsed.data;
}

export function located(faults: readonly Fault[], text: string, file: string): Problem[] {
  const positionOf = lineIndex(text);
  return faults
    .map(({ offset, path, message }) => ({
      file,
      ...positionOf(offset),
      keyPath: formatKeyPath(path),
      message,
      severity: 'error' as const,
    }))
    .sort(compareProblems);
}

function faultsOf(issue: z.core.$ZodIssue, path: KeyPath, root: LocatedNode, schema: z.ZodType): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      offset: keyOffsetOf(root, [...path, key]),
      path: [...path, key],
      message: `unknown key ${quote(key)}${suggestion(key, keysAt(schema, path), 'known keys here')}`,
    }));
  }
  if (isFaulty(root, path)) return [];
  if (issue.code === 'invalid_key') {
    const message = `${quote(String(path.at(-1)))} ${issue.issues[0]?.message ?? 'is not a valid name'}`;
    return [{ offset: keyOffsetOf(root, path), path, message }];
  }
  if (issue.code === 'invalid_union') {
    const deep = issue.errors.find((errors) => errors.some((inner) => inner.path.length > 0));
    if (deep !== undefined)
      return deep.flatMap((inner) => faultsOf(inner, [...path, ...(inner.path as KeyPath)], root, schema));
  }
  return [{ offset: offsetOf(root, path), path, message: messageOf(issue, nodeAt(root, path)) }];
}

function messageOf(issue: z.core.$ZodIssue, node: LocatedNode | undefined): string {
  const found = foundWords(node);
  switch (issue.code) {
    case 'invalid_type':
      return node === undefined
        ? `is missing; it must be ${article(issue.expected)}`
        : `expected ${article(issue.expected)}, found ${found}`;
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}, found ${found}`;
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at least ${issue.minimum}, found ${found}`
        : `must be at least ${issue.minimum}, found ${found}`;
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at most ${issue.maximum}, found ${found}`
        : `must be at most ${issue.maximum}, found ${found}`;
    case 'invalid_union':
      return `has none of the forms that are allowed here, found ${found}`;
    default:
      return /^(?:is|has) /.test(issue.message) && node?.kind === 'scalar' && node.variables.length === 0
        ? `${quote(node.written)} ${issue.message}`
        : issue.message;
  }
}

function article(type: string): string {
  const words: Readonly<Record<string, string>> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    object: 'a map',
    record: 'a map',
    array: 'a list',
  };
  return words[type] ?? type;
}

function foundWords(node: LocatedNode | undefined): string {
  if (node === undefined || node.kind === 'fault') return 'nothing';
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list';
  if (node.variables.length > 0)
    return `a value from ${node.variables.map((name) => `\${${name}}`).join(' and ')}`;
  if (node.value === null) return 'nothing';
  return typeof node.value === 'string' ? `text ${quote(node.value)}` : quote(node.written).slice(1, -1);
}

interface JsonNode {
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly additionalProperties?: boolean | JsonNode;
  readonly items?: JsonNode;
  readonly anyOf?: readonly JsonNode[];
}

/** The keys that a map at `path` may have. */
function keysAt(schema: z.ZodType, path: KeyPath): string[] {
  let nodes: JsonNode[] = [z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonNode];
  for (const key of path) {
    nodes = flatten(nodes).flatMap((node) => {
      const child =
        typeof key === 'number'
          ? node.items
          : (node.properties?.[key] ??
            (typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined));
      return child === undefined ? [] : [child];
    });
  }
  return flatten(nodes).flatMap((node) => Object.keys(node.properties ?? {}));
}

function flatten(nodes: readonly JsonNode[]): JsonNode[] {
  return nodes.flatMap((node) => (node.anyOf === undefined ? [node] : flatten(node.anyOf)));
}
