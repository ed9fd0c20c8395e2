/** Very many connections that nothing is asked on: what they cost comes back, and others are served meanwhile. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cleanUp } from '../../../support/clean-up.ts';
import {
  type PointsmanProcess,
  startPointsman,
  temporaryDirectory,
} from '../../../support/pointsman-process.ts';
import { censusEnvironment } from '../../../support/process-census.ts';
import { send } from '../../../support/request.ts';
import { inTime, waitFor } from '../../../support/wait-for.ts';
import { Census } from '../census.ts';
import { FaultyUpstream } from '../faulty-upstream.ts';
import { processesOf, SteadyClient, type Subject } from './scenario.ts';

const CLIENTS = fileURLToPath(import.meta.resolve('./idle-clients-main.ts'));

/** A process of clients may open only so many files, as any other. */
const PER_PROCESS = 5_000;

/** What a connection left behind would cost at least, octets; and what all of them together may leave. */
const LEFT_EACH = 1_000;
const LEFT = 4 * 1024 ** 2;

let lastNonce = 0x1000000;

export interface IdleResult {
  /** As many as the process could take, if it was not all. */
  readonly connections: number;
  /** Octets of heap and buffers that each took. */
  readonly each: number;
}

/** @param wanted as many, or as many as files allow */
export async function playIdleConnections(subject: Subject, wanted: number): Promise<IdleResult> {
  const { lane, workers } = subject;
  const upstream = await FaultyUpstream.start();
  const folder = temporaryDirectory();
  const proxy = await startPointsman(
    {
      backends: { open: { url: `http://127.0.0.1:${upstream.ports.open}` } },
      routes: [{ name: 'all', split: { open: 1 } }],
      health: { enabled: false },
      accessLog: { mode: 'off' },
      timeouts: { keepAlive: '1h' },
      forwarding: { fastLane: lane === 'fast' },
      workers,
    },
    { env: censusEnvironment(folder) },
  );
  const connections = Math.min(wanted, roomOf(proxy, workers));
  // The first ones make what is made once.
  await (await hold(proxy, Math.ceil(connections / 10))).release();
  const census = await Census.take(proxy, upstream, folder, await processesOf(proxy, workers));
  const before = await census.memory();

  const held = await hold(proxy, connections);
  assert.equal(await proxy.metric('pointsman_client_connections'), connections);
  assert.equal((await send(proxy.adminPort, { path: '/readyz' })).status, 200);
  const steady = Array.from({ length: 8 }, () => new SteadyClient(() => proxy.trafficPort));
  await waitFor('others to be served', () => steady.every(({ answered }) => answered > 20));
  for (const one of steady) {
    await one.end();
    assert.deepEqual(one.problems, []);
    assert.equal(one.cuts, 0);
  }
  const during = await census.memory();
  await held.release();
  assert.deepEqual(await census.problems(), []);
  const after = await census.memory();
  const used = ({ heapUsed, external }: typeof before) => heapUsed + external;
  const left = used(after) - used(before);
  assert.ok(left < LEFT + LEFT_EACH * connections, `${left} octets are left of ${connections} connections`);
  return { connections, each: Math.round((used(during) - used(before)) / connections) };
}

/** Connections that all workers together are sure to take: they do not come to each in equal numbers. */
function roomOf(proxy: PointsmanProcess, workers: number): number {
  const told = proxy.log().find(({ msg }) => msg.startsWith('the limit of open files'))?.['connections'];
  if (typeof told !== 'number') return Number.POSITIVE_INFINITY;
  return workers === 1 ? told - 100 : Math.floor(told * workers * 0.8);
}

interface Held {
  release(): Promise<void>;
}

async function hold(proxy: PointsmanProcess, connections: number): Promise<Held> {
  const children: ChildProcess[] = [];
  for (let from = 0; from < connections; from += PER_PROCESS) {
    const count = Math.min(PER_PROCESS, connections - from);
    const wanted = {
      port: proxy.trafficPort,
      connections: count,
      addresses: Array.from({ length: 8 }, (_, i) => `127.0.0.${children.length * 8 + i + 1}`),
      firstNonce: lastNonce,
    };
    lastNonce += count;
    const child = spawn(process.execPath, [CLIENTS, JSON.stringify(wanted)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    cleanUp(() => child.kill('SIGKILL'));
    children.push(child);
    const ended = once(child, 'exit').then(() => undefined);
    const ready = await inTime(
      'idle connections',
      Promise.race([once(child.stdout!, 'data'), ended]),
      120_000,
    );
    assert.ok(ready !== undefined, 'all of them are answered and stay');
  }
  return {
    release: async () => {
      for (const child of children) {
        assert.equal(child.exitCode, null, 'they were open until now');
        const ended = once(child, 'exit');
        child.stdin!.end();
        const [code] = await ended;
        assert.equal(code, 0);
      }
    },
  };
}
