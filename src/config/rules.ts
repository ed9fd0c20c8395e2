/**
 * Rules between keys, which no schema can say. They read the located values rather than the parsed `Config`, so that
 * they also find what is wrong in a file that the schema refuses, and everything is reported in one go.
 */
import { addressesClash, parseAddress } from './address.ts';
import { headerRuleFaults } from './header-rule-faults.ts';
import { invariantRuleFaults } from './invariant-rules.ts';
import {
  childOf,
  type LocatedList,
  type LocatedMap,
  type LocatedNode,
  type LocatedScalar,
} from './located.ts';
import { suggestion } from './nearest.ts';
import { pinRuleFaults } from './pin-rules.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';
import { rateRuleFaults } from './rate-rules.ts';
import { RegexBudget } from './regex-budget.ts';
import { resolverRuleFaults } from './resolver-rules.ts';
import { FRAMING_FIELDS } from './schema/header-rules.ts';
import { isSecret } from './secrets.ts';
import { setRuleFaults } from './set-rules.ts';
import { orList } from './type-words.ts';

/** Most backends, most pins, and most backends of one split. */
const MAX_BACKENDS = 1_000;
const MAX_PINS = 100;
const MAX_SPLIT = 100;

const COMPARISONS: readonly string[] = ['exact', 'prefix', 'suffix', 'contains', 'regex'];
const OPTIONS: ReadonlySet<string> = new Set(['ignoreCase', 'list']);
const NAMED_TESTS: readonly string[] = ['headers', 'cookies', 'query'];

export function ruleFaults(root: LocatedNode): Fault[] {
  const map = mapOf(root);
  return map === undefined ? [] : new Rules(map).check();
}

class Rules {
  readonly #faults: Fault[] = [];
  readonly #root: LocatedMap;
  readonly #regexes = new RegexBudget();
  /** Undefined when there is no map of them: then nothing is said about names. */
  readonly #backends: ReadonlySet<string> | undefined;
  readonly #pins: ReadonlySet<string> | undefined;

  constructor(root: LocatedMap) {
    this.#root = root;
    this.#backends = keysOf(childOf(root, 'backends'));
    const pins = childOf(root, 'pins');
    this.#pins = pins === undefined ? new Set() : keysOf(pins);
  }

  check(): Fault[] {
    this.#counts();
    this.#upstreams();
    this.#routes();
    this.#stores();
    this.#addresses();
    this.#fields();
    this.#faults.push(
      ...headerRuleFaults(this.#root),
      ...pinRuleFaults(this.#root),
      ...resolverRuleFaults(this.#root),
      ...invariantRuleFaults(this.#root),
      ...setRuleFaults(this.#root),
      ...rateRuleFaults(this.#root),
    );
    return this.#faults;
  }

  #fault(node: { readonly offset: number }, path: KeyPath, message: string): void {
    this.#faults.push({ offset: node.offset, path, message });
  }

  #counts(): void {
    const backends = this.#root.entries.get('backends');
    if (backends !== undefined && this.#backends !== undefined) {
      const { size } = this.#backends;
      const at = { offset: backends.keyOffset };
      if (size === 0) this.#fault(at, ['backends'], 'must name at least one backend');
      if (size > MAX_BACKENDS) {
        this.#fault(at, ['backends'], `must name at most ${MAX_BACKENDS} backends, found ${size}`);
      }
    }
    const pins = this.#root.entries.get('pins');
    if (pins !== undefined && (this.#pins?.size ?? 0) > MAX_PINS) {
      this.#fault({ offset: pins.keyOffset }, ['pins'], `must name at most ${MAX_PINS} pins`);
    }
  }

  #upstreams(): void {
    for (const [name, { keyOffset, value }] of mapOf(childOf(this.#root, 'backends'))?.entries ?? []) {
      const backend = mapOf(value);
      if (backend === undefined) continue;
      const here = ['backends', name];
      const hasUrl = backend.entries.has('url');
      const servers = backend.entries.get('servers');
      if (!hasUrl && servers === undefined) {
        const message = 'does not say where it is; give it a url, such as http://my-service:8080';
        this.#fault({ offset: keyOffset }, here, message);
      } else if (hasUrl && servers !== undefined) {
        const message = 'stands beside url; give one of them, and put the url into the list';
        this.#fault({ offset: servers.keyOffset }, [...here, 'servers'], message);
      }
    }
  }

  #routes(): void {
    const routes = listOf(childOf(this.#root, 'routes'));
    if (routes === undefined) return;
    const names = new Map<unknown, number>();
    for (const [index, route] of routes.items.entries()) {
      const path = ['routes', index];
      const name = textOf(childOf(route, 'name'));
      if (name !== undefined) {
        const first = names.get(name.value);
        if (first === undefined) names.set(name.value, index);
        else {
          this.#fault(name, [...path, 'name'], `routes[${first}] has the same name; give each route its own`);
        }
      }
      this.#split(route, path);
      this.#pin(route, path);
      this.#match(route, path);
    }
    this.#lastRoute(routes);
  }

  #split(route: LocatedNode, path: KeyPath): void {
    const split = mapOf(childOf(route, 'split'));
    if (split === undefined) return;
    const here = [...path, 'split'];
    if (split.entries.size === 0) {
      this.#fault(split, here, 'is empty; give at least one backend a weight, such as { production: 100 }');
    }
    if (split.entries.size > MAX_SPLIT) {
      this.#fault(split, here, `must name at most ${MAX_SPLIT} backends, found ${split.entries.size}`);
    }
    for (const [backend, { keyOffset }] of split.entries) {
      if (this.#backends === undefined || this.#backends.has(backend)) continue;
      const message = `there is no backend ${quote(backend)}${suggestion(backend, this.#backends, 'backends')}`;
      this.#fault({ offset: keyOffset }, [...here, backend], message);
    }
    const weights = [...split.entries.values()].map(({ value }) => value);
    if (weights.length > 0 && weights.every((weight) => weight.kind === 'scalar' && weight.value === 0)) {
      this.#fault(split, here, 'all weights are 0; give at least one backend a weight above 0');
    }
    const main = textOf(childOf(route, 'main'));
    if (main !== undefined && !split.entries.has(main.value)) {
      const message = `${named(main, 'the split of this route has no backend', 'the split of this route lacks it')}`;
      this.#fault(main, [...path, 'main'], `${message}${hint(main, split.entries.keys(), 'its backends')}`);
    }
  }

  #pin(route: LocatedNode, path: KeyPath): void {
    const pin = textOf(childOf(route, 'pin'));
    if (pin === undefined || this.#pins === undefined || this.#pins.has(pin.value)) return;
    const message = named(pin, 'there is no pin', 'there is no pin of that name');
    const rest = this.#pins.size === 0 ? '; define it under pins' : hint(pin, this.#pins, 'pins');
    this.#fault(pin, [...path, 'pin'], `${message}${rest}`);
  }

  #match(route: LocatedNode, path: KeyPath): void {
    eachConditions(childOf(route, 'match'), [...path, 'match'], (conditions, here) => {
      this.#groups(childOf(conditions, 'group'), [...here, 'group']);
      const comparisons = orList(COMPARISONS);
      this.#comparison(childOf(conditions, 'path'), [...here, 'path'], comparisons);
      for (const kind of NAMED_TESTS) {
        for (const [name, { keyOffset, value }] of mapOf(childOf(conditions, kind))?.entries ?? []) {
          this.#comparison(value, [...here, kind, name], orList([...COMPARISONS, 'present']), keyOffset);
        }
      }
    });
  }

  #groups(group: LocatedNode | undefined, path: KeyPath): void {
    for (const [index, value] of (group?.kind === 'list' ? group.items : [group]).entries()) {
      const text = textOf(value);
      if (text === undefined || text.value === '' || text.value.trim() !== '') continue;
      this.#fault(text, [...path, ...(group?.kind === 'list' ? [index] : [])], 'must not be blank');
    }
  }

  #comparison(node: LocatedNode | undefined, path: KeyPath, wants: string, offset = node?.offset ?? 0): void {
    const rule = mapOf(node);
    if (rule === undefined) return;
    const has = (key: string) => rule.entries.has(key);
    const compares = COMPARISONS.some(has);
    if (!compares && !has('present') && [...rule.entries.keys()].every((key) => OPTIONS.has(key))) {
      this.#fault({ offset }, path, `says nothing to compare with; give one of ${wants}`);
    }
    if (compares && has('present')) {
      const message = `stands alone; with ${orList(COMPARISONS)} it must be there anyway`;
      this.#fault({ offset: rule.entries.get('present')!.keyOffset }, [...path, 'present'], message);
    }
    const folded = childOf(rule, 'ignoreCase');
    const ignoreCase = folded?.kind === 'scalar' && folded.value === true;
    const regex = childOf(rule, 'regex');
    for (const [index, item] of (regex?.kind === 'list' ? regex.items : [regex]).entries()) {
      const here = regex?.kind === 'list' ? [...path, 'regex', index] : [...path, 'regex'];
      this.#regex(textOf(item), here, ignoreCase);
    }
  }

  #regex(regex: TextScalar | undefined, path: KeyPath, ignoreCase: boolean): void {
    if (regex === undefined || regex.value.length > 1024) return;
    const secret = regex.variables.length > 0 || isSecret(path);
    const message = this.#regexes.judge(regex.value, ignoreCase, secret);
    if (message !== undefined) this.#fault(regex, path, message);
  }

  #lastRoute(routes: LocatedList): void {
    const index = routes.items.length - 1;
    const last = mapOf(routes.items[index]);
    if (last === undefined || matchesAll(last.entries.get('match')?.value)) return;
    const message = 'requests that no row matches would have nowhere to go; add a last row without match';
    this.#fault({ offset: last.entries.get('match')!.keyOffset }, ['routes', index, 'match'], message);
  }

  #stores(): void {
    if (this.#root.entries.has('redis')) return;
    for (const [name, { value }] of mapOf(childOf(this.#root, 'pins'))?.entries ?? []) {
      const store = textOf(childOf(value, 'store'));
      if (store?.value !== 'redis') continue;
      this.#fault(
        store,
        ['pins', name, 'store'],
        'store: redis needs the key redis with a url at the top level',
      );
    }
  }

  #addresses(): void {
    const listen = this.#address('listen', '0.0.0.0:8080');
    const admin = this.#address('admin', '0.0.0.0:9901');
    if (listen === undefined || admin === undefined || !addressesClash(listen, admin)) return;
    const [key, other] = this.#root.entries.has('admin') ? ['admin', 'listen'] : ['listen', 'admin'];
    const at = this.#root.entries.get(key)?.value ?? this.#root;
    this.#fault(at, [key], `is the same port as ${other}; probes and traffic need ports of their own`);
  }

  #address(key: string, fallback: string): ReturnType<typeof parseAddress> {
    if (!this.#root.entries.has(key)) return parseAddress(fallback);
    const text = textOf(childOf(this.#root, key));
    return text === undefined ? undefined : parseAddress(text.value);
  }

  #fields(): void {
    const group = textOf(childOf(this.#root, 'groupHeader'));
    const id = textOf(childOf(childOf(this.#root, 'forwarding'), 'requestId'));
    for (const [field, path] of [
      [group, ['groupHeader']],
      [id, ['forwarding', 'requestId']],
    ] as const) {
      if (field === undefined || !FRAMING_FIELDS.has(field.value.toLowerCase())) continue;
      this.#fault(field, path, 'this field has a meaning of its own in HTTP; choose another, such as X-…');
    }
    const groupName = (group?.value ?? 'X-Traffic-Group').toLowerCase();
    const idName = (id?.value ?? 'X-Request-Id').toLowerCase();
    if (groupName !== idName) return;
    const message = 'groupHeader and forwarding.requestId are the same field; choose another for one of them';
    if (id !== undefined) this.#fault(id, ['forwarding', 'requestId'], message);
    else if (group !== undefined) this.#fault(group, ['groupHeader'], message);
  }
}

/** True of a row's match that every request meets. */
function matchesAll(match: LocatedNode | undefined): boolean {
  if (match === undefined) return true;
  if (match.kind === 'list') return match.items.some(matchesAll);
  // What is wrong in it is said elsewhere.
  if (match.kind !== 'map') return true;
  return [...match.entries].every(([key, { value }]) => {
    return NAMED_TESTS.includes(key) && value.kind === 'map' && value.entries.size === 0;
  });
}

/** Every map of conditions in a match: its alternatives, and what stands under `and` and `not`. */
function eachConditions(
  node: LocatedNode | undefined,
  path: KeyPath,
  visit: (conditions: LocatedMap, path: KeyPath) => void,
): void {
  if (node?.kind === 'list') {
    for (const [index, item] of node.items.entries()) eachConditions(item, [...path, index], visit);
  }
  if (node?.kind !== 'map') return;
  visit(node, path);
  for (const key of ['and', 'not']) eachConditions(childOf(node, key), [...path, key], visit);
}

/** Speaks of a name by its value, unless that came from the environment. */
function named(name: LocatedScalar, withName: string, without: string): string {
  if (name.variables.length === 0) return `${withName} ${quote(String(name.value))}`;
  return `${without} (from ${name.variables.map((variable) => `\${${variable}}`).join(' and ')})`;
}

/** A name that resembles a value of the environment would give that away. */
function hint(name: TextScalar, known: Iterable<string>, what: string): string {
  const names = [...known];
  if (name.variables.length === 0) return suggestion(name.value, names, what);
  return suggestion('', names, what);
}

type TextScalar = LocatedScalar & { readonly value: string };

function textOf(node: LocatedNode | undefined): TextScalar | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? (node as TextScalar) : undefined;
}

function mapOf(node: LocatedNode | undefined): LocatedMap | undefined {
  return node?.kind === 'map' ? node : undefined;
}

function listOf(node: LocatedNode | undefined): LocatedList | undefined {
  return node?.kind === 'list' ? node : undefined;
}

function keysOf(node: LocatedNode | undefined): ReadonlySet<string> | undefined {
  return node?.kind === 'map' ? new Set(node.entries.keys()) : undefined;
}
