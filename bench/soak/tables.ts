/** The tables of a run: what grew and what did not, what happened, what failed and why. Pure. */

import type { Table } from '../report.ts';
import { EXPLANATIONS, type Explanation } from './explain.ts';
import type { Columns, KeptSoak } from './results.ts';
import { EVENT_KINDS } from './schedule.ts';
import { type Noise, type Trend, trendOf, type Verdict, verdictOf, type Windows } from './trend.ts';

/** Shares of the run. V8 takes some ten minutes until its heap has the size that the load asks for. */
const WARM_UP = 1 / 3;
const WINDOW = 1 / 6;
/** A shorter run says nothing about growth. */
const LEAST_MINUTES = 10;

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly trend: Trend;
  readonly verdict: Verdict;
  /** Growth of it fails the run. Latency does not: it tells of the machine as much. */
  readonly counts: boolean;
  /** Its process was replaced in between: there is no line through it. */
  readonly broken: boolean;
}

interface Measure {
  readonly column: string;
  readonly name: string;
  readonly unit: string;
  readonly noise: Noise;
  readonly counts?: boolean;
}

const MEMORY: Noise = { share: 0.08, absolute: 8 };
/** Garbage is piled up and thrown away again: how high the pile is at a moment says little. */
const PILE: Noise = { share: 0.2, absolute: 8 };
const COUNT: Noise = { share: 0.08, absolute: 8 };
/** As many as requests are under way, and so a matter of latency; what leaks is left when the load has ended. */
const UNDER_WAY: Noise = { share: 0.25, absolute: 8 };
const LATENCY: Noise = { share: 0.5, absolute: 1 };

/** What leaks is alive in the heap or lies outside of it. */
const MEMORY_OF_PROCESS: readonly Omit<Measure, 'unit'>[] = [
  { column: 'rss', name: 'resident', noise: PILE },
  { column: 'heap', name: 'alive in the heap', noise: MEMORY },
  { column: 'native', name: 'resident outside of the heap', noise: MEMORY },
  { column: 'external', name: 'buffers', noise: MEMORY },
];

/** Added up over the workers: which of them a client's connection goes to is left to the kernel. */
const COUNTS: readonly Omit<Measure, 'unit' | 'noise'>[] = [
  { column: 'sockets', name: 'sockets' },
  { column: 'files', name: 'other descriptors' },
  { column: 'resources', name: 'handles and timers' },
  { column: 'listeners', name: 'listeners' },
];

const OF_ALL: readonly Measure[] = [
  { column: 'series', name: 'metric series, without those of endpoints', unit: '', noise: COUNT },
  // Kept when the endpoint has gone, until there are some 3,000, so that what it counted can be read; there is a new
  // one every 20 s.
  { column: 'endpoint series', name: 'metric series of endpoints', unit: '', noise: COUNT, counts: false },
  { column: 'client connections', name: 'client connections', unit: '', noise: COUNT },
  { column: 'upstream connections', name: 'upstream connections', unit: '', noise: UNDER_WAY },
  {
    column: 'loop lag',
    name: 'event loop lag p99, worst process',
    unit: 'ms',
    noise: LATENCY,
    counts: false,
  },
  { column: 'get p50', name: 'GET p50', unit: 'ms', noise: LATENCY, counts: false },
  { column: 'get p99', name: 'GET p99', unit: 'ms', noise: LATENCY, counts: false },
  { column: 'pinned p50', name: 'GET of pinned users p50', unit: 'ms', noise: LATENCY, counts: false },
  { column: 'pinned p99', name: 'GET of pinned users p99', unit: 'ms', noise: LATENCY, counts: false },
];

export function seatsOf({ columns }: KeptSoak): string[] {
  return Object.keys(columns).flatMap((name) => (name.startsWith('rss ') ? [name.slice(4)] : []));
}

export function rowsOf(kept: KeptSoak): Row[] {
  const { columns, minutes, events } = kept;
  const end = minutes * 60;
  const windows: Windows = { warmUp: end * WARM_UP, length: end * WINDOW, end };
  const seats = seatsOf(kept);
  const [primary, ...workers] = seats;
  // Workers are killed in the last seat alone.
  const replaced = (events['worker killed']?.length ?? 0) > 0 ? workers.at(-1) : undefined;
  const rowOf = (
    { name, unit, noise, counts = true }: Omit<Measure, 'column'>,
    values: readonly (number | null)[],
    broken = false,
  ): Row => {
    const trend = trendOf(columns['at'] as number[], values, windows);
    return { name, unit, trend, verdict: verdictOf(trend, noise), counts, broken };
  };
  return [
    ...MEMORY_OF_PROCESS.flatMap(({ column, name, noise }) =>
      seats.map((seat) =>
        rowOf(
          { name: `${name}, ${seat}`, unit: 'MiB', noise },
          columns[`${column} ${seat}`]!,
          seat === replaced,
        ),
      ),
    ),
    ...COUNTS.flatMap(({ column, name }) => [
      rowOf({ name: `${name}, ${primary}`, unit: '', noise: COUNT }, columns[`${column} ${primary}`]!),
      rowOf({ name: `${name}, workers`, unit: '', noise: COUNT }, sumOf(workers, column, columns)),
    ]),
    ...OF_ALL.map((measure) => rowOf(measure, columns[measure.column]!)),
  ];
}

function sumOf(seats: readonly string[], column: string, columns: Columns): (number | null)[] {
  return columns['at']!.map((_, index) => {
    const values = seats.map((seat) => columns[`${column} ${seat}`]![index]);
    return values.some((value) => typeof value !== 'number')
      ? null
      : (values as number[]).reduce((sum, value) => sum + value, 0);
  });
}

/** What makes the run fail, in words. */
export function faultsOf(kept: KeptSoak): string[] {
  const faults = [...kept.unexplained];
  for (const [seat, { before, after }] of Object.entries(kept.atRest)) {
    for (const what of ['sockets', 'files', 'resources', 'listeners'] as const) {
      if (after[what] > before[what] + AT_REST_MORE) {
        faults.push(
          `${seat} holds ${after[what]} ${what} after the load, and held ${before[what]} before it`,
        );
      }
    }
  }
  faults.push(...lineFaultsOf(kept));
  if (kept.minutes < LEAST_MINUTES) return faults;
  for (const { name, unit, trend, verdict, counts } of rowsOf(kept)) {
    if (counts && verdict === 'grows')
      faults.push(`${name} grows from ${trend.first} to ${trend.last} ${unit}`);
  }
  return faults;
}

/** A worker that is killed takes the lines with it that it had not written: those of less than a second. */
function lineFaultsOf({ answered, requests, minutes, explained, events }: KeptSoak): string[] {
  const missing = answered.clients - answered.accessLog;
  const all = Object.values(requests).reduce((sum, count) => sum + count, 0);
  const most = ((events['worker killed']?.length ?? 0) * all) / (minutes * 60);
  if (missing > most) return [`${missing} answered requests are not in the access log`];
  // Clients whose connection was cut did not always see what was answered.
  const unseen = Object.values(explained).reduce((sum, count) => sum + count, 0);
  return -missing > unseen ? [`${-missing} lines of the access log are of no request that was answered`] : [];
}

/** A connection to Redis that is being made, or the timer of one that waits. */
const AT_REST_MORE = 3;

export function tablesOf(kept: KeptSoak): Table[] {
  return [growthTable(kept), restTable(kept), trafficTable(kept), eventTable(kept), failureTable(kept)];
}

function growthTable(kept: KeptSoak): Table {
  const long = kept.minutes >= LEAST_MINUTES;
  const window = minutesText(kept.minutes * WINDOW);
  const rows = rowsOf(kept).map(({ name, unit, trend, verdict, broken }) => [
    unit === '' ? name : `${name}, ${unit}`,
    number(trend.first),
    number(trend.last),
    signed(trend.last - trend.first),
    broken ? '–' : signed(trend.slope * 3600),
    long ? verdict : '–',
  ]);
  return {
    title: 'What grows',
    head: ['', `first ${window}`, `last ${window}`, 'change', 'slope per hour', 'verdict'],
    rows,
    notes: [],
  };
}

function restTable({ atRest }: KeptSoak): Table {
  const rows = Object.entries(atRest).map(([seat, { before, after }]) => [
    seat,
    ...(['sockets', 'files', 'resources', 'listeners'] as const).map(
      (what) => `${before[what]} → ${after[what]}`,
    ),
  ]);
  return {
    title: 'What is left when the load has ended (before → after)',
    head: ['process', 'sockets', 'other descriptors', 'handles and timers', 'listeners'],
    rows,
    notes: [],
  };
}

function trafficTable({ requests, minutes }: KeptSoak): Table {
  const rows = Object.entries(requests)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => [KIND_WORDS[kind] ?? kind, grouped(count), number(count / (minutes * 60))]);
  const all = Object.values(requests).reduce((sum, count) => sum + count, 0);
  return {
    title: 'Traffic',
    head: ['kind', 'done', 'per second'],
    rows: [...rows, ['all', grouped(all), number(all / (minutes * 60))]],
    notes: [],
  };
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  get: 'GET, keep-alive, of all groups',
  pinned: 'GET of 5,000 pinned users, by field and by cookie',
  head: 'HEAD',
  post: 'POST up to 32 KiB, checksums both ways',
  stream: 'POST up to 256 KiB in chunks, answered in chunks as it comes',
  connect: 'GET on a new connection',
  options: 'GET whose Connection names a field (full lane)',
  http10: 'GET of HTTP/1.0 (full lane)',
  expect: 'POST with Expect: 100-continue (full lane)',
  absolute: 'GET in absolute form (full lane)',
  limited: 'GET of a group with a rate',
  'limited, 429': 'the same, answered 429',
  large: 'GET of 1 MiB',
  drip: 'GET that takes the upstream two seconds',
  'slow-upload': 'POST that takes the client three seconds',
  'slow-download': 'GET of 1 MiB by a client that reads slowly',
  vanish: 'clients that vanish in the middle',
  idle: 'connections that are kept idle until they are ended',
  websocket: 'messages of WebSockets, echoed',
};

function eventTable({ events }: KeptSoak): Table {
  const rows = EVENT_KINDS.map((kind) => [kind, String(events[kind]?.length ?? 0)]);
  return { title: 'Events', head: ['event', 'times'], rows, notes: [] };
}

function failureTable({ explained, unexplained }: KeptSoak): Table {
  const rows = (Object.keys(EXPLANATIONS) as Explanation[]).map((name) => [
    EXPLANATIONS[name],
    String(explained[name] ?? 0),
  ]);
  return {
    title: 'Failures that clients saw',
    head: ['explained by', 'times'],
    rows: [...rows, ['nothing', String(unexplained.length)]],
    notes: [],
  };
}

function minutesText(minutes: number): string {
  return minutes >= 1 ? `${Number(minutes.toFixed(1))} min` : `${Math.round(minutes * 60)} s`;
}

function number(value: number): string {
  if (Number.isNaN(value)) return '–';
  return Math.abs(value) < 100 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
}

function signed(value: number): string {
  if (Number.isNaN(value)) return '–';
  const text = number(Math.abs(value));
  return Number(text) === 0 ? '0' : `${value < 0 ? '−' : '+'}${text}`;
}

function grouped(count: number): string {
  return count.toLocaleString('en-GB');
}
