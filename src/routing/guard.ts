/** Rows as groups see them to whom something is promised, and as an operator has them for a while. */
import type { Config } from '../config/schema.ts';
import { type SplitWeights, splitWeights } from '../config/split-weights.ts';
import { layOut } from './bucket.ts';
import { type GroupClass, type Groups, guardWeights, type Invariant } from './invariants.ts';
import type { Route, Split } from './route.ts';

/**
 * The row with weights that an operator set by hand, until they are taken back. They come before pins: a user leaves a
 * backend that they give nothing. What is promised to groups holds for them too.
 *
 * @param override by backend of the split; one that is not named gets nothing
 */
export function withWeights(
  table: { readonly config: Config; readonly groups: Groups },
  route: Route,
  override: Readonly<Record<string, number>>,
): Route {
  const weights = splitWeights(table.config.routes[route.index]!, table.config.backends, override);
  const split = compileSplit(weights, route.split.backendIds, route.split.main, route.split.middle);
  return withGuards({ ...route, split }, table.groups);
}

/** The row as requests of the class see it. */
export function guardedRoute(route: Route, { index, invariants }: GroupClass): Route {
  if (route.guarded === undefined && index !== -1) return route;
  // Made for one request that names several groups; those that are met again and again are in the table.
  return (index === -1 ? guard(route, invariants) : route.guarded?.[index]) ?? route;
}

export function withGuards(route: Route, groups: Groups): Route {
  const guarded = groups.classes.map(({ invariants }) => guard(route, invariants));
  return { ...route, guarded: guarded.some((one) => one !== undefined) ? guarded : undefined };
}

function guard(route: Route, invariants: readonly Invariant[]): Route | undefined {
  const { split } = route;
  const weights = guardWeights(split.names, split, invariants);
  if (weights === undefined) return undefined;
  const guarded = compileSplit(
    { names: split.names, ...weights },
    split.backendIds,
    split.main,
    split.middle,
  );
  const widest = weights.widest?.map((shares) =>
    shares === undefined ? undefined : { shares, layout: layOut(split.names, shares, split.middle) },
  );
  return { ...route, split: { ...guarded, widest }, guarded: undefined, limits: weights.limits };
}

export function compileSplit(
  { names, weights, shares, keeps }: SplitWeights,
  backendIds: readonly number[],
  main: number,
  middle: number,
): Split {
  const layout = layOut(names, shares, middle);
  return { names, weights, shares, keeps, backendIds, main, middle, layout, widest: undefined };
}
