/** Which fields the rules look at, and which of them carries the group. */
import { groupValues } from './routes.ts';
import type { Row } from './rows.ts';

/** The field that most tests of single values in any case look at: the one that groups come in. */
export function groupHeaderOf(rows: readonly Row[]): string | undefined {
  const counts = new Map<string, { name: string; count: number }>();
  for (const { condition } of rows) {
    for (const { atom } of condition.flat()) {
      if (
        atom.kind !== 'headers' ||
        groupValues(atom, atom.name) === undefined ||
        STANDARD.has(atom.name.toLowerCase())
      )
        continue;
      const known = counts.get(atom.name.toLowerCase());
      counts.set(atom.name.toLowerCase(), { name: known?.name ?? atom.name, count: (known?.count ?? 0) + 1 });
    }
  }
  return [...counts.values()].sort((a, b) => b.count - a.count)[0]?.name;
}

/** Fields of HTTP itself, which carry no group. */
const STANDARD: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'authorization',
  'cache-control',
  'connection',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'proxy-connection',
  'referer',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
]);

/** Lower-case names of the fields that rows look at. */
export function fieldsOf(rows: readonly Row[]): ReadonlySet<string> {
  const names = rows.flatMap(({ condition }) =>
    condition.flat().flatMap(({ atom }) => {
      if (atom.kind === 'headers') return [atom.name.toLowerCase()];
      if (atom.kind === 'cookies') return ['cookie'];
      return atom.kind === 'host' ? ['host'] : [];
    }),
  );
  return new Set(names);
}
