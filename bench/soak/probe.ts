/**
 * Loaded into every process of the proxy (`--import`): writes what only the process itself can see to a file of its own,
 * again and again. Where, and how often, is in the environment.
 */

import cluster from 'node:cluster';
import type { EventEmitter } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, PerformanceObserver } from 'node:perf_hooks';

export const PROBE_FOLDER = 'POINTSMAN_SOAK_PROBES';
/** Milliseconds. */
export const PROBE_INTERVAL = 'POINTSMAN_SOAK_PROBE_MS';

export interface Probe {
  readonly pid: number;
  /** How many it has made. */
  readonly turn: number;
  /** Bytes that the heap has taken from the system, garbage and room included. */
  readonly heapTotal: number;
  /** What the heap held after the last whole collection: what lives. 0: there was none yet. */
  readonly heapAlive: number;
  /** Buffers among them. */
  readonly external: number;
  /** By kind, timers included. */
  readonly resources: Readonly<Record<string, number>>;
  /** On the process, the cluster and every open handle. */
  readonly listeners: number;
  /** Such as MaxListenersExceededWarning. */
  readonly warnings: readonly string[];
}

const folder = process.env[PROBE_FOLDER];
if (folder !== undefined) watch(folder);

function watch(folder: string): void {
  let heapAlive = 0;
  let turn = 0;
  const warnings: string[] = [];
  process.on('warning', (warning) => warnings.push(`${warning.name}: ${warning.message}`));
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) heapAlive = process.memoryUsage().heapUsed;
    }
  }).observe({ entryTypes: ['gc'] });
  const file = join(folder, `${process.pid}.json`);
  setInterval(() => {
    turn += 1;
    const { heapTotal, external } = process.memoryUsage();
    const probe: Probe = {
      pid: process.pid,
      turn,
      heapTotal,
      heapAlive,
      external,
      resources: countByName(process.getActiveResourcesInfo()),
      listeners: countListeners(),
      warnings,
    };
    writeFileSync(`${file}.next`, JSON.stringify(probe));
    renameSync(`${file}.next`, file);
  }, Number(process.env[PROBE_INTERVAL])).unref();
}

function countByName(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function countListeners(): number {
  // What prom-client counts too; there is no documented way to the objects themselves.
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const emitters = [process, cluster, cluster.worker, ...handles] as (Partial<EventEmitter> | undefined)[];
  let count = 0;
  for (const emitter of emitters) {
    for (const event of emitter?.eventNames?.() ?? []) count += emitter!.listenerCount!(event);
  }
  return count;
}
