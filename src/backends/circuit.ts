/** What can be expected of a backend as a whole, from the states of its endpoints; pure. */

import { type AvailabilityFacts, availabilityOf } from './availability.ts';
import type { CircuitState } from './endpoint.ts';

export interface Circuit {
  readonly state: CircuitState;
  readonly reason: string;
  /** Healthy endpoints among those checked of the tier in use, from 0 to 1; 0 when none is available. */
  readonly healthyShare: number;
}

/**
 * @param panicThreshold percent of healthy endpoints below which all are used; 0: never
 * @param absence why there are no endpoints, when there are none
 */
export function circuitOf(
  endpoints: readonly AvailabilityFacts[],
  panicThreshold: number,
  absence: string,
): Circuit {
  const { available, fleet, healthyPercent } = availabilityOf(endpoints);
  const healthyShare = healthyPercent / 100;
  if (fleet.length === 0) {
    const reason = endpoints.length === 0 ? `no endpoints: ${absence}` : 'every endpoint is drained';
    return { state: 'open', reason, healthyShare };
  }
  const down = fleet.filter(({ health }) => health === 'down').length;
  const ejected = fleet.filter((endpoint) => endpoint.ejected && endpoint.health !== 'down').length;
  const out = [...amount(down, 'down'), ...amount(ejected, 'ejected')].join(', ');
  if (available.length === 0) return { state: 'open', reason: `none available: ${out}`, healthyShare };
  const unchecked = available[0]!.health === 'unchecked';
  if (out === '') {
    const reason = unchecked ? 'not checked yet' : `${available.length} available`;
    return { state: 'closed', reason, healthyShare };
  }
  const firstTier = Math.min(...fleet.map(({ tier }) => tier));
  const standIns = available[0]!.tier > firstTier ? ', which stand in for the others' : '';
  const reason = `${available.length} of ${fleet.length} available${standIns}; ${out}`;
  if (healthyPercent < panicThreshold) {
    const share = `${Math.floor(healthyPercent)} % healthy is less than ${panicThreshold} %`;
    return { state: 'panic', reason: `${reason}; ${share}`, healthyShare };
  }
  return { state: 'degraded', reason, healthyShare };
}

function amount(count: number, what: string): string[] {
  return count === 0 ? [] : [`${count} ${what}`];
}
