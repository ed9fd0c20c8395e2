/** A compiled route. */
import type { Pin } from '../pinning/pin.ts';
import type { BucketLayout } from './bucket.ts';
import type { Match } from './conditions.ts';
import type { Invariant } from './invariants.ts';

export interface Route {
  readonly index: number;
  readonly name: string;
  readonly match: Match | undefined;
  readonly split: Split;
  readonly pin: Pin | undefined;
  /** Its weights are not those of the file, but hold for a while: stores are to remember nothing of that. */
  readonly held: boolean;
  /** A canary's failure is answered by the main backend, where that cannot repeat an effect. */
  readonly shield: boolean;
  readonly responseHeadTimeout: number;
  readonly idleTimeout: number;
  /** Some of its tests look at the field of the group, so that it names values in its own way. */
  readonly readsGroupField: boolean;
  /**
   * By index in the split: of a member of a release set, the ids of the other members. It is used only while all of them
   * can be; `lost`: a member in the table of another service cannot. Undefined, as a whole or for a backend, where there
   * is no set.
   */
  readonly fates: readonly Fate[] | undefined;
  /**
   * By index of a group's class: the same row for requests to whose group something is promised. Undefined, as a
   * whole or for a class, where no promise is about a backend of the split.
   */
  readonly guarded: readonly (Route | undefined)[] | undefined;
  /** In such a row, by index in the split: the promise that takes something away from the backend. */
  readonly limits: readonly (Invariant | undefined)[] | undefined;
}

export type Fate = readonly number[] | 'lost' | undefined;

/** Parallel arrays in the order of the configuration. */
export interface Split {
  readonly names: readonly string[];
  readonly backendIds: readonly number[];
  /** In this proportion backends take over when others fail; 0: never. Without those that are rolled back. */
  readonly weights: readonly number[];
  /** The weights while nothing fails: 0 for `backup` backends, unless there are no others. */
  readonly shares: readonly number[];
  /** Whether a user whom a store remembers there stays. */
  readonly keeps: readonly boolean[];
  /** Index of the backend that is not a canary. */
  readonly main: number;
  /** Index of the backend between the canaries in the layout: `main` when it is named, else the last by name. */
  readonly middle: number;
  readonly layout: BucketLayout;
  /** By index: of a backend whose share is bounded, the users that it may keep at most; undefined where all. */
  readonly widest: readonly (Widest | undefined)[] | undefined;
}

/** The split in which a backend has the largest share that it may have. */
export interface Widest {
  readonly shares: readonly number[];
  readonly layout: BucketLayout;
}
