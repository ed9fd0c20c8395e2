/** Pins in this process: a bounded map, least recently used out first, each entry with an end. */
import type { PinStore } from './store.ts';

interface Entry {
  readonly backend: string;
  /** Clock milliseconds. */
  readonly expiresAt: number;
}

export class MemoryPinStore implements PinStore {
  readonly #entries = new Map<string, Entry>();
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #now: () => number;

  /** @param now milliseconds that never run backwards, so that a clock jump expires nothing */
  constructor(options: { ttlMs: number; maxEntries: number; now: () => number }) {
    this.#ttlMs = options.ttlMs;
    this.#maxEntries = options.maxEntries;
    this.#now = options.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  recall(user: string): string | undefined {
    const entry = this.#entries.get(user);
    if (entry === undefined) return undefined;
    this.#entries.delete(user);
    if (entry.expiresAt <= this.#now()) return undefined;
    // Deleting and setting moves the entry to the end: a Map iterates in order of insertion.
    this.#entries.set(user, entry);
    return entry.backend;
  }

  rewrite(user: string, backend: string): void {
    this.#entries.delete(user);
    this.#entries.set(user, { backend, expiresAt: this.#now() + this.#ttlMs });
    if (this.#entries.size > this.#maxEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
  }

  claim(user: string, backend: string, done: (backend: string) => void): void {
    this.rewrite(user, backend);
    done(backend);
  }

  close(): void {
    this.#entries.clear();
  }
}
