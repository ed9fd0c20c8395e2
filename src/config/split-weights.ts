/** The weights of a row as they count, once backups and roll-backs are taken into account. Pure. */
import type { Config, RouteConfig } from './schema.ts';

/** Parallel arrays in the order of the configuration. */
export interface SplitWeights {
  readonly names: readonly string[];
  /** What takes over when others fail, in this proportion; 0: never. */
  readonly weights: readonly number[];
  /** The weights while nothing fails: 0 for `backup` backends, unless there are no others. */
  readonly shares: readonly number[];
  /** Whether a user whom a store remembers there stays. */
  readonly keeps: readonly boolean[];
}

/** @param override weights by backend instead of those of the file; a backend that is not in it gets none */
export function splitWeights(
  route: Pick<RouteConfig, 'split' | 'rollback'>,
  backends: Config['backends'],
  override?: Readonly<Record<string, number>>,
): SplitWeights {
  const names = Object.keys(route.split);
  const given = names.map((name) => (override === undefined ? route.split[name]! : (override[name] ?? 0)));
  // An operator who gives weight to what was rolled back means it.
  const weights = given.map((weight, i) =>
    override === undefined && route.rollback?.[names[i]!] !== undefined ? 0 : weight,
  );
  const first = weights.map((weight, i) => (backends[names[i]!]?.backup === true ? 0 : weight));
  return {
    names,
    weights,
    shares: first.some((share) => share > 0) ? first : weights,
    keeps: names.map(
      (name, i) => weights[i]! > 0 || (override === undefined && route.rollback?.[name] === 'drain'),
    ),
  };
}

/** Shares in percent; all 0 when every weight is. */
export function percentages(shares: readonly number[]): number[] {
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => (total === 0 ? 0 : (100 * share) / total));
}
