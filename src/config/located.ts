/** The values of a configuration file, each with its place: what the YAML says, before the schema judges it. */
import type { KeyPath } from './problems.ts';

export interface LocatedScalar {
  readonly kind: 'scalar';
  readonly offset: number;
  readonly value: string | number | boolean | null;
  /** As written in the file, references unexpanded and quotes taken off. */
  readonly written: string;
  /** Always text, however it looks. */
  readonly quoted: boolean;
  /** Environment variables whose values went in. While there are any, messages must not show `value`. */
  readonly variables: readonly string[];
  readonly size: 1;
}

export interface LocatedList {
  readonly kind: 'list';
  readonly offset: number;
  readonly items: readonly LocatedNode[];
  readonly size: number;
}

export interface LocatedMap {
  readonly kind: 'map';
  readonly offset: number;
  readonly entries: ReadonlyMap<string, LocatedEntry>;
  readonly size: number;
}

/** A value that has a problem of its own already, so that nothing more is to be said about it. */
export interface LocatedFault {
  readonly kind: 'fault';
  readonly offset: number;
  readonly size: 1;
}

/** `size`: values in it, itself included, aliases counted in full. */
export type LocatedNode = LocatedScalar | LocatedList | LocatedMap | LocatedFault;

export interface LocatedEntry {
  readonly keyOffset: number;
  readonly value: LocatedNode;
}

/** The plain value. Faults are left out of maps and are undefined in lists. */
export function plainValue(node: LocatedNode): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(plainValue);
    case 'map': {
      const object: Record<string, unknown> = {};
      for (const [key, { value }] of node.entries) {
        if (value.kind !== 'fault') object[key] = plainValue(value);
      }
      return object;
    }
    case 'fault':
      return undefined;
  }
}

/** The child under a key or index; undefined when there is none. */
export function childOf(node: LocatedNode | undefined, key: string | number): LocatedNode | undefined {
  if (node?.kind === 'map') return node.entries.get(String(key))?.value;
  if (node?.kind === 'list' && typeof key === 'number') return node.items[key];
  return undefined;
}

export function nodeAt(root: LocatedNode, path: KeyPath): LocatedNode | undefined {
  let node: LocatedNode | undefined = root;
  for (const key of path) node = childOf(node, key);
  return node;
}

/** True when the value at the path, or one that it would be in, has a fault. */
export function isFaulty(root: LocatedNode, path: KeyPath): boolean {
  let node: LocatedNode | undefined = root;
  for (const key of path) {
    if (node?.kind === 'fault') return true;
    node = childOf(node, key);
  }
  return node?.kind === 'fault';
}

/** Where the value at the path stands; of a value that is missing or empty, the nearest key that leads to it. */
export function offsetOf(root: LocatedNode, path: KeyPath): number {
  let node: LocatedNode = root;
  let offset = root.offset;
  for (const [depth, key] of path.entries()) {
    const child = childOf(node, key);
    if (child === undefined) return depth === 0 ? root.offset : offset;
    const entry = node.kind === 'map' ? node.entries.get(String(key)) : undefined;
    const last = depth === path.length - 1;
    const empty = child.kind === 'scalar' && child.written === '' && !child.quoted;
    offset = entry !== undefined && (!last || empty) ? entry.keyOffset : child.offset;
    node = child;
  }
  return offset;
}

/** Where the key at the end of the path stands; of an index, its value. */
export function keyOffsetOf(root: LocatedNode, path: KeyPath): number {
  const parent = nodeAt(root, path.slice(0, -1));
  const entry = parent?.kind === 'map' ? parent.entries.get(String(path.at(-1))) : undefined;
  return entry?.keyOffset ?? offsetOf(root, path);
}

/** Offset → line and column, both from 1; beyond the end, the end of the last line that has text. */
export function lineIndex(text: string): (offset: number) => { line: number; column: number } {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  const end = text.trimEnd().length;
  return (offset) => {
    const at = Math.max(0, Math.min(offset, end));
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - starts[low]! + 1 };
  };
}
