/**
 * What is known of one name over time, pure: an answer replaces the targets, a failure takes none away before `hold` is
 * over, which by default is never. Checks decide whether a stale address is still good; DNS that is down for a minute
 * must not take a single endpoint out.
 */

import { formatDuration } from '../config/units.ts';
import type { ResolutionState } from './endpoint.ts';
import { type FailureKind, isDenial, type Resolution } from './resolution.ts';
import { plainTargets, type Target } from './target.ts';

export interface NameState {
  readonly state: ResolutionState;
  readonly reason: string;
  /** Since when `state` holds, epoch milliseconds. */
  readonly since: number;
  readonly answeredAt: number | undefined;
  readonly ttlMs: number | undefined;
  /** In a stable order. */
  readonly targets: readonly Target[];
  /** Failures in a row. */
  readonly failures: number;
  /** Kind of the latest one; undefined when the last question was answered. */
  readonly failure: FailureKind | undefined;
  /** When the first of them came, by the monotonic clock; undefined when there are none. */
  readonly failingSince: number | undefined;
  /** How long the latest one says that it stays so. */
  readonly denialTtlMs: number | undefined;
  /** Says that the last targets were given up, and by which rule; undefined while there are some or never were. */
  readonly givenUp: string | undefined;
}

/** How long the last targets stay in use once questions fail, by the kind of the latest failure; milliseconds. */
export type Hold = Readonly<Record<FailureKind, number>>;

/** When names are asked for, and for how long their targets stay; milliseconds. */
export interface NameRules {
  readonly minTtl: number;
  readonly maxTtl: number;
  readonly hold: Hold;
}

export interface Moment {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly monotonic: number;
}

/** Longest wait for a name that has no address at all: traffic waits for it, so it must come up soon after it appears. */
const FAILED_RETRY_MS = 2_000;
/** Share of a wait by which questions are spread, so that replicas and names do not ask in step. */
const JITTER = 0.1;

/** The latest question was answered, or there was none yet. */
const GOOD = {
  failures: 0,
  failure: undefined,
  failingSince: undefined,
  denialTtlMs: undefined,
  givenUp: undefined,
} as const;

export function pendingName(now: number): NameState {
  return {
    state: 'pending',
    reason: 'not asked yet',
    since: now,
    answeredAt: undefined,
    ttlMs: undefined,
    targets: [],
    ...GOOD,
  };
}

/** A host that is an address needs no question. */
export function staticName(address: string, now: number): NameState {
  const targets = plainTargets([address]);
  return { ...pendingName(now), state: 'static', reason: 'the URL holds an address', targets };
}

export function afterResolution(
  before: NameState,
  resolution: Resolution,
  moment: Moment,
  hold: Hold,
): NameState {
  if (resolution.kind === 'answer') {
    const { targets, ttlMs, omitted, note } = resolution;
    const leftOut = omitted === 0 ? '' : `, ${omitted} more left out`;
    return {
      state: 'resolved',
      reason: `${plural(targets.length)}${leftOut}${note === undefined ? '' : `; ${note}`}`,
      since: before.state === 'resolved' ? before.since : moment.now,
      answeredAt: moment.now,
      ttlMs,
      targets,
      ...GOOD,
    };
  }
  const { detail, reason, ttlMs } = resolution;
  const state = before.targets.length > 0 ? 'stale' : 'failed';
  const after: NameState = {
    ...before,
    state,
    reason: before.givenUp === undefined ? detail : `${detail}; ${before.givenUp}`,
    since: before.state === state ? before.since : moment.now,
    failures: before.failures + 1,
    failure: reason,
    failingSince: before.failingSince ?? moment.monotonic,
    denialTtlMs: ttlMs,
  };
  return afterHold(after, moment, hold);
}

/** Gives the last targets up when their time is over; the same state when it is not. */
export function afterHold(state: NameState, { now, monotonic }: Moment, hold: Hold): NameState {
  if (holdLeft(state, monotonic, hold) > 0) return state;
  const kind = state.failure!;
  const givenUp = `the last addresses were given up after ${formatDuration(hold[kind])} (resolver.hold.${kind})`;
  const reason = `${state.reason}; ${givenUp}`;
  return { ...state, state: 'failed', reason, since: now, targets: [], givenUp };
}

/**
 * Milliseconds until the last targets are given up, 0 or less: now. The kind of the latest failure says how long they
 * stay, counted from the first failure after the last good answer, of whichever kind that was.
 */
export function holdLeft({ state, failure, failingSince }: NameState, monotonic: number, hold: Hold): number {
  if (state !== 'stale') return Number.POSITIVE_INFINITY;
  return failingSince! + hold[failure!] - monotonic;
}

/**
 * Whether DNS has had its say: it gave addresses, or said that there are none. A server that did not answer says nothing
 * about the name.
 */
export function isDecided({ state, failure }: NameState): boolean {
  if (state === 'failed') return isDenial(failure!);
  return state !== 'pending';
}

/**
 * Milliseconds until the name is asked for again: the TTL after an answer, the time that a denial may be remembered
 * after one (RFC 2308), else `minTtl` doubled with every failure; between `minTtl` and `maxTtl`.
 * @param random uniform in [0, 1)
 */
export function nextQuestionIn(
  name: NameState,
  { minTtl, maxTtl }: Pick<NameRules, 'minTtl' | 'maxTtl'>,
  random: number,
): number {
  const low = Math.min(minTtl, maxTtl);
  if (name.failures === 0) return spread(name.ttlMs ?? low, low, random);
  const longest = name.state === 'failed' ? Math.min(maxTtl, Math.max(low, FAILED_RETRY_MS)) : maxTtl;
  const wait = name.denialTtlMs ?? low * 2 ** Math.min(name.failures - 1, 30);
  return spread(Math.max(low, Math.min(longest, wait)), low, random);
}

function spread(ms: number, low: number, random: number): number {
  return Math.max(low, Math.round(ms * (1 - JITTER * random)));
}

function plural(count: number): string {
  return count === 1 ? '1 address' : `${count} addresses`;
}
