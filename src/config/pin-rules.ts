/** Rules between keys of pins, Redis and roll-backs, which no schema can say. */
import { childOf, type LocatedNode, type LocatedScalar } from './located.ts';
import { suggestion } from './nearest.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';
import { parseRedisUrl } from './redis-url.ts';

export function pinRuleFaults(root: LocatedNode): Fault[] {
  return [...redisFaults(root), ...cookieFaults(root), ...rollbackFaults(root)];
}

function redisFaults(root: LocatedNode): Fault[] {
  const url = scalar(childOf(childOf(root, 'redis'), 'url'));
  if (url === undefined || typeof url.value !== 'string' || !/^rediss?(\+\w+)?:\/\//.test(url.value))
    return [];
  const address = parseRedisUrl(url.value);
  return typeof address === 'string' ? [fault(url, ['redis', 'url'], address)] : [];
}

function cookieFaults(root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const pins = childOf(root, 'pins');
  if (pins?.kind !== 'map') return [];
  const keysOfName = new Map<string, { readonly pin: string; readonly keys: string }>();
  for (const [pin, { value }] of pins.entries) {
    const cookie = childOf(value, 'issueCookie');
    if (cookie?.kind !== 'map') continue;
    const here = ['pins', pin, 'issueCookie'];
    const name = scalar(childOf(cookie, 'name'));
    faults.push(...attributeFaults(cookie, here));
    const keys = childOf(cookie, 'keys');
    if (keys?.kind !== 'list') continue;
    for (const [index, key] of keys.items.entries()) {
      if (key.kind !== 'scalar' || key.variables.length > 0) continue;
      const message =
        'stands in the file, where everybody who reads it could sign cookies; take it from the environment: ${NAME}';
      faults.push(fault(key, [...here, 'keys', index], message));
    }
    const spelt = JSON.stringify(keys.items.map((key) => (key.kind === 'scalar' ? key.value : null)));
    const known = keysOfName.get(String(name?.value ?? ''));
    if (known === undefined) keysOfName.set(String(name?.value ?? ''), { pin, keys: spelt });
    else if (known.keys !== spelt) {
      const message = `issues the same cookie as pins.${known.pin} with other keys, so each would replace the other's; give it another name, or the same keys`;
      faults.push({ offset: pins.entries.get(pin)!.keyOffset, path: here, message });
    }
  }
  return faults;
}

/** What browsers refuse, silently (RFC 6265bis, 4.1.2.7 and 4.1.3). */
function attributeFaults(cookie: LocatedNode, here: KeyPath): Fault[] {
  const faults: Fault[] = [];
  const name = scalar(childOf(cookie, 'name'));
  const secure = scalar(childOf(cookie, 'secure'));
  const sameSite = scalar(childOf(cookie, 'sameSite'));
  const domain = scalar(childOf(cookie, 'domain'));
  const path = scalar(childOf(cookie, 'path'));
  const insecure = secure?.value === false;
  if (insecure && sameSite?.value === 'None') {
    faults.push(
      fault(secure, [...here, 'secure'], 'browsers refuse a cookie with SameSite=None without Secure'),
    );
  }
  if (typeof name?.value !== 'string') return faults;
  const prefix = /^__(?:Host|Secure)-/i.exec(name.value)?.[0];
  if (prefix === undefined) return faults;
  const refused = (node: LocatedScalar, key: string, what: string) => {
    const message = `browsers refuse a cookie whose name begins with ${prefix} ${what}`;
    faults.push(fault(node, [...here, key], message));
  };
  if (insecure) refused(secure, 'secure', 'without Secure');
  if (!/^__Host-/i.test(prefix)) return faults;
  if (domain !== undefined) refused(domain, 'domain', 'with a domain');
  if (path !== undefined && path.value !== '/') refused(path, 'path', 'with another path than /');
  return faults;
}

function rollbackFaults(root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  const routes = childOf(root, 'routes');
  if (routes?.kind !== 'list') return [];
  for (const [index, route] of routes.items.entries()) {
    const rollback = childOf(route, 'rollback');
    const split = childOf(route, 'split');
    if (rollback?.kind !== 'map' || split?.kind !== 'map') continue;
    const here = ['routes', index, 'rollback'];
    for (const [backend, { keyOffset }] of rollback.entries) {
      if (split.entries.has(backend)) continue;
      const message = `the split of this route has no backend ${quote(backend)}${suggestion(backend, split.entries.keys(), 'its backends')}`;
      faults.push({ offset: keyOffset, path: [...here, backend], message });
    }
    const left = [...split.entries].filter(
      ([backend, { value }]) =>
        !rollback.entries.has(backend) && (value.kind !== 'scalar' || value.value !== 0),
    );
    if (left.length === 0 && rollback.entries.size > 0) {
      const message = 'takes every backend with a weight away from new users; leave one of them out';
      faults.push({ offset: rollback.offset, path: here, message });
    }
  }
  return faults;
}

function scalar(node: LocatedNode | undefined): LocatedScalar | undefined {
  return node?.kind === 'scalar' ? node : undefined;
}

function fault(node: LocatedNode, path: KeyPath, message: string): Fault {
  return { offset: node.offset, path, message };
}
