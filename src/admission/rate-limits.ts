/** How often requests may come: the rates of a configuration, their buckets, and the verdict on a request. */
import { DEFAULT_GROUP, groupKey, listOf, namedGroups, OTHER_GROUP } from '../config/groups.ts';
import type { Config, RateConfig } from '../config/schema.ts';
import { identifyUser } from '../pinning/identity.ts';
import { compilePin, type Pin } from '../pinning/pin.ts';
import type { RequestFacts } from '../routing/match.ts';
import { clientKey } from './client-key.ts';
import { RateTable } from './rate-table.ts';
import type { SharedBuckets } from './shared-buckets.ts';
import { bucketShape } from './token-bucket.ts';

/** What a rate may look at. */
export interface RateSubject {
  readonly facts: RequestFacts;
  readonly peer: { readonly address: string; readonly trusted: boolean };
  /** Address of the client that the request counts for; '' for one that does not count for any, as a trusted peer. */
  readonly client: string;
}

/** The rate that was exceeded, and how many milliseconds it takes until it no longer is. */
export type OnVerdict = (exceeded: Rate | undefined, waitMs: number) => void;

export class Rate {
  readonly name: string;
  readonly table: RateTable;
  readonly shared: boolean;
  /** What makes up the buckets; equal ones keep them over a reload. */
  readonly settings: string;
  readonly #by: 'client' | 'group' | Pin;
  /** Groups that it is for; undefined: all. */
  readonly #groups: ReadonlySet<string> | undefined;
  readonly #named: ReadonlySet<string>;

  /** @param before rates whose buckets are taken over by an equal one */
  constructor(name: string, config: RateConfig, whole: Config, before: readonly Rate[]) {
    const { by, rate, groups, store, maxEntries } = config;
    const burst = config.burst ?? Math.max(1, Math.ceil(rate));
    this.name = name;
    this.shared = store === 'redis';
    this.#by = typeof by === 'string' ? by : compilePin(by.pin, whole, undefined);
    this.#named = namedGroups(whole);
    this.#groups =
      groups === undefined
        ? undefined
        : new Set(listOf(groups).map((one) => (one === DEFAULT_GROUP ? OTHER_GROUP : groupKey(one))));
    const of = typeof by === 'string' ? by : JSON.stringify(whole.pins[by.pin]?.by);
    this.settings = JSON.stringify([name, of, rate, burst, store, maxEntries]);
    const same = before.find(({ settings }) => settings === this.settings);
    this.table = same?.table ?? new RateTable(bucketShape(rate, burst), maxEntries);
  }

  get needsClient(): boolean {
    return this.#by !== 'group';
  }

  /** The bucket of a request; undefined when the rate is not for it. */
  keyOf({ facts, peer, client }: RateSubject): string | undefined {
    if (this.#groups !== undefined && !this.#isFor(facts)) return undefined;
    if (this.#by === 'group') return this.#groupOf(facts.group);
    if (this.#by !== 'client') {
      const user = userOf(this.#by, facts.rawHeaders, peer);
      if (user !== undefined) return `u:${user}`;
    }
    return client === '' ? undefined : `c:${clientKey(client)}`;
  }

  #isFor({ group, groups }: RequestFacts): boolean {
    if (groups === undefined) return this.#groups!.has(this.#groupOf(group));
    return groups.some((one) => this.#groups!.has(this.#groupOf(one)));
  }

  /** Anybody can think of groups: all that nobody named share one bucket. */
  #groupOf(group: string): string {
    return this.#named.has(group) ? group : OTHER_GROUP;
  }
}

/** A cookie that a pin would issue now says nothing yet of who asks. */
function userOf(pin: Pin, rawHeaders: readonly string[], peer: RateSubject['peer']): string | undefined {
  const user = identifyUser(pin, rawHeaders, peer.address, peer.trusted);
  if (user !== undefined || pin.cookie === undefined) return user;
  const known = pin.cookie.identify(rawHeaders);
  return known.fresh ? undefined : known.user;
}

export class RateLimits {
  readonly rates: readonly Rate[];
  readonly #shared: SharedBuckets | undefined;
  readonly #now: () => number;
  /** Whether the address of the client is looked at. */
  readonly needsClient: boolean;

  /**
   * @param shared undefined when no rate has `store: redis`
   * @param now    monotonic milliseconds
   */
  constructor(rates: readonly Rate[], shared: SharedBuckets | undefined, now: () => number) {
    this.rates = rates;
    this.#shared = shared;
    this.#now = now;
    this.needsClient = rates.some((rate) => rate.needsClient);
  }

  /**
   * Takes a token from each bucket that the request counts for, until one has none.
   *
   * A shared bucket is asked only when the process's own, of the same shape, has a token: what that one refuses the
   * shared one would refuse as well, so that a flood is no flood of Redis.
   *
   * @param onVerdict called exactly once, at once or within the deadline of Redis
   */
  admit(subject: RateSubject, onVerdict: OnVerdict): void {
    this.#admitFrom(0, subject, onVerdict);
  }

  #admitFrom(first: number, subject: RateSubject, onVerdict: OnVerdict): void {
    const now = this.#now();
    for (let i = first; i < this.rates.length; i++) {
      const rate = this.rates[i]!;
      const key = rate.keyOf(subject);
      if (key === undefined) continue;
      const wait = rate.table.take(key, now);
      if (wait > 0) {
        onVerdict(rate, wait);
        return;
      }
      if (!rate.shared || this.#shared === undefined) continue;
      this.#shared.take(rate.name, rate.table.shape, key, (sharedWait) => {
        if (sharedWait > 0) onVerdict(rate, sharedWait);
        else this.#admitFrom(i + 1, subject, onVerdict);
      });
      return;
    }
    onVerdict(undefined, 0);
  }
}
