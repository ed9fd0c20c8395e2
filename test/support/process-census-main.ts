/**
 * Loaded into a process under test (`NODE_OPTIONS=--import=…`): on SIGUSR2 it collects garbage and writes what it holds
 * to `CENSUS_FOLDER/PID-NUMBER.json`, numbers from 1.
 */

import { renameSync, writeFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';

export interface HeldByProcess {
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
  /** Handles and requests that keep the process alive, by kind. */
  readonly resources: Readonly<Record<string, number>>;
}

const folder = process.env['CENSUS_FOLDER'];
if (folder !== undefined) {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;
  let asked = 0;
  process.on('SIGUSR2', () => {
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    const resources: Record<string, number> = {};
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    const held: HeldByProcess = { heapUsed, external, rss, resources };
    const file = `${folder}/${process.pid}-${++asked}.json`;
    writeFileSync(`${file}.part`, JSON.stringify(held));
    renameSync(`${file}.part`, file);
  });
}
