/** Rules on the header rules of rows: what the schema cannot say, since it depends on other keys. */
import { childOf, type LocatedNode } from './located.ts';
import type { Fault, KeyPath } from './problems.ts';

/** Most fields that one row sets and adds in one direction. */
const MAX_RULES = 64;

export function headerRuleFaults(root: LocatedNode): Fault[] {
  const routes = childOf(root, 'routes');
  if (routes?.kind !== 'list') return [];
  const configured = childOf(childOf(root, 'forwarding'), 'requestId');
  const requestId = configured?.kind === 'scalar' ? String(configured.value) : 'X-Request-Id';
  return routes.items.flatMap((route, index) =>
    ['request', 'response'].flatMap((direction) =>
      directionFaults(childOf(route, direction), ['routes', index, direction], requestId.toLowerCase()),
    ),
  );
}

function directionFaults(rules: LocatedNode | undefined, path: KeyPath, requestId: string): Fault[] {
  const faults: Fault[] = [];
  const isId = (name: string, offset: number, here: KeyPath) => {
    if (name.toLowerCase() !== requestId) return;
    const message =
      'carries the id of the request; were a rule to change it, logs and answers would disagree';
    faults.push({ offset, path: here, message });
  };
  let count = 0;
  for (const kind of ['set', 'add']) {
    const fields = childOf(rules, kind);
    if (fields?.kind !== 'map') continue;
    count += fields.entries.size;
    for (const [name, { keyOffset }] of fields.entries) isId(name, keyOffset, [...path, kind, name]);
  }
  const removed = childOf(rules, 'remove');
  for (const [index, item] of (removed?.kind === 'list' ? removed.items : []).entries()) {
    if (item.kind === 'scalar') isId(String(item.value), item.offset, [...path, 'remove', index]);
  }
  if (count > MAX_RULES) {
    const message = `must set and add at most ${MAX_RULES} fields, found ${count}`;
    faults.push({ offset: rules!.offset, path, message });
  }
  return faults;
}
