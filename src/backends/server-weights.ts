/** Shares and tiers of endpoints from `servers` and SRV records; pure. */

export interface Weighed {
  /** Of its server, at least 1. */
  readonly serverWeight: number;
  /** Weight of its SRV record over the average of those beside it; 1 where there is none. */
  readonly factor: number;
}

/** Hundredths of a server's weight are the finest that SRV weights are told in. */
const SCALE = 100;

/**
 * Whole numbers of at least 1 in the proportion of server weight times factor, as small as they can be: a rotation over
 * small numbers is exact within few requests.
 */
export function weightsOf(endpoints: readonly Weighed[]): number[] {
  const products = endpoints.map(({ serverWeight, factor }) => serverWeight * factor);
  const scale = products.every((product) => Number.isInteger(product) && product > 0) ? 1 : SCALE;
  const weights = products.map((product) => Math.max(1, Math.round(product * scale)));
  const divisor = weights.reduce(greatestCommonDivisor, 0);
  return divisor <= 1 ? weights : weights.map((weight) => weight / divisor);
}

export interface Target {
  /** Of the SRV record; lower ones are used first. */
  readonly priority: number;
  readonly weight: number;
}

/** The factor of each target: 1 on average within its priority. A weight of 0 is a very small one (RFC 2782). */
export function srvFactors(targets: readonly Target[]): number[] {
  const sums = new Map<number, { total: number; count: number }>();
  for (const { priority, weight } of targets) {
    const sum = sums.get(priority) ?? { total: 0, count: 0 };
    sum.total += weight;
    sum.count++;
    sums.set(priority, sum);
  }
  return targets.map(({ priority, weight }) => {
    const { total, count } = sums.get(priority)!;
    return total === 0 ? 1 : (weight * count) / total;
  });
}

/** The rank of each target's priority: 0 for the lowest one that is there. */
export function srvRanks(targets: readonly Target[]): number[] {
  const priorities = [...new Set(targets.map(({ priority }) => priority))].sort((a, b) => a - b);
  const ranks = new Map(priorities.map((priority, rank) => [priority, rank]));
  return targets.map(({ priority }) => ranks.get(priority)!);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
