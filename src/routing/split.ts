/** Smooth weighted round robin over the backends of a split: exact shares in every window, evenly interleaved. */

/** Where the rotation of one split stands; owned by the caller, changed by the draws alone. */
export interface Rotation {
  /** Turned with every draw as if nothing ever failed, so that the shares are exact whatever happens. */
  readonly turns: Float64Array;
  /** Turned only by draws whose backend cannot be used: what it cannot take goes to the others in proportion. */
  readonly spills: Float64Array;
}

export function rotationOf(size: number): Rotation {
  return { turns: new Float64Array(size), spills: new Float64Array(size) };
}

/** Steps at most that a new rotation is turned; covers every cycle of everyday weights. */
const MAX_PHASE = 10_000;

/**
 * A rotation at a random phase. HAProxy starts every process at phase 0, so that the first 19 of 20 requests after
 * each start go to production and frequent restarts starve the canary.
 *
 * @param random uniform in [0, 1)
 */
export function newRotation(weights: readonly number[], random: number): Rotation {
  const rotation = rotationOf(weights.length);
  const cycle = weights.reduce((sum, weight) => sum + weight, 0) / commonDivisor(weights);
  const steps = Math.floor(random * Math.min(cycle, MAX_PHASE));
  for (let i = 0; i < steps; i++) drawBackend(weights, rotation.turns, everyBackend);
  return rotation;
}

/**
 * Draws the next backend and turns the rotation by one step. Unusable backends count as weight 0.
 *
 * @returns index in the split; -1 when nothing with a weight is usable
 */
export function drawBackend(
  weights: readonly number[],
  turns: Float64Array,
  usable: (index: number) => boolean,
): number {
  let total = 0;
  let best = -1;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight === 0 || !usable(i)) continue;
    total += weight;
    turns[i]! += weight;
    if (best === -1 || turns[i]! > turns[best]!) best = i;
  }
  if (best !== -1) turns[best]! -= total;
  return best;
}

/** A weighted draw without a rotation, for redispatches, which must not disturb the exact shares. */
export function drawAtRandom(
  weights: readonly number[],
  random: number,
  usable: (index: number) => boolean,
): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) if (usable(i)) total += weights[i]!;
  let rest = random * total;
  let last = -1;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0 || !usable(i)) continue;
    last = i;
    rest -= weights[i]!;
    if (rest < 0) return i;
  }
  return last;
}

export function everyBackend(): boolean {
  return true;
}

function commonDivisor(weights: readonly number[]): number {
  let divisor = 0;
  for (const weight of weights) {
    let a = divisor;
    let b = weight;
    while (b !== 0) [a, b] = [b, a % b];
    divisor = a;
  }
  return divisor === 0 ? 1 : divisor;
}
