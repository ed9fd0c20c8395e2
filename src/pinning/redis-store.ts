/** Pins in Redis, shared by all replicas: the first writer wins. A Redis that is away never fails a request. */
import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import type { RedisConfig } from '../config/schema.ts';
import { MemoryPinStore } from './memory-store.ts';
import type { PinStore } from './store.ts';

/** Longest an answer of Redis is used before Redis is asked again, so that a forgotten pin is forgotten here too. */
const CACHE_MS = 60_000;

export type RedisEvent =
  | { readonly kind: 'up' }
  | { readonly kind: 'down'; readonly reason: string }
  | { readonly kind: 'error'; readonly reason: string };

/**
 * One connection. No offline queue and no retries: a command that cannot be answered within the deadline fails at
 * once, and the hash decides, which is the answer a new user would have got anyway.
 */
export class RedisConnection {
  readonly #redis: Redis;
  #up = false;

  constructor(config: RedisConfig, onEvent: (event: RedisEvent) => void) {
    this.#redis = new Redis(config.url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: config.commandTimeout,
      connectTimeout: 2_000,
      disableClientInfo: true,
      retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000) + Math.random() * 50,
    });
    this.#redis.on('ready', () => {
      this.#up = true;
      onEvent({ kind: 'up' });
    });
    this.#redis.on('close', () => {
      if (!this.#up) return;
      this.#up = false;
      onEvent({ kind: 'down', reason: 'connection closed' });
    });
    // Without a listener ioredis throws. The message never holds the URL, which may hold a password.
    this.#redis.on('error', (error: Error) => onEvent({ kind: 'error', reason: error.message }));
    this.#redis.connect().catch(() => {});
  }

  get up(): boolean {
    return this.#up;
  }

  /** Sets the key unless it is there; resolves to the value that counts. Rejects when Redis does not answer. */
  async setOnce(key: string, value: string, ttlMs: number): Promise<string> {
    const earlier = await this.#redis.call('SET', key, value, 'PX', String(ttlMs), 'NX', 'GET');
    return typeof earlier === 'string' ? earlier : value;
  }

  /** Sets the key whatever it holds. Rejects when Redis does not answer. */
  async set(key: string, value: string, ttlMs: number): Promise<void> {
    await this.#redis.set(key, value, 'PX', ttlMs);
  }

  close(): void {
    this.#redis.disconnect();
  }
}

export class RedisPinStore implements PinStore {
  readonly #connection: RedisConnection;
  readonly #cache: MemoryPinStore;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #onResult: (result: 'stored' | 'unavailable') => void;

  constructor(options: {
    connection: RedisConnection;
    /** Ends with a separator; holds service and pin. */
    keyPrefix: string;
    ttlMs: number;
    maxEntries: number;
    now: () => number;
    onResult: (result: 'stored' | 'unavailable') => void;
  }) {
    this.#connection = options.connection;
    this.#prefix = options.keyPrefix;
    this.#ttlMs = options.ttlMs;
    this.#onResult = options.onResult;
    this.#cache = new MemoryPinStore({
      ttlMs: Math.min(options.ttlMs, CACHE_MS),
      maxEntries: options.maxEntries,
      now: options.now,
    });
  }

  recall(user: string): string | undefined {
    return this.#cache.recall(user);
  }

  claim(user: string, backend: string, done: (backend: string) => void): void {
    if (!this.#connection.up) {
      this.#onResult('unavailable');
      done(backend);
      return;
    }
    this.#connection.setOnce(this.#key(user), backend, this.#ttlMs).then(
      (winner) => {
        this.#cache.rewrite(user, winner);
        this.#onResult('stored');
        done(winner);
      },
      () => {
        this.#onResult('unavailable');
        done(backend);
      },
    );
  }

  rewrite(user: string, backend: string): void {
    this.#cache.rewrite(user, backend);
    this.#connection.set(this.#key(user), backend, this.#ttlMs).then(
      () => this.#onResult('stored'),
      () => this.#onResult('unavailable'),
    );
  }

  close(): void {
    this.#cache.close();
  }

  /** A hash, so that neither a dump of Redis nor its slow log shows users. */
  #key(user: string): string {
    return (
      this.#prefix +
      createHash('sha256').update(this.#prefix).update('\0').update(user).digest('base64url').slice(0, 24)
    );
  }
}
