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

/** The row as far as its weights go. */
export type SplitConfig = Pick<RouteConfig, 'split' | 'rollback' | 'main'>;

/** @param override weights by backend instead of those of the file; a backend that is not in it gets none */
export function splitWeights(
  config: SplitConfig,
  backends: Config['backends'],
  override?: Readonly<Record<string, number>>,
): SplitWeights {
  const names = Object.keys(config.split);
  const given = names.map((name) => (override === undefined ? config.split[name]! : (override[name] ?? 0)));
  // An operator who gives weight to what was rolled back means it.
  const isRolled = (i: number) => override === undefined && config.rollback?.[names[i]!] !== undefined;
  const weights = given.map((weight, i) => (isRolled(i) ? 0 : weight));
  const main = mainBackend(config, backends);
  if (!isRolled(main)) {
    // Not shared out among all: another canary must not grow because this one failed.
    weights[main]! += given.reduce((sum, weight, i) => (isRolled(i) ? sum + weight : sum), 0);
  }
  const shares = withoutBackups(names, weights, backends);
  const keeps = names.map(
    (name, i) => weights[i]! > 0 || (override === undefined && config.rollback?.[name] === 'drain'),
  );
  return { names, weights, shares, keeps };
}

/**
 * Index of the backend that is no canary: the named one, else the heaviest; between equals the first by name, so that
 * the order in the file changes nothing. A roll-back does not make it another one.
 */
export function mainBackend({ split, main: named }: SplitConfig, backends: Config['backends']): number {
  const names = Object.keys(split);
  if (named !== undefined) return names.indexOf(named);
  const shares = withoutBackups(names, Object.values(split), backends);
  let main = 0;
  for (let i = 1; i < names.length; i++) {
    const heavier = shares[i]! - shares[main]!;
    if (heavier > 0 || (heavier === 0 && names[i]! < names[main]!)) main = i;
  }
  return main;
}

/**
 * Index of the backend that lies between the canaries among the buckets. Unlike the main one it must not depend on
 * weights: were the heaviest in the middle, a canary that is raised past half would change places with it, and every
 * user would move.
 */
export function middleBackend({ split, main: named }: SplitConfig): number {
  const names = Object.keys(split);
  if (named !== undefined) return names.indexOf(named);
  let last = 0;
  for (let i = 1; i < names.length; i++) if (names[i]! > names[last]!) last = i;
  return last;
}

function withoutBackups(
  names: readonly string[],
  weights: readonly number[],
  backends: Config['backends'],
): readonly number[] {
  const shares = weights.map((weight, i) => (backends[names[i]!]?.backup === true ? 0 : weight));
  return shares.some((share) => share > 0) ? shares : weights;
}

/** Shares in percent; all 0 when every weight is. */
export function percentages(shares: readonly number[]): number[] {
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => (total === 0 ? 0 : (100 * share) / total));
}
