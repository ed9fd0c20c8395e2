/** 1 GiB down and up through one connection: what it costs, and how far the memory grows on the way. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cpuBetween, currentRss, readCpu } from './cpu.ts';
import { runChild } from './drivers/run-child.ts';
import { freePorts, launch, type Placement, waitForPort } from './launch.ts';
import { median, type Table } from './report.ts';
import { SUBJECTS } from './subjects/registry.ts';
import type { RunningSubject, Subject } from './subjects/subject.ts';
import { TRACKS, type Track } from './workload.ts';

const BYTES = 1024 ** 3;
const NAMES = ['pointsman', 'pointsman-full', 'haproxy', 'nginx'];
const UPSTREAM = fileURLToPath(import.meta.resolve('./transfer/upstream-process.ts'));
const CLIENT = fileURLToPath(import.meta.resolve('./transfer/client-process.ts'));
const SAMPLE_MS = 20;

interface Transferred {
  readonly cpuUs: number;
  /** Bytes above what it was before. */
  readonly grown: number;
  readonly seconds: number;
}

export async function measureTransfer(
  cores: Placement,
  rounds: number,
  folder: string,
): Promise<{ table: Table; upstreams: string }> {
  const ports = await freePorts(TRACKS.length);
  const upstream = launch({
    name: 'upstream',
    command: process.execPath,
    args: [UPSTREAM, JSON.stringify({ ports })],
    core: cores.load,
    folder,
  });
  const started: { subject: Subject; running: RunningSubject }[] = [];
  const found = new Map<string, Transferred[]>();
  try {
    for (const port of ports) await waitForPort(upstream, 'the upstream', port);
    const upstreamPorts = Object.fromEntries(TRACKS.map((track, index) => [track, ports[index]!]));
    for (const subject of SUBJECTS.filter(({ name }) => NAMES.includes(name))) {
      const subjectFolder = join(folder, subject.name);
      mkdirSync(subjectFolder);
      const running = await subject.start({
        upstreamPorts: upstreamPorts as Record<Track, number>,
        pinned: false,
        accessLog: false,
        plain: false,
        placement: cores,
        folder: subjectFolder,
      });
      started.push({ subject, running });
      // Code is compiled and buffers are made by the first of them.
      for (const direction of ['down', 'up'] as const) await transfer(running, direction, BYTES / 8, cores);
    }
    for (let round = 0; round < rounds; round++) {
      for (const { subject, running } of started) {
        for (const direction of ['down', 'up'] as const) {
          const key = `${subject.name} ${direction}`;
          found.set(key, [...(found.get(key) ?? []), await transfer(running, direction, BYTES, cores)]);
        }
      }
    }
  } finally {
    await Promise.all(started.map(({ running }) => running.stop()));
    await upstream.stop();
  }
  const cpu = (name: string, direction: string) =>
    median(found.get(`${name} ${direction}`)?.map(({ cpuUs }) => cpuUs) ?? []);
  const rows = [...found].map(([key, results]) => {
    const [name, direction] = key.split(' ') as [string, string];
    return [
      name,
      direction,
      median(results.map(({ seconds }) => seconds)).toFixed(2),
      (cpu(name, direction) / 1e6).toFixed(2),
      (cpu('haproxy', direction) / cpu(name, direction)).toFixed(2),
      (Math.max(...results.map(({ grown }) => grown)) / 1024 ** 2).toFixed(1),
    ];
  });
  return {
    table: {
      title: '1 GiB in one body through one connection',
      head: [
        'subject',
        'direction',
        'seconds',
        'CPU s',
        'bytes per CPU × HAProxy',
        'RSS grows by at most MiB',
      ],
      rows,
      notes: [],
    },
    upstreams: 'node:http',
  };
}

async function transfer(
  { port, process: proxy }: RunningSubject,
  direction: 'down' | 'up',
  bytes: number,
  cores: Placement,
): Promise<Transferred> {
  const { pid } = proxy!;
  await sleep(500);
  const rssBefore = currentRss(pid);
  const cpuBefore = readCpu(pid);
  const from = performance.now();
  let peak = rssBefore;
  const sampling = setInterval(() => {
    peak = Math.max(peak, currentRss(pid));
  }, SAMPLE_MS);
  const arrived = await runChild(process.execPath, [CLIENT, JSON.stringify({ port, bytes, direction })], {
    core: cores.load,
    seconds: 120,
    parse: Number,
  });
  clearInterval(sampling);
  if (arrived !== bytes) throw new Error(`${arrived} of ${bytes} bytes arrived`);
  return {
    cpuUs: cpuBetween(cpuBefore, readCpu(pid)).totalUs,
    grown: peak - rssBefore,
    seconds: (performance.now() - from) / 1000,
  };
}
