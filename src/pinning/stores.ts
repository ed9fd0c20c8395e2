/** The stores of all pins of a configuration; stores whose settings did not change survive a reload. */
import type { Config } from '../config/schema.ts';
import { MemoryPinStore } from './memory-store.ts';
import type { Pin } from './pin.ts';
import { PinKeys } from './pin-record.ts';
import { type LinkState, RedisLink } from './redis-link.ts';
import { RedisPinStore } from './redis-store.ts';
import type { PinResult, PinStore } from './store.ts';

export interface PinStoreEdges {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The circuit before Redis opened or closed. */
  readonly onRedis: (state: LinkState) => void;
  readonly onResult: (pin: string, result: PinResult) => void;
}

interface Kept {
  readonly settings: string;
  readonly store: PinStore;
}

export class PinStores {
  readonly #edges: PinStoreEdges;
  #link: { readonly settings: string; readonly link: RedisLink } | undefined;
  #stores = new Map<string, Kept>();

  constructor(edges: PinStoreEdges) {
    this.#edges = edges;
  }

  apply(config: Config): void {
    const used = new Set(config.routes.map((route) => route.pin));
    const pins = Object.entries(config.pins).filter(
      ([name, { store }]) => used.has(name) && store !== 'none',
    );
    const link = this.#linkFor(
      config,
      pins.some(([, { store }]) => store === 'redis'),
    );
    const next = new Map<string, Kept>();
    for (const [name, pin] of pins) {
      const { store: kind, ttl, maxEntries, generation } = pin;
      const redis = kind === 'redis' ? config.redis : undefined;
      const settings = JSON.stringify([config.service, kind, ttl, maxEntries, generation, redis ?? null]);
      const kept = this.#stores.get(name);
      if (kept !== undefined && kept.settings === settings) {
        next.set(name, kept);
        continue;
      }
      const { now } = this.#edges;
      if (kind === 'memory') {
        next.set(name, { settings, store: new MemoryPinStore({ ttlMs: ttl, maxEntries, now }) });
      } else if (link !== undefined && redis !== undefined) {
        const store = new RedisPinStore({
          link,
          keys: new PinKeys(redis, config.service, name, generation),
          ttlMs: ttl,
          cacheMs: redis.cacheTtl,
          maxEntries,
          now,
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

  /** Forgets a user of the pin of that name, where one remembers users. */
  forget(pin: string, user: string): void {
    this.#stores.get(pin)?.store.forget(user);
  }

  /** By pin, of those whose store knows: users remembered by backend. */
  counts(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    const counts = new Map<string, ReadonlyMap<string, number>>();
    for (const [name, { store }] of this.#stores) {
      const known = store.counts();
      if (known !== undefined) counts.set(name, known);
    }
    return counts;
  }

  /** Undefined when no pin uses Redis. */
  get redis(): LinkState | undefined {
    return this.#link?.link.state;
  }

  /** Resolves when it is known whether Redis answers, or after `ms`. */
  async settled(ms: number): Promise<void> {
    await this.#link?.link.settled(ms);
  }

  close(): void {
    for (const { store } of this.#stores.values()) store.close();
    this.#link?.link.close();
    this.#link = undefined;
  }

  #linkFor(config: Config, wanted: boolean): RedisLink | undefined {
    const redis = wanted ? config.redis : undefined;
    const settings = JSON.stringify([redis ?? null, config.service]);
    if (this.#link !== undefined && this.#link.settings === settings) return this.#link.link;
    this.#link?.link.close();
    this.#link = undefined;
    if (redis === undefined) return undefined;
    const { now, onRedis } = this.#edges;
    this.#link = { settings, link: new RedisLink(redis, config.service, { now, onChange: onRedis }) };
    return this.#link.link;
  }
}
