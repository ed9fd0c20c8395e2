/** The stores of all pins of a configuration; stores whose settings did not change survive a reload. */
import type { Config, RedisConfig } from '../config/schema.ts';
import type { Pin } from '../routing/table.ts';
import { MemoryPinStore } from './memory-store.ts';
import { RedisConnection, type RedisEvent, RedisPinStore } from './redis-store.ts';
import type { PinStore } from './store.ts';

export interface PinStoreEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly onRedisEvent: (event: RedisEvent) => void;
  /** A lookup in Redis ended. */
  readonly onResult: (pin: string, result: 'stored' | 'unavailable') => void;
}

interface Kept {
  readonly settings: string;
  readonly store: PinStore;
}

export class PinStores {
  readonly #edges: PinStoreEdges;
  #connection: { readonly settings: string; readonly redis: RedisConnection } | undefined;
  #stores = new Map<string, Kept>();

  constructor(edges: PinStoreEdges) {
    this.#edges = edges;
  }

  apply(config: Config): void {
    const used = new Set(config.routes.map((route) => route.pin));
    const wantsRedis = Object.entries(config.pins).some(
      ([name, pin]) => used.has(name) && pin.store === 'redis',
    );
    const redis = this.#connect(wantsRedis ? config.redis : undefined);
    const next = new Map<string, Kept>();
    for (const [name, pin] of Object.entries(config.pins)) {
      if (!used.has(name) || pin.store === 'none') continue;
      const settings = JSON.stringify([config.service, pin, pin.store === 'redis' ? config.redis : null]);
      const kept = this.#stores.get(name);
      if (kept !== undefined && kept.settings === settings) {
        next.set(name, kept);
        continue;
      }
      const { now } = this.#edges;
      const bounds = { ttlMs: pin.ttl, maxEntries: pin.maxEntries, now };
      if (pin.store === 'memory') {
        next.set(name, { settings, store: new MemoryPinStore(bounds) });
      } else if (redis !== undefined && config.redis !== undefined) {
        const store = new RedisPinStore({
          ...bounds,
          connection: redis,
          keyPrefix: `${config.redis.keyPrefix}${config.service}:pin:${name}:`,
          onResult: (result) => this.#edges.onResult(name, result),
        });
        next.set(name, { settings, store });
      }
    }
    for (const [name, kept] of this.#stores) if (next.get(name) !== kept) kept.store.close();
    this.#stores = next;
  }

  of(pin: Pin): PinStore | undefined {
    return this.#stores.get(pin.name)?.store;
  }

  close(): void {
    for (const { store } of this.#stores.values()) store.close();
    this.#connection?.redis.close();
    this.#connection = undefined;
  }

  #connect(config: RedisConfig | undefined): RedisConnection | undefined {
    const settings = JSON.stringify(config ?? null);
    if (this.#connection !== undefined && this.#connection.settings === settings) {
      return this.#connection.redis;
    }
    this.#connection?.redis.close();
    this.#connection =
      config === undefined
        ? undefined
        : { settings, redis: new RedisConnection(config, this.#edges.onRedisEvent) };
    return this.#connection?.redis;
  }
}
