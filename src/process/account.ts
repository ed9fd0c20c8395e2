/** The user and group of a configuration as the system numbers them. Pure. */
import type { Config } from '../config/schema.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** To the kernel the one who owns nothing; Debian and the images of Google call it nobody. */
export const NOBODY = 65_534;

/**
 * @param passwd text of /etc/passwd, group of /etc/group; '' where there is none
 * @returns a string that says what is wrong
 */
export function accountOf(
  { user = NOBODY, group }: Config['runAs'],
  passwd: string,
  groups: string,
): Account | string {
  const entry = entryOf(passwd, user);
  const uid = typeof user === 'number' ? user : idIn(entry?.[2]);
  if (uid === undefined) return unknown('user', user, '/etc/passwd');
  if (group === undefined) return { uid, gid: idIn(entry?.[3]) ?? uid };
  const gid = typeof group === 'number' ? group : idIn(entryOf(groups, group)?.[2]);
  return gid === undefined ? unknown('group', group, '/etc/group') : { uid, gid };
}

/** `name:x:ID:…`, by name or id. */
function entryOf(text: string, wanted: string | number): string[] | undefined {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name, , id]) => (typeof wanted === 'number' ? id === String(wanted) : name === wanted));
}

function idIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

function unknown(what: 'user' | 'group', name: string | number, file: string): string {
  return `runAs.${what}: ${file} has no ${what} ${name}; give its number, or another ${what}`;
}
