/** All pins of a service in Redis, read key by key without stopping it: for people, not for requests. */
import type { RedisConfig } from '../config/schema.ts';
import { backendOfValue, parseKey, pinPrefix } from './pin-record.ts';
import type { RedisClient } from './redis-client.ts';

/** Keys that one SCAN looks at, and that are read or deleted in one go. */
const BATCH = 500;

export interface StoredPin {
  readonly key: string;
  readonly pin: string;
  readonly generation: number;
  /** Stands for the user. */
  readonly hash: string;
  /** Undefined when the value is no pin. */
  readonly backend: string | undefined;
  /** Milliseconds; undefined when it never ends, or has ended meanwhile. */
  readonly endsIn: number | undefined;
}

/**
 * In batches. A pin that is there from beginning to end comes at least once, and may come twice while Redis resizes
 * its tables (SCAN promises no more).
 *
 * @param withEnd also asks when each pin ends, which doubles the commands
 */
export async function* scanPins(
  client: RedisClient,
  redis: RedisConfig,
  service: string,
  pins: readonly string[],
  withEnd: boolean,
): AsyncGenerator<readonly StoredPin[]> {
  for (const pin of pins) {
    const prefix = pinPrefix(redis.keyPrefix, service, pin);
    for (const node of mastersOf(client)) {
      let cursor = '0';
      do {
        const [next, keys] = await node.scan(cursor, 'MATCH', `${escapeGlob(prefix)}*`, 'COUNT', BATCH);
        cursor = next;
        const batch = await readPins(node, pin, prefix, keys, withEnd);
        if (batch.length > 0) yield batch;
      } while (cursor !== '0');
    }
  }
}

/** Deletes one by one, since the keys of a Cluster lie in different slots; returns how many were there. */
export async function deletePins(client: RedisClient, keys: readonly string[]): Promise<number> {
  let deleted = 0;
  for (let from = 0; from < keys.length; from += BATCH) {
    const counts = await Promise.all(keys.slice(from, from + BATCH).map((key) => client.del(key)));
    for (const count of counts) deleted += count;
  }
  return deleted;
}

export type Node = Pick<RedisClient, 'scan' | 'get' | 'pttl' | 'dbsize'>;

export function mastersOf(client: RedisClient): readonly Node[] {
  return 'nodes' in client ? client.nodes('master') : [client];
}

async function readPins(
  node: Node,
  pin: string,
  prefix: string,
  keys: readonly string[],
  withEnd: boolean,
): Promise<StoredPin[]> {
  const found = await Promise.all(
    keys.map(async (key): Promise<StoredPin | undefined> => {
      const parsed = parseKey(prefix, key);
      if (parsed === undefined) return undefined;
      const [value, end] = await Promise.all([textAt(node, key), withEnd ? node.pttl(key) : -1]);
      // Ended since the scan.
      if (value === null) return undefined;
      const backend = value === undefined ? undefined : backendOfValue(value);
      return { key, pin, ...parsed, backend, endsIn: end < 0 ? undefined : end };
    }),
  );
  return found.filter((stored) => stored !== undefined);
}

/** Undefined: the key holds another type. */
export async function textAt(node: Node, key: string): Promise<string | null | undefined> {
  try {
    return await node.get(key);
  } catch (error) {
    if (/^WRONGTYPE\b/.test((error as Error).message)) return undefined;
    throw error;
  }
}

export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^]/g, '\\$&');
}
