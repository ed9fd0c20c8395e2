/**
 * The guard of one canary of one row as a state machine over counts and time. Pure.
 *
 *     watching ──worse──▶ braked ──hold is over──▶ probing ──as good──▶ watching
 *                           ▲                          │
 *                           └──────────worse───────────┘      the third time within a while: latched
 */
import {
  accumulate,
  type Baseline,
  type EvidenceSettings,
  errorYardstick,
  NO_BASELINE,
  NO_SCORE,
  type Outcomes,
  type Score,
  slowAmong,
  slowYardstick,
  updateBaseline,
  weigh,
  type Yardstick,
} from './evidence.ts';

/** `braked`: no share; `probing`: a small share, to see whether it is better; `latched`: no share until somebody acts. */
export type Phase = 'watching' | 'braked' | 'probing' | 'latched';

export type Cause = 'errors' | 'latency';

/** Times in milliseconds. */
export interface GuardSettings extends EvidenceSettings {
  /** `warn`: everything but the braking. */
  readonly mode: 'warn' | 'act';
  /** Score at which a canary counts as worse. */
  readonly threshold: number;
  /** Requests of the canary that a verdict needs at least. */
  readonly minRequests: number;
  /** Of the first brake; the second lasts twice as long, and so on up to `maxHold`. */
  readonly hold: number;
  readonly maxHold: number;
  /** So many verdicts within `latchWithin` latch. */
  readonly latchAfter: number;
  readonly latchWithin: number;
}

/** Why a canary was found to be worse, in numbers. */
export interface Verdict {
  readonly cause: Cause;
  readonly requests: number;
  readonly bad: number;
  /** Share of bad ones that production was taken to have. */
  readonly baseline: number;
  /** Of `latency`: index in `BOUNDARIES_MS` beyond which a response counts as slow; else -1. */
  readonly boundary: number;
}

export interface GuardState {
  readonly phase: Phase;
  /** Monotonic milliseconds, as all times here. */
  readonly since: number;
  /** When `braked` ends. */
  readonly until: number;
  /** Of the verdicts that count towards the latch, oldest first. */
  readonly trips: readonly number[];
  readonly errors: Score;
  readonly slow: Score;
  readonly baseline: Baseline;
  /** The latest. */
  readonly verdict: Verdict | undefined;
}

/** What is to be done, and told. */
export type Effect =
  | { readonly type: 'brake'; readonly verdict: Verdict; readonly trip: number; readonly holdMs: number }
  | { readonly type: 'latch'; readonly verdict: Verdict; readonly trip: number }
  | { readonly type: 'probe' }
  | { readonly type: 'recover' };

export interface Observation {
  readonly now: number;
  readonly elapsedMs: number;
  readonly main: Outcomes;
  readonly canary: Outcomes;
}

/** A probing canary passes when being good is a hundred times likelier, and fails on half of the usual evidence. */
const PROBE_PASSES = -Math.log(100);
const PROBE_FAILS = 0.5;

export function newGuard(now: number): GuardState {
  return {
    phase: 'watching',
    since: now,
    until: 0,
    trips: [],
    errors: NO_SCORE,
    slow: NO_SCORE,
    baseline: NO_BASELINE,
    verdict: undefined,
  };
}

export function step(
  state: GuardState,
  seen: Observation,
  settings: GuardSettings,
): { readonly state: GuardState; readonly effect: Effect | undefined } {
  const baseline = updateBaseline(state.baseline, seen.main, seen.elapsedMs);
  // This moment included: when both fail together, that is not the canary's fault.
  const errors = errorYardstick(baseline, settings.errorFloor);
  const slow = settings.latency ? slowYardstick(baseline, settings.slowFloor) : undefined;
  const next = { ...state, baseline };
  switch (state.phase) {
    case 'watching':
      return watched(next, seen, settings, errors, slow);
    case 'braked':
      if (seen.now < state.until) return { state: next, effect: undefined };
      return { state: entered(next, 'probing', seen.now), effect: { type: 'probe' } };
    case 'probing':
      return probed(next, seen, settings, errors, slow);
    case 'latched':
      // Where nothing is braked there is traffic to tell that it is good again.
      return settings.mode === 'warn'
        ? probed(next, seen, settings, errors, slow)
        : { state: next, effect: undefined };
  }
}

type Slow = ReturnType<typeof slowYardstick>;
type Stepped = ReturnType<typeof step>;

function watched(
  state: GuardState,
  { now, canary }: Observation,
  settings: GuardSettings,
  errors: Yardstick | undefined,
  slow: Slow,
): Stepped {
  const next = { ...state };
  // Nothing to compare with: what was found so far stands, and nothing is added.
  if (errors !== undefined) next.errors = accumulate(state.errors, canary.errors, canary.requests, errors);
  if (slow !== undefined) {
    const { slow: bad, responses } = slowAmong(canary.latency, slow.boundary);
    next.slow = accumulate(state.slow, bad, responses, slow);
  }
  const verdict = verdictOf(next, settings.threshold, settings.minRequests, errors, slow);
  return verdict === undefined ? { state: next, effect: undefined } : tripped(next, verdict, now, settings);
}

function probed(
  state: GuardState,
  { now, canary }: Observation,
  settings: GuardSettings,
  errors: Yardstick | undefined,
  slow: Slow,
): Stepped {
  const next = { ...state };
  if (errors !== undefined) {
    next.errors = weigh(state.errors, canary.errors, canary.requests, errors, PROBE_PASSES);
  }
  if (slow !== undefined) {
    const { slow: bad, responses } = slowAmong(canary.latency, slow.boundary);
    next.slow = weigh(state.slow, bad, responses, slow, PROBE_PASSES);
  }
  const verdict = verdictOf(next, settings.threshold * PROBE_FAILS, 1, errors, slow);
  if (verdict !== undefined) {
    if (state.phase === 'latched')
      return { state: { ...next, errors: NO_SCORE, slow: NO_SCORE }, effect: undefined };
    return tripped(next, verdict, now, settings);
  }
  const passes =
    next.errors.requests >= settings.minRequests &&
    next.errors.value <= PROBE_PASSES &&
    (slow === undefined || next.slow.value <= PROBE_PASSES);
  if (!passes) return { state: next, effect: undefined };
  return { state: entered(next, 'watching', now), effect: { type: 'recover' } };
}

function verdictOf(
  { errors, slow }: GuardState,
  threshold: number,
  minRequests: number,
  ofErrors: Yardstick | undefined,
  ofSlow: Slow,
): Verdict | undefined {
  if (errors.value >= threshold && errors.requests >= minRequests && ofErrors !== undefined) {
    const { requests, bad } = errors;
    return { cause: 'errors', requests, bad, baseline: ofErrors.good, boundary: -1 };
  }
  if (slow.value >= threshold && slow.requests >= minRequests && ofSlow !== undefined) {
    const { requests, bad } = slow;
    return { cause: 'latency', requests, bad, baseline: ofSlow.good, boundary: ofSlow.boundary };
  }
  return undefined;
}

function tripped(state: GuardState, verdict: Verdict, now: number, settings: GuardSettings): Stepped {
  const trips = [...recentTrips(state, now, settings), now].slice(-settings.latchAfter);
  const trip = trips.length;
  const next = { ...entered(state, 'braked', now), trips, verdict };
  if (trip >= settings.latchAfter) {
    return { state: { ...next, phase: 'latched' }, effect: { type: 'latch', verdict, trip } };
  }
  const holdMs = Math.min(settings.hold * trip, settings.maxHold);
  return { state: { ...next, until: now + holdMs }, effect: { type: 'brake', verdict, trip, holdMs } };
}

export function recentTrips(state: GuardState, now: number, { latchWithin }: GuardSettings): number[] {
  return state.trips.filter((at) => now - at <= latchWithin);
}

function entered(state: GuardState, phase: Phase, now: number): GuardState {
  return { ...state, phase, since: now, until: 0, errors: NO_SCORE, slow: NO_SCORE };
}

/** Somebody took the brake away, or changed the row: everything begins anew, the latch too. */
export function released(state: GuardState, now: number): GuardState {
  return { ...newGuard(now), baseline: state.baseline };
}

/** Another replica brakes now: it decides when to try again. */
export function followed(state: GuardState, now: number): GuardState {
  return { ...entered(state, 'watching', now), trips: state.trips };
}

/** Another replica found the canary to be worse: that counts here too. */
export function notedTrip(state: GuardState, now: number, settings: GuardSettings): GuardState {
  return {
    ...state,
    trips: [...recentTrips(state, now, settings), now].slice(-settings.latchAfter),
  };
}
