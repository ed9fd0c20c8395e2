/** The decision on a request in words and as data, by the very steps that traffic runs through. */
import { usesOf } from '../backends/availability.ts';
import { NO_GROUP } from '../config/groups.ts';
import { formatUrl, serversOf } from '../config/schema.ts';
import { setOf } from '../config/sets.ts';
import { percentages } from '../config/split-weights.ts';
import { identifyUser } from '../pinning/identity.ts';
import { BUCKETS, type BucketRange } from './bucket.ts';
import { type Decision, decide } from './decide.ts';
import { guardedRoute } from './guard.ts';
import { type GroupClass, groupClassOf } from './invariants.ts';
import { matchRoute, mismatch, type RequestFacts } from './match.ts';
import type { Route } from './route.ts';
import { routeOf } from './route-request.ts';
import type { RoutingTable } from './table.ts';

/** In the order in which they are asked; each comes before those that follow. */
export const PRECEDENCE = ['invariant', 'health', 'override', 'pin', 'bucket', 'weights'] as const;

export interface PrecedenceStep {
  readonly step: (typeof PRECEDENCE)[number];
  /** It took part in the choice, or took something out of it. */
  readonly counts: boolean;
  readonly says: string;
}

export interface Explanation {
  /** Name of the row that matched. */
  readonly route: string;
  /** Weights by backend, as configured. */
  readonly split: Readonly<Record<string, number>>;
  /** Null when the draw is left to the weights, or the request would be refused: see `refused`. */
  readonly backend: string | null;
  readonly pin: {
    readonly name: string;
    readonly store: string;
    readonly identified: boolean;
    /** 0–9999; null without a user. */
    readonly bucket: number | null;
    /** Where the backends of the split lie; null where rendezvous hashing decides. */
    readonly buckets: Readonly<Record<string, string>> | null;
  } | null;
  readonly endpoint: {
    readonly url: string;
    readonly balance: string;
  } | null;
  readonly reasons: readonly string[];
  /** Null without one; several are separated by commas. */
  readonly group: string | null;
  /** The group is one that no row names. */
  readonly unknownGroup: boolean;
  /** What is promised to the group, in words. */
  readonly invariants: readonly string[];
  /** The answer would be 503, `no_endpoint` or `pinned_backend_down`. */
  readonly refused: boolean;
  /** Where it would go were everything up, when that is elsewhere. */
  readonly spilledFrom: string | null;
  readonly precedence: readonly PrecedenceStep[];
}

/** What is assumed of the moment. */
export interface Circumstances {
  /** Names of backends without a usable endpoint. */
  readonly down?: ReadonlySet<string>;
  /** Name of the backend that the pin's store remembers for the user. */
  readonly remembered?: string | undefined;
  /** Say what fields, cookies and parameters must be, which are at times tokens. */
  readonly showValues?: boolean;
}

/**
 * @param user id given by hand; otherwise it is looked for in the request, as the pin says, and as if it came from a
 *             trusted peer
 */
export function explainRequest(
  table: RoutingTable,
  facts: RequestFacts,
  user?: string,
  { down = new Set(), remembered, showValues = false }: Circumstances = {},
): Explanation {
  const groupClass = groupClassOf(table.groups, facts);
  const plain = routeOf(table, facts, groupClass);
  const route = guardedRoute(plain, groupClass);
  const identified =
    route.pin === undefined
      ? undefined
      : (user ?? identifyUser(route.pin, facts.rawHeaders, facts.client, true));
  const missing = missingBackends(table, route, down);
  const usable = usableWith(table, route, missing);
  const decision = decide(route, identified, remembered, usable, undefined);
  const stays = decision.wanted !== -1 && decision.wanted !== decision.index && mustStay(route, identified);
  const index = stays ? -1 : decision.index;
  const backend = index === -1 ? null : route.split.names[index]!;
  const refused = index === -1 && (stays || !mayBeDrawn(route, decision, usable));
  const target = backend === null ? undefined : table.config.backends[backend];
  const spilled = decision.wanted !== -1 && decision.wanted !== index;
  return {
    route: route.name,
    split: { ...table.config.routes[route.index]!.split },
    backend,
    pin: describePin(route, decision, identified),
    endpoint:
      target === undefined
        ? null
        : {
            url: serversOf(target)
              .map(({ url }) => formatUrl(url))
              .join(', '),
            balance: target.balance,
          },
    reasons: [
      describeGroup(table, facts, groupClass),
      ...describeRows(table, facts, plain, showValues),
      ...describeChoice(table, route, decision, identified, {
        index,
        usable,
        stays,
        remembered,
        refused,
        missing,
      }),
    ],
    group: facts.groups?.join(', ') ?? (facts.group === NO_GROUP ? null : facts.group),
    unknownGroup: groupClass.unknown,
    invariants: groupClass.invariants.map(({ text }) => text),
    refused,
    spilledFrom: spilled ? route.split.names[decision.wanted]! : null,
    precedence: describePrecedence(table, route, decision, identified, missing, remembered),
  };
}

/** Backends of a row that take no requests, and why: `is down`, or what befell their release set. */
function missingBackends(
  table: RoutingTable,
  { split, fates }: Route,
  down: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const missing = new Map<string, string>();
  for (const [i, name] of split.names.entries()) {
    const fate = fates?.[i];
    const set = fate === undefined ? '' : setOf(table.config, name)!.name;
    const others = Array.isArray(fate)
      ? (fate as readonly number[]).map((id) => table.backends[id]!.name)
      : [];
    const lost = fate === 'lost' ? [table.config.lostSets![set]!] : others.filter((other) => down.has(other));
    if (down.has(name)) missing.set(name, 'is down');
    else if (lost.length > 0) {
      const why = fate === 'lost' ? lost[0]! : `${lost.join(' and ')} down`;
      missing.set(name, `is left out with its release set ${set} (${why})`);
    }
  }
  return missing;
}

/** As the data path works it out, with one endpoint behind each backend. */
function usableWith(
  table: RoutingTable,
  { split }: Route,
  missing: ReadonlyMap<string, string>,
): (index: number) => boolean {
  const uses = usesOf(
    split.names.map((name, i) => {
      const { backup, panicThreshold } = table.config.backends[name]!;
      const up = missing.has(name) ? 0 : 1;
      const holds = split.shares[i]! > 0 || split.keeps[i]!;
      return {
        weight: split.weights[i]!,
        holds,
        backup,
        available: up,
        fleet: 1,
        healthyPercent: 100 * up,
        panicThreshold,
      };
    }),
    split.main,
  );
  return (index) => uses[index] !== 'none';
}

function mustStay(route: Route, user: string | undefined): boolean {
  return user !== undefined && route.pin?.config.onUnavailable === 'fail';
}

/** Whether what has no single answer has any. */
function mayBeDrawn({ split }: Route, { source }: Decision, usable: (index: number) => boolean): boolean {
  if (source !== 'weights') return false;
  return split.names.some((_, i) => usable(i) && (split.shares[i]! > 0 || split.weights[i]! > 0));
}

function describeGroup(table: RoutingTable, facts: RequestFacts, { unknown }: GroupClass): string {
  const field = table.config.groupHeader;
  if (facts.groups !== undefined) return `${field} names several groups: ${facts.groups.join(', ')}`;
  if (facts.group === NO_GROUP) return `no group in ${field}`;
  return `group ${facts.group}, from ${field}${unknown ? ', which no row names' : ''}`;
}

function describeRows(table: RoutingTable, facts: RequestFacts, route: Route, showValues: boolean): string[] {
  const matched = matchRoute(table, facts);
  const reasons = table.routes
    .slice(0, matched.index)
    .map((other) => `route ${other.name} does not match: ${mismatch(other.match!, facts, showValues)}`);
  if (route === matched) {
    reasons.push(
      `route ${route.name} matches${route.match === undefined ? ': it has no match and takes everything' : ''}`,
    );
  } else
    reasons.push(
      `route ${route.name} instead of ${matched.name}: unknownGroup sends groups that no row names there`,
    );
  return reasons;
}

interface Choice {
  readonly index: number;
  readonly usable: (index: number) => boolean;
  readonly stays: boolean;
  readonly remembered: string | undefined;
  readonly refused: boolean;
  readonly missing: ReadonlyMap<string, string>;
}

function describeChoice(
  table: RoutingTable,
  route: Route,
  decision: Decision,
  user: string | undefined,
  { index, usable, stays, remembered, refused, missing }: Choice,
): string[] {
  const { names, shares } = route.split;
  const reasons: string[] = [];
  const { wanted, source } = decision;
  const fault = missing.get(names[wanted] ?? '') ?? 'is down';
  if (source === 'bucket') reasons.push(describeBucket(route, decision));
  if (source === 'pin') reasons.push(`the store of pin ${route.pin!.name} remembers ${names[wanted]}`);
  if (route.pin !== undefined && user === undefined) {
    reasons.push(`pin ${route.pin.name}: the request names no user, so the weights decide`);
  }
  if (stays)
    reasons.push(`${names[wanted]} ${fault}, and onUnavailable: fail keeps its users from the others: 503`);
  else if (refused)
    reasons.push(
      `no backend is left that ${route.limits === undefined ? 'is up' : 'is up and allowed'}: 503`,
    );
  else if (index === -1) {
    reasons.push(`backend drawn by weight: ${describeShares(route)}`);
    const lost = names.filter((_, i) => shares[i]! > 0 && !usable(i));
    const heirs = names.filter((_, i) => route.split.weights[i]! > 0 && usable(i));
    const fate =
      heirs.length > 0
        ? `goes to ${heirs.join(' and ')}`
        : 'is answered with 503, since nothing that is up may take over';
    if (lost.length > 0) reasons.push(`what ${lost.join(' and ')} would get ${fate}`);
  } else if (wanted !== -1 && wanted !== index) {
    reasons.push(
      `backend ${names[index]}: ${names[wanted]} ${fault}${user === undefined ? '' : ', and the pin stays as it is'}`,
    );
  } else if (source === 'bucket') {
    const hint = remembered === undefined && route.pin!.config.store !== 'none';
    reasons.push(`backend ${names[index]}${hint ? '; a remembered pin would come before the bucket' : ''}`);
  } else if (source === 'pin') reasons.push(`backend ${names[index]}`);
  else
    reasons.push(
      `backend ${names[index]}: the only one ${names.length > 1 ? 'that can be drawn' : 'with a weight'}`,
    );
  const target = index === -1 ? undefined : table.config.backends[names[index]!];
  if (target !== undefined) {
    const hosts = serversOf(target).map(({ url }) => url.host);
    reasons.push(
      `endpoint: one of those that ${hosts.join(' and ')} resolves to and that are healthy, by ${target.balance}`,
    );
  }
  return reasons;
}

function describePrecedence(
  table: RoutingTable,
  route: Route,
  decision: Decision,
  user: string | undefined,
  absent: ReadonlyMap<string, string>,
  remembered: string | undefined,
): PrecedenceStep[] {
  const { names, keeps } = route.split;
  const limits = [...new Set(route.limits?.flatMap((limit) => (limit === undefined ? [] : [limit.text])))];
  const missing = names.filter((name) => absent.has(name));
  const { source } = decision;
  const pinned = route.pin !== undefined && user !== undefined;
  const saysOfPin = (): string => {
    if (route.pin === undefined) return 'the row has no pin';
    if (user === undefined) return 'the request names no user';
    if (remembered === undefined) {
      return route.pin.config.store === 'none'
        ? 'store: none remembers nobody'
        : 'none is remembered, as far as is known here';
    }
    if (source === 'pin') return `${remembered} is remembered`;
    const at = names.indexOf(remembered);
    if (at === -1) return `${remembered} is remembered, but is not in the split: drawn again`;
    const rollback = table.config.routes[route.index]!.rollback?.[remembered];
    if (route.limits?.[at] !== undefined)
      return `${remembered} is remembered, but against an invariant: drawn again`;
    if (rollback === 'evacuate') return `${remembered} is remembered, but evacuated: drawn again`;
    return `${remembered} is remembered, ${keeps[at]! ? 'but may not stay' : 'but has no weight'}: drawn again`;
  };
  return [
    {
      step: 'invariant',
      counts: limits.length > 0,
      says: limits.length > 0 ? limits.join('; ') : 'nothing is promised of these backends to this group',
    },
    {
      step: 'health',
      counts: missing.length > 0,
      says:
        missing.length > 0
          ? missing.map((name) => `${name} ${absent.get(name)!}`).join('; ')
          : 'all taken for healthy',
    },
    describeOverride(table, route),
    { step: 'pin', counts: source === 'pin', says: saysOfPin() },
    {
      step: 'bucket',
      counts: source === 'bucket',
      says: pinned ? describeBucket(route, decision) : 'without a user there is none',
    },
    { step: 'weights', counts: source === 'weights' || source === 'only', says: describeShares(route) },
  ];
}

function describeOverride(table: RoutingTable, route: Route): PrecedenceStep {
  const held = table.config.heldWeights?.[route.name];
  if (held === undefined) {
    return { step: 'override', counts: false, says: 'none: the weights are those of the file' };
  }
  const weights = Object.entries(held.weights).map(([name, weight]) => `${name} ${weight}`);
  const until = new Date(held.until).toISOString().slice(0, 16).replace('T', ' ');
  return {
    step: 'override',
    counts: true,
    says: `${weights.join(', ')} until ${until} UTC, set by ${held.by}: ${held.reason}`,
  };
}

/** `bucket 431 of 10000: canary 0–499` */
function describeBucket({ split }: Route, { bucket, wanted, source }: Decision): string {
  if (split.layout.kind === 'rendezvous') {
    const whose = source === 'bucket' && wanted !== -1 ? `${split.names[wanted]}, ` : '';
    return `bucket ${bucket} of ${BUCKETS}: ${whose}by weighted rendezvous`;
  }
  const range = split.layout.ranges.find(({ from, to }) => bucket >= from && bucket < to);
  const where = range === undefined ? 'nobody' : `${split.names[range.index]} ${describeRange(range)}`;
  return `bucket ${bucket} of ${BUCKETS}: ${where}`;
}

function describeShares({ split }: Route): string {
  const percents = percentages(split.shares);
  return split.names.map((name, i) => `${name} ${percents[i]!.toFixed(2)} %`).join(', ');
}

function describePin(route: Route, decision: Decision, user: string | undefined): Explanation['pin'] {
  const { pin, split } = route;
  if (pin === undefined) return null;
  return {
    name: pin.name,
    store: pin.config.store,
    identified: user !== undefined,
    bucket: decision.bucket === -1 ? null : decision.bucket,
    buckets:
      split.layout.kind === 'ranges'
        ? Object.fromEntries(
            split.layout.ranges.map((range) => [split.names[range.index]!, describeRange(range)]),
          )
        : null,
  };
}

export function describeRange({ from, to }: Pick<BucketRange, 'from' | 'to'>): string {
  if (from === to) return 'none';
  return to - from === 1 ? `${from}` : `${from}–${to - 1}`;
}
