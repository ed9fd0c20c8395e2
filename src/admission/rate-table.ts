/**
 * The buckets of one limit, by key, in bounded memory.
 *
 * Two generations instead of one list by use: a hit costs one look into a map and moves nothing. When the young one has
 * half of the entries, the old one is dropped and the young one takes its place: what goes is what was not used for
 * longest, and a bucket that is forgotten begins full.
 */
import { type BucketShape, take, waitFor } from './token-bucket.ts';

export class RateTable {
  readonly shape: BucketShape;
  readonly #half: number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  /** Buckets dropped that were not full: their owners got more than their rate. */
  forgotten = 0;

  /** @param maxEntries most buckets, at least 2 */
  constructor(shape: BucketShape, maxEntries: number) {
    this.shape = shape;
    this.#half = Math.max(1, Math.floor(maxEntries / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** @param now clock milliseconds. @returns 0 when a token was taken, else milliseconds until there is one */
  take(key: string, now: number): number {
    const fullAt = this.#young.get(key) ?? this.#fromOld(key, now);
    const next = take(this.shape, fullAt, now);
    if (next === -1) return Math.max(1, waitFor(this.shape, fullAt, now));
    this.#keep(key, next, now);
    return 0;
  }

  #fromOld(key: string, now: number): number {
    const fullAt = this.#old.get(key);
    if (fullAt === undefined) return Number.NEGATIVE_INFINITY;
    // One that is refused all the time is in use, too: it must not be forgotten, or a flood would end its own penalty.
    this.#old.delete(key);
    this.#keep(key, fullAt, now);
    return fullAt;
  }

  #keep(key: string, fullAt: number, now: number): void {
    if (this.#young.size >= this.#half && !this.#young.has(key)) this.#age(now);
    this.#young.set(key, fullAt);
  }

  #age(now: number): void {
    for (const fullAt of this.#old.values()) if (fullAt > now) this.forgotten++;
    this.#old = this.#young;
    this.#young = new Map();
  }
}
