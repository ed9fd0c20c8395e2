/**
 * What people at the admin port see and do, wired to the primary: overrides over the configuration, the live page,
 * explanations, actions, and what happened lately.
 */
import { performance } from 'node:perf_hooks';
import { TokenGate } from '../admin/access.ts';
import { Actions } from '../admin/actions.ts';
import { explainLive } from '../admin/explain-live.ts';
import {
  boundedLines,
  MAX_RELOADS,
  MAX_STATE_CHANGES,
  Recent,
  type ReloadRecord,
  type StateChange,
} from '../admin/history.ts';
import { LiveStream } from '../admin/live-stream.ts';
import { RecentTraffic } from '../admin/recent-traffic.ts';
import type { AdminServerOptions } from '../admin/server.ts';
import type { StatusDocument, StatusInput } from '../admin/status.ts';
import type { SteeringMetrics } from '../admin/steering-metrics.ts';
import { readToken } from '../admin/token.ts';
import { availabilityOf } from '../backends/availability.ts';
import { endpointLabel } from '../backends/endpoint.ts';
import type { BackendSupervisor, SupervisorEvent } from '../backends/supervisor.ts';
import { maskedConfig } from '../config/changes.ts';
import type { Config } from '../config/schema.ts';
import type { Logger } from '../observe/log.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import { applyOverrides, describeEffects, type Effect, type Overridden } from '../overrides/apply.ts';
import { OverrideBoard } from '../overrides/board.ts';
import { PAGE_POLICY, pageDocument } from '../page/document.ts';
import { pageParts } from '../page/parts.ts';
import { ReleaseSets } from '../release-sets/release-sets.ts';
import { compileTable, type RoutingTable } from '../routing/table.ts';
import type { ForwardingGroup } from './forwarding-group.ts';

export interface SteeringEdges {
  readonly log: Logger;
  readonly version: string;
  readonly metrics: SteeringMetrics;
  readonly supervisor: Pick<BackendSupervisor, 'status' | 'checkNow'>;
  readonly group: () => Pick<ForwardingGroup, 'forgetPin' | 'failures'>;
  /** As the file says. */
  readonly config: () => Config;
  /** What holds by hand is something else now: the effective configuration is to be applied. */
  readonly onChange: () => void;
  readonly totals: () => Promise<LedgerTotals>;
  readonly status: (totals: LedgerTotals) => StatusDocument;
  readonly reload: () => Promise<{ readonly ok: boolean; readonly message: string }>;
}

export class Steering {
  readonly #edges: SteeringEdges;
  readonly #board: OverrideBoard;
  readonly #sets: ReleaseSets;
  readonly #recent = new RecentTraffic();
  readonly #live: LiveStream;
  readonly #reloads = new Recent<ReloadRecord>(MAX_RELOADS);
  readonly #changes = new Recent<StateChange>(MAX_STATE_CHANGES);
  #overridden: Overridden | undefined;
  #table: { readonly config: Config; readonly table: RoutingTable } | undefined;
  #effects: readonly Effect[] = [];
  /** By set: what was logged of it last. */
  #fates: ReadonlyMap<string, string> = new Map();

  constructor(edges: SteeringEdges) {
    this.#edges = edges;
    this.#board = new OverrideBoard({
      clock: Date.now,
      now: () => performance.now(),
      onChange: () => {
        this.#overridden = undefined;
        this.#edges.onChange();
      },
      onShared: ({ state, reason }) => {
        if (state === 'closed') edges.log.info('connected to Redis; overrides are shared');
        else edges.log.warn({ reason }, 'Redis is away; overrides reach this replica alone');
      },
    });
    this.#sets = new ReleaseSets({
      now: () => performance.now(),
      fallen: () => this.#current().fallen,
      lost: (backend) => this.#lost(backend),
      onChange: () => {
        this.#overridden = undefined;
        this.#edges.onChange();
      },
      onShared: ({ state, reason }) => {
        if (state === 'closed') edges.log.info('connected to Redis; fates of release sets are shared');
        else edges.log.warn({ reason }, 'Redis is away; release sets share their fate in this table alone');
      },
    });
    this.#live = new LiveStream({
      render: async () => this.#parts(),
      now: Date.now,
      onError: (error) => edges.log.error({ err: error }, 'the live page could not be made'),
    });
  }

  /** What other replicas and services set is known when it resolves, or `ms` have passed. */
  async start(config: Config, ms: number): Promise<void> {
    this.#board.configure(config);
    this.#sets.configure(config);
    await Promise.all([this.#board.settled(ms), this.#sets.settled(ms)]);
    this.#overridden = undefined;
  }

  /** Every endpoint was checked once: from now on other services are told of members that take no requests. */
  join(): void {
    this.#sets.join();
  }

  configure(config: Config): void {
    this.#board.configure(config);
    this.#sets.configure(config);
    this.#overridden = undefined;
  }

  /** The file's configuration with what holds by hand over it; the file's own when nothing does. */
  effective(): Config {
    const overridden = this.#current();
    const { began, ended } = describeEffects(this.#effects, overridden.effects);
    this.#effects = overridden.effects;
    const { log } = this.#edges;
    for (const override of began) log.warn({ override }, 'override holds');
    for (const override of ended) log.warn({ override }, 'override holds no more');
    for (const { override, state, reason } of overridden.effects) {
      if (state === 'void') log.warn({ override: override.id, reason }, 'override does nothing');
    }
    this.#edges.metrics.setOverrides(overridden.effects);
    this.#logSets(overridden);
    this.#sets.tell();
    return overridden.config;
  }

  /** Where guards of canaries put their brakes. */
  get board(): Pick<OverrideBoard, 'active' | 'wasEnded' | 'set' | 'end'> {
    return this.#board;
  }

  reloaded(record: Omit<ReloadRecord, 'changes' | 'problems'> & Partial<ReloadRecord>): void {
    this.#reloads.add({
      ...record,
      changes: boundedLines(record.changes ?? []),
      problems: boundedLines(record.problems ?? []),
    });
  }

  stateChanged(event: Extract<SupervisorEvent, { type: 'change' }>): void {
    const { kind, backend, endpoint = null, to } = event;
    this.#changes.add({ at: Date.now(), kind, backend, endpoint, to });
    this.#sets.tell();
  }

  statusInput(): Pick<
    StatusInput,
    'config' | 'overrides' | 'overridesShared' | 'sets' | 'setsShared' | 'history'
  > {
    const { config, effects } = this.#current();
    return {
      config,
      overrides: effects,
      overridesShared: this.#board.shared,
      sets: this.#sets.view(),
      setsShared: this.#sets.shared,
      history: {
        reloads: this.#reloads.all(),
        changes: this.#changes.all(),
        failures: this.#edges.group().failures(),
      },
    };
  }

  adminOptions(): Pick<AdminServerOptions, 'page' | 'explain' | 'acting'> {
    const { config, log, metrics, supervisor, group, reload } = this.#edges;
    return {
      page: {
        document: async () => {
          const { service, acting, pins } = config();
          return pageDocument(await this.#parts(), {
            service,
            version: this.#edges.version,
            acting: acting !== undefined,
            remembers: Object.values(pins).some(({ store }) => store !== 'none'),
          });
        },
        policy: PAGE_POLICY,
        live: this.#live,
      },
      explain: (body) => explainLive(this.#routingTable(), this.#down(), body),
      acting: {
        gate: new TokenGate(
          () => readToken(config().acting),
          () => performance.now(),
        ),
        actions: new Actions({
          circumstances: () => ({
            config: config(),
            active: this.#board.active(),
            endpoints: new Map(
              supervisor
                .status()
                .map(({ name, endpoints }) => [
                  name,
                  endpoints.map(({ address, port }) => endpointLabel(address, port)),
                ]),
            ),
          }),
          set: (request) => this.#board.set(request),
          end: (override) => this.#board.end(override),
          shared: () => this.#board.shared,
          pins: () => rememberingPins(config()),
          forgetPin: (pin, user) => group().forgetPin(pin, user),
          checkNow: () => supervisor.checkNow(),
          reload,
          dump: () => this.#dump(),
          audit: (fields, message) => log.warn(fields, message),
          count: (action, result) => metrics.action(action, result),
        }),
      },
    };
  }

  close(): void {
    this.#live.close();
    this.#board.close();
    this.#sets.close();
  }

  #current(): Overridden {
    this.#overridden ??= applyOverrides(this.#edges.config(), this.#board.active(), this.#sets.elsewhere());
    return this.#overridden;
  }

  /** What follows from members of release sets in the tables of other services. */
  #logSets({ config }: Overridden): void {
    const { lostSets = {} } = config;
    const fates = new Map(Object.entries(lostSets));
    for (const [set, { reason }] of this.#sets.elsewhere().fallen) fates.set(set, reason);
    const { log } = this.#edges;
    for (const [set, reason] of fates) {
      if (this.#fates.get(set) !== reason) log.warn({ set, reason }, 'release set follows another service');
    }
    for (const set of this.#fates.keys()) {
      if (!fates.has(set)) log.warn({ set }, 'release set is whole again');
    }
    this.#fates = fates;
  }

  /** Why a backend takes no requests. */
  #lost(backend: string): string | undefined {
    const status = this.#edges.supervisor.status().find(({ name }) => name === backend);
    if (status === undefined || availabilityOf(status.endpoints).available.length > 0) return undefined;
    return (status.circuit.reason || status.resolution.reason).slice(0, 200);
  }

  #routingTable(): RoutingTable {
    const { config } = this.#current();
    if (this.#table?.config !== config) this.#table = { config, table: compileTable(config) };
    return this.#table.table;
  }

  #down(): ReadonlySet<string> {
    const down = this.#edges.supervisor
      .status()
      .filter(({ endpoints }) => availabilityOf(endpoints).available.length === 0);
    return new Set(down.map(({ name }) => name));
  }

  async #parts(): Promise<ReadonlyMap<string, string>> {
    const totals = await this.#edges.totals();
    const status = this.#edges.status(totals);
    // Only who watches makes a window: one look at the page alone must not begin one.
    if (this.#live.watchers > 0) {
      const backends = status.backends.map(({ name }) => name);
      this.#recent.add(totals, backends, performance.now());
    }
    return pageParts({ status, recent: this.#recent });
  }

  async #dump(): Promise<unknown> {
    const { config } = this.#current();
    return {
      takenAt: new Date().toISOString(),
      status: this.#edges.status(await this.#edges.totals()),
      config: maskedConfig(config),
    };
  }
}

function rememberingPins({ routes, pins }: Config): string[] {
  const used = new Set(routes.map(({ pin }) => pin));
  return Object.keys(pins).filter((name) => used.has(name) && pins[name]!.store !== 'none');
}
