/** The tracks of the soak: how many endpoints each begins with, and which of them each group may meet. */

export const TRACKS = ['internal', 'canary', 'paid', 'production'] as const;
export type Track = (typeof TRACKS)[number];

/** At least two: one may be killed while the other serves. */
export const ENDPOINTS: Readonly<Record<Track, number>> = { internal: 2, canary: 2, paid: 2, production: 3 };

/** Groups as requests name them; undefined: none. BETA has one more backend now and then, of production's endpoints. */
export const GROUPS = ['INTERNAL', 'FREE', 'ENTERPRISE', 'BETA', undefined] as const;
export type Group = (typeof GROUPS)[number] | 'LIMITED';

const MAY_MEET: Readonly<Record<string, readonly Track[]>> = {
  INTERNAL: ['internal'],
  FREE: ['canary', 'production'],
  ENTERPRISE: ['production'],
  BETA: ['production'],
  LIMITED: ['production'],
};

/** The row of those that name no group. */
const OTHERS: readonly Track[] = ['paid', 'production'];

export function mayMeet(group: Group, track: string | undefined): boolean {
  const allowed = group === undefined ? OTHERS : MAY_MEET[group]!;
  return allowed.includes(track as Track);
}

export function hostOf(name: string): string {
  return `${name}.soak.test`;
}
