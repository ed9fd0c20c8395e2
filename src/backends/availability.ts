/**
 * Which endpoints of a backend may take requests, and how the backends of a split stand in for each other. Pure over
 * plain data, and computed when states change, never per request.
 */
import type { EndpointState } from './endpoint.ts';

export type AvailabilityFacts = Pick<EndpointState, 'health' | 'tier' | 'drained' | 'ejected'>;

export interface Availability<T> {
  /** Up (or, while none is up, not checked yet), neither drained nor ejected, of the lowest tier that has any. */
  readonly available: readonly T[];
  /** All that are not drained, whatever their state: what a backend in panic uses. */
  readonly fleet: readonly T[];
  /** How many of the tier in use are available, in percent of those that were checked; 0 when none is. */
  readonly healthyPercent: number;
}

export function availabilityOf<T extends AvailabilityFacts>(endpoints: readonly T[]): Availability<T> {
  const fleet = endpoints.filter(({ drained }) => !drained);
  const eligible = fleet.filter(({ ejected }) => !ejected);
  const up = eligible.filter(({ health }) => health === 'up');
  const candidates = up.length > 0 ? up : eligible.filter(({ health }) => health === 'unchecked');
  if (candidates.length === 0) return { available: [], fleet, healthyPercent: 0 };
  let tier = Number.POSITIVE_INFINITY;
  for (const endpoint of candidates) tier = Math.min(tier, endpoint.tier);
  const available = candidates.filter((endpoint) => endpoint.tier === tier);
  // What has not been checked yet says nothing of the backend's health: a scale-up must not look like an outage.
  const failed = fleet.filter(
    (endpoint) => endpoint.tier === tier && (endpoint.health === 'down' || endpoint.ejected),
  );
  return { available, fleet, healthyPercent: (100 * available.length) / (available.length + failed.length) };
}

/** `available`: those that are; `panic`: all that are not drained, healthy or not. */
export type BackendUse = 'none' | 'available' | 'panic';

/** A backend as one split sees it. */
export interface SplitMember {
  /** In this proportion it takes over from others; 0: never. */
  readonly weight: number;
  /** Has users or a share of its own, though it may take over nothing. */
  readonly holds?: boolean;
  /** Gets its weight only while no other backend is available. */
  readonly backup: boolean;
  /** Endpoints. */
  readonly available: number;
  readonly fleet: number;
  readonly healthyPercent: number;
  /** 0: never. */
  readonly panicThreshold: number;
}

/**
 * How each backend of a split is used now.
 *
 * The main backend panics rather than crowd the few endpoints that are left, a canary never does: it has the main
 * backend to fall back on. With nothing available anywhere the main backend's endpoints are tried all the same: checks
 * may be wrong, and an answer of its own would be an error for certain.
 *
 * @param main index of the backend that is not a canary
 */
export function usesOf(members: readonly SplitMember[], main: number): BackendUse[] {
  const serves = (member: SplitMember) =>
    (member.weight > 0 || member.holds === true) && member.available > 0;
  const backupNeeded = !members.some((member) => !member.backup && member.weight > 0 && member.available > 0);
  const uses = members.map((member, index): BackendUse => {
    if (!serves(member) || (member.backup && !backupNeeded)) return 'none';
    return index === main && member.healthyPercent < member.panicThreshold ? 'panic' : 'available';
  });
  const last = members[main];
  if (last !== undefined && last.weight > 0 && last.fleet > 0 && last.panicThreshold > 0) {
    if (!uses.some((use) => use !== 'none')) uses[main] = 'panic';
  }
  return uses;
}
