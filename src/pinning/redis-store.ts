/** Pins in Redis, shared by all replicas: the first writer wins. A Redis that is away never fails a request. */
import { BoundedMap } from './bounded-map.ts';
import { backendOfValue, type PinKeys, pinValue } from './pin-record.ts';
import type { RedisClient } from './redis-client.ts';
import type { RedisLink } from './redis-link.ts';
import type { PinResult, PinStore } from './store.ts';

/** An answer of Redis, kept so that the next request need not wait. */
interface Known {
  backend: string;
  /** From then on the next request has it looked up again, without waiting. */
  refreshAt: number;
  /** From then on it counts only while Redis is away. */
  staleAt: number;
  refreshing: boolean;
}

export interface RedisStoreOptions {
  readonly link: RedisLink;
  readonly keys: PinKeys;
  readonly ttlMs: number;
  /** How long an answer is used before Redis is asked again. */
  readonly cacheMs: number;
  readonly maxEntries: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly onResult: (result: PinResult) => void;
}

export class RedisPinStore implements PinStore {
  readonly #link: RedisLink;
  readonly #keys: PinKeys;
  readonly #ttlMs: number;
  readonly #cacheMs: number;
  readonly #now: () => number;
  readonly #onResult: (result: PinResult) => void;
  readonly #known: BoundedMap<Known>;
  /** Requests of one user that wait for the same answer. */
  readonly #claims = new Map<string, ((backend: string) => void)[]>();

  constructor(options: RedisStoreOptions) {
    this.#link = options.link;
    this.#keys = options.keys;
    this.#ttlMs = options.ttlMs;
    this.#cacheMs = Math.min(options.ttlMs, options.cacheMs);
    this.#now = options.now;
    this.#onResult = options.onResult;
    this.#known = new BoundedMap(options.maxEntries);
  }

  recall(user: string): string | undefined {
    const known = this.#known.peek(user);
    if (known === undefined) return undefined;
    const now = this.#now();
    if (now < known.refreshAt) return known.backend;
    if (!this.#link.usable) return known.backend;
    // Nobody has asked for so long that another replica may have decided otherwise: worth a round trip.
    if (now >= known.staleAt) return undefined;
    if (!known.refreshing) this.#refresh(user, known);
    return known.backend;
  }

  claim(user: string, backend: string, done: (backend: string) => void): void {
    this.#ask(user, backend, done, (client) =>
      client.set(this.#keys.of(user), pinValue(backend), 'PX', this.#ttlMs, 'NX', 'GET'),
    );
  }

  /** An answer of nobody is kept here as any other, so that the next request need not wait. */
  find(user: string, backend: string, done: (backend: string) => void): void {
    this.#ask(user, backend, done, (client) => client.getex(this.#keys.of(user), 'PX', this.#ttlMs), true);
  }

  #ask(
    user: string,
    backend: string,
    done: (backend: string) => void,
    command: (client: RedisClient) => Promise<string | null>,
    looksOnly = false,
  ): void {
    const waiting = this.#claims.get(user);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    if (!this.#link.usable) {
      this.#onResult('unavailable');
      done(backend);
      return;
    }
    this.#claims.set(user, [done]);
    this.#link.run(
      command,
      (earlier) =>
        this.#claimed(user, earlier === null && looksOnly ? backend : this.#winner(earlier, backend)),
      ({ kind }) => {
        if (kind === 'otherType') {
          // Asking for each request would find the same; what lies there is not ours to replace.
          this.#onResult('foreign');
          this.#claimed(user, backend);
          return;
        }
        this.#onResult('unavailable');
        this.#answer(user, this.#known.peek(user)?.backend ?? backend);
      },
    );
  }

  rewrite(user: string, backend: string): void {
    this.#keep(user, backend);
    this.#link.run(
      // GET makes Redis refuse when the key holds no text, instead of replacing it.
      (client) => client.set(this.#keys.of(user), pinValue(backend), 'PX', this.#ttlMs, 'GET'),
      () => this.#onResult('stored'),
      ({ kind }) => this.#onResult(kind === 'otherType' ? 'foreign' : 'unavailable'),
    );
  }

  forget(user: string): void {
    this.#known.delete(user);
    this.#link.run(
      (client) => client.del(this.#keys.of(user)),
      () => this.#onResult('forgotten'),
      () => this.#onResult('unavailable'),
    );
  }

  /** Only Redis knows. */
  counts(): undefined {
    return undefined;
  }

  close(): void {
    this.#known.clear();
  }

  #winner(earlier: string | null, backend: string): string {
    if (earlier === null) {
      this.#onResult('stored');
      return backend;
    }
    const winner = backendOfValue(earlier);
    this.#onResult(winner === undefined ? 'foreign' : 'found');
    return winner ?? backend;
  }

  #claimed(user: string, backend: string): void {
    this.#keep(user, backend);
    this.#answer(user, backend);
  }

  #answer(user: string, backend: string): void {
    const waiting = this.#claims.get(user);
    this.#claims.delete(user);
    if (waiting !== undefined) for (const done of waiting) done(backend);
  }

  /** The time of the pin begins anew with it, so that who comes back keeps his backend. */
  #refresh(user: string, known: Known): void {
    known.refreshing = true;
    this.#link.run(
      (client) => client.getex(this.#keys.of(user), 'PX', this.#ttlMs),
      (value) => {
        const backend = value === null ? undefined : backendOfValue(value);
        if (value === null) {
          // Forgotten by somebody, or evicted: the next request draws again.
          this.#onResult('forgotten');
          this.#known.delete(user);
        } else {
          this.#onResult(backend === undefined ? 'foreign' : 'refreshed');
          this.#keep(user, backend ?? known.backend);
        }
      },
      ({ kind }) => {
        if (kind === 'otherType') {
          this.#onResult('foreign');
          this.#keep(user, known.backend);
          return;
        }
        known.refreshing = false;
        known.refreshAt = this.#now() + this.#cacheMs / 8;
      },
    );
  }

  #keep(user: string, backend: string): void {
    const now = this.#now();
    const staleAt = now + this.#cacheMs;
    this.#known.set(user, { backend, refreshAt: now + this.#cacheMs * 0.75, staleAt, refreshing: false });
  }
}
