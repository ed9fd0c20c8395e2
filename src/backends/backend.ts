/**
 * One backend: the endpoints of its servers, which of them are drained, ejected or warming up, and what that makes of
 * the whole. A reload goes over it server by server: those that stay keep their addresses, health and schedule.
 */

import type { BackendConfig, OutlierConfig, ServerConfig, ServerUrl } from '../config/schema.ts';
import {
  type Config,
  formatUrl,
  healthOf as healthSettingsOf,
  outlierOf,
  serversOf,
} from '../config/schema.ts';
import { circuitOf } from './circuit.ts';
import type { Clock, Timer } from './clock.ts';
import { adminStateOf } from './drain.ts';
import type {
  AdminState,
  BackendStatus,
  CheckResult,
  CircuitState,
  EndpointState,
  EndpointStatus,
  HealthState,
  ResolutionState,
  ResolutionStatus,
  Standing,
} from './endpoint.ts';
import {
  CLEAN,
  comeBack,
  eject,
  type Fleet,
  isRefuted,
  mayEject,
  type OutlierCause,
  type OutlierRecord,
} from './outlier.ts';
import { healthOf, ServerSource, type Shared, type SourceEndpoint } from './server-source.ts';
import { weightsOf } from './server-weights.ts';

/** A state that is another one now. */
export type Change =
  | {
      readonly kind: 'drain';
      readonly endpoint: string;
      readonly before: Standing<AdminState>;
      readonly after: Standing<AdminState>;
    }
  | {
      readonly kind: 'ejection';
      readonly endpoint: string;
      readonly before: Standing<EjectionState>;
      readonly after: Standing<EjectionState>;
    }
  | {
      readonly kind: 'circuit';
      readonly before: Standing<CircuitState>;
      readonly after: Standing<CircuitState>;
    };

export type EjectionState = 'in_rotation' | 'ejected';

export interface BackendEdges {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly shared: Shared;
  /** An ejection or a warm-up is over. */
  readonly onTimer: () => void;
}

interface Entry {
  readonly source: ServerSource;
  readonly server: ServerConfig;
}

/** An endpoint in the list. */
interface Member {
  readonly entry: Entry;
  readonly endpoint: SourceEndpoint;
  readonly record: Record;
  readonly weight: number;
  readonly tier: number;
}

/** What is remembered of an endpoint for as long as it is in the list. */
interface Record {
  admin: Standing<AdminState>;
  outlier: OutlierRecord;
  /** Since when it is in traffic without an ejection, epoch milliseconds. */
  inSince: number;
  health: HealthState;
  /** It came in beside others that were up, and ramps up once it is up itself. */
  readonly late: boolean;
  /** Epoch milliseconds; 0: no. */
  warmingSince: number;
  /** By the monotonic clock. */
  warmUntil: number;
}

/** From best to worst, for several names in one word. */
const BY_SEVERITY: readonly ResolutionState[] = ['static', 'resolved', 'stale', 'pending', 'failed'];

export class Backend {
  readonly name: string;
  readonly #edges: BackendEdges;
  #config: BackendConfig;
  #outlier: OutlierConfig;
  #entries: readonly Entry[] = [];
  /** No longer in the file, and in use until what replaces them is ready. */
  #leaving: readonly Entry[] = [];
  /** In the order of the servers. */
  #members = new Map<string, Member>();
  #circuit: Standing<CircuitState>;
  #healthyShare = 0;
  /** The first checks of the first endpoints have ended; there is something to say about it. */
  #judged = false;
  #changes: Change[] = [];
  #timer: Timer | undefined;

  constructor(name: string, config: Config, edges: BackendEdges) {
    this.name = name;
    this.#edges = edges;
    this.#config = config.backends[name]!;
    this.#outlier = outlierOf(config, name);
    this.#circuit = { state: 'closed', reason: 'not checked yet', since: edges.clock.now() };
  }

  /** All servers are resolved, or failed to be, and checked once. */
  get ready(): boolean {
    return this.#entries.every(({ source }) => source.ready);
  }

  /** The source of a server that is in use or was asked for, if there is one. */
  find(url: ServerUrl): ServerSource | undefined {
    return [...this.#entries, ...this.#leaving].find(({ source }) => isSameTarget(source.url, url))?.source;
  }

  /** @param prepared sources made ready ahead; loses those that are taken */
  configure(config: Config, prepared: Set<ServerSource>): void {
    const health = healthSettingsOf(config, this.name);
    this.#config = config.backends[this.name]!;
    this.#outlier = outlierOf(config, this.name);
    const former = [...this.#entries, ...this.#leaving];
    const entries: Entry[] = [];
    for (const server of serversOf(this.#config)) {
      // The same upstream twice is one.
      if (entries.some(({ source }) => isSameTarget(source.url, server.url))) continue;
      let source = this.find(server.url);
      if (source === undefined) {
        source = [...prepared].find((candidate) => isSameTarget(candidate.url, server.url));
        if (source !== undefined) prepared.delete(source);
        source ??= new ServerSource(this.name, server.url, health, this.#edges.shared);
      }
      source.useHealth(health);
      entries.push({ source, server });
    }
    this.#entries = entries;
    const listed = new Set(entries.map(({ source }) => source));
    const gone = former.filter(({ source }) => !listed.has(source));
    const coming = entries.filter(({ source }) => !source.established).map(({ source }) => source.url);
    this.#leaving = gone.filter(({ source }) => canServeOn(source.url, coming));
    for (const entry of gone) if (!this.#leaving.includes(entry)) entry.source.close();
    this.refresh();
  }

  reportFailure(label: string): void {
    this.#members.get(label)?.entry.source.reportFailure(label);
  }

  /** @returns whether the endpoint is ejected now and was not before */
  reportOutlier(label: string, cause: OutlierCause): boolean {
    const member = this.#members.get(label);
    if (member === undefined || member.record.outlier.ejection !== undefined) return false;
    if (!mayEject(this.#fleet(label), this.#outlier)) return false;
    const { clock, random } = this.#edges;
    const { record } = member;
    const moment = { now: clock.now(), monotonic: clock.monotonic() };
    record.outlier = eject(record.outlier, cause, this.#outlier, moment, random());
    this.#changes.push({
      kind: 'ejection',
      endpoint: label,
      before: { state: 'in_rotation', reason: '', since: record.inSince },
      after: { state: 'ejected', reason: record.outlier.ejection!.reason, since: moment.now },
    });
    this.#schedule();
    return true;
  }

  /** A check of one of its endpoints has ended. @returns whether that has ended an ejection */
  checked(source: ServerSource, label: string, result: CheckResult): boolean {
    const member = this.#members.get(label);
    const ejection = member?.record.outlier.ejection;
    if (member === undefined || ejection === undefined || member.entry.source !== source) return false;
    if (!isRefuted(ejection, result, source.checksByHttp)) return false;
    this.#endEjection(member, `a check that began after it was good: ${result.detail}`);
    this.#schedule();
    return true;
  }

  /** Brings the list up to date with names, checks and time. Cheap when nothing has changed. */
  refresh(): void {
    this.#move();
    this.#list();
    this.#advance();
    this.#judge();
    this.#schedule();
  }

  /** What has changed since the last call. */
  takeChanges(): Change[] {
    return this.#changes.splice(0);
  }

  endpoints(): EndpointState[] {
    return [...this.#members.values()].map(stateOf);
  }

  status(): BackendStatus {
    const members = [...this.#members.values()];
    const visible = this.#visible();
    return {
      name: this.name,
      resolution: this.#resolution(visible),
      servers: visible.map(({ source, server }) => ({
        url: formatUrl(source.url),
        weight: server.weight,
        backup: server.backup,
        resolution: resolutionOf(source),
      })),
      circuit: this.#circuit,
      healthyShare: this.#healthyShare,
      endpoints: members.map((member) => this.#statusOf(member)),
    };
  }

  close(): void {
    this.#edges.clock.clearTimeout(this.#timer);
    for (const { source } of [...this.#entries, ...this.#leaving]) source.close();
    this.#entries = [];
    this.#leaving = [];
    this.#members.clear();
  }

  /** Servers that came are in use once they are ready; until then those serve on that they replace. */
  #move(): void {
    const coming = this.#entries.filter(({ source }) => !source.established);
    if (this.#leaving.length === 0) return;
    const isEmpty = this.#visible().every(({ source }) => source.endpoints.size === 0);
    if (coming.length > 0 && !(isEmpty && coming.every(({ source }) => source.ready))) return;
    for (const { source } of this.#leaving) source.close();
    this.#leaving = [];
  }

  #visible(): readonly Entry[] {
    if (this.#leaving.length === 0) return this.#entries;
    return [...this.#entries.filter(({ source }) => source.established), ...this.#leaving];
  }

  /** An address and port that several servers stand for is one endpoint: that of the first. */
  #list(): void {
    const former = this.#members;
    const found: [Entry, SourceEndpoint][] = [];
    const labels = new Set<string>();
    for (const entry of this.#visible()) {
      for (const [label, endpoint] of entry.source.endpoints) {
        if (labels.has(label)) continue;
        labels.add(label);
        found.push([entry, endpoint]);
      }
    }
    const ranks = found.filter(([{ server }]) => !server.backup).map(([, { rank }]) => rank);
    const backupTier = ranks.length === 0 ? 0 : Math.max(...ranks) + 1;
    const weights = weightsOf(
      found.map(([{ server }, { factor }]) => ({ serverWeight: Math.max(1, server.weight), factor })),
    );
    const late = this.#judged && [...former.values()].some(({ endpoint }) => healthOf(endpoint) === 'up');
    this.#members = new Map(
      found.map(([entry, endpoint], i) => {
        const { label, rank } = endpoint;
        const record = former.get(label)?.record ?? this.#newRecord(entry, endpoint, late);
        const tier = entry.server.backup ? backupTier + rank : rank;
        return [label, { entry, endpoint, record, weight: weights[i]!, tier }];
      }),
    );
  }

  #newRecord({ server }: Entry, { address, port, since }: SourceEndpoint, late: boolean): Record {
    return {
      admin: { ...adminStateOf(this.#config.drain, server, address, port), since },
      outlier: CLEAN,
      inSince: since,
      health: 'unchecked',
      late,
      warmingSince: 0,
      warmUntil: 0,
    };
  }

  /** Drains, ends of ejections, and warm-ups. */
  #advance(): void {
    const monotonic = this.#edges.clock.monotonic();
    for (const member of this.#members.values()) {
      this.#drain(member);
      const { record } = member;
      const { ejection } = record.outlier;
      if (ejection !== undefined && !this.#outlier.enabled)
        this.#endEjection(member, 'ejection was turned off');
      else if (ejection !== undefined && monotonic >= ejection.deadline)
        this.#endEjection(member, 'its time is over');
      const health = healthOf(member.endpoint);
      const cameBack =
        health === 'up' && (record.health === 'down' || (record.health === 'unchecked' && record.late));
      record.health = health;
      if (cameBack) this.#warm(record);
      if (record.warmingSince !== 0 && (health === 'down' || monotonic >= record.warmUntil))
        record.warmingSince = 0;
    }
  }

  #drain({ entry, endpoint, record }: Member): void {
    const before = record.admin;
    const { state, reason } = adminStateOf(this.#config.drain, entry.server, endpoint.address, endpoint.port);
    if (state === before.state) {
      if (reason !== before.reason) record.admin = { state, reason, since: before.since };
      return;
    }
    record.admin = { state, reason, since: this.#edges.clock.now() };
    this.#changes.push({ kind: 'drain', endpoint: endpoint.label, before, after: record.admin });
  }

  #warm(record: Record): void {
    const { slowStart } = this.#config;
    if (slowStart === 0) return;
    record.warmingSince = this.#edges.clock.now();
    record.warmUntil = this.#edges.clock.monotonic() + slowStart;
  }

  #endEjection({ endpoint, record }: Member, reason: string): void {
    const { clock } = this.#edges;
    const before = record.outlier.ejection!;
    record.outlier = comeBack(record.outlier, { monotonic: clock.monotonic() });
    record.inSince = clock.now();
    this.#warm(record);
    this.#changes.push({
      kind: 'ejection',
      endpoint: endpoint.label,
      before: { state: 'ejected', reason: before.reason, since: before.since },
      after: { state: 'in_rotation', reason, since: record.inSince },
    });
  }

  #judge(): void {
    if (!this.#judged && !this.ready) return;
    const before = this.#circuit;
    const { state, reason, healthyShare } = circuitOf(
      [...this.#members.values()].map(stateOf),
      this.#config.panicThreshold,
      this.#resolution(this.#visible()).reason,
    );
    this.#healthyShare = healthyShare;
    if (state === before.state) {
      this.#circuit = { state, reason, since: before.since };
    } else {
      this.#circuit = { state, reason, since: this.#edges.clock.now() };
      this.#changes.push({ kind: 'circuit', before, after: this.#circuit });
    }
    this.#judged = true;
  }

  #schedule(): void {
    const { clock } = this.#edges;
    clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    let next = Number.POSITIVE_INFINITY;
    for (const { record } of this.#members.values()) {
      if (record.outlier.ejection !== undefined) next = Math.min(next, record.outlier.ejection.deadline);
      if (record.warmingSince !== 0) next = Math.min(next, record.warmUntil);
    }
    if (next === Number.POSITIVE_INFINITY) return;
    // A little late rather than a little early, which would only set another timer.
    this.#timer = clock.setTimeout(this.#edges.onTimer, Math.max(1, Math.ceil(next - clock.monotonic())));
  }

  /** As the limits of ejection count, were the endpoint of `label` ejected. */
  #fleet(label: string): Fleet {
    const fleet = { endpoints: 0, ejected: 0, usableOthers: 0 };
    for (const member of this.#members.values()) {
      const { drained, ejected, health } = stateOf(member);
      if (drained) continue;
      fleet.endpoints++;
      if (ejected) fleet.ejected++;
      else if (health === 'up' && member.endpoint.label !== label) fleet.usableOthers++;
    }
    return fleet;
  }

  /** Several names in one: the worst state, and what is said of each that has it. */
  #resolution(visible: readonly Entry[]): ResolutionStatus {
    const all = visible.map(({ source }) => ({ url: source.url, ...resolutionOf(source) }));
    const worst = all.reduce((a, b) => (BY_SEVERITY.indexOf(b.state) > BY_SEVERITY.indexOf(a.state) ? b : a));
    const alike = all.filter(({ state }) => state === worst.state);
    const said =
      all.length === 1
        ? worst.reason
        : alike.map(({ url, reason }) => `${url.authority}: ${reason}`).join('; ');
    const awaited =
      this.#leaving.length === 0 ? [] : this.#entries.filter(({ source }) => !source.established);
    const waits = awaited.map(
      ({ source }) => `; until ${source.url.authority} is ready: ${source.name.reason}`,
    );
    return {
      state: worst.state,
      reason: `${said}${waits.join('')}`,
      since: worst.since,
      answeredAt: worst.answeredAt,
      ttlMs: worst.ttlMs,
    };
  }

  #statusOf(member: Member): EndpointStatus {
    const { entry, endpoint, record } = member;
    const { state, reason, since } = entry.source.name;
    const health = endpoint.check?.loop.health ?? {
      reason: 'checks are off',
      since: endpoint.since,
      checks: [],
    };
    const { ejection, times } = record.outlier;
    return {
      ...stateOf(member),
      reason: health.reason,
      since: health.since,
      admin: record.admin,
      dns: { state, reason, since },
      ejection:
        ejection === undefined
          ? undefined
          : { reason: ejection.reason, since: ejection.since, until: ejection.until, times },
      checks: health.checks,
    };
  }
}

function stateOf({ entry: { source }, endpoint, record, weight, tier }: Member): EndpointState {
  return {
    address: endpoint.address,
    port: endpoint.port,
    scheme: source.url.scheme,
    serverName: source.serverName,
    authority: source.authority,
    health: healthOf(endpoint),
    weight,
    tier,
    drained: record.admin.state === 'drain',
    ejected: record.outlier.ejection !== undefined,
    warmingSince: record.warmingSince,
  };
}

function resolutionOf({ name: { state, reason, since, answeredAt, ttlMs } }: ServerSource): ResolutionStatus {
  return { state, reason, since, answeredAt, ttlMs };
}

export function isSameTarget(a: ServerUrl, b: ServerUrl): boolean {
  return a.scheme === b.scheme && a.srv === b.srv && a.authority === b.authority && a.port === b.port;
}

/**
 * Whether endpoints of a former URL can take requests until those that come are known: an endpoint of plain http is an
 * address and a port and nothing else; of https it is also the name in the certificate, which has changed.
 */
function canServeOn(former: ServerUrl, coming: readonly ServerUrl[]): boolean {
  return coming.length > 0 && [former, ...coming].every(({ scheme }) => scheme === 'http');
}
