/** What `/status` says, made from plain data: the whole state that a person asks for first. */

import { availabilityOf } from '../backends/availability.ts';
import {
  type AdminState,
  type BackendStatus,
  type CircuitState,
  type EndpointStatus,
  endpointLabel,
  type HealthState,
  type ResolutionState,
  type ResolutionStatus,
  type Standing,
} from '../backends/endpoint.ts';
import type { ExposureReport } from '../blast-radius/exposure-totals.ts';
import type { Reach } from '../blast-radius/words.ts';
import type { GuardView } from '../canary-guard/canary-guard.ts';
import { GroupRows, groupsOf, NO_GROUP, OTHER_GROUP, spellings } from '../config/groups.ts';
import { type Config, formatUrl, type RouteConfig, serversOf } from '../config/schema.ts';
import { withoutSecrets } from '../config/secrets.ts';
import { mainBackend, middleBackend, percentages, splitWeights } from '../config/split-weights.ts';
import type { EventLoopReading } from '../observe/event-loop.ts';
import type { FailedRequest } from '../observe/recent-failures.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import type { Effect } from '../overrides/apply.ts';
import { shownOverride } from '../overrides/shown.ts';
import type { PinCensus } from '../pinning/pin-census.ts';
import type { LinkState } from '../pinning/redis-link.ts';
import type { SetView } from '../release-sets/release-sets.ts';
import { layOut } from '../routing/bucket.ts';
import { describeRange } from '../routing/explain.ts';
import type { ReloadRecord, StateChange } from './history.ts';
import { type Latency, type RequestSums, TrafficSums } from './traffic-sums.ts';

export type { Latency } from './traffic-sums.ts';

/** One error of a configuration that was refused. */
export interface ConfigProblem {
  readonly message: string;
  readonly path?: string | undefined;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

export interface WorkerFacts {
  readonly id: number;
  readonly pid: number;
  /** `starting`, `online`, `draining`, `dead`, … */
  readonly state: string;
  readonly restarts: number;
  /** Undefined until the worker has told. */
  readonly eventLoop: EventLoopReading | undefined;
  /** Of Redis as pins use it; undefined when none does, or the worker has not told. */
  readonly pinStore?: LinkState | undefined;
}

/** What the process knows besides tables and counters; times are epoch milliseconds. */
export interface ProcessFacts {
  readonly version: string;
  readonly node: string;
  readonly startedAt: number;
  readonly now: number;
  readonly ready: { readonly ok: boolean; readonly reasons: readonly string[] };
  readonly config: {
    readonly file: string;
    readonly hash: string;
    readonly loadedAt: number;
    readonly reloads: { readonly ok: number; readonly rejected: number };
    /** Undefined when the file was read only once, at the start. */
    readonly lastReload:
      | { readonly at: number; readonly result: 'ok' | 'rejected'; readonly changes: readonly string[] }
      | undefined;
    readonly lastError: { readonly at: number; readonly problems: readonly ConfigProblem[] } | undefined;
    /** Keys changed in the file that only a restart takes over. */
    readonly restartNeeded: readonly string[];
  };
  readonly workers: readonly WorkerFacts[];
}

export interface StatusInput {
  /** With what was set by hand over it. */
  readonly config: Config;
  readonly backends: readonly BackendStatus[];
  /** Of all processes, merged. */
  readonly totals: LedgerTotals;
  readonly facts: ProcessFacts;
  /** What was set by hand and has not ended. */
  readonly overrides?: readonly Effect[];
  /** Of Redis as overrides use it; undefined when they are not shared. */
  readonly overridesShared?: LinkState | undefined;
  /** Users who met the builds that run now, and whose users these are. */
  readonly exposure?: { readonly reach: Reach; readonly reports: readonly ExposureReport[] };
  readonly guards?: readonly GuardView[];
  readonly sets?: readonly SetView[];
  /** Of Redis as release sets use it; undefined when they share nothing. */
  readonly setsShared?: LinkState | undefined;
  /** Whom Redis remembers; undefined when no pin uses it, or nobody has counted yet. */
  readonly pinCensus?: PinCensus | undefined;
  /** Newest last, each. */
  readonly history?: {
    readonly reloads: readonly ReloadRecord[];
    readonly changes: readonly StateChange[];
    readonly failures: readonly FailedRequest[];
  };
}

/** What somebody set by hand for a while. */
export interface OverrideReport extends ReturnType<typeof shownOverride> {
  /** `void`: it names something that the table does not have, and does nothing. */
  readonly state: Effect['state'];
  readonly why: string;
}

/** A state, why it holds and since when. */
export interface StandingReport<State extends string> {
  readonly state: State;
  readonly reason: string;
  readonly since: string;
}

export interface ResolutionReport extends StandingReport<ResolutionState> {
  readonly answeredAt: string | null;
  readonly ttlMs: number | null;
}

export interface EndpointReport {
  readonly endpoint: string;
  /** What checks say, why, and since when. */
  readonly health: HealthState;
  readonly reason: string;
  readonly since: string;
  /** What the configuration says. */
  readonly admin: StandingReport<AdminState>;
  /** Of the name that the address came from. */
  readonly dns: StandingReport<ResolutionState>;
  /** What traffic says: null while it is not ejected. */
  readonly ejection: {
    readonly reason: string;
    readonly since: string;
    readonly until: string;
    /** Ejections that counted towards the length of this one, itself included. */
    readonly times: number;
  } | null;
  /** Share among the endpoints of its tier. */
  readonly weight: number;
  /** Used only while no endpoint of a lower one is available. */
  readonly tier: number;
  /** Since when it ramps up (slowStart); null: it takes its full share. */
  readonly warmingSince: string | null;
  readonly requests: number;
  readonly errors: number;
  /** Newest last. */
  readonly checks: readonly { at: string; ok: boolean; durationMs: number; detail: string }[];
}

/** How a guard sees its canary. */
export interface GuardReport extends Pick<GuardView, 'route' | 'backend' | 'mode' | 'phase'> {
  /** Of the phase. */
  readonly since: string;
  /** When a braked canary gets a small share to prove itself; null in other phases. */
  readonly until: string | null;
  /** Verdicts that count towards the latch, and how many latch. */
  readonly trips: number;
  readonly latchAfter: number;
  /** Evidence against it by cause, as a share of what brakes it, 0 to 1. */
  readonly evidence: GuardView['evidence'];
  /** The latest, in words; null when there was none. */
  readonly verdict: string | null;
}

export interface BackendReport {
  readonly name: string;
  /** What runs behind it, as the file says. */
  readonly build: string | null;
  readonly url: string;
  /** Of all servers in one: the worst state among them. */
  readonly resolution: ResolutionReport;
  readonly servers: readonly {
    readonly url: string;
    readonly weight: number;
    readonly backup: boolean;
    readonly resolution: ResolutionReport;
  }[];
  /** `closed`, `degraded` (some endpoints down or ejected), `panic` (too few left) or `open` (none available). */
  readonly circuit: StandingReport<CircuitState>;
  /** From 0 to 1, among the endpoints that were checked of the tier in use. */
  readonly healthyShare: number;
  /** Endpoints by state; one that is drained or ejected counts by its health too. */
  readonly endpointsBy: {
    readonly up: number;
    readonly down: number;
    readonly unchecked: number;
    readonly ejected: number;
    readonly drained: number;
  };
  /** Endpoints that get traffic: those of the lowest tier that are up, else not checked yet, and in service. */
  readonly usableEndpoints: number;
  readonly requests: number;
  /** Answered with 5xx, by the upstream or for it. */
  readonly errors: number;
  readonly latencyMs: Latency;
  readonly inFlight: number;
  readonly endpoints: readonly EndpointReport[];
}

export interface RouteReport {
  readonly name: string;
  /** As configured, without what fields, cookies and parameters must be; null matches everything. */
  readonly match: RouteConfig['match'] | null;
  readonly split: Readonly<Record<string, number>>;
  /** The weights as percentages. */
  readonly shares: Readonly<Record<string, number>>;
  /** The backend that is no canary. */
  readonly main: string;
  /** Percentages as they count now: with roll-backs, backups and what was set by hand. */
  readonly sharesNow: Readonly<Record<string, number>>;
  /** Weights that were set by hand, until when, by whom and why; null: those of the file hold. */
  readonly override: {
    readonly weights: Readonly<Record<string, number>>;
    readonly until: string;
    readonly by: string;
    readonly reason: string;
  } | null;
  readonly pin: string | null;
  /** Of all users whom nobody remembers, whom each backend gets; null without a pin. */
  readonly users:
    | readonly { readonly backend: string; readonly buckets: string | null; readonly percent: number }[]
    | null;
  readonly requests: number;
  readonly requestsByBackend: Readonly<Record<string, number>>;
  /** Answered with 5xx. */
  readonly errors: number;
  readonly latencyMs: Latency;
}

/** Times are ISO 8601 in UTC. Counts are since the start of the primary, workers that have ended included. */
export interface StatusDocument {
  readonly version: string;
  readonly node: string;
  readonly service: string;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly ready: { readonly ok: boolean; readonly reasons: readonly string[] };
  readonly config: {
    readonly file: string;
    readonly hash: string;
    readonly loadedAt: string;
    readonly ageSeconds: number;
    readonly reloads: { readonly ok: number; readonly rejected: number };
    readonly lastReload: { at: string; result: 'ok' | 'rejected'; changes: readonly string[] } | null;
    readonly lastError: { at: string; problems: readonly ConfigProblem[] } | null;
    readonly restartNeeded: readonly string[];
  };
  readonly workers: readonly {
    id: number;
    pid: number;
    state: string;
    restarts: number;
    eventLoop: EventLoopReading | null;
    /** The circuit before Redis; null when no pin uses it. */
    pinStore: { state: LinkState['state']; reason: string; since: string } | null;
  }[];
  /** Whether there is a token with which people may act here. */
  readonly acting: boolean;
  /** What was set by hand and has not ended, oldest first. */
  readonly overrides: readonly OverrideReport[];
  /** Redis, through which replicas share overrides; null: they hold in this process alone. */
  readonly overridesShared: { state: LinkState['state']; reason: string; since: string } | null;
  /** Release sets, and what befell members here and in the tables of other services. */
  readonly sets: readonly SetView[];
  /** Redis, through which services share what befalls sets; null: each acts alone. */
  readonly setsShared: { state: LinkState['state']; reason: string; since: string } | null;
  /** Groups that rows or promises name, none, and all others, with the routes that their requests can meet. */
  readonly groups: readonly { readonly group: string; readonly routes: readonly string[] }[];
  readonly routes: readonly RouteReport[];
  /** Canaries that are guarded. */
  readonly guards: readonly GuardReport[];
  /** Different users who met a backend of a row, and those who met an error there, in the last 24 to 28 hours. */
  readonly exposure: {
    /** `all`: of all replicas; `partly`: of all until `asOf`, since then of this one; `replica`: of this one alone. */
    readonly of: Reach['of'];
    readonly asOf: string | null;
    /** Why it is not `all`. */
    readonly why: string;
    /** Of the builds that run now; estimates. Never add up replicas. */
    readonly rows: readonly (Omit<ExposureReport, 'build'> & { readonly build: string | null })[];
  };
  /** Pins that routes use, and how users were found. */
  readonly pins: readonly {
    readonly name: string;
    readonly store: string;
    readonly lookups: Readonly<Record<string, number>>;
    /** Users whom the store remembers: of `memory`, in this replica; of `redis`, in all. Null where nobody knows. */
    readonly remembered: {
      readonly byBackend: Readonly<Record<string, number>>;
      /** When it was counted. */
      readonly at: string;
      /** False: estimated from a part of the keys. */
      readonly exact: boolean;
    } | null;
  }[];
  readonly backends: readonly BackendReport[];
  /** Answers that Pointsman made itself, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /** Requests whose group no row names, by value; those beyond the most frequent together as `other`. */
  readonly unknownGroups: Readonly<Record<string, number>>;
  readonly connections: { readonly client: number; readonly tunnels: number };
  /** What happened lately, newest last. */
  readonly history: {
    readonly reloads: readonly (Omit<ReloadRecord, 'at'> & { readonly at: string })[];
    /** Of the states of endpoints, names and backends. */
    readonly changes: readonly (Omit<StateChange, 'at'> & { readonly at: string })[];
    /** Failed requests: without client, query and whatever in a path may be an id. */
    readonly failures: readonly (Omit<FailedRequest, 'at'> & { readonly at: string })[];
  };
}

export function buildStatus(input: StatusInput): StatusDocument {
  const { config, facts } = input;
  const sums = new TrafficSums(input.totals);
  const known = new Map(input.backends.map((backend) => [backend.name, backend]));
  return {
    version: facts.version,
    node: facts.node,
    service: config.service,
    startedAt: iso(facts.startedAt),
    uptimeSeconds: secondsBetween(facts.startedAt, facts.now),
    ready: { ok: facts.ready.ok, reasons: [...facts.ready.reasons] },
    config: configReport(facts),
    workers: facts.workers.map(({ id, pid, state, restarts, eventLoop, pinStore }) => ({
      id,
      pid,
      state,
      restarts,
      eventLoop: eventLoop ?? null,
      pinStore: linkReport(pinStore),
    })),
    acting: config.acting !== undefined,
    overrides: (input.overrides ?? []).map(({ override, state, reason }) => ({
      ...shownOverride(override),
      state,
      why: reason,
    })),
    overridesShared: linkReport(input.overridesShared),
    sets: input.sets ?? [],
    setsShared: linkReport(input.setsShared),
    groups: groupReports(config),
    routes: config.routes.map((route) => routeReport(route, config, sums)),
    guards: (input.guards ?? []).map((guard) => guardReport(guard, facts.now)),
    exposure: exposureReport(input.exposure),
    pins: Object.entries(config.pins)
      .filter(([name]) => config.routes.some(({ pin }) => pin === name))
      .map(([name, { store }]) => ({
        name,
        store,
        lookups: sums.pinLookups(name),
        remembered:
          store === 'memory'
            ? { byBackend: sums.pinsRemembered(name), at: iso(facts.now), exact: true }
            : rememberedByRedis(name, input.pinCensus),
      })),
    backends: Object.entries(config.backends).map(([name, backend]) =>
      backendReport(
        name,
        backend.build ?? null,
        serversOf(backend)
          .map(({ url }) => formatUrl(url))
          .join(', '),
        known.get(name),
        facts.now,
        sums,
      ),
    ),
    failures: sums.failures,
    unknownGroups: sums.unknownGroups,
    connections: { client: sums.clientConnections, tunnels: sums.tunnels },
    history: {
      reloads: (input.history?.reloads ?? []).map(dated),
      changes: (input.history?.changes ?? []).map(dated),
      failures: (input.history?.failures ?? []).map(dated),
    },
  };
}

function linkReport(link: LinkState | undefined): StatusDocument['overridesShared'] {
  return link === undefined ? null : { ...link, since: iso(link.since) };
}

function rememberedByRedis(
  pin: string,
  census: PinCensus | undefined,
): StatusDocument['pins'][number]['remembered'] {
  const byBackend = census?.pins[pin];
  if (census === undefined || byBackend === undefined) return null;
  return { byBackend, at: iso(census.at), exact: census.exact };
}

function dated<T extends { readonly at: number }>(item: T): Omit<T, 'at'> & { readonly at: string } {
  return { ...item, at: iso(item.at) };
}

/** A table may name thousands; those beyond are met by the same rows, and a picture of them helps nobody. */
const MAX_GROUPS = 200;

/** Of a table it never changes, and it is asked for every second while somebody watches. */
const groupsByConfig = new WeakMap<Config, StatusDocument['groups']>();

function groupReports(config: Config): StatusDocument['groups'] {
  let reports = groupsByConfig.get(config);
  if (reports === undefined) {
    reports = findGroups(config);
    groupsByConfig.set(config, reports);
  }
  return reports;
}

function findGroups(config: Config): StatusDocument['groups'] {
  const rows = new GroupRows(config);
  const spelling = spellings(config);
  const groups = groupsOf(config);
  const named = groups.slice(0, -2).slice(0, MAX_GROUPS);
  return [...named, ...groups.slice(-2)].map((group) => ({
    group: group === NO_GROUP ? '(none)' : group === OTHER_GROUP ? '(other)' : (spelling.get(group) ?? group),
    routes: rows.rowsOf(group).map(({ route }) => route.name),
  }));
}

function configReport(facts: ProcessFacts): StatusDocument['config'] {
  const { file, hash, loadedAt, reloads, lastReload, lastError, restartNeeded } = facts.config;
  return {
    file,
    hash,
    loadedAt: iso(loadedAt),
    ageSeconds: secondsBetween(loadedAt, facts.now),
    reloads: { ok: reloads.ok, rejected: reloads.rejected },
    lastReload:
      lastReload === undefined
        ? null
        : { at: iso(lastReload.at), result: lastReload.result, changes: [...lastReload.changes] },
    lastError: lastError === undefined ? null : { at: iso(lastError.at), problems: [...lastError.problems] },
    restartNeeded: [...restartNeeded],
  };
}

function routeReport(route: RouteConfig, config: Config, sums: TrafficSums): RouteReport {
  const held = config.heldWeights?.[route.name];
  const now = splitWeights(route, config.backends, held?.weights);
  const percents = percentages(now.shares);
  const { total, byBackend } = sums.route(route.name);
  const byName: Record<string, number> = {};
  for (const backend of Object.keys(route.split)) byName[backend] = 0;
  for (const [backend, requests] of byBackend) byName[backend] = requests;
  return {
    name: route.name,
    match: (withoutSecrets(['routes', 0, 'match'], route.match) ?? null) as RouteReport['match'],
    split: { ...route.split },
    shares: sharesOf(route.split),
    main: now.names[mainBackend(route, config.backends)]!,
    sharesNow: Object.fromEntries(now.names.map((name, i) => [name, Math.round(percents[i]! * 100) / 100])),
    override:
      held === undefined
        ? null
        : { weights: held.weights, until: iso(held.until), by: held.by, reason: held.reason },
    pin: route.pin ?? null,
    users: route.pin === undefined ? null : usersOf(now.names, now.shares, middleBackend(route)),
    requestsByBackend: byName,
    ...reported(total),
  };
}

function usersOf(
  names: readonly string[],
  shares: readonly number[],
  middle: number,
): NonNullable<RouteReport['users']> {
  const layout = layOut(names, shares, middle);
  const percents = percentages(shares);
  return names.map((backend, i) => {
    const range = layout.kind === 'ranges' ? layout.ranges.find(({ index }) => index === i) : undefined;
    const buckets = layout.kind === 'rendezvous' ? null : range === undefined ? 'none' : describeRange(range);
    return { backend, buckets, percent: Math.round(percents[i]! * 100) / 100 };
  });
}

function guardReport({ forMs, leftMs, verdict, ...guard }: GuardView, now: number): GuardReport {
  return {
    ...guard,
    since: iso(now - forMs),
    until: leftMs === undefined ? null : iso(now + leftMs),
    verdict: verdict ?? null,
  };
}

function exposureReport(exposure: StatusInput['exposure']): StatusDocument['exposure'] {
  const { reach, reports } = exposure ?? {
    reach: { of: 'replica', asOf: undefined, why: '' } satisfies Reach,
    reports: [],
  };
  return {
    ...reach,
    asOf: isoOrNull(reach.asOf),
    rows: reports.map((row) => ({ ...row, build: row.build === '' ? null : row.build })),
  };
}

function backendReport(
  name: string,
  build: string | null,
  url: string,
  status: BackendStatus | undefined,
  now: number,
  sums: TrafficSums,
): BackendReport {
  const endpoints = status?.endpoints ?? [];
  const count = (has: (endpoint: EndpointStatus) => boolean) => endpoints.filter(has).length;
  return {
    name,
    build,
    url,
    resolution: resolutionReport(status?.resolution ?? { ...NOT_YET, state: 'pending', since: now }),
    servers: (status?.servers ?? []).map((server) => ({
      ...server,
      resolution: resolutionReport(server.resolution),
    })),
    circuit: standingReport(status?.circuit ?? { state: 'open', reason: NOT_YET.reason, since: now }),
    healthyShare: Math.round((status?.healthyShare ?? 0) * 10_000) / 10_000,
    endpointsBy: {
      up: count(({ health }) => health === 'up'),
      down: count(({ health }) => health === 'down'),
      unchecked: count(({ health }) => health === 'unchecked'),
      ejected: count(({ ejected }) => ejected),
      drained: count(({ drained }) => drained),
    },
    usableEndpoints: availabilityOf(endpoints).available.length,
    ...reported(sums.backend(name)),
    inFlight: sums.inFlight(name),
    endpoints: endpoints.map((endpoint) => endpointReport(name, endpoint, sums)),
  };
}

function endpointReport(backend: string, endpoint: EndpointStatus, sums: TrafficSums): EndpointReport {
  const label = endpointLabel(endpoint.address, endpoint.port);
  const { ejection, warmingSince } = endpoint;
  return {
    endpoint: label,
    health: endpoint.health,
    reason: endpoint.reason,
    since: iso(endpoint.since),
    admin: standingReport(endpoint.admin),
    dns: standingReport(endpoint.dns),
    ejection:
      ejection === undefined ? null : { ...ejection, since: iso(ejection.since), until: iso(ejection.until) },
    weight: endpoint.weight,
    tier: endpoint.tier,
    warmingSince: warmingSince === 0 ? null : iso(warmingSince),
    ...sums.endpoint(backend, label),
    checks: endpoint.checks.map((check) => ({ ...check, at: iso(check.at) })),
  };
}

const NOT_YET = { reason: 'not looked up yet', answeredAt: undefined, ttlMs: undefined };

function standingReport<State extends string>({
  state,
  reason,
  since,
}: Standing<State>): StandingReport<State> {
  return { state, reason, since: iso(since) };
}

function resolutionReport(resolution: ResolutionStatus): ResolutionReport {
  const { answeredAt, ttlMs } = resolution;
  return { ...standingReport(resolution), answeredAt: isoOrNull(answeredAt), ttlMs: ttlMs ?? null };
}

function reported(sum: RequestSums): { requests: number; errors: number; latencyMs: Latency } {
  return { requests: sum.requests, errors: sum.errors, latencyMs: sum.latency() };
}

/** Percentages with two decimals; all 0 when every weight is. */
function sharesOf(split: Readonly<Record<string, number>>): Record<string, number> {
  const sum = Object.values(split).reduce((total, weight) => total + weight, 0);
  const shares: Record<string, number> = {};
  for (const [backend, weight] of Object.entries(split)) {
    shares[backend] = sum === 0 ? 0 : Math.round((weight / sum) * 10_000) / 100;
  }
  return shares;
}

function secondsBetween(from: number, to: number): number {
  return Math.max(0, Math.round((to - from) / 1_000));
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : iso(ms);
}
