/**
 * What a change would have meant for the requests of an access log. The log names no users, only their buckets; so
 * users are counted by the buckets that occur, and estimated from them. Memory does not grow with the log.
 */
import { BUCKETS } from '../routing/bucket.ts';
import type { Conditions } from '../routing/conditions.ts';
import { guardedRoute } from '../routing/guard.ts';
import { groupClassOf } from '../routing/invariants.ts';
import { matchRoute, type RequestFacts } from '../routing/match.ts';
import type { Route } from '../routing/route.ts';
import { routeOf } from '../routing/route-request.ts';
import type { RoutingTable } from '../routing/table.ts';
import { compareRows, type RowPlan } from './plan.ts';
import { backendOfBucket } from './user-moves.ts';

export interface LogImpact {
  /** Lines that were no requests of this log. */
  readonly foreignLines: number;
  /** Requests whose row is not in the table before: the log is of another one. */
  readonly unknownRows: number;
  /** Requests whose row after hangs on fields that the log does not hold. */
  readonly untold: number;
  readonly total: Impact;
  /** By name of the row before, those with most requests first. */
  readonly rows: readonly (Impact & { readonly row: string })[];
}

export interface Impact {
  readonly requests: number;
  /** That would go to another backend; not whole where weights or rendezvous decide. */
  readonly touched: number;
  /** Estimated from buckets; undefined without pinned requests. `atLeast`: every bucket occurs. */
  readonly users: UserCount | undefined;
  readonly touchedUsers: UserCount | undefined;
}

export interface UserCount {
  readonly count: number;
  readonly atLeast: boolean;
}

class Tally {
  requests = 0;
  touched = 0;
  readonly buckets = new Uint8Array(BUCKETS);
  readonly touchedBuckets = new Float64Array(BUCKETS);
  pinned = false;

  add(bucket: number | undefined, touched: number): void {
    this.requests++;
    this.touched += touched;
    if (bucket === undefined) return;
    this.pinned = true;
    this.buckets[bucket] = 1;
    this.touchedBuckets[bucket] = Math.max(this.touchedBuckets[bucket]!, touched);
  }

  impact(): Impact {
    const { requests, touched, pinned } = this;
    if (!pinned) return { requests, touched, users: undefined, touchedUsers: undefined };
    const seen = this.buckets.reduce((sum, one) => sum + one, 0);
    const moved = this.touchedBuckets.reduce((sum, one) => sum + one, 0);
    const users = usersOf(seen);
    // As dense as everywhere: a full table says nothing of how many users share a bucket.
    const touchedUsers = {
      count: Math.round((users.count * moved) / seen),
      atLeast: users.atLeast && moved > 0,
    };
    return { requests, touched, users, touchedUsers };
  }
}

/** Linear counting: how many users leave so many of 10,000 buckets without any. */
function usersOf(seen: number): UserCount {
  if (seen >= BUCKETS) return { count: Math.round(BUCKETS * Math.log(BUCKETS)), atLeast: true };
  return { count: Math.round(-BUCKETS * Math.log(1 - seen / BUCKETS)), atLeast: false };
}

interface Passage {
  readonly before: Route;
  readonly after: Route;
  readonly row: RowPlan;
}

/** Pairs of rows that were compared; a table has few, but a log may come from anywhere. */
const MAX_PASSAGES = 10_000;

export class LogReplay {
  readonly #before: RoutingTable;
  readonly #after: RoutingTable;
  readonly #byName: ReadonlyMap<string, Route>;
  /** The rows ask for the same in both tables: who takes a request needs no match. */
  readonly #sameRows: boolean;
  /** Buckets of several salts are other users each time, so they cannot be counted together. */
  readonly #oneSalt: boolean;
  readonly #passages = new Map<string, Passage>();
  readonly #rows = new Map<string, Tally>();
  readonly #total = new Tally();
  #foreignLines = 0;
  #unknownRows = 0;
  #untold = 0;

  constructor(before: RoutingTable, after: RoutingTable) {
    this.#before = before;
    this.#after = after;
    this.#byName = new Map(before.routes.map((route) => [route.name, route]));
    const rowsOf = ({ config }: RoutingTable) =>
      JSON.stringify([config.unknownGroup, config.routes.map(({ name, match }) => [name, match])]);
    this.#oneSalt = new Set(before.routes.flatMap(({ pin }) => pin?.salt ?? [])).size <= 1;
    this.#sameRows = rowsOf(before) === rowsOf(after);
  }

  add(line: string): void {
    const logged = readLine(line);
    if (logged === undefined) {
      this.#foreignLines++;
      return;
    }
    const row = this.#byName.get(logged.route);
    if (row === undefined) {
      this.#unknownRows++;
      return;
    }
    const next = this.#rowAfter(row, logged);
    if (next === undefined) {
      this.#untold++;
      return;
    }
    const passage = this.#passage(row, next, logged.facts);
    const touched = touchedShare(passage, logged);
    let tally = this.#rows.get(row.name);
    if (tally === undefined) {
      tally = new Tally();
      this.#rows.set(row.name, tally);
    }
    tally.add(logged.bucket, touched);
    this.#total.add(this.#oneSalt ? logged.bucket : undefined, touched);
  }

  result(): LogImpact {
    return {
      foreignLines: this.#foreignLines,
      unknownRows: this.#unknownRows,
      untold: this.#untold,
      total: this.#total.impact(),
      rows: [...this.#rows]
        .map(([row, tally]) => ({ row, ...tally.impact() }))
        .sort((a, b) => b.requests - a.requests),
    };
  }

  #rowAfter(row: Route, { facts }: Logged): Route | undefined {
    if (this.#sameRows) return this.#after.routes[row.index];
    const matched = matchRoute(this.#after, facts);
    for (const { match } of this.#after.routes.slice(0, matched.index + 1)) {
      if (match !== undefined && asksForFields(match)) return undefined;
    }
    return routeOf(this.#after, facts, groupClassOf(this.#after.groups, facts));
  }

  #passage(before: Route, after: Route, facts: RequestFacts): Passage {
    const was = groupClassOf(this.#before.groups, facts);
    const is = groupClassOf(this.#after.groups, facts);
    const key = `${before.index} ${was.index} ${after.index} ${is.index} ${was.index === -1 || is.index === -1 ? facts.groups : ''}`;
    let passage = this.#passages.get(key);
    if (passage === undefined) {
      const first = guardedRoute(before, was);
      const second = guardedRoute(after, is);
      passage = { before: first, after: second, row: compareRows(first, second, false) };
      if (this.#passages.size < MAX_PASSAGES) this.#passages.set(key, passage);
    }
    return passage;
  }
}

/** The log holds neither fields nor cookies. */
function asksForFields(match: readonly Conditions[]): boolean {
  return match.some(
    ({ headers, cookies, and, not }) =>
      headers.length > 0 || cookies.length > 0 || asksForFields(and) || asksForFields(not),
  );
}

/** Whether the request would go elsewhere: 0, 1, or how likely it is where the log cannot say. */
function touchedShare({ before, after, row }: Passage, { bucket, backend, remembered }: Logged): number {
  if (row.users === undefined || bucket === undefined) {
    const shift = row.backends.reduce((sum, { before: a = 0, after: b = 0 }) => sum + Math.max(0, b - a), 0);
    return shift / 100;
  }
  const from = remembered ? backend : backendOfBucket(before.split.names, before.split.layout, bucket);
  const at = from === undefined ? -1 : after.split.names.indexOf(from);
  // A store keeps everybody whom it has met, be it by pin or, at the first request, by bucket.
  if (row.pin?.store !== 'none' && row.pin?.void === false && at !== -1 && after.split.keeps[at]!) {
    const widest = after.split.widest?.[at];
    if (widest === undefined || backendOfBucket(after.split.names, widest.layout, bucket) === from) return 0;
  }
  const to =
    row.users.kind === 'exact' ? backendOfBucket(after.split.names, after.split.layout, bucket) : undefined;
  if (from !== undefined && to !== undefined) return from === to ? 0 : 1;
  return row.users.moved / BUCKETS;
}

interface Logged {
  readonly route: string;
  readonly facts: RequestFacts;
  readonly bucket: number | undefined;
  /** Where the user belonged: the backend that served, or the one that it spilled from. */
  readonly backend: string | undefined;
  readonly remembered: boolean;
}

/** Undefined for what is no line of a routed request. */
function readLine(line: string): Logged | undefined {
  if (!line.startsWith('{')) return undefined;
  let entry: Readonly<Record<string, unknown>>;
  try {
    entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const text = (key: string) => (typeof entry[key] === 'string' ? (entry[key] as string) : '');
  if (entry['msg'] !== 'request' || text('route') === '') return undefined;
  const groups = text('group') === '' ? [] : text('group').toLowerCase().split(', ');
  const bucket = Number.isInteger(entry['bucket']) ? (entry['bucket'] as number) : -1;
  return {
    route: text('route'),
    facts: {
      method: text('method'),
      path: text('path'),
      host: text('host').toLowerCase().replace(/:\d*$/, ''),
      group: groups[0] ?? '',
      groups: groups.length > 1 ? groups : undefined,
      rawHeaders: [],
      client: text('client')
        .replace(/:\d+$/, '')
        .replace(/^\[(.*)\]$/, '$1'),
    },
    bucket: bucket >= 0 && bucket < BUCKETS ? bucket : undefined,
    backend: text('spilled_from') || text('shielded_from') || text('backend') || undefined,
    remembered: text('pinned') === 'pin',
  };
}
