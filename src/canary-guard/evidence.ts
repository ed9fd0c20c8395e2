/**
 * What speaks against a canary: how much more often it fails, or is slow, than production does for the same row at the
 * same time. A cumulative-sum test (Page 1954), which needs no window: each request moves a score by how much likelier
 * it is of a canary that is much worse than of one that is as good. Pure.
 */
import { BOUNDARIES_MS, BUCKETS } from '../observe/histogram.ts';

/** Requests that ended since the last look. */
export interface Outcomes {
  readonly requests: number;
  /** Of these, answered with 5xx, by the upstream or for want of one. */
  readonly errors: number;
  /** Responses by time until their head, per bucket of `BOUNDARIES_MS` and one for the overflow. */
  readonly latency: ArrayLike<number>;
}

export const NO_OUTCOMES: Outcomes = { requests: 0, errors: 0, latency: [] };

export interface EvidenceSettings {
  /** Share 0…1: production counts as failing at least this often. */
  readonly errorFloor: number;
  /** Slowness counts too. */
  readonly latency: boolean;
  /** Milliseconds; a response in less is never slow. */
  readonly slowFloor: number;
}

/** Production has to have answered so many, or there is nothing to compare with. */
const MIN_BASELINE = 100;

/** How long production is remembered, and what counts as this moment. */
const LONG_MS = 600_000;
const RECENT_MS = 15_000;

/** A burst of fewer failures of production says nothing of this moment. */
const MIN_BURST = 5;

/** Slow is what at most this share of production's responses is, and a bucket (26 %) beyond that. */
const SLOW_SHARE = 0.05;
const SLOW_SHARE_FLOOR = 0.02;

/** Production as it was lately: sums that fade. */
export interface Baseline {
  readonly long: Outcomes;
  readonly recent: Outcomes;
  /** Since the last look: in the first second of an incident the others say little of it yet. */
  readonly latest: Outcomes;
}

export const NO_BASELINE: Baseline = { long: NO_OUTCOMES, recent: NO_OUTCOMES, latest: NO_OUTCOMES };

/** @param elapsedMs since the last look */
export function updateBaseline(before: Baseline, seen: Outcomes, elapsedMs: number): Baseline {
  return {
    long: faded(before.long, seen, Math.exp(-elapsedMs / LONG_MS)),
    recent: faded(before.recent, seen, Math.exp(-elapsedMs / RECENT_MS)),
    latest: seen,
  };
}

function faded(before: Outcomes, seen: Outcomes, factor: number): Outcomes {
  const latency = new Float64Array(BUCKETS);
  for (let i = 0; i < BUCKETS; i++) latency[i] = (before.latency[i] ?? 0) * factor + (seen.latency[i] ?? 0);
  return {
    requests: before.requests * factor + seen.requests,
    errors: before.errors * factor + seen.errors,
    latency,
  };
}

/** What one kind of bad request is judged by. */
export interface Yardstick {
  /** Share of bad ones that a canary as good as production has at most. */
  readonly good: number;
  /** Share of one that is much worse. */
  readonly bad: number;
}

/** Undefined while production says too little, or fails so often that nothing can be worse. */
export function errorYardstick({ long, recent, latest }: Baseline, floor: number): Yardstick | undefined {
  if (long.requests < MIN_BASELINE) return undefined;
  return yardstick(
    Math.max(
      floor,
      upperShare(long.errors, long.requests),
      burstShare(recent.errors, recent.requests, long.errors, long.requests),
      burstShare(latest.errors, latest.requests, long.errors, long.requests),
    ),
    10,
    0.05,
  );
}

export interface SlowYardstick extends Yardstick {
  /** Index in `BOUNDARIES_MS`: responses beyond it are slow. */
  readonly boundary: number;
}

export function slowYardstick(
  { long, recent, latest }: Baseline,
  slowFloor: number,
): SlowYardstick | undefined {
  let total = 0;
  for (let i = 0; i < BUCKETS; i++) total += long.latency[i] ?? 0;
  if (total < MIN_BASELINE) return undefined;
  let beyond = total;
  let boundary = 0;
  for (; boundary < BOUNDARIES_MS.length - 1; boundary++) {
    beyond -= long.latency[boundary] ?? 0;
    if (beyond <= SLOW_SHARE * total) break;
  }
  boundary = Math.min(boundary + 1, BOUNDARIES_MS.length - 1);
  while (boundary < BOUNDARIES_MS.length - 1 && BOUNDARIES_MS[boundary]! < slowFloor) boundary++;
  const slow = slowAmong(long.latency, boundary);
  const lately = slowAmong(recent.latency, boundary);
  const now = slowAmong(latest.latency, boundary);
  const good = Math.max(
    SLOW_SHARE_FLOOR,
    upperShare(slow.slow, slow.responses),
    burstShare(lately.slow, lately.responses, slow.slow, slow.responses),
    burstShare(now.slow, now.responses, slow.slow, slow.responses),
  );
  const found = yardstick(good, 4, 0.15);
  return found === undefined ? undefined : { ...found, boundary };
}

export function slowAmong(
  latency: ArrayLike<number>,
  boundary: number,
): { readonly slow: number; readonly responses: number } {
  let slow = 0;
  let responses = 0;
  for (let i = 0; i < latency.length; i++) {
    responses += latency[i]!;
    if (i > boundary) slow += latency[i]!;
  }
  return { slow, responses };
}

function yardstick(good: number, factor: number, least: number): Yardstick | undefined {
  // A production that fails half of its requests is no measure of anything.
  if (good >= 0.5) return undefined;
  return { good, bad: Math.min(Math.max(factor * good, least), (1 + good) / 2) };
}

/** Upper bound of a share at 95 % (Wilson's score interval): a short history must not make production look perfect. */
function upperShare(bad: number, of: number): number {
  if (of <= 0) return 1;
  const z = 1.645;
  const share = bad / of;
  const centre = share + (z * z) / (2 * of);
  const spread = z * Math.sqrt((share * (1 - share) + (z * z) / (4 * of)) / of);
  return Math.min(1, (centre + spread) / (1 + (z * z) / of));
}

/**
 * What hits production at this very moment (a database that both need) is not the canary's fault; the canary may even be
 * hit harder, so it is given twice that. Only where it is more than its usual: else this is noise.
 */
function burstShare(bad: number, of: number, usual: number, usualOf: number): number {
  if (bad < MIN_BURST || of <= 0) return 0;
  const share = bad / of;
  return share > (2 * usual) / Math.max(1, usualOf) ? Math.min(1, 2 * share) : 0;
}

/** The sum, and what it was made of since it last was zero. */
export interface Score {
  readonly value: number;
  readonly requests: number;
  readonly bad: number;
}

export const NO_SCORE: Score = { value: 0, requests: 0, bad: 0 };

/** What `bad` of `requests` add: the logarithm of how much likelier they are of a bad canary. */
export function logLikelihood(bad: number, requests: number, { good, bad: worse }: Yardstick): number {
  return bad * Math.log(worse / good) + (requests - bad) * Math.log((1 - worse) / (1 - good));
}

/** The sum starts anew whenever it would say that the canary is good: that it was good for long is no credit. */
export function accumulate(score: Score, bad: number, requests: number, yardstick: Yardstick): Score {
  const value = score.value + logLikelihood(bad, requests, yardstick);
  if (value <= 0) return NO_SCORE;
  return { value, requests: score.requests + requests, bad: score.bad + bad };
}

/** As `accumulate`, without starting anew, down to `least`: for a canary that has to prove itself. */
export function weigh(
  score: Score,
  bad: number,
  requests: number,
  yardstick: Yardstick,
  least: number,
): Score {
  return {
    value: Math.max(least, score.value + logLikelihood(bad, requests, yardstick)),
    requests: score.requests + requests,
    bad: score.bad + bad,
  };
}
