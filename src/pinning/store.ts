/** Where the first answer to a user is remembered. */

/**
 * What came of asking a store: `stored` a new pin, `found` one of another replica, `refreshed` or `forgotten` when
 * looked up again, `foreign`: what lies under the key is no pin, `unavailable`: the store did not answer.
 */
export type PinResult = 'stored' | 'found' | 'refreshed' | 'forgotten' | 'foreign' | 'unavailable';

export interface PinStore {
  /** What is known here and now; never waits. */
  recall(user: string): string | undefined;
  /**
   * Remembers that `user` belongs to `backend`, unless somebody was first. `done` is called exactly once, at once or
   * within the store's deadline, with the backend that counts; a store that cannot answer gives back what it knew
   * last, else `backend`.
   */
  claim(user: string, backend: string, done: (backend: string) => void): void;
  /** As `claim`, but nobody is remembered who was not: what holds for a while only leaves no pins behind. */
  find(user: string, backend: string, done: (backend: string) => void): void;
  /** Replaces what is remembered: the backend that was is gone from the split. Does not wait. */
  rewrite(user: string, backend: string): void;
  /** Forgets the user, here and in what the store shares with other replicas. Does not wait. */
  forget(user: string): void;
  /** Users remembered by backend; undefined where that is not known here. */
  counts(): ReadonlyMap<string, number> | undefined;
  close(): void;
}
