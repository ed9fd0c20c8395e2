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
  readonly #counts = new Map<string, number>();

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
      this.#drop(user, entry);
      return undefined;
    }
    entry.expiresAt = now + this.#ttlMs;
    return entry.backend;
  }

  rewrite(user: string, backend: string): void {
    const before = this.#entries.peek(user);
    if (before !== undefined) this.#count(before.backend, -1);
    const gone = this.#entries.set(user, { backend, expiresAt: this.#now() + this.#ttlMs });
    if (gone !== undefined) this.#count(gone.backend, -1);
    this.#count(backend, 1);
  }

  claim(user: string, backend: string, done: (backend: string) => void): void {
    this.rewrite(user, backend);
    done(backend);
  }

  find(user: string, backend: string, done: (backend: string) => void): void {
    done(this.recall(user) ?? backend);
  }

  forget(user: string): void {
    const entry = this.#entries.peek(user);
    if (entry !== undefined) this.#drop(user, entry);
  }

  counts(): ReadonlyMap<string, number> {
    const now = this.#now();
    // Every use begins the time anew, so those used least recently are those that end first.
    for (let next = this.#entries.oldest(); next !== undefined; next = this.#entries.oldest()) {
      const [user, entry] = next;
      if (entry.expiresAt > now) break;
      this.#drop(user, entry);
    }
    return this.#counts;
  }

  close(): void {
    this.#entries.clear();
    this.#counts.clear();
  }

  #drop(user: string, { backend }: Entry): void {
    this.#entries.delete(user);
    this.#count(backend, -1);
  }

  #count(backend: string, by: number): void {
    const count = (this.#counts.get(backend) ?? 0) + by;
    if (count > 0) this.#counts.set(backend, count);
    else this.#counts.delete(backend);
  }
}
