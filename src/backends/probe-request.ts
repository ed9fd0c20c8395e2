/** What an HTTP check sends, and which status it is content with. */

import type { HttpProbe } from './probe-target.ts';

/** Bytes of a response head that are read; a larger one is a failed check. */
export const MAX_HEAD = 16 * 1024;

/** Fields of the request but Host and Connection, which are not for the configuration to choose; its own come last. */
export function fieldsOf({ headers }: Pick<HttpProbe, 'headers'>): [name: string, value: string][] {
  const own = Object.entries(headers);
  const usual: [string, string][] = [
    ['user-agent', 'pointsman-check'],
    ['accept', '*/*'],
  ];
  return [...usual.filter(([name]) => !own.some(([other]) => other.toLowerCase() === name)), ...own];
}

export function isGood(status: number, good: HttpProbe['status']): boolean {
  return good.some((item) => item === status || item === `${Math.floor(status / 100)}xx`);
}
