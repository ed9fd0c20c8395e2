/** How many users met a build, and an error there, as the proxies counted them: for the message of a rollback. */

import { addressesOf, MAX_PROXIES, read } from './figures.ts';
import type { Subject } from './outside.ts';
import { fillSubject } from './outside.ts';

export interface UsersQuestion {
  /** Admin URLs, with placeholders. */
  readonly urls: readonly string[];
  readonly subject: Subject;
  /** Tracks that the build is on. */
  readonly tracks: readonly string[];
  /** As the table names it. */
  readonly build: string;
}

/** A rollback is in a hurry. */
const DEADLINE_MS = 2_000;

/** As `/status` has it; older proxies do not. */
interface Exposure {
  readonly of: 'all' | 'partly' | 'replica';
  readonly rows: readonly {
    readonly route: string;
    readonly backend: string;
    readonly build: string | null;
    readonly exposed: number;
    readonly hurt: number;
  }[];
}

/**
 * In words, such as `about 1,240 users met 1.7 in the last 24 h, about 31 of them an error (over all proxies)`. Undefined
 * where nobody knows users. Never throws, and never takes long: a rollback goes on without.
 */
export async function usersMet(question: UsersQuestion): Promise<string | undefined> {
  const { urls, subject } = question;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('not known: the proxies did not answer in time'), DEADLINE_MS);
  });
  const asked = async () => {
    const found = await Promise.all(urls.map((url) => addressesOf(fillSubject(url, subject))));
    const exposures = await Promise.all(found.flat().slice(0, MAX_PROXIES).map(exposureAt));
    return usersWords(exposures, question);
  };
  const words = await Promise.race([
    asked().catch(
      (error: Error) => `not known: ${(error.cause as { code?: string })?.code ?? error.message}`,
    ),
    late,
  ]);
  clearTimeout(timer);
  return words;
}

async function exposureAt(url: string): Promise<Exposure | undefined> {
  const { exposure } = JSON.parse(await read(`${url}/status`)) as { readonly exposure?: Exposure };
  return exposure;
}

/** @param exposures of each proxy */
export function usersWords(
  exposures: readonly (Exposure | undefined)[],
  { tracks, build }: Pick<UsersQuestion, 'tracks' | 'build'>,
): string | undefined {
  const known = exposures.filter((exposure) => exposure !== undefined);
  /** By row: what each proxy counted. Users of two rows are others, as their groups are. */
  const rows = new Map<string, { exposed: number[]; hurt: number[] }>();
  let isNamed = true;
  for (const { rows: counted } of known) {
    for (const { route, backend, build: ran, exposed, hurt } of counted) {
      if (!tracks.includes(backend) || (ran !== null && ran !== build)) continue;
      if (ran === null) isNamed = false;
      const row = rows.get(`${route}\0${backend}`) ?? { exposed: [], hurt: [] };
      row.exposed.push(exposed);
      row.hurt.push(hurt);
      rows.set(`${route}\0${backend}`, row);
    }
  }
  if (rows.size === 0) return undefined;
  const agree =
    known.length === exposures.length && (known.length === 1 || known.every(({ of }) => of === 'all'));
  const total = (pick: (row: { exposed: number[]; hurt: number[] }) => number[]) => {
    const counts = [...rows.values()].map(pick);
    const least = counts.reduce((sum, list) => sum + Math.max(...list), 0);
    // Proxies that share nothing may have met the same users, or all different ones.
    const most = agree ? least : counts.reduce((sum, list) => sum + list.reduce((a, b) => a + b, 0), 0);
    return range(least, most);
  };
  const whose = agree
    ? 'over all proxies'
    : `${known.length} of ${exposures.length} proxies, which share nothing`;
  const what = isNamed ? build : `what ran on ${tracks.join(', ')}`;
  return `about ${total(({ exposed }) => exposed)} users met ${what} in the last 24 h, about ${total(({ hurt }) => hurt)} of them an error (${whose})`;
}

function range(least: number, most: number): string {
  const text = (value: number) => value.toLocaleString('en');
  return least === most ? text(least) : `${text(least)} to ${text(most)}`;
}
