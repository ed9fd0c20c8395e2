/**
 * Release sets: backends that are one release together, of one table or of the tables of several services that name the
 * same set. Their rows hash users with the same salt, so that whoever meets one member meets all, and what takes a share
 * from one takes it from all. Pure.
 */
import type { Config, HeldWeights, RouteConfig } from './schema.ts';
import { mainBackend, splitWeights } from './split-weights.ts';

const MAX_WEIGHT = 1_000_000;

export interface ReleaseSet {
  readonly name: string;
  readonly members: readonly string[];
}

/** The set of a backend; a backend is in one at most. */
export function setOf(config: Pick<Config, 'sets'>, backend: string): ReleaseSet | undefined {
  for (const [name, members] of Object.entries(config.sets)) {
    if (members.includes(backend)) return { name, members };
  }
  return undefined;
}

/** The set that a row takes part in. */
export function setOfRoute(
  config: Pick<Config, 'sets'>,
  route: Pick<RouteConfig, 'split'>,
): ReleaseSet | undefined {
  for (const backend of Object.keys(route.split)) {
    const found = setOf(config, backend);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A member of a set that has lost some of its share. */
export interface FallenMember {
  readonly backend: string;
  /** What is left of its share: 0…1. */
  readonly ratio: number;
  /** Epoch milliseconds. */
  readonly until: number;
  readonly reason: string;
  readonly by: string;
}

/** Of each set, the member of this table that has lost most of its share by what is held by hand, or by a guard. */
export function fallenMembers(
  config: Config,
  held: Readonly<Record<string, HeldWeights>>,
): ReadonlyMap<string, FallenMember> {
  const fallen = new Map<string, FallenMember>();
  for (const [name, members] of Object.entries(config.sets)) {
    const member = lowest(config, held, members);
    if (member !== undefined) fallen.set(name, member);
  }
  return fallen;
}

/**
 * What is held, with what follows from it for the other members of sets: a member whose share is lowered anywhere lowers
 * those of all others in the same proportion. Raising one says nothing of the others.
 *
 * @param fallen by set, those of this table and of others: where they come from stands in their reasons
 */
export function withSharedFate(
  config: Config,
  held: Readonly<Record<string, HeldWeights>>,
  fallen: readonly (readonly [set: string, member: FallenMember])[],
): Record<string, HeldWeights> {
  const all: Record<string, HeldWeights> = { ...held };
  for (const [name, { ratio, until, reason, by }] of fallen) {
    for (const route of config.routes) {
      const before = all[route.name];
      const lowered = loweredWeights(config, route, config.sets[name] ?? [], before?.weights, ratio);
      if (lowered === undefined) continue;
      all[route.name] = { weights: lowered, until, reason, by };
    }
  }
  return all;
}

function lowest(
  config: Config,
  held: Readonly<Record<string, HeldWeights>>,
  members: readonly string[],
): FallenMember | undefined {
  let found: FallenMember | undefined;
  for (const route of config.routes) {
    const cause = held[route.name];
    if (cause === undefined) continue;
    const ofFile = sharesOf(config, route, undefined);
    const now = sharesOf(config, route, cause.weights);
    for (const member of members) {
      const was = ofFile.get(member) ?? 0;
      if (was === 0) continue;
      const ratio = (now.get(member) ?? 0) / was;
      // A hair's difference is rounding.
      if (ratio >= 0.999 || ratio >= (found?.ratio ?? 1)) continue;
      const { until, reason, by } = cause;
      found = { backend: member, ratio, until, reason, by };
    }
  }
  return found;
}

/** Undefined where the row has no member, or none whose share is above that. */
function loweredWeights(
  config: Config,
  route: RouteConfig,
  members: readonly string[],
  held: Readonly<Record<string, number>> | undefined,
  ratio: number,
): Record<string, number> | undefined {
  const { names, weights } = splitWeights(route, config.backends, held);
  const main = names[mainBackend(route, config.backends)]!;
  const ofFile = sharesOf(config, route, undefined);
  const now = sharesOf(config, route, held);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Whole numbers, so all are raised before a part is taken of one.
  const scale = Math.max(1, Math.min(1_000, Math.floor(MAX_WEIGHT / Math.max(1, total))));
  const lowered = Object.fromEntries(names.map((name, i) => [name, weights[i]! * scale]));
  let changed = false;
  for (const member of members) {
    if (member === main || !Object.hasOwn(lowered, member)) continue;
    const allowed = (ofFile.get(member) ?? 0) * ratio;
    if ((now.get(member) ?? 0) <= allowed * 1.001) continue;
    const kept = ratio === 0 ? 0 : Math.max(1, Math.round(allowed * total * scale));
    if (kept >= lowered[member]!) continue;
    lowered[main]! += lowered[member]! - kept;
    lowered[member] = kept;
    changed = true;
  }
  return changed ? lowered : undefined;
}

/** 0…1, by backend. */
function sharesOf(
  config: Config,
  route: RouteConfig,
  held: Readonly<Record<string, number>> | undefined,
): Map<string, number> {
  const { names, weights } = splitWeights(route, config.backends, held);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return new Map(names.map((name, i) => [name, total === 0 ? 0 : weights[i]! / total]));
}
