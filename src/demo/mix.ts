/** The traffic of the demo: which request comes n-th, and for which user. Deterministic, so that a run can be judged. */
import type { RouteName } from './table.ts';

export interface MixEntry {
  /** The row it should match. */
  readonly route: RouteName;
  /** Value of X-Traffic-Group; undefined: no such field. */
  readonly group: string | undefined;
  readonly withUser: boolean;
}

/** Half of the free and paid requests name a user; groups come in any case. */
const CYCLE: readonly MixEntry[] = [
  { route: 'internal', group: 'INTERNAL', withUser: false },
  { route: 'free', group: 'FREE', withUser: false },
  { route: 'paid', group: undefined, withUser: false },
  { route: 'free', group: 'FREE', withUser: true },
  { route: 'paid', group: undefined, withUser: true },
  { route: 'enterprise', group: 'ENTERPRISE', withUser: false },
  { route: 'free', group: 'free', withUser: false },
  { route: 'paid', group: undefined, withUser: false },
  { route: 'free', group: 'Free', withUser: true },
  { route: 'paid', group: undefined, withUser: true },
];

export function mixAt(n: number): MixEntry {
  return CYCLE[n % CYCLE.length]!;
}

/** Share of all requests, 0 to 1, that match `route` and name no user. */
export function anonymousShare(route: RouteName): number {
  const matching = CYCLE.filter((entry) => entry.route === route && !entry.withUser);
  return matching.length / CYCLE.length;
}

/** Users known at once, per route; below the pin store's `maxEntries`, so that none of them is forgotten. */
export const MAX_USERS = 5_000;

/** Below this every user is a new one. */
const FIRST_USERS = 100;

/** From then on every third is. */
const NEW_EVERY = 3;

/** Ids are numbered from here, as those of a service that has been running for a while. */
const FIRST_ID = 1_001;

/** Hands out the users of one route in turn, new ones among them. */
export class UserCrowd {
  readonly #prefix: string;
  #firstId = FIRST_ID;
  #size = 0;
  #turn = 0;
  #asked = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get size(): number {
    return this.#size;
  }

  /** Other users from now on. */
  renew(): void {
    this.#firstId += this.#size;
    this.#size = 0;
    this.#turn = 0;
  }

  /** @param mayGrow false while the table changes, when nobody could say by which table a new user was placed */
  next(mayGrow: boolean): string | undefined {
    this.#asked++;
    if (mayGrow && this.#size < MAX_USERS) {
      if (this.#size < FIRST_USERS || this.#asked % NEW_EVERY === 0) return this.#name(this.#size++);
    }
    if (this.#size === 0) return undefined;
    this.#turn = (this.#turn + 1) % this.#size;
    return this.#name(this.#turn);
  }

  #name(index: number): string {
    return `${this.#prefix}-${this.#firstId + index}`;
  }
}
