/** YAML text → located values: everything that YAML itself can get wrong is found here, at its place. */

import * as yaml from 'yaml';
import { type Alias, Lexer, type Node, type Pair, parseDocument, type Scalar, YAMLMap, YAMLSeq } from 'yaml';
import {
  coreScalar,
  type Environment,
  expandReferences,
  hasReference,
  maskReferences,
  type ReferenceMask,
} from './environment.ts';
import type { LocatedEntry, LocatedNode } from './located.ts';
import type { Fault, KeyPath } from './problems.ts';
import { quote } from './problems.ts';
import { mayHoldSecrets } from './secrets.ts';
import { syntaxFault } from './syntax.ts';

export interface LocatedDocument {
  /** Undefined when the text is no YAML that could be judged further, or holds nothing. */
  readonly root: LocatedNode | undefined;
  readonly faults: readonly Fault[];
}

/** The schema needs about ten; the YAML parser itself gives up, slowly, at some hundreds. */
const MAX_DEPTH = 64;
/** Values that aliases may add in all. A "billion laughs" is over it at once; anchors as people use them never are. */
const MAX_ALIASED = 20_000;
/** After the first few, syntax errors are mostly echoes. */
const MAX_SYNTAX_FAULTS = 20;

const REFUSED_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const CORE_TAG = /^tag:yaml\.org,2002:(?:str|int|float|bool|null|map|seq)$/;

export function readDocument(text: string, environment: Environment): LocatedDocument {
  const deep = tooDeep(text);
  if (deep !== undefined) return { root: undefined, faults: [deep] };
  const mask = maskReferences(text);
  let document: yaml.Document.Parsed;
  try {
    document = parseDocument(mask.masked, {
      version: '1.2',
      merge: false,
      resolveKnownTags: false,
      // Duplicates are found below, in linear time; the parser compares every key with every other.
      uniqueKeys: false,
      prettyErrors: false,
      // Not `silent`: then a second document would go unreported.
      logLevel: 'error',
    });
  } catch (error) {
    const message = `cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}`;
    return { root: undefined, faults: [{ offset: 0, path: [], message }] };
  }
  const syntax = syntaxFaults(document, mask);
  if (syntax.length > 0) return { root: undefined, faults: syntax };
  if (document.contents === null) return { root: undefined, faults: [] };
  const reader = new NodeReader(environment, mask);
  const root = reader.read(document.contents as Node, [], 0);
  return { root, faults: reader.faults };
}

/** Judged on tokens, before the parser, which recurses. */
function tooDeep(text: string): Fault | undefined {
  let flow = 0;
  let indicators = 0;
  let offset = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') flow++;
    else if (token === ']' || token === '}') flow--;
    else if (token === '-' || token === '?') indicators++;
    else if (token === '\n' || token === '\r\n') indicators = 0;
    if (flow > MAX_DEPTH || indicators > MAX_DEPTH) return { offset, path: [], message: DEPTH_MESSAGE };
    // The lexer marks the start of a document and of scalars with tokens that are not in the text.
    if (token !== '\x02' && token !== '\x18' && token !== '\x1f' && token !== '\ufeff')
      offset += token.length;
  }
  return undefined;
}

const DEPTH_MESSAGE = `is nested more than ${MAX_DEPTH} levels deep; a configuration needs about ten`;

function syntaxFaults(document: yaml.Document.Parsed, mask: ReferenceMask): Fault[] {
  const faults: Fault[] = [];
  for (const error of document.errors.slice(0, 10 * MAX_SYNTAX_FAULTS)) {
    const fault = syntaxFault(error.code, mask.unmask(error.message), error.pos[0]);
    // One mistake makes the parser stumble several times in a row.
    if (faults.some((earlier) => Math.abs(earlier.offset - fault.offset) < 3)) continue;
    if (faults.length < MAX_SYNTAX_FAULTS) faults.push(fault);
  }
  for (const warning of document.warnings) {
    // Tags are judged where they stand.
    if (warning.code !== 'TAG_RESOLVE_FAILED') {
      faults.push(syntaxFault(warning.code, mask.unmask(warning.message), warning.pos[0]));
    }
  }
  const { explicit, version } = document.directives.yaml;
  if (explicit === true && version !== '1.2') {
    faults.push({ offset: 0, path: [], message: `YAML ${version} is not supported; remove the %YAML line` });
  }
  return faults;
}

/** Walks the parsed nodes once, in document order. */
class NodeReader {
  readonly faults: Fault[] = [];
  /** The latest node of each anchor; `open` while it is being read. */
  readonly #anchors = new Map<string, LocatedNode | 'open'>();
  readonly #environment: Environment;
  readonly #mask: ReferenceMask;
  #aliased = 0;

  constructor(environment: Environment, mask: ReferenceMask) {
    this.#environment = environment;
    this.#mask = mask;
  }

  read(node: Node, path: KeyPath, depth: number): LocatedNode {
    const offset = node.range?.[0] ?? 0;
    if (depth > MAX_DEPTH) return this.#fault(offset, path, DEPTH_MESSAGE);
    if (yaml.isAlias(node)) return this.#alias(node, offset, path);
    const { anchor, tag } = node as Scalar | YAMLMap | YAMLSeq;
    if (anchor !== undefined) this.#anchors.set(anchor, 'open');
    let located: LocatedNode;
    if (tag !== undefined && !CORE_TAG.test(tag)) {
      const message = mayHoldSecrets(path)
        ? 'this tag is not supported; remove it, or put a value that begins with ! in quotes'
        : `the tag ${quote(tag)} is not supported; remove it`;
      located = this.#fault(offset, path, message);
    } else if (node instanceof YAMLMap) {
      located = this.#map(node, offset, path, depth);
    } else if (node instanceof YAMLSeq) {
      located = this.#list(node, offset, path, depth);
    } else {
      located = this.#scalar(node as Scalar, offset, path);
    }
    if (anchor !== undefined) this.#anchors.set(anchor, located);
    return located;
  }

  #alias(alias: Alias, offset: number, path: KeyPath): LocatedNode {
    const anchored = this.#anchors.get(alias.source);
    if (anchored === undefined) {
      const message = mayHoldSecrets(path)
        ? 'is an alias without an anchor before it; put a value that begins with * in quotes'
        : `there is no anchor &${alias.source} before this alias`;
      return this.#fault(offset, path, message);
    }
    if (anchored === 'open') return this.#fault(offset, path, `the alias *${alias.source} refers to itself`);
    const before = this.#aliased;
    this.#aliased += anchored.size;
    if (this.#aliased <= MAX_ALIASED) return anchored;
    const message = `aliases repeat more than ${MAX_ALIASED} values in all; write fewer of them`;
    // Said once: every later alias is over the limit too.
    return before <= MAX_ALIASED ? this.#fault(offset, path, message) : { kind: 'fault', offset, size: 1 };
  }

  #map(map: YAMLMap, offset: number, path: KeyPath, depth: number): LocatedNode {
    const entries = new Map<string, LocatedEntry>();
    let size = 1;
    for (const pair of map.items as Pair<Node | null, Node | null>[]) {
      const key = this.#key(pair, offset, path);
      const keyOffset = pair.key?.range?.[0] ?? offset;
      // A refused key's value is read all the same, so that its own problems are found in the same go.
      const value = this.#valueOf(pair, [...path, key ?? '?'], keyOffset, depth);
      size += value.size;
      if (key === undefined) continue;
      if (entries.has(key)) {
        this.#fault(keyOffset, [...path, key], 'this key is already there above; remove one of the two');
      } else {
        entries.set(key, { keyOffset, value });
      }
    }
    return { kind: 'map', offset, entries, size };
  }

  #valueOf(pair: Pair<Node | null, Node | null>, path: KeyPath, keyOffset: number, depth: number) {
    if (pair.value !== null) return this.read(pair.value, path, depth + 1);
    return { kind: 'scalar', offset: keyOffset, value: null, written: '', ...PLAIN } as const;
  }

  /** Keys are text as written, whatever they look like; undefined when one cannot be used. */
  #key(pair: Pair<Node | null, Node | null>, mapOffset: number, path: KeyPath): string | undefined {
    const node = pair.key;
    const offset = node?.range?.[0] ?? mapOffset;
    const refuse = (message: string): undefined => {
      this.#fault(offset, path, message);
    };
    if (node === null) return refuse('a key is missing before the colon');
    if (!yaml.isScalar(node)) return refuse('a key must be text, not an alias, a list or a map');
    if (node.tag !== undefined) return refuse('a key must not have a tag; remove it');
    const plain = node.type === undefined || node.type === 'PLAIN';
    const key = this.#mask.unmask(String(plain ? (node.source ?? '') : node.value));
    if (node.anchor !== undefined) {
      this.#anchors.set(node.anchor, { kind: 'scalar', offset, value: key, written: key, ...PLAIN });
    }
    if (key === '' && plain) return refuse('a key is missing before the colon');
    if (REFUSED_KEYS.has(key)) return refuse(`the key "${key}" is not allowed; choose another name`);
    if (key === '<<') return refuse('merge keys (<<) are not supported; write the keys out');
    if (key.includes('${'))
      return refuse('references to the environment are replaced in values, not in keys');
    return key;
  }

  #list(list: YAMLSeq, offset: number, path: KeyPath, depth: number): LocatedNode {
    const items: LocatedNode[] = [];
    let size = 1;
    for (const [index, item] of list.items.entries()) {
      const located = this.read(item as Node, [...path, index], depth + 1);
      items.push(located);
      size += located.size;
    }
    return { kind: 'list', offset, items, size };
  }

  #scalar(node: Scalar, offset: number, path: KeyPath): LocatedNode {
    const plain = (node.type === undefined || node.type === 'PLAIN') && node.tag !== STRING_TAG;
    const source = node.type === 'PLAIN' || node.type === undefined ? node.source : undefined;
    const written = this.#mask.unmask(source ?? String(node.value ?? ''));
    if (!hasReference(written)) {
      const value = typeof node.value === 'string' ? written : (node.value as number | boolean | null);
      return { kind: 'scalar', offset, value, written, quoted: !plain, variables: [], size: 1 };
    }
    const { text, variables, problems } = expandReferences(written, this.#environment);
    if (problems.length > 0) {
      for (const problem of problems) this.#fault(offset, path, problem);
      return { kind: 'fault', offset, size: 1 };
    }
    const value = plain && variables.length > 0 ? coreScalar(text) : text;
    return { kind: 'scalar', offset, value, written, quoted: !plain, variables, size: 1 };
  }

  #fault(offset: number, path: KeyPath, message: string): LocatedNode {
    this.faults.push({ offset, path, message });
    return { kind: 'fault', offset, size: 1 };
  }
}

const STRING_TAG = 'tag:yaml.org,2002:str';
const PLAIN = { quoted: false, variables: [], size: 1 } as const;
