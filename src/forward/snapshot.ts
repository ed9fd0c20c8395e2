/** What one request sees from its head to its end: the routing table of one load, with what it needs to be used. */
import type { ExposureCell } from '../blast-radius/exposure.ts';
import type { HeaderRules } from '../http/header-rules.ts';
import type { Cell } from '../observe/ledger.ts';
import type { RowCells } from '../observe/traffic-metrics.ts';
import type { PinStore } from '../pinning/store.ts';
import type { Route } from '../routing/route.ts';
import type { Rotation } from '../routing/split.ts';
import type { RoutingTable } from '../routing/table.ts';
import type { ForwardPolicy } from './policy.ts';
import type { SplitUse } from './split-use.ts';
import type { Upstream } from './upstreams.ts';

/** What one request sees from its head to its end, however many reloads happen meanwhile. */
export interface Snapshot {
  readonly table: RoutingTable;
  readonly policy: ForwardPolicy;
  /** By backend id. */
  readonly upstreams: readonly Upstream[];
  /** By route index. */
  readonly routes: readonly LiveRoute[];
}

/** A row of the table with what it needs to be used. */
export interface LiveRoute {
  readonly route: Route;
  readonly upstreams: readonly Upstream[];
  readonly rotation: Rotation;
  /** By index in the split. */
  readonly cells: readonly RowCells[];
  readonly noBackendCells: RowCells;
  /** Requests that a backend could not take, by where they would have gone and where they went. */
  readonly spillCells: SpillCells;
  readonly pinStore: PinStore | undefined;
  readonly pinCells: PinCells | undefined;
  /** By index in the split; only where users are known. */
  readonly exposure: readonly (ExposureCell | undefined)[] | undefined;
  /** Undefined, as they nearly always are: the fields are passed on as they are. */
  readonly requestRules: HeaderRules | undefined;
  readonly responseRules: HeaderRules | undefined;
  /** By index of a group's class: the row as requests see it to whose group something is promised. */
  readonly guarded: readonly (LiveRoute | undefined)[] | undefined;
  readonly use: SplitUse;
  /** By index in the split: whether the backend has an endpoint that may take requests. */
  readonly usable: (index: number) => boolean;
}

/** Index in the split of the backend that could not take the request, then of the one that did. */
export type SpillCells = (from: number, to: number) => Cell;

/** Lookups by result: no user, one that a cookie was just issued for, the store knew, the hash decided. */
export interface PinCells {
  readonly anonymous: Cell;
  readonly issued: Cell;
  readonly remembered: Cell;
  readonly hash: Cell;
}
