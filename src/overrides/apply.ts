/** A configuration with what was set by hand laid over it. Pure: the same overrides over the next one survive a reload. */
import type { BackendConfig, Config, HeldWeights, RouteConfig } from '../config/schema.ts';
import { type FallenMember, fallenMembers, withSharedFate } from '../config/sets.ts';
import { splitWeights } from '../config/split-weights.ts';
import { describeTarget, type Override } from './override.ts';

/** What becomes of an override in the table at hand; `void`: it names something that the table does not have. */
export interface Effect {
  readonly override: Override;
  readonly state: 'holds' | 'void';
  /** Why it is void; '' when it holds. */
  readonly reason: string;
}

export interface Overridden {
  /** The very same object when nothing holds. */
  readonly config: Config;
  readonly effects: readonly Effect[];
  /** By release set: the member of this table that lost most of its share by them. */
  readonly fallen: ReadonlyMap<string, FallenMember>;
}

/** What befell members of release sets in the tables of other services. */
export interface FatesElsewhere {
  readonly fallen: readonly (readonly [set: string, member: FallenMember])[];
  readonly lostSets: Readonly<Record<string, string>>;
}

export const NO_FATES: FatesElsewhere = { fallen: [], lostSets: {} };

/** @param overrides those that are active */
export function applyOverrides(
  config: Config,
  overrides: readonly Override[],
  elsewhere: FatesElsewhere = NO_FATES,
): Overridden {
  const effects: Effect[] = [];
  const held: Record<string, HeldWeights> = {};
  const backends: Record<string, BackendConfig> = {};
  for (const override of overrides) {
    const { target } = override;
    const fault = target.kind === 'split' ? splitFault(config, target) : drainFault(config, target);
    effects.push({ override, state: fault === undefined ? 'holds' : 'void', reason: fault ?? '' });
    if (fault !== undefined) continue;
    if (target.kind === 'split') {
      const { until, reason, by } = override;
      const weights = weightsWith(routeOf(config, target.route)!, config.backends, target.weights);
      held[target.route] = { weights, until, reason, by };
    } else {
      const backend = backends[target.backend] ?? config.backends[target.backend]!;
      backends[target.backend] = drained(backend, target.endpoint);
    }
  }
  const fallen = fallenMembers(config, held);
  const here = [...fallen].map(
    ([set, member]) => [set, { ...member, reason: `${member.reason} (set ${set})` }] as const,
  );
  const heldWeights = withSharedFate(config, held, [...here, ...elsewhere.fallen]);
  const { lostSets } = elsewhere;
  const laidOver = {
    ...(isEmpty(backends) ? {} : { backends: { ...config.backends, ...backends } }),
    ...(isEmpty(heldWeights) ? {} : { heldWeights }),
    ...(isEmpty(lostSets) ? {} : { lostSets }),
  };
  return { config: isEmpty(laidOver) ? config : { ...config, ...laidOver }, effects, fallen };
}

function isEmpty(map: object): boolean {
  return Object.keys(map).length === 0;
}

/** Weights of all backends of the row: the given ones, and for the others those that count by the file. */
export function weightsWith(
  route: RouteConfig,
  backends: Config['backends'],
  given: Readonly<Record<string, number>>,
): Record<string, number> {
  const { names, weights } = splitWeights(route, backends);
  return Object.fromEntries(
    names.map((name, i) => [name, Object.hasOwn(given, name) ? given[name]! : weights[i]!]),
  );
}

export function routeOf(config: Config, name: string): RouteConfig | undefined {
  return config.routes.find((route) => route.name === name);
}

function splitFault(
  config: Config,
  target: Extract<Override['target'], { kind: 'split' }>,
): string | undefined {
  const route = routeOf(config, target.route);
  if (route === undefined) return `there is no route ${target.route} in this table`;
  const unknown = Object.keys(target.weights).filter((name) => !Object.hasOwn(route.split, name));
  if (unknown.length > 0) return `route ${target.route} has no ${unknown.join(', ')} in its split`;
  const weights = Object.values(weightsWith(route, config.backends, target.weights));
  if (weights.every((weight) => weight === 0))
    return `it leaves no backend of route ${target.route} a weight`;
  return undefined;
}

function drainFault(
  config: Config,
  target: Extract<Override['target'], { kind: 'drain' }>,
): string | undefined {
  if (!Object.hasOwn(config.backends, target.backend)) {
    return `there is no backend ${target.backend} in this table`;
  }
  return undefined;
}

function drained(backend: BackendConfig, endpoint: string | undefined): BackendConfig {
  if (endpoint === undefined || backend.drain === true) return { ...backend, drain: true };
  return { ...backend, drain: [...(backend.drain === false ? [] : backend.drain), endpoint] };
}

/** For the log: what began to hold and what holds no more. */
export function describeEffects(
  before: readonly Effect[],
  after: readonly Effect[],
): { readonly began: string[]; readonly ended: string[] } {
  const idsOf = (effects: readonly Effect[]) =>
    new Set(effects.filter(({ state }) => state === 'holds').map(({ override }) => override.id));
  const [were, are] = [idsOf(before), idsOf(after)];
  const told = (effects: readonly Effect[], ids: ReadonlySet<string>, others: ReadonlySet<string>) =>
    effects
      .filter(({ override: { id } }) => ids.has(id) && !others.has(id))
      .map(({ override }) => describeTarget(override.target));
  return { began: told(after, are, were), ended: told(before, were, are) };
}
