/**
 * Sketches of users as all replicas of a service share them, so that a user who met a build by two of them counts once.
 * For each slot of four hours Redis holds two hashes, a field a row: the sketches, and what tells two of them apart.
 * Every replica takes what it has not read yet into its own and writes what Redis then lacks. Putting sketches together
 * forgets nothing, in whatever order it happens: where two write at once, the next round mends it. So replicas agree, one
 * that restarts finds what it knew, and a Redis that lost its memory is filled again.
 *
 * A sketch holds neither ids nor hashes of users. Both keys end with the slot's last use.
 */
import type { RedisConfig } from '../config/schema.ts';
import { RedisLink } from '../pinning/redis-link.ts';
import { type ExposureChange, MAX_CELLS, SLOT_MS, SLOTS, slotOf } from './exposure.ts';
import { changeOf, type ExposureRecord } from './exposure-totals.ts';
import { REGISTERS } from './user-sketch.ts';
import type { Reach } from './words.ts';

/** Nobody decides by these figures within seconds. */
const SYNC_INTERVAL_MS = 3_000;

/** Every so many rounds older slots are looked at too: they no longer change, but Redis may have lost them. */
const WHOLE_EVERY = 20;

/** Nobody's request waits for this, so a slow Redis is waited for. */
const COMMAND_TIMEOUT_MS = 1_000;

/** Read or written in one go, some 10 KiB each. */
const BATCH = 16;

/** Fields of one slot: rows of now, and builds of the last hours. */
const MAX_FIELDS = 4 * MAX_CELLS;

/** Two sketches in base64, and names. */
const MAX_TEXT = 2 * Math.ceil((REGISTERS * 4) / 3) + 2_048;

export interface SharedExposureEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** What this replica holds of a slot, its own and all that it was told. */
  readonly records: (slot: number) => readonly ExposureRecord[];
  /** What Redis holds. */
  readonly onChanges: (changes: readonly ExposureChange[]) => void;
}

export class SharedExposure {
  readonly #prefix: string;
  readonly #link: RedisLink;
  readonly #edges: SharedExposureEdges;
  /** By slot: the digest of what was read last, by row. It is a part of ours since, whatever Redis holds meanwhile. */
  readonly #read = new Map<number, Map<string, string>>();
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #closed = false;
  #rounds = 0;
  #syncedAt: number | undefined;

  constructor(config: RedisConfig, service: string, edges: SharedExposureEdges) {
    this.#prefix = exposureKey(config, service);
    this.#edges = edges;
    this.#link = new RedisLink({ ...config, commandTimeout: COMMAND_TIMEOUT_MS }, `${service}:users`, {
      now: edges.now,
      onChange: (state) => {
        this.#rounds = 0;
        if (state.state === 'closed') void this.#sync();
      },
    });
    this.#wait();
  }

  get reach(): Reach {
    const { state, reason } = this.#link.state;
    const asOf = this.#syncedAt;
    if (asOf === undefined) {
      return { of: 'replica', asOf, why: state === 'closed' ? 'Redis is being read' : reason };
    }
    return state === 'closed' ? { of: 'all', asOf, why: '' } : { of: 'partly', asOf, why: reason };
  }

  /** Redis holds all that is known here when it resolves, if it can be asked. */
  async flush(): Promise<void> {
    if (!this.#running) await this.#sync();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#link.close();
  }

  /** Not at the same moment as the other replicas, which began when this one did. */
  #wait(): void {
    if (this.#closed) return;
    const wait = SYNC_INTERVAL_MS * (0.8 + 0.4 * this.#edges.random());
    this.#timer = setTimeout(() => void this.#sync().then(() => this.#wait()), wait);
    this.#timer.unref();
  }

  async #sync(): Promise<void> {
    if (this.#running || !this.#link.usable) return;
    this.#running = true;
    try {
      const current = slotOf(this.#edges.clock());
      const whole = this.#rounds++ % WHOLE_EVERY === 0;
      for (const slot of this.#read.keys()) if (slot <= current - SLOTS) this.#read.delete(slot);
      // The one before: what its last seconds brought comes after its end, and clocks differ.
      for (let slot = current; slot > current - (whole ? SLOTS : 2); slot--) await this.#syncSlot(slot);
      this.#syncedAt = this.#edges.clock();
    } catch {
      // The link knows why, and when it is worth another try.
      this.#rounds = 0;
    } finally {
      this.#running = false;
    }
  }

  async #syncSlot(slot: number): Promise<void> {
    const [sketches, digests] = [`${this.#prefix}:${slot}`, `${this.#prefix}:${slot}:digests`];
    const found = new Map(
      Object.entries(await this.#link.ask((client) => client.hgetall(digests))).slice(0, MAX_FIELDS),
    );
    const read = this.#read.get(slot) ?? new Map<string, string>();
    this.#read.set(slot, read);
    const own = new Map(this.#edges.records(slot).map((record) => [record.key, record]));
    const unknown = [...found.keys()].filter(
      (key) => found.get(key) !== own.get(key)?.digest && found.get(key) !== read.get(key),
    );
    for (const keys of batches(unknown)) {
      const texts = await this.#link.ask((client) => client.hmget(sketches, ...keys));
      const changes = texts
        .map((text) => (text === null || text.length > MAX_TEXT ? undefined : changeOf(text, slot)))
        .filter((change) => change !== undefined);
      this.#edges.onChanges(changes);
      for (const key of keys) read.set(key, found.get(key)!);
    }
    const missing = this.#edges
      .records(slot)
      .filter(({ key, digest }) => found.get(key) !== digest && (found.has(key) || found.size < MAX_FIELDS));
    const end = (slot + SLOTS + 1) * SLOT_MS;
    for (const records of batches(missing)) {
      await this.#link.ask(async (client) => {
        await client.hset(sketches, Object.fromEntries(records.map(({ key, text }) => [key, text])));
        await client.hset(digests, Object.fromEntries(records.map(({ key, digest }) => [key, digest])));
        await client.pexpireat(sketches, end);
        await client.pexpireat(digests, end);
      });
    }
  }
}

export function exposureKey(config: RedisConfig, service: string): string {
  return `${config.keyPrefix}${service}:users`;
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += BATCH) yield items.slice(from, from + BATCH);
}
