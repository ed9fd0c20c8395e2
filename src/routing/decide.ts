/**
 * Where a request goes: the one decision that the live path, `explain`, `plan` and the tests share.
 *
 * Order of precedence, each over those that follow:
 * 1. invariants: what is promised to a group is no part of its row's split any more (`guardedRoute`);
 * 2. health: a backend that cannot be used is passed over;
 * 3. the operator's override: weights set by hand stand in the split instead of the file's (`withWeights`);
 * 4. the pin that is remembered, unless its backend is rolled back or has no weight;
 * 5. the user's bucket: the one that a trusted peer has given, else that of the hash;
 * 6. the weights.
 */
import { backendOfUser, bucketOfHash, userHash } from './bucket.ts';
import type { Route, Split } from './route.ts';
import { drawBackend, everyBackend, type Rotation } from './split.ts';

/** `only`: the split has one backend; `pin`: remembered; `bucket`: by the user's hash; `weights`: drawn. */
export type DecisionSource = 'only' | 'pin' | 'bucket' | 'weights';

export interface Decision {
  /** Index in the split; -1: none is usable, or (without a rotation) the draw is left to the weights. */
  readonly index: number;
  /** Index in the split that would have been chosen were all healthy; -1 when only a draw, left undone, could tell. */
  readonly wanted: number;
  readonly source: DecisionSource;
  /** 0–9999; -1 without a user. */
  readonly bucket: number;
  /** The 32 bits, signed, that the bucket is made of, for whoever counts users; 0 without a user. */
  readonly hash: number;
}

/**
 * @param user       id of the user, undefined when the route has no pin or the request names none
 * @param remembered name of the backend that the pin's store remembers
 * @param usable     by index in the split: whether the backend has a usable endpoint
 * @param rotation   the split's rotation, turned by one step when the weights decide; undefined to leave the draw
 * @param given      bucket 0–9999 that a trusted peer has found for the user; -1: none. It counts on routes with a pin,
 *                   also for a request that names no user
 */
export function decide(
  route: Route,
  user: string | undefined,
  remembered: string | undefined,
  usable: (index: number) => boolean,
  rotation: Rotation | undefined,
  given = -1,
): Decision {
  const { split } = route;
  if (route.pin !== undefined && (user !== undefined || given !== -1)) {
    const { salt } = route.pin;
    const hash = user === undefined ? 0 : userHash(salt, user);
    const bucket = given === -1 ? bucketOfHash(hash) : given;
    // Where more than the bucket counts, all users of a given bucket are one, so that all services agree on them.
    const key = given === -1 ? user! : `\0${given}`;
    const own = (weights: readonly number[], isUsable: (index: number) => boolean) =>
      backendOfUser(split.layout, bucket, salt, key, split.names, weights, isUsable);
    if (remembered !== undefined) {
      const wanted = split.names.indexOf(remembered);
      if (wanted !== -1 && split.keeps[wanted]! && mayStay(split, wanted, bucket, salt, key)) {
        if (usable(wanted)) return { index: wanted, wanted, source: 'pin', bucket, hash: hash | 0 };
        return {
          index: own(split.weights, (i) => i !== wanted && usable(i)),
          wanted,
          source: 'pin',
          bucket,
          hash: hash | 0,
        };
      }
    }
    const wanted = own(split.shares, everyBackend);
    return {
      index: wanted !== -1 && usable(wanted) ? wanted : own(split.weights, usable),
      wanted,
      source: 'bucket',
      bucket,
      hash: hash | 0,
    };
  }
  if (split.names.length === 1) {
    return {
      index: split.shares[0]! > 0 && usable(0) ? 0 : -1,
      wanted: 0,
      source: 'only',
      bucket: -1,
      hash: 0,
    };
  }
  if (rotation === undefined) {
    return { index: soleOutcome(split, usable), wanted: -1, source: 'weights', bucket: -1, hash: 0 };
  }
  const wanted = drawBackend(split.shares, rotation.turns, everyBackend);
  const index =
    wanted === -1 || usable(wanted) ? wanted : drawBackend(split.weights, rotation.spills, usable);
  return { index, wanted, source: 'weights', bucket: -1, hash: 0 };
}

/**
 * Whether a user may be kept on a backend whose share is bounded: those who would belong to it were its share as large
 * as it may be. Weights below the bound can then go up and down without moving them, and never more of them stay.
 */
function mayStay(split: Split, index: number, bucket: number, salt: string, user: string): boolean {
  const widest = split.widest?.[index];
  if (widest === undefined) return true;
  return backendOfUser(widest.layout, bucket, salt, user, split.names, widest.shares, everyBackend) === index;
}

/** The only place where a draw, spill included, could end, or -1 when there are several or none. */
function soleOutcome({ shares, weights }: Split, usable: (index: number) => boolean): number {
  let sole = -1;
  let spills = false;
  let drawn = false;
  for (let i = 0; i < shares.length; i++) {
    if (shares[i] === 0) continue;
    if (!usable(i)) spills = true;
    else if (drawn) return -1;
    else {
      drawn = true;
      sole = i;
    }
  }
  if (!spills) return sole;
  let heirs = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0 || !usable(i)) continue;
    heirs++;
    if (drawn && i !== sole) return -1;
    sole = i;
  }
  // With nobody to take over, some requests are refused.
  return heirs === 1 ? sole : -1;
}
