/** What a connection costs in memory that has had its answer and waits for the next request. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { currentRss } from './cpu.ts';
import { driveWrk } from './drivers/wrk.ts';
import { onCore, type Placement } from './launch.ts';
import { median, type Table } from './report.ts';
import { SUBJECTS } from './subjects/registry.ts';
import type { Subject } from './subjects/subject.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';
import { requestsOf } from './workload.ts';

const CONNECTIONS = 10_000;
const CLIENTS = fileURLToPath(import.meta.resolve('./idle/clients-process.ts'));
const NAMES = ['pointsman', 'pointsman-full', 'haproxy', 'nginx'];
/** What a proxy frees, it frees within this time. */
const SETTLE_MS = 3_000;

export async function measureIdle(
  cores: Placement,
  rounds: number,
  folder: string,
): Promise<{ table: Table; upstreams: string }> {
  const subjects = SUBJECTS.filter(({ name }) => NAMES.includes(name));
  const upstreams = await startUpstreams({ size: 100, core: cores.load, folder });
  const found = new Map<Subject, { before: number; grown: number }[]>();
  try {
    for (let round = 0; round < rounds; round++) {
      for (const subject of subjects) {
        const roundFolder = join(folder, `${subject.name}-${round}`);
        mkdirSync(roundFolder);
        const result = await measureRound(subject, upstreams, cores, roundFolder);
        found.set(subject, [...(found.get(subject) ?? []), result]);
      }
    }
  } finally {
    await upstreams.stop();
  }
  const rows = [...found].map(([{ name }, results]) => {
    const grown = median(results.map((result) => result.grown));
    return [
      name,
      (median(results.map(({ before }) => before)) / 1024 ** 2).toFixed(0),
      (grown / 1024 ** 2).toFixed(0),
      (grown / CONNECTIONS / 1024).toFixed(1),
    ];
  });
  return {
    table: {
      title: `${CONNECTIONS.toLocaleString('en')} idle keep-alive connections`,
      head: ['subject', 'RSS before MiB', 'more with them MiB', 'KiB each'],
      rows,
      notes: [],
    },
    upstreams: upstreams.kind,
  };
}

/** A new process each time: one that had many connections once keeps the memory for the next. */
async function measureRound(
  subject: Subject,
  upstreams: Upstreams,
  cores: Placement,
  folder: string,
): Promise<{ before: number; grown: number }> {
  const running = await subject.start({
    upstreamPorts: upstreams.ports,
    pinned: false,
    accessLog: false,
    plain: false,
    placement: cores,
    folder,
  });
  try {
    const load = { port: running.port, requests: requestsOf('get', 100), connections: 64, seconds: 3 };
    await driveWrk(load, cores.load, folder);
    await sleep(SETTLE_MS);
    const { pid } = running.process!;
    const before = currentRss(pid);
    const [command, args] = onCore(cores.load, process.execPath, [
      CLIENTS,
      JSON.stringify({ port: running.port, connections: CONNECTIONS }),
    ]);
    const clients = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(clients, 'exit');
    const ready = await Promise.race([once(clients.stdout, 'data'), ended.then(() => undefined)]);
    if (ready === undefined) throw new Error(`${subject.name}: the clients ended before all were connected`);
    await sleep(SETTLE_MS);
    const grown = currentRss(pid) - before;
    clients.stdin.end();
    await ended;
    return { before, grown };
  } finally {
    await running.stop();
  }
}
