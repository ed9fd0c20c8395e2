/** Traffic of a canary and its production as numbers, drawn anew for each second from a seed. */
import { NO_OUTCOMES, type Outcomes } from '../../../src/canary-guard/evidence.ts';
import {
  type Effect,
  type GuardSettings,
  type GuardState,
  newGuard,
  step,
} from '../../../src/canary-guard/state.ts';
import { BUCKETS, bucketIndex } from '../../../src/observe/histogram.ts';

export const SETTINGS: GuardSettings = {
  mode: 'act',
  threshold: 11.5,
  errorFloor: 0.005,
  minRequests: 20,
  latency: true,
  slowFloor: 10,
  hold: 30_000,
  maxHold: 300_000,
  latchAfter: 3,
  latchWithin: 1_800_000,
};

/** Mulberry32: uniform in [0, 1), the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Behaviour {
  readonly perSecond: number;
  /** Share of failures, 0…1. */
  readonly errors: number;
  /** Of the time to the response head, milliseconds; its logarithm is normal with a deviation of 0.6. */
  readonly medianMs: number;
}

const NORMALS = 4_096;
const normals = (() => {
  const random = randomOf(7);
  return Float64Array.from({ length: NORMALS }, () => {
    return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  });
})();

export function second(
  random: () => number,
  { perSecond, errors, medianMs }: Behaviour,
  share = 1,
): Outcomes {
  const expected = perSecond * share;
  const requests = Math.floor(expected) + (random() < expected % 1 ? 1 : 0);
  const latency = new Float64Array(BUCKETS);
  let failed = 0;
  for (let i = 0; i < requests; i++) {
    if (random() < errors) failed++;
    latency[bucketIndex(medianMs * Math.exp(0.6 * normals[Math.floor(random() * NORMALS)]!))]!++;
  }
  return { requests, errors: failed, latency };
}

export interface Happening {
  /** Seconds since the start. */
  readonly at: number;
  readonly effect: Effect;
}

/**
 * A guard over so many seconds. The canary gets no traffic while it is braked, and a tenth while it is probing.
 *
 * @param behaviour of the canary in that second, and of production
 */
export function simulate(
  seed: number,
  seconds: number,
  behaviour: (at: number) => { readonly canary: Behaviour; readonly main: Behaviour },
  settings: GuardSettings = SETTINGS,
  stopAtFirst = false,
): { readonly happened: Happening[]; readonly state: GuardState; readonly requests: number } {
  const random = randomOf(seed);
  const happened: Happening[] = [];
  let state = newGuard(0);
  let requests = 0;
  for (let at = 1; at <= seconds; at++) {
    const { canary, main } = behaviour(at);
    const acts = settings.mode === 'act';
    const share = !acts || state.phase === 'watching' ? 1 : state.phase === 'probing' ? 0.1 : 0;
    const seen = share === 0 ? NO_OUTCOMES : second(random, canary, share);
    requests += seen.requests;
    const stepped = step(
      state,
      { now: at * 1_000, elapsedMs: 1_000, main: second(random, main), canary: seen },
      settings,
    );
    state = stepped.state;
    if (stepped.effect === undefined) continue;
    happened.push({ at, effect: stepped.effect });
    if (stopAtFirst) break;
  }
  return { happened, state, requests };
}
