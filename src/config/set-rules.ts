/** Rules of release sets and propagated fields, which no schema can say. */
import { childOf, type LocatedNode, type LocatedScalar } from './located.ts';
import { suggestion } from './nearest.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';
import { FRAMING_FIELDS } from './schema/header-rules.ts';

export function setRuleFaults(root: LocatedNode): Fault[] {
  return [...setFaults(root), ...fieldFaults(root)];
}

function setFaults(root: LocatedNode): Fault[] {
  const sets = childOf(root, 'sets');
  const backends = childOf(root, 'backends');
  if (sets?.kind !== 'map' || backends?.kind !== 'map') return [];
  const faults: Fault[] = [];
  const setOfMember = new Map<string, string>();
  for (const [name, { value }] of sets.entries) {
    if (value.kind !== 'list') continue;
    for (const [index, item] of value.items.entries()) {
      const member = text(item);
      if (member === undefined) continue;
      const path = ['sets', name, index];
      const fault = (message: string) => faults.push({ offset: item.offset, path, message });
      const before = setOfMember.get(member.value);
      if (!backends.entries.has(member.value)) {
        const words = `there is no backend ${quote(member.value)}`;
        fault(`${words}${suggestion(member.value, backends.entries.keys(), 'backends')}`);
      } else if (before !== undefined) {
        fault(`${quote(member.value)} is in the set ${before} already; a backend is in one set at most`);
      } else setOfMember.set(member.value, name);
    }
  }
  faults.push(...rowFaults(root, setOfMember));
  return faults;
}

/** Members of one row would share out users between them instead of keeping them together. */
function rowFaults(root: LocatedNode, setOfMember: ReadonlyMap<string, string>): Fault[] {
  const faults: Fault[] = [];
  const routes = childOf(root, 'routes');
  if (routes?.kind !== 'list') return faults;
  for (const [index, route] of routes.items.entries()) {
    const split = childOf(route, 'split');
    if (split?.kind !== 'map') continue;
    let first: string | undefined;
    for (const [backend, { keyOffset }] of split.entries) {
      const set = setOfMember.get(backend);
      if (set === undefined) continue;
      if (first === undefined) {
        first = backend;
        continue;
      }
      const message = `stands beside ${quote(first)}, and both are in sets; a row takes part in one set, with one backend`;
      const path: KeyPath = ['routes', index, 'split', backend];
      faults.push({ offset: keyOffset, path, message });
    }
  }
  return faults;
}

function fieldFaults(root: LocatedNode): Fault[] {
  const propagate = childOf(root, 'propagate');
  if (propagate?.kind !== 'map') return [];
  const faults: Fault[] = [];
  const field = (key: string, fallback: string) => {
    const node = text(childOf(propagate, key));
    return { key, node, name: (node?.value ?? fallback).toLowerCase() };
  };
  const named = (keys: readonly string[], fallback: string) => {
    let node: LocatedNode | undefined = root;
    for (const key of keys) node = childOf(node, key);
    return (text(node)?.value ?? fallback).toLowerCase();
  };
  const taken = new Map([
    [named(['groupHeader'], 'X-Traffic-Group'), 'groupHeader'],
    [named(['forwarding', 'requestId'], 'X-Request-Id'), 'forwarding.requestId'],
    ['baggage', 'the field of W3C Baggage'],
    ['traceparent', 'a field of W3C Trace Context'],
    ['tracestate', 'a field of W3C Trace Context'],
  ]);
  for (const { key, node, name } of [
    field('route', 'X-Pointsman-Route'),
    field('bucket', 'X-Pointsman-Bucket'),
  ]) {
    const path = ['propagate', key];
    const offset = node?.offset ?? propagate.offset;
    const other = taken.get(name);
    if (FRAMING_FIELDS.has(name)) {
      const message = 'this field has a meaning of its own in HTTP; choose another, such as X-…';
      faults.push({ offset, path, message });
    } else if (other !== undefined) {
      faults.push({ offset, path, message: `is the same field as ${other}; choose another` });
    }
    taken.set(name, `propagate.${key}`);
  }
  return faults;
}

function text(node: LocatedNode | undefined): (LocatedScalar & { readonly value: string }) | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string'
    ? (node as LocatedScalar & { readonly value: string })
    : undefined;
}
