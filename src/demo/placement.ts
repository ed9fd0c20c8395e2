/** Which backend a user, and which share a backend, must get: the expectation that answers are held against. */
import { backendOfUser, bucketOf, layOut } from '../routing/bucket.ts';

export type Split = Readonly<Record<string, number>>;

/**
 * Share of each backend of a split, 0 to 1, when those of `down` cannot serve: theirs goes to the others in
 * proportion. All 0 when none is left.
 */
export function expectedShares(split: Split, down: ReadonlySet<string>): Record<string, number> {
  const serving = (name: string) => (down.has(name) ? 0 : split[name]!);
  const total = Object.keys(split).reduce((sum, name) => sum + serving(name), 0);
  return Object.fromEntries(
    Object.keys(split).map((name) => [name, total === 0 ? 0 : serving(name) / total]),
  );
}

/** The backend that the user's bucket says among those that are not `down`; undefined when there is none. */
export function placeUser(
  salt: string,
  user: string,
  split: Split,
  down: ReadonlySet<string>,
): string | undefined {
  const names = Object.keys(split);
  const weights = Object.values(split);
  const layout = layOut(names, weights, heaviest(names, weights));
  const usable = (index: number) => !down.has(names[index]!);
  return names[backendOfUser(layout, bucketOf(salt, user), salt, user, names, weights, usable)];
}

/** What the proxy's pin store must remember: where each user belonged when first seen. */
export class ExpectedPins {
  readonly #salt: string;
  readonly #homes = new Map<string, string>();

  constructor(salt: string) {
    this.#salt = salt;
  }

  get size(): number {
    return this.#homes.size;
  }

  /** Where an answer to `user` must come from now; remembers a user who is new. */
  expect(user: string, split: Split, down: ReadonlySet<string>): string | undefined {
    const home = this.#homes.get(user);
    if (home !== undefined && (split[home] ?? 0) > 0) {
      return down.has(home) ? placeUser(this.#salt, user, split, down) : home;
    }
    const own = placeUser(this.#salt, user, split, new Set());
    if (own !== undefined) this.#homes.set(user, own);
    return own !== undefined && down.has(own) ? placeUser(this.#salt, user, split, down) : own;
  }

  clear(): void {
    this.#homes.clear();
  }

  /** How many users belong to each backend. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const home of this.#homes.values()) counts[home] = (counts[home] ?? 0) + 1;
    return counts;
  }
}

/** As the proxy chooses the backend between two canaries when the row names none. */
export function heaviest(names: readonly string[], weights: readonly number[]): number {
  let main = 0;
  for (let i = 1; i < names.length; i++) {
    const heavier = weights[i]! - weights[main]!;
    if (heavier > 0 || (heavier === 0 && names[i]! < names[main]!)) main = i;
  }
  return main;
}
