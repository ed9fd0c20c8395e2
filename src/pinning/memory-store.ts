/** Pins in this process: a bounded map, least recently used out first, each entry with an end. */
import { BoundedMap } from './bounded-map.ts';
import type { PinStore } from './store.ts';

interface Entry {
  readonly backend: string;
  /** Clock milliseconds. */
  expiresAt: number;
}

export class MemoryPinStore implements PinStore {
  readonly #entries: BoundedMap<Entry>;
  readonly #ttlMs: number;
  readonly #now: () => number;

  /** @param now milliseconds that never run backwards, so that a clock jump expires nothing */
  constructor(options: { ttlMs: number; maxEntries: number; now: () => number }) {
    this.#ttlMs = options.ttlMs;
    this.#entries = new BoundedMap(options.maxEntries);
    this.#now = options.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Every use begins the time anew, as in Redis: who keeps coming keeps his backend. */
  recall(user: string): string | undefined {
    const entry = this.#entries.use(user);
    if (entry === undefined) return undefined;
    const now = this.#now();
    if (entry.expiresAt <= now) {
      this.#entries.delete(user);
      return undefined;
    }
    entry.expiresAt = now + this.#ttlMs;
    return entry.backend;
  }

  rewrite(user: string, backend: string): void {
    this.#entries.set(user, { backend, expiresAt: this.#now() + this.#ttlMs });
  }

  claim(user: string, backend: string, done: (backend: string) => void): void {
    this.rewrite(user, backend);
    done(backend);
  }

  forget(user: string): void {
    this.#entries.delete(user);
  }

  close(): void {
    this.#entries.clear();
  }
}
