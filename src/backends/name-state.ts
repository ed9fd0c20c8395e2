/**
 * What is known of one name over time, pure: an answer replaces the addresses, a failure never takes any away. Checks
 * decide whether a stale address is still good; DNS that is down for a minute must not take a single endpoint out.
 */

import { endpointLabel, type ResolutionState } from './endpoint.ts';
import type { FailureKind, Resolution } from './resolver.ts';

/** Something that a name stands for. */
export interface Target {
  readonly address: string;
  /** Of a SRV record; undefined: the URL's own. */
  readonly port: number | undefined;
  /** Name that a SRV record points to; undefined: the URL's own. */
  readonly host: string | undefined;
  /** Of a SRV record, from 0 (as little as there is, RFC 2782) to 65535; 1 without one. */
  readonly weight: number;
  /** Of a SRV record; lower ones come first. 0 without one. */
  readonly priority: number;
}

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
}

export interface TtlBounds {
  readonly minTtl: number;
  readonly maxTtl: number;
}

/** Longest wait for a name that has no address at all: traffic waits for it, so it must come up soon after it appears. */
const FAILED_RETRY_MS = 2_000;
/** Share of a wait by which questions are spread, so that replicas and names do not ask in step. */
const JITTER = 0.1;

/** Addresses without a SRV record. */
export function plainTargets(addresses: readonly string[]): Target[] {
  return addresses.map((address) => ({ address, port: undefined, host: undefined, weight: 1, priority: 0 }));
}

/** `10.1.2.3`, or `10.1.2.3:8080` where DNS told the port. */
export function targetLabel({ address, port }: Target): string {
  return port === undefined ? address : endpointLabel(address, port);
}

export function pendingName(now: number): NameState {
  return {
    state: 'pending',
    reason: 'not asked yet',
    since: now,
    answeredAt: undefined,
    ttlMs: undefined,
    targets: [],
    failures: 0,
    failure: undefined,
  };
}

/** A host that is an address needs no question. */
export function staticName(address: string, now: number): NameState {
  return {
    ...pendingName(now),
    state: 'static',
    reason: 'the URL holds an address',
    targets: plainTargets([address]),
  };
}

export function afterResolution(before: NameState, resolution: Resolution, now: number): NameState {
  if (resolution.kind === 'answer') {
    const { targets, ttlMs, omitted } = resolution;
    return {
      state: 'resolved',
      reason: omitted === 0 ? plural(targets.length) : `${plural(targets.length)}, ${omitted} more left out`,
      since: before.state === 'resolved' ? before.since : now,
      answeredAt: now,
      ttlMs,
      targets,
      failures: 0,
      failure: undefined,
    };
  }
  const state = before.targets.length > 0 ? 'stale' : 'failed';
  return {
    ...before,
    state,
    reason: resolution.detail,
    since: before.state === state ? before.since : now,
    failures: before.failures + 1,
    failure: resolution.reason,
  };
}

/**
 * Whether DNS has had its say: it gave addresses, or said that there are none. A server that did not answer says nothing
 * about the name.
 */
export function isDecided({ state, failure }: NameState): boolean {
  if (state === 'failed') return failure === 'notFound' || failure === 'noAddresses';
  return state !== 'pending';
}

/**
 * Milliseconds until the name is asked for again: the TTL after an answer, else `minTtl` doubled with every failure.
 * @param random uniform in [0, 1)
 */
export function nextQuestionIn(name: NameState, { minTtl, maxTtl }: TtlBounds, random: number): number {
  const low = Math.min(minTtl, maxTtl);
  if (name.failures === 0) return spread(name.ttlMs ?? low, low, random);
  const longest = name.state === 'failed' ? Math.min(maxTtl, Math.max(low, FAILED_RETRY_MS)) : maxTtl;
  return spread(Math.min(longest, low * 2 ** Math.min(name.failures - 1, 30)), low, random);
}

function spread(ms: number, low: number, random: number): number {
  return Math.max(low, Math.round(ms * (1 - JITTER * random)));
}

function plural(count: number): string {
  return count === 1 ? '1 address' : `${count} addresses`;
}
