/** Names of HAProxy → names of a configuration. */

const MAX_LENGTH = 63;

/** Letters, digits, `.`, `_` and `-`, beginning with a letter or digit. */
export function configName(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return clean.slice(0, MAX_LENGTH) || 'x';
}

/** The name, or with `-2`, `-3` … when it is taken. */
export function freeName(wanted: string, taken: (name: string) => boolean): string {
  const name = configName(wanted);
  if (!taken(name)) return name;
  for (let i = 2; ; i++) {
    const suffix = `-${i}`;
    const next = name.slice(0, MAX_LENGTH - suffix.length) + suffix;
    if (!taken(next)) return next;
  }
}

const GENERIC: ReadonlySet<string> = new Set([
  'srv',
  'server',
  'node',
  'host',
  'web',
  'app',
  'backend',
  'upstream',
]);

/** Says what a server is, rather than which one of several. */
export function isTelling(name: string): boolean {
  return /[A-Za-z]{3}/.test(name) && !/\d$/.test(name) && !GENERIC.has(name.toLowerCase());
}

/** Without the number or letter that tells replicas apart. */
export function stemOf(name: string): string {
  if (/^[A-Za-z]$/.test(name)) return '';
  return name.replace(/[-_.]?\d+$/, '').replace(/[-_.][A-Za-z]$/, '');
}
