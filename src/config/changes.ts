/** What differs between two configurations, row by row, for the log of a reload. */
import { formatAddress } from './address.ts';
import { schemasAt } from './json-schema.ts';
import type { KeyPath } from './problems.ts';
import { formatKeyPath, quote } from './problems.ts';
import { type Config, formatUrl, RESTART_KEYS, serversOf } from './schema.ts';
import { HIDDEN, withoutSecrets } from './secrets.ts';
import { kindOf } from './type-words.ts';
import { formatDuration, formatSize } from './units.ts';

export interface Change {
  readonly kind: 'added' | 'removed' | 'changed';
  /** `routes.free.split.canary`: routes by name. */
  readonly path: string;
  /** As parsed (milliseconds, bytes); secrets masked. */
  readonly before?: unknown;
  readonly after?: unknown;
  /** `route free: canary 5 → 10` */
  readonly text: string;
}

/** A tree of maps with plain leaves; lists are leaves. */
type Tree = { readonly [key: string]: unknown };

/** Empty when the two mean the same. In the order of the keys of `after`, removed ones after the rest of their map. */
export function describeChanges(before: Config, after: Config): Change[] {
  const changes: Change[] = [];
  compare(treeOf(before), treeOf(after), [], (path, from, to) => {
    const row = path.length === 2 ? after.routes.findIndex(({ name }) => name === path[1]) + 1 : 0;
    changes.push(changeOf(path, from, to, row));
  });
  return [...changes, ...orderChange(before, after)];
}

/** Those of `RESTART_KEYS` that differ: they wait for a restart. */
export function restartChanges(before: Config, after: Config): string[] {
  return RESTART_KEYS.filter((key) => {
    const path = key.split('.');
    return !same(valueAt(before, path), valueAt(after, path));
  });
}

/** For people: the whole of it as it counts, without its secrets. */
export function maskedConfig(config: Config): unknown {
  return mapValues(treeOf(config), (section, key) =>
    key === 'routes'
      ? mapValues(section as Tree, (route, name) => masked(['routes', name], route))
      : masked([key], section),
  );
}

function treeOf(config: Config): Tree {
  return {
    ...config,
    listen: formatAddress(config.listen),
    admin: formatAddress(config.admin),
    backends: mapValues(config.backends, (backend) => ({
      ...backend,
      url: serversOf(backend)
        .map(({ url }) => formatUrl(url))
        .join(', '),
    })),
    routes: Object.fromEntries(config.routes.map(({ name, ...route }) => [name, route])),
  };
}

type Found = (path: readonly string[], from: unknown, to: unknown) => void;

function compare(before: Tree, after: Tree, path: readonly string[], found: Found): void {
  const keys = [...Object.keys(after), ...Object.keys(before).filter((key) => !Object.hasOwn(after, key))];
  for (const key of keys) {
    const from = Object.hasOwn(before, key) ? before[key] : undefined;
    const to = Object.hasOwn(after, key) ? after[key] : undefined;
    if (same(from, to)) continue;
    const here = [...path, key];
    // A row, backend or pin that comes or goes is one change; other maps are told key by key.
    const whole = isNamedThing(here) && (from === undefined || to === undefined);
    if (
      !whole &&
      (isTree(from) || isTree(to)) &&
      (isTree(from) || from === undefined) &&
      (isTree(to) || to === undefined)
    ) {
      compare(from ?? {}, to ?? {}, here, found);
    } else {
      found(here, from, to);
    }
  }
}

/** @param row of a route in the new table, from 1 */
function changeOf(path: readonly string[], from: unknown, to: unknown, row: number): Change {
  const kind = from === undefined ? 'added' : to === undefined ? 'removed' : 'changed';
  const [before, after] = [masked(path, from), masked(path, to)];
  return {
    kind,
    path: formatKeyPath(path),
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
    text: textOf(path, before, after, row),
  };
}

function textOf(path: readonly string[], before: unknown, after: unknown, row: number): string {
  const [section, name, ...rest] = path;
  const thing = section === undefined ? undefined : THINGS[section];
  if (thing === undefined || name === undefined) return difference(formatKeyPath(path), path, before, after);
  const subject = `${thing} ${name}`;
  if (rest.length === 0) {
    if (before === undefined)
      return `${subject}: added${section === 'routes' ? ` as row ${row}` : ''}${summary(section!, after)}`;
    if (after === undefined) return `${subject}: removed`;
  }
  // The weights are what a row is about, so they go without their key.
  const label = section === 'routes' && rest[0] === 'split' ? rest.slice(1) : rest;
  return `${subject}: ${difference(formatKeyPath(label), path, before, after)}`;
}

const THINGS: Readonly<Record<string, string>> = { routes: 'route', backends: 'backend', pins: 'pin' };

function difference(label: string, path: readonly string[], before: unknown, after: unknown): string {
  if (before === HIDDEN && after === HIDDEN) return `${label} changed`;
  const none = 'none';
  const from = before === undefined ? none : shown(path, before);
  const to = after === undefined ? none : shown(path, after);
  return from === to ? `${label} changed` : `${label} ${from} → ${to}`;
}

/** ` (canary 5, production 95)`, ` (http://…)` */
function summary(section: string, value: unknown): string {
  if (!isTree(value)) return '';
  if (section === 'backends') return ` (${String(value['url'])})`;
  if (section !== 'routes' || !isTree(value['split'])) return '';
  const weights = Object.entries(value['split']).map(([backend, weight]) => `${backend} ${String(weight)}`);
  return ` (${weights.join(', ')})`;
}

/** A value as it would be written in the file. */
function shown(path: readonly string[], value: unknown): string {
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : value.map((item) => shown(path, item)).join(', ');
  if (typeof value === 'number') {
    const kinds = schemasAt(schemaPath(path)).map(kindOf);
    if (kinds.includes('duration')) return formatDuration(value);
    if (kinds.includes('size')) return formatSize(value);
  }
  if (typeof value === 'string') return /^[\x21-\x7e]{1,200}$/.test(value) ? value : quote(value);
  return typeof value === 'object' ? quote(JSON.stringify(value)) : String(value);
}

/** Routes are a list in the schema and go by name here. */
function schemaPath(path: readonly string[]): KeyPath {
  return path[0] === 'routes' && path.length > 1 ? ['routes', 0, ...path.slice(2)] : path;
}

/** Where Redis is may be known, who one is to it may not. */
function masked(path: readonly string[], value: unknown): unknown {
  const inFile = schemaPath(path);
  if (inFile[0] !== 'redis') return withoutSecrets(inFile, value);
  const url = path.length === 1 && isTree(value) ? value['url'] : path[1] === 'url' ? value : undefined;
  if (typeof url !== 'string') return withoutSecrets(inFile, value);
  return path.length === 1
    ? { ...(withoutSecrets(inFile, value) as Tree), url: maskedUrl(url) }
    : maskedUrl(url);
}

/** `redis://***@host:6379/0` */
function maskedUrl(url: string): string {
  const at = url.lastIndexOf('@');
  const start = url.indexOf('://') + 3;
  const open = at < start ? url : `${url.slice(0, start)}***${url.slice(at)}`;
  // ioredis also takes a password from the query.
  return open.replace(/\?.*$/s, '?***');
}

/** A longer order is not spelt out in the log. */
const MAX_NAMES = 20;

function orderChange(before: Config, after: Config): Change[] {
  const were = new Set(before.routes.map(({ name }) => name));
  const are = new Set(after.routes.map(({ name }) => name));
  const from = before.routes.map(({ name }) => name).filter((name) => are.has(name));
  const to = after.routes.map(({ name }) => name).filter((name) => were.has(name));
  if (same(from, to)) return [];
  const text =
    to.length > MAX_NAMES ? 'routes: order changed' : `routes: order ${from.join(', ')} → ${to.join(', ')}`;
  return [{ kind: 'changed', path: 'routes', before: from, after: to, text }];
}

/** A row, backend, pin, or Redis as a whole. */
function isNamedThing(path: readonly string[]): boolean {
  return (path.length === 2 && THINGS[path[0]!] !== undefined) || (path.length === 1 && path[0] === 'redis');
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Order of keys counts for nothing, save that `undefined` is the same as not being there. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => same(item, b[index]));
  }
  if (!isTree(a) || !isTree(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => same(a[key], b[key]));
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => (isTree(inner) ? inner[key] : undefined), value);
}

function mapValues<T>(object: Readonly<Record<string, T>>, map: (value: T, key: string) => unknown): Tree {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]));
}
