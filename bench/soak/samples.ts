/** What is looked at again and again: the processes of the proxy from outside and inside, and what clients see. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { residentBytes } from '../cpu.ts';
import type { Exposition } from './exposition.ts';
import type { Interval } from './load/tally.ts';
import type { Probe } from './probe.ts';
import { type OpenFiles, openFilesOf } from './sockets-of.ts';

/** Processes of the proxy. Workers by their place, whoever takes it. */
export interface Seat {
  readonly name: string;
  /** 0: nobody at the moment. */
  readonly pid: number;
}

export interface ProcessSample {
  /** Bytes. */
  readonly rss: number;
  readonly files: OpenFiles;
  readonly probe: Probe | undefined;
}

export interface Sample {
  /** Seconds from the start of the load. */
  readonly at: number;
  /** Undefined while it is being replaced. */
  readonly processes: Readonly<Record<string, ProcessSample | undefined>>;
  /** Of metrics; those of endpoints apart. */
  readonly series: number;
  readonly endpointSeries: number;
  /** Milliseconds: the worst p99 of any process. */
  readonly loopLag: number;
  readonly clientConnections: number;
  readonly upstreamConnections: number;
  readonly tunnels: number;
  readonly inFlight: number;
  readonly bufferedBytes: number;
  /** Of the load since the last sample. */
  readonly requests: number;
  readonly latency: Interval['latency'];
}

export function sampleProcess(pid: number, probes: string): ProcessSample | undefined {
  const rss = residentBytes(pid);
  if (rss === undefined) return undefined;
  try {
    return { rss, files: openFilesOf(pid), probe: readProbe(pid, probes) };
  } catch {
    return undefined; // gone since
  }
}

export function readProbe(pid: number, probes: string): Probe | undefined {
  try {
    return JSON.parse(readFileSync(join(probes, `${pid}.json`), 'utf8')) as Probe;
  } catch {
    return undefined; // it has not written yet
  }
}

export function trafficOf(exposition: Exposition) {
  return {
    series: exposition.series,
    endpointSeries: exposition.endpointSeries,
    loopLag: exposition.most('pointsman_event_loop_lag_seconds', 'quantile="0.99"') * 1000,
    clientConnections: exposition.sum('pointsman_client_connections'),
    upstreamConnections: exposition.sum('pointsman_upstream_connections'),
    tunnels: exposition.sum('pointsman_tunnels'),
    inFlight: exposition.sum('pointsman_requests_in_flight'),
    bufferedBytes: exposition.sum('pointsman_buffered_bytes'),
  };
}

/** Of several load generators over the same time. */
export function mergeIntervals(intervals: readonly Interval[]): Interval {
  const done: Record<string, number> = {};
  for (const interval of intervals) {
    for (const [kind, count] of Object.entries(interval.done)) done[kind] = (done[kind] ?? 0) + count;
  }
  return {
    done,
    held: intervals.reduce((sum, { held }) => sum + held, 0),
    // Each kind is sent by one of them alone.
    latency: Object.assign({}, ...intervals.map(({ latency }) => latency)),
  };
}
