/** A map of at most so many entries: what was used least recently goes first. */
export class BoundedMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Without counting as a use: half the cost of `use`. */
  peek(key: string): V | undefined {
    return this.#entries.get(key);
  }

  use(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    // Deleting and setting moves the entry to the end: a Map iterates in order of insertion.
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** @returns the value that had to go for it */
  set(key: string, value: V): V | undefined {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return undefined;
    const [oldestKey, oldest] = this.oldest()!;
    this.#entries.delete(oldestKey);
    return oldest;
  }

  /** What was used least recently. */
  oldest(): readonly [string, V] | undefined {
    return this.#entries.entries().next().value;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}
