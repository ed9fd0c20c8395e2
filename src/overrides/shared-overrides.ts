/**
 * Overrides as all replicas of a service share them: one hash in Redis, a field an override. Every replica puts its own
 * records and those of Redis together; an early end is a record too, so that a Redis which lost its memory is filled
 * again by the replicas and brings nothing back that was ended.
 */
import type { RedisConfig } from '../config/schema.ts';
import { FirstAnswer } from '../pinning/first-answer.ts';
import { type LinkState, RedisLink } from '../pinning/redis-link.ts';
import { MAX_RECORDS, type Override, overrideSchema } from './override.ts';

/** Replicas are to agree within two seconds: a look every half, and time for two that fail. */
const SYNC_INTERVAL_MS = 500;

/** Nobody's request waits for this, so a slow Redis is waited for. */
const COMMAND_TIMEOUT_MS = 1_000;

/** Of one field: an override is some hundred bytes. */
const MAX_VALUE = 8_192;

export interface SharedEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** The records of this replica. */
  readonly own: () => Iterable<Override>;
  /** What Redis holds. */
  readonly onRecords: (records: readonly Override[]) => void;
  readonly onState: (state: LinkState) => void;
}

export class SharedOverrides {
  readonly #key: string;
  readonly #link: RedisLink;
  readonly #edges: SharedEdges;
  readonly #timer: NodeJS.Timeout;
  #running = false;
  #again = false;
  readonly #read = new FirstAnswer();

  constructor(config: RedisConfig, service: string, edges: SharedEdges) {
    this.#key = overridesKey(config, service);
    this.#edges = edges;
    this.#link = new RedisLink({ ...config, commandTimeout: COMMAND_TIMEOUT_MS }, `${service}:overrides`, {
      now: edges.now,
      onChange: (state) => {
        edges.onState(state);
        if (state.state === 'closed') this.sync();
      },
    });
    this.#timer = setInterval(() => this.sync(), SYNC_INTERVAL_MS);
    this.#timer.unref();
  }

  get state(): LinkState {
    return this.#link.state;
  }

  /** Resolves when Redis was read once, or after `ms`. */
  settled(ms: number): Promise<void> {
    return this.#read.within(ms);
  }

  /** Reads Redis, and writes what it lacks. Once more when asked meanwhile. */
  sync(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    if (!this.#link.usable) return;
    this.#running = true;
    this.#link.run(
      (client) => client.hgetall(this.#key),
      (fields) => {
        const found = readRecords(fields);
        this.#edges.onRecords(found.records);
        this.#write(found);
      },
      () => this.#ended(),
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.#link.close();
    this.#read.arrived();
  }

  #write({ records, unreadable }: ReturnType<typeof readRecords>): void {
    const now = this.#edges.clock();
    const known = new Map(records.map((record) => [record.id, record]));
    const own = [...this.#edges.own()].filter(({ until }) => until > now);
    const missing = own.filter(({ id, endedAt }) => {
      const there = known.get(id);
      return there === undefined || (endedAt !== undefined && there.endedAt === undefined);
    });
    const over = [...records.filter(({ until }) => until <= now).map(({ id }) => id), ...unreadable];
    if (missing.length === 0 && over.length === 0) {
      this.#ended(true);
      return;
    }
    const end = Math.max(now, ...own.map(({ until }) => until));
    this.#link.run(
      async (client) => {
        if (over.length > 0) await client.hdel(this.#key, ...over);
        if (missing.length === 0) return;
        await client.hset(this.#key, Object.fromEntries(missing.map((one) => [one.id, JSON.stringify(one)])));
        // Some time more than the last one, since clocks differ.
        await client.pexpireat(this.#key, end + 60_000);
      },
      () => this.#ended(true),
      () => this.#ended(),
    );
  }

  #ended(complete = false): void {
    this.#running = false;
    if (complete) this.#read.arrived();
    if (!this.#again) return;
    this.#again = false;
    this.sync();
  }
}

export function overridesKey(config: RedisConfig, service: string): string {
  return `${config.keyPrefix}${service}:overrides`;
}

/** Whatever else lies there is not taken over; what could never be read again is named. */
function readRecords(fields: Readonly<Record<string, string>>): {
  readonly records: Override[];
  readonly unreadable: string[];
} {
  const records: Override[] = [];
  const unreadable: string[] = [];
  for (const [id, text] of Object.entries(fields).slice(0, 2 * MAX_RECORDS)) {
    const record = text.length > MAX_VALUE ? undefined : recordOf(text);
    if (record === undefined || record.id !== id) unreadable.push(id);
    else records.push(record);
  }
  return { records, unreadable };
}

function recordOf(text: string): Override | undefined {
  try {
    return overrideSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
