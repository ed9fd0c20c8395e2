/**
 * The forwarding side of one process: the snapshot that requests are decided by, and what all requests share.
 * Nothing here knows where configuration and endpoints come from; the process that owns it hands them in.
 */
import type { Logger } from 'pino';
import { Admission } from '../admission/admission.ts';
import { Deadlines } from '../admission/deadlines.ts';
import { RetryBudget } from '../admission/retry-budget.ts';
import type { BackendEndpoints } from '../backends/endpoint.ts';
import type { OutlierCause } from '../backends/outlier.ts';
import type { Exposure } from '../blast-radius/exposure.ts';
import { buildOf, type Config, type RouteConfig } from '../config/schema.ts';
import { compileHeaderRules } from '../http/header-rules.ts';
import type { AccessLog } from '../observe/access-log.ts';
import type { Cell } from '../observe/ledger.ts';
import { NO_LABEL, type RowCells, type TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { PinStores } from '../pinning/stores.ts';
import type { Route, Split } from '../routing/route.ts';
import { newRotation, type Rotation } from '../routing/split.ts';
import { compileTable } from '../routing/table.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { Endpoint } from './endpoint.ts';
import { endpointWithRoom } from './endpoint-choice.ts';
import { compilePolicy, type ForwardPolicy } from './policy.ts';
import { type FailedAttempt, planRetry, type RetryPlan } from './retry-plan.ts';
import type { LiveRoute, Snapshot, SpillCells } from './snapshot.ts';
import { SplitUse } from './split-use.ts';
import { type Revision, type Upstream, Upstreams } from './upstreams.ts';

export interface ForwarderEdges {
  readonly log: Logger;
  readonly accessLog: AccessLog;
  readonly metrics: TrafficMetrics;
  readonly pinStores: PinStores;
  /** How many different users met what. */
  readonly exposure: Exposure;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Files that the process may open. */
  readonly openFiles: number;
  /** An endpoint refused or reset a connection; whoever checks it may want to look at once. */
  readonly onEndpointFailure: (backend: string, address: string, port: number) => void;
  /** As many requests in a row as the configuration says have failed on an endpoint. */
  readonly onOutlier: (backend: string, address: string, port: number, cause: OutlierCause) => void;
}

export class Forwarder {
  readonly edges: ForwarderEdges;
  readonly deadlines: Deadlines;
  readonly retryBudget: RetryBudget;
  /** What is taken on. */
  readonly admission: Admission;
  /** Cells of requests that never got a route. */
  readonly unroutedCells: RowCells;
  snapshot: Snapshot;
  /** Undefined: no spans, and `traceparent` passes as it is. */
  tracing: Tracing | undefined = undefined;
  /** No keep-alive any more: connections end with their next response. */
  draining = false;
  readonly #upstreams: Upstreams;

  constructor(config: Config, edges: ForwarderEdges) {
    this.edges = edges;
    this.deadlines = new Deadlines(edges.now);
    this.unroutedCells = edges.metrics.rowCells(NO_LABEL, NO_LABEL);
    this.retryBudget = new RetryBudget(config.retries.budget);
    const { log, metrics, now, random, onEndpointFailure, onOutlier } = edges;
    this.admission = new Admission(config, {
      log,
      metrics,
      now,
      heldBytes: () => this.deadlines.heldBytes(),
      openFiles: edges.openFiles,
    });
    this.#upstreams = new Upstreams({
      metrics,
      admission: this.admission,
      now,
      // To the sweep is exact enough for the age of a connection, and costs nothing.
      coarseNow: () => this.deadlines.coarseNow,
      epochNow: Date.now,
      random,
      onEndpointFailure,
      onOutlier,
    });
    this.snapshot = this.#compile(config, undefined);
  }

  /** Swaps the snapshot whole. Requests under way keep theirs; unchanged backends keep connections and health. */
  applyConfig(config: Config): void {
    this.snapshot = this.#compile(config, this.snapshot);
    this.retryBudget.configure(config.retries.budget);
    this.admission.configure(config);
    this.#showPanic();
    this.edges.accessLog.configure(config.accessLog);
    const { routes } = this.snapshot.table;
    this.edges.exposure.retain(
      ({ route, backend, build }) =>
        routes.some(({ name, split }) => name === route && split.names.includes(backend)) &&
        buildOf(config, backend) === build,
    );
  }

  applyEndpoints(endpoints: readonly BackendEndpoints[]): void {
    this.#upstreams.update(this.snapshot.table.config, endpoints);
    this.#showPanic();
    const { table } = this.snapshot;
    this.edges.metrics.retain({
      hasRoute: (name) => table.routes.some((route) => route.name === name),
      hasBackend: (name) => this.#upstreams.hasBackend(name),
      hasEndpoint: (backend, label) => this.#upstreams.hasEndpoint(backend, label),
    });
  }

  /**
   * The endpoint for a request that goes to a backend of a row, by the backend's balancing method.
   *
   * @param index index in the split
   * @param tried endpoints the request failed on
   * @returns undefined when there is none, or all were tried
   */
  selectEndpoint(live: LiveRoute, index: number, tried: readonly Endpoint[]): Endpoint | undefined {
    const balancer = live.use.balancer(index);
    return balancer === undefined ? undefined : endpointWithRoom(balancer, tried, this.deadlines.coarseNow);
  }

  /** @param policy what the request was begun with */
  planRetry(failed: FailedAttempt, policy: ForwardPolicy): RetryPlan {
    return planRetry(failed, {
      attempts: policy.retryAttempts,
      budget: this.retryBudget,
      random: this.edges.random,
      now: this.deadlines.coarseNow,
    });
  }

  /** The cells that a request counts in, by how far it came; `index` -1: no backend was chosen. */
  cellsOf(live: LiveRoute | undefined, index: number): RowCells {
    if (live === undefined) return this.unroutedCells;
    return index === -1 ? live.noBackendCells : live.cells[index]!;
  }

  /** Closes connections of the fast lane to upstreams that lay idle for too long. */
  sweepIdleSockets(): void {
    this.#upstreams.sweepIdleSockets(this.edges.now());
  }

  close(): void {
    this.#upstreams.drain();
    this.deadlines.close();
    this.admission.close();
  }

  /** A backend is in panic where it is in any row, as only the main backend of a split can be. */
  #showPanic(): void {
    const { upstreams, routes } = this.snapshot;
    for (const upstream of upstreams) upstream.cells.panic.value = 0;
    for (const { use, route, upstreams: ofRow } of routes) {
      const { main } = route.split;
      if (use.panics(main)) ofRow[main]!.cells.panic.value = 1;
    }
  }

  #compile(config: Config, before: Snapshot | undefined): Snapshot {
    const table = compileTable(config);
    const upstreams = this.#upstreams.apply(table);
    const { metrics, pinStores, exposure, random } = this.edges;
    pinStores.apply(config);
    const routes = table.routes.map((route) => {
      const rotation = sameSplit(before, route) ?? newRotation(route.split.shares, random());
      const live = makeLive(
        route,
        config.routes[route.index]!,
        upstreams,
        this.#upstreams.revision,
        rotation,
        metrics,
        pinStores,
        exposure,
      );
      return route.guarded === undefined ? live : withGuarded(live, route.guarded, before, random);
    });
    return {
      table,
      policy: compilePolicy(config, { host: !table.groupsOnly, client: table.needsClient }, before?.policy),
      upstreams,
      routes,
    };
  }
}

/**
 * Outside of the class, so that no closure here holds on to more than it needs: a closure made where the snapshot
 * before is in scope would keep that one, and through it every one since the start.
 */
function makeLive(
  route: Route,
  config: RouteConfig,
  all: readonly Upstream[],
  revision: Revision,
  rotation: Rotation,
  metrics: TrafficMetrics,
  pinStores: PinStores,
  exposure: Exposure,
): LiveRoute {
  const upstreams = route.split.backendIds.map((id) => all[id]!);
  const { pin, split } = route;
  const fates = route.fates?.map((fate) => (fate === 'lost' ? fate : fate?.map((id) => all[id]!)));
  const use = new SplitUse(split, upstreams, revision, fates);
  return {
    route,
    upstreams,
    rotation,
    cells: route.split.names.map((backend) => metrics.rowCells(route.name, backend)),
    noBackendCells: metrics.rowCells(route.name, NO_LABEL),
    spillCells: spillCellsOf(split.names, metrics),
    pinStore: pin === undefined ? undefined : pinStores.of(pin),
    pinCells:
      pin === undefined
        ? undefined
        : {
            anonymous: metrics.pins(pin.name, 'anonymous'),
            issued: metrics.pins(pin.name, 'issued'),
            remembered: metrics.pins(pin.name, 'remembered'),
            hash: metrics.pins(pin.name, 'hash'),
          },
    exposure:
      pin &&
      split.names.map((backend, i) =>
        exposure.cell({ route: route.name, backend, build: upstreams[i]!.config.build ?? '' }),
      ),
    requestRules: compileHeaderRules(config.request),
    responseRules: compileHeaderRules(config.response),
    guarded: undefined,
    use,
    usable: use.usable,
  };
}

/** A group to which something is promised has a rotation of its own: its share is exact among its own requests. */
function withGuarded(
  live: LiveRoute,
  guarded: readonly (Route | undefined)[],
  before: Snapshot | undefined,
  random: () => number,
): LiveRoute {
  return {
    ...live,
    guarded: guarded.map((route): LiveRoute | undefined => {
      if (route === undefined) return undefined;
      const use = live.use.for(route.split);
      const rotation = sameGuard(before, route) ?? newRotation(route.split.shares, random());
      return { ...live, route, rotation, use, usable: use.usable };
    }),
  };
}

function spillCellsOf(names: readonly string[], metrics: TrafficMetrics): SpillCells {
  const cells: (Cell | undefined)[] = [];
  return (from, to) => {
    const at = from * names.length + to;
    cells[at] ??= metrics.spills(names[from]!, names[to]!);
    return cells[at];
  };
}

/** A row whose weights did not change goes on where it stood, or reloads would disturb its exact shares. */
function sameSplit(before: Snapshot | undefined, route: Route): Rotation | undefined {
  const earlier = before?.routes.find((live) => live.route.name === route.name);
  return earlier !== undefined && isSameSplit(earlier.route.split, route.split)
    ? earlier.rotation
    : undefined;
}

/** The same for a row as a group sees it, which is known by the promises. */
function sameGuard(before: Snapshot | undefined, route: Route): Rotation | undefined {
  const earlier = before?.routes.find((live) => live.route.name === route.name);
  const alike = earlier?.guarded?.find(
    (live) =>
      live !== undefined &&
      isSameSplit(live.route.split, route.split) &&
      live.route.limits!.every((limit, i) => limit?.text === route.limits![i]?.text),
  );
  return alike?.rotation;
}

function isSameSplit({ names, shares }: Split, next: Split): boolean {
  return (
    names.length === next.names.length &&
    names.every((name, i) => name === next.names[i] && shares[i] === next.shares[i])
  );
}
