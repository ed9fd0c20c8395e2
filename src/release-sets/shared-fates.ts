/** Fates of release sets as services share them: one hash in Redis for each set, a field for each replica with a cause. */
import type { RedisConfig } from '../config/schema.ts';
import { FirstAnswer } from '../pinning/first-answer.ts';
import { type LinkState, RedisLink } from '../pinning/redis-link.ts';
import { type Fate, type FateElsewhere, FateWatch, recordText } from './fate.ts';

const SYNC_INTERVAL_MS = 1_000;

/** Nobody's request waits for this, so a slow Redis is waited for. */
const COMMAND_TIMEOUT_MS = 1_000;

/** A hash that nobody renews any more goes by itself. */
const TTL_MS = 120_000;

export interface FateEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Of the set, as this service is to tell it; undefined: nothing befell its members. */
  readonly own: (set: string) => Fate | undefined;
  /** What the others told may be something else now. */
  readonly onFates: () => void;
  readonly onState: (state: LinkState) => void;
}

interface Watched {
  readonly watch: FateWatch;
  /** A record of ours lies in Redis, as far as is known. */
  told: boolean;
}

export class SharedFates {
  readonly #keyPrefix: string;
  readonly #service: string;
  readonly #replica: string;
  readonly #link: RedisLink;
  readonly #edges: FateEdges;
  readonly #sets: ReadonlyMap<string, Watched>;
  readonly #timer: NodeJS.Timeout;
  #beat = 0;
  #running = false;
  #again = false;
  readonly #read = new FirstAnswer();
  #closed = false;

  /** @param replica unique to this process */
  constructor(
    config: RedisConfig,
    service: string,
    sets: readonly string[],
    replica: string,
    edges: FateEdges,
  ) {
    this.#keyPrefix = config.keyPrefix;
    this.#service = service;
    this.#replica = replica;
    this.#edges = edges;
    this.#sets = new Map(sets.map((set) => [set, { watch: new FateWatch(service), told: false }]));
    this.#link = new RedisLink({ ...config, commandTimeout: COMMAND_TIMEOUT_MS }, `${service}:sets`, {
      now: edges.now,
      onChange: (state) => {
        edges.onState(state);
        if (state.state === 'closed') this.sync();
      },
    });
    this.#timer = setInterval(() => {
      this.sync();
      // What was told last stops counting by itself.
      if (!this.#link.usable) edges.onFates();
    }, SYNC_INTERVAL_MS);
    this.#timer.unref();
  }

  get state(): LinkState {
    return this.#link.state;
  }

  /** By set, of those where anything befell a member elsewhere. */
  fates(): ReadonlyMap<string, readonly FateElsewhere[]> {
    const now = this.#edges.now();
    const found = new Map<string, readonly FateElsewhere[]>();
    for (const [set, { watch }] of this.#sets) {
      const fates = watch.fates(now);
      if (fates.length > 0) found.set(set, fates);
    }
    return found;
  }

  /** Resolves when Redis was read once, or after `ms`. */
  settled(ms: number): Promise<void> {
    return this.#read.within(ms);
  }

  /** Tells and reads. Once more when asked meanwhile. */
  sync(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    if (!this.#link.usable || this.#closed) return;
    this.#running = true;
    void this.#syncAll()
      .then(() => this.#read.arrived())
      // The link knows why, and when it is worth another try.
      .catch(() => {})
      .finally(() => {
        this.#running = false;
        if (!this.#again) return;
        this.#again = false;
        this.sync();
      });
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#link.close();
    this.#read.arrived();
  }

  async #syncAll(): Promise<void> {
    this.#beat++;
    for (const [set, watched] of this.#sets) await this.#syncSet(set, watched);
    if (!this.#closed) this.#edges.onFates();
  }

  async #syncSet(set: string, watched: Watched): Promise<void> {
    const key = setKey(this.#keyPrefix, set);
    const own = this.#edges.own(set);
    if (own !== undefined) {
      const text = recordText(this.#service, this.#beat, own);
      watched.told = true;
      await this.#link.ask((client) => client.hset(key, this.#replica, text));
      await this.#link.ask((client) => client.pexpire(key, TTL_MS));
    } else if (watched.told) {
      await this.#link.ask((client) => client.hdel(key, this.#replica));
      watched.told = false;
    }
    const fields = await this.#link.ask((client) => client.hgetall(key));
    const over = watched.watch.take(fields, this.#edges.now());
    if (over.length > 0) await this.#link.ask((client) => client.hdel(key, ...over));
  }
}

/** Of all services: they share the set by its name. */
export function setKey(keyPrefix: string, set: string): string {
  return `${keyPrefix}sets:${set}`;
}
