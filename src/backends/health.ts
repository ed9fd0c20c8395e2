/**
 * Health of one endpoint as its checks say, pure. HAProxy's counting (`rise`, `fall`: a contrary result starts the run
 * again) with one difference: before its first check an endpoint is neither up nor down but `unchecked`, and that
 * first check decides at once, either way.
 */

import type { CheckResult, HealthState } from './endpoint.ts';

export interface EndpointHealth {
  readonly state: HealthState;
  /** Latest results in a row that contradict `state`; 0 when the last one agreed. */
  readonly contrary: number;
  /** Why the state is what it is, and what speaks against it. */
  readonly reason: string;
  /** Since when the state holds, epoch milliseconds. */
  readonly since: number;
  /** Latest results, newest last. */
  readonly checks: readonly CheckResult[];
}

export interface Thresholds {
  /** Good checks in a row from down to up, at least 1. */
  readonly rise: number;
  /** Failed checks in a row from up to down, at least 1. */
  readonly fall: number;
}

const MAX_CHECKS = 20;

export function initialHealth(now: number): EndpointHealth {
  return { state: 'unchecked', contrary: 0, reason: 'not checked yet', since: now, checks: [] };
}

/** The health after one more check, which ended at `result.at`. */
export function afterCheck(
  health: EndpointHealth,
  result: CheckResult,
  { rise, fall }: Thresholds,
): EndpointHealth {
  const checks = [...health.checks.slice(1 - MAX_CHECKS), result];
  const said: HealthState = result.ok ? 'up' : 'down';
  if (health.state === said) return { ...health, contrary: 0, reason: result.detail, checks };
  const contrary = health.contrary + 1;
  const needed = health.state === 'unchecked' ? 1 : result.ok ? rise : fall;
  if (contrary >= needed) {
    return { state: said, contrary: 0, reason: result.detail, since: result.at, checks };
  }
  const kind = result.ok ? 'good' : 'failed';
  const reason = `${contrary} of ${needed} ${kind} checks: ${result.detail}`;
  return { ...health, contrary, reason, checks };
}
