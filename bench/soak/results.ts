/** What a run is kept as, in `soak.json`: the README's tables and the picture are made from it alone. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { HostFacts } from '../machine.ts';
import type { Explanation } from './explain.ts';
import { TIMED } from './load/kinds.ts';
import type { AtRest, SoakResult } from './run.ts';
import type { Sample } from './samples.ts';
import type { EventKind } from './schedule.ts';

const FILE = new URL('../soak.json', import.meta.url);

/** Samples in columns: numbers by name, null where there was nothing to measure. */
export type Columns = Readonly<Record<string, readonly (number | null)[]>>;

export interface KeptSoak {
  readonly machine: HostFacts;
  readonly node: string;
  readonly minutes: number;
  readonly pace: number;
  readonly share: number;
  readonly workers: number;
  readonly requests: Readonly<Record<string, number>>;
  readonly held: number;
  readonly watched: number;
  readonly scrapes: number;
  readonly answered: SoakResult['answered'];
  readonly explained: Readonly<Partial<Record<Explanation, number>>>;
  readonly unexplained: readonly string[];
  readonly atRest: Readonly<Record<string, { readonly before: AtRest; readonly after: AtRest }>>;
  /** Seconds at which each kind of event happened. */
  readonly events: Readonly<Partial<Record<EventKind, readonly number[]>>>;
  readonly columns: Columns;
}

/** Those of a process are named after it: `rss primary`. */
export function columnsOf(samples: readonly Sample[], seats: readonly string[]): Columns {
  const columns: Record<string, (number | null)[]> = { at: samples.map(({ at }) => Math.round(at)) };
  for (const seat of seats) {
    const of = (pick: (sample: NonNullable<Sample['processes'][string]>) => number | undefined) =>
      samples.map(({ processes }) => {
        const value = processes[seat] === undefined ? undefined : pick(processes[seat]);
        return value ?? null;
      });
    columns[`rss ${seat}`] = of(({ rss }) => mib(rss));
    // 0 until the first whole collection.
    columns[`heap ${seat}`] = of(({ probe }) => (probe?.heapAlive ? mib(probe.heapAlive) : undefined));
    // Of two readings some seconds apart; what is not the heap's moves slowly.
    columns[`native ${seat}`] = of(({ rss, probe }) =>
      probe === undefined ? undefined : mib(rss - probe.heapTotal),
    );
    columns[`external ${seat}`] = of(({ probe }) => (probe === undefined ? undefined : mib(probe.external)));
    columns[`sockets ${seat}`] = of(({ files }) => files.sockets);
    columns[`files ${seat}`] = of(({ files }) => files.pipes + files.others);
    columns[`resources ${seat}`] = of(({ probe }) =>
      probe === undefined ? undefined : total(probe.resources),
    );
    columns[`listeners ${seat}`] = of(({ probe }) => probe?.listeners);
  }
  columns['client connections'] = samples.map(({ clientConnections }) => clientConnections);
  columns['upstream connections'] = samples.map(({ upstreamConnections }) => upstreamConnections);
  columns['tunnels'] = samples.map(({ tunnels }) => tunnels);
  columns['series'] = samples.map(({ series }) => series);
  columns['endpoint series'] = samples.map(({ endpointSeries }) => endpointSeries);
  columns['loop lag'] = samples.map(({ loopLag }) => round(loopLag, 1));
  columns['requests'] = samples.map(({ requests }) => requests);
  for (const kind of TIMED) {
    for (const percentile of ['p50', 'p99'] as const) {
      const of = ({ latency }: Sample) => latency[kind]?.[percentile];
      columns[`${kind} ${percentile}`] = samples.map((sample) => {
        const value = of(sample);
        return value === undefined ? null : round(value, 2);
      });
    }
  }
  return columns;
}

export function readSoak(): KeptSoak | undefined {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as KeptSoak) : undefined;
}

/** A line for each column, so that the file stays small and its differences can be read. */
export function writeSoak({ columns, ...others }: KeptSoak): void {
  const lines = Object.entries(columns).map(([name, values]) => `    "${name}": ${JSON.stringify(values)}`);
  const text = JSON.stringify(others, null, 2).replace(/\n}$/, '');
  writeFileSync(FILE, `${text},\n  "columns": {\n${lines.join(',\n')}\n  }\n}\n`);
}

function mib(bytes: number): number {
  return round(bytes / 1024 ** 2, 1);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
