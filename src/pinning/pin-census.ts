/**
 * How many users Redis remembers, by backend: counted every five minutes by one replica for all, from so few keys that
 * Redis does not notice. Where there are more than these, they are a sample (SCAN goes through keys in the order of
 * their hashes, which has nothing to do with users) and the rest is estimated by its proportion.
 */
import { z } from 'zod';
import type { Config, RedisConfig } from '../config/schema.ts';
import { backendOfValue, parseKey, pinPrefix } from './pin-record.ts';
import { escapeGlob, mastersOf, type Node, textAt } from './pin-scan.ts';
import { createRedisClient, type RedisClient } from './redis-client.ts';

const INTERVAL_MS = 300_000;

/** The page of a replica that has just started is not to wait that long. */
const FIRST_MS = 1_000;

/** Another replica is counting: its count is there soon. */
const SOON_MS = 2_000;

/** Redis could not be asked. */
const LATER_MS = 30_000;

/** Keys that one SCAN looks at. */
const STEP = 500;

/** Most keys that are looked at, and most pins that are read, of all nodes together. */
export const MAX_KEYS = 50_000;
export const MAX_PINS = 5_000;

/** Between two steps: others use this Redis too. */
const PAUSE_MS = 10;

const COMMAND_TIMEOUT_MS = 2_000;

/** Who counts has this long; after that another one tries. */
const TURN_MS = 60_000;

const MAX_TEXT = 65_536;

const censusSchema = z.strictObject({
  /** Epoch milliseconds. */
  at: z.number().positive(),
  /** Every key was looked at. */
  exact: z.boolean(),
  /** By pin and backend: users. */
  pins: z.record(z.string().max(63), z.record(z.string().max(63), z.int().min(0))),
});

export type PinCensus = z.output<typeof censusSchema>;

export interface CensusEdges {
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Generations by name, of pins that Redis remembers. */
export type CountedPins = Readonly<Record<string, number>>;

export class PinCensusTaker {
  readonly #edges: CensusEdges;
  #settings = '';
  #timer: NodeJS.Timeout | undefined;
  #latest: PinCensus | undefined;
  #run = 0;

  constructor(edges: CensusEdges) {
    this.#edges = edges;
  }

  /** Undefined while nothing was counted yet. */
  get latest(): PinCensus | undefined {
    return this.#latest;
  }

  configure({ redis, service, pins, routes }: Pick<Config, 'redis' | 'service' | 'pins' | 'routes'>): void {
    const used = new Set(routes.map(({ pin }) => pin));
    const counted: CountedPins = Object.fromEntries(
      Object.entries(pins)
        .filter(([name, { store }]) => store === 'redis' && used.has(name))
        .map(([name, { generation }]) => [name, generation]),
    );
    const wanted = Object.keys(counted).length > 0 ? redis : undefined;
    const settings = JSON.stringify([wanted ?? null, service, counted]);
    if (this.#settings === settings) return;
    this.#settings = settings;
    this.close();
    this.#latest = undefined;
    if (wanted !== undefined) this.#wait(FIRST_MS, ++this.#run, wanted, service, counted);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#run++;
  }

  #wait(ms: number, run: number, redis: RedisConfig, service: string, pins: CountedPins): void {
    const wait = ms * (0.8 + 0.4 * this.#edges.random());
    this.#timer = setTimeout(() => {
      void this.#next(redis, service, pins).then(({ census, pause }) => {
        if (run !== this.#run) return;
        this.#latest = census ?? this.#latest;
        this.#wait(pause, run, redis, service, pins);
      });
    }, wait);
    this.#timer.unref();
  }

  async #next(
    redis: RedisConfig,
    service: string,
    pins: CountedPins,
  ): Promise<{ readonly census: PinCensus | undefined; readonly pause: number }> {
    try {
      const census = await this.#take(redis, service, pins);
      return { census, pause: census === undefined ? SOON_MS : INTERVAL_MS };
    } catch {
      // That it is away is told by those who need it; what was counted last has its age.
      return { census: undefined, pause: LATER_MS };
    }
  }

  /** What another replica counted lately, else one's own; undefined while another one is at it. */
  async #take(redis: RedisConfig, service: string, pins: CountedPins): Promise<PinCensus | undefined> {
    const client = await createRedisClient(redis, { commandTimeout: COMMAND_TIMEOUT_MS, reconnects: false });
    client.on('error', () => {});
    try {
      await client.connect();
      const key = censusKey(redis, service);
      const { clock } = this.#edges;
      const known = censusOf(await client.get(key));
      const isRecent = known !== undefined && clock() - known.at < INTERVAL_MS * 0.75;
      if (isRecent && Object.keys(pins).every((pin) => Object.hasOwn(known.pins, pin))) return known;
      const isMine = await client.set(`${key}:turn`, '1', 'PX', TURN_MS, 'NX');
      if (isMine === null) return undefined;
      const counted = await countPins(client, redis, service, pins, PAUSE_MS);
      const census: PinCensus = { at: clock(), ...counted };
      await client.set(key, JSON.stringify(census), 'PX', 4 * INTERVAL_MS);
      await client.del(`${key}:turn`);
      return census;
    } finally {
      client.disconnect();
    }
  }
}

function censusKey(redis: RedisConfig, service: string): string {
  return `${redis.keyPrefix}${service}:pins:counted`;
}

function censusOf(text: string | null): PinCensus | undefined {
  if (text === null || text.length > MAX_TEXT) return undefined;
  try {
    return censusSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** @param pauseMs between two steps */
export async function countPins(
  client: RedisClient,
  redis: RedisConfig,
  service: string,
  pins: CountedPins,
  pauseMs: number,
): Promise<Omit<PinCensus, 'at'>> {
  const nodes = mastersOf(client);
  const sums = new Map(Object.keys(pins).map((pin) => [pin, new Map<string, number>()]));
  let exact = true;
  for (const node of nodes) {
    const bound = { keys: MAX_KEYS / nodes.length, pins: MAX_PINS / nodes.length };
    const { counts, share } = await countNode(node, redis, service, pins, bound, pauseMs);
    if (share < 1) exact = false;
    for (const [pin, byBackend] of counts) {
      const sum = sums.get(pin)!;
      for (const [backend, users] of byBackend) sum.set(backend, (sum.get(backend) ?? 0) + users / share);
    }
  }
  return {
    exact,
    pins: Object.fromEntries(
      [...sums].map(([pin, byBackend]) => [
        pin,
        Object.fromEntries([...byBackend].map(([backend, users]) => [backend, Math.round(users)])),
      ]),
    ),
  };
}

async function countNode(
  node: Node,
  redis: RedisConfig,
  service: string,
  pins: CountedPins,
  bound: { readonly keys: number; readonly pins: number },
  pauseMs: number,
): Promise<{ readonly counts: Map<string, Map<string, number>>; readonly share: number }> {
  const prefixes = Object.keys(pins).map((pin) => [pin, pinPrefix(redis.keyPrefix, service, pin)] as const);
  const pattern = `${escapeGlob(pinPrefix(redis.keyPrefix, service, '').slice(0, -1))}*`;
  const counts = new Map(prefixes.map(([pin]) => [pin, new Map<string, number>()]));
  // SCAN may give a key twice while Redis resizes its tables.
  const seen = new Set<string>();
  let cursor = '0';
  let looked = 0;
  do {
    const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', STEP);
    cursor = next;
    looked += STEP;
    await Promise.all(
      keys.map(async (key) => {
        const pin = prefixes.find(([name, prefix]) => parseKey(prefix, key)?.generation === pins[name])?.[0];
        if (pin === undefined || seen.has(key)) return;
        seen.add(key);
        const value = await textAt(node, key);
        const backend = typeof value === 'string' ? backendOfValue(value) : undefined;
        if (backend === undefined) return;
        const byBackend = counts.get(pin)!;
        byBackend.set(backend, (byBackend.get(backend) ?? 0) + 1);
      }),
    );
    if (cursor === '0') return { counts, share: 1 };
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  } while (looked < bound.keys && seen.size < bound.pins);
  const all = await node.dbsize();
  return { counts, share: Math.min(1, looked / Math.max(1, all)) };
}
