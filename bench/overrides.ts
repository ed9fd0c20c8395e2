/**
 * `node bench/overrides.ts`: how long it takes until all replicas of a service serve by what was set by hand on one of
 * them, and how late they let go of what ends by itself. Told by answers to requests, not by what a proxy says of itself.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts, isInstalled, launch, waitFor } from './launch.ts';

const REPLICAS = 3;
const ROUNDS = 50;
/** Of these rounds every so many one replica is restarted while the override holds. */
const RESTART_EVERY = 10;
const ENDS = 20;
/** As short as an override may be, and long enough for all to have it. */
const LASTS_MS = 3_000;
const PROBE_MS = 5;
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const TOKEN = 'token-of-the-bench';

if (!isInstalled('redis-server')) throw new Error('redis-server is not installed');
const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const names = ['blue', 'green'] as const;
type Name = (typeof names)[number];
const urls = Object.fromEntries(
  await Promise.all(
    names.map(async (name) => {
      const server = createServer((_req, res) => res.end(name));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return [name, `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
    }),
  ),
);
const [redisPort, ...ports] = (await freePorts(1 + 2 * REPLICAS)) as [number, ...number[]];
const redis = launch({
  name: 'redis',
  command: 'redis-server',
  args: ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
  core: undefined,
  folder,
});

interface Replica {
  readonly traffic: number;
  readonly admin: number;
  process: ReturnType<typeof launch>;
}

const replicas: Replica[] = [];
for (let i = 0; i < REPLICAS; i++) {
  const [traffic, admin] = [ports[2 * i]!, ports[2 * i + 1]!];
  replicas.push({ traffic, admin, process: start(i, traffic, admin) });
}
for (const replica of replicas) await ready(replica);

const agreed: number[] = [];
const restarted: number[] = [];
// The first one is not measured: by the file both answer.
for (let round = -1; round < ROUNDS; round++) {
  const wanted = names[(round + 2) % 2]!;
  const at = replicas[(round + REPLICAS) % REPLICAS]!;
  const asked = performance.now();
  await act(at, { [other(wanted)]: 0, [wanted]: 100 }, '10m');
  await Promise.all(replicas.map((replica) => serves(replica, wanted)));
  if (round >= 0) agreed.push(performance.now() - asked);
  if (round % RESTART_EVERY === RESTART_EVERY - 1) {
    const index = (round + 1) % REPLICAS;
    const replica = replicas[index]!;
    await replica.process.stop();
    replica.process = start(index, replica.traffic, replica.admin);
    await ready(replica);
    // The first requests that it takes must go by the override.
    const wrong = await wrongAnswers(replica, wanted, 20);
    restarted.push(wrong);
  }
  // Not in step with the rounds of the replicas.
  await sleep(200 * Math.random());
}

const late: number[] = [];
for (let round = 0; round < ENDS; round++) {
  const wanted = names[round % 2]!;
  const until = await act(
    replicas[round % REPLICAS]!,
    { [wanted]: 0, [other(wanted)]: 100 },
    `${LASTS_MS}ms`,
  );
  await Promise.all(replicas.map((replica) => serves(replica, other(wanted))));
  // The file says half and half, so an answer of the other one is the end of it.
  const ends = await Promise.all(
    replicas.map(async (replica) => {
      await sleep(Math.max(0, until - Date.now() - 100));
      await serves(replica, wanted);
      return Date.now() - until;
    }),
  );
  late.push(...ends);
}

print(`| ${REPLICAS} replicas, real Redis | of | p50 ms | p90 ms | max ms |`);
print('| --- | ---: | ---: | ---: | ---: |');
print(`| until all serve by an override set on one of them | ${agreed.length} | ${figures(agreed)} |`);
print(`| from its time until a replica lets go of it | ${late.length} | ${figures(late)} |`);
print('');
print(
  `Replicas restarted while an override held: ${restarted.length}; of the first 20 answers of each, ${restarted.reduce((a, b) => a + b, 0)} went by anything else.`,
);
const isGood =
  Math.max(...agreed) <= 2_000 && Math.min(...late) >= 0 && restarted.every((wrong) => wrong === 0);
for (const replica of replicas) await replica.process.stop();
await redis.stop();
process.exit(isGood ? 0 : 1);

function start(index: number, traffic: number, admin: number): Replica['process'] {
  const file = path.join(folder, `replica-${index}.yaml`);
  writeFileSync(
    file,
    JSON.stringify({
      service: 'bench',
      listen: `127.0.0.1:${traffic}`,
      admin: `127.0.0.1:${admin}`,
      accessLog: { mode: 'off' },
      acting: { token: TOKEN },
      shutdown: { delay: '0ms' },
      redis: { url: `redis://127.0.0.1:${redisPort}` },
      backends: { blue: { url: urls['blue'] }, green: { url: urls['green'] } },
      routes: [{ name: 'all', split: { blue: 50, green: 50 } }],
    }),
  );
  const args = [MAIN, 'run', '--config', file];
  return launch({ name: `replica-${index}`, command: process.execPath, args, core: undefined, folder });
}

async function ready(replica: Replica): Promise<void> {
  await waitFor('a replica', async () => {
    replica.process.assertAlive();
    const response = await fetch(`http://127.0.0.1:${replica.admin}/status`).catch(() => undefined);
    if (response === undefined) return undefined;
    const status = (await response.json()) as {
      ready: { ok: boolean };
      overridesShared: { state: string } | null;
    };
    return status.ready.ok && status.overridesShared?.state === 'closed' ? true : undefined;
  });
}

/** @returns when it ends by itself, epoch milliseconds */
async function act(
  replica: Replica,
  weights: Readonly<Record<string, number>>,
  lasts: string,
): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${replica.admin}/actions/split`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ route: 'all', weights, for: lasts, reason: 'bench' }),
  });
  const body = (await response.json()) as { message: string; override?: { until: string } };
  if (body.override === undefined) throw new Error(body.message);
  return Date.parse(body.override.until);
}

async function answer({ traffic }: Replica): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${traffic}/`)).text();
}

/** Resolves with the first answer of that upstream. */
async function serves(replica: Replica, name: Name): Promise<void> {
  while ((await answer(replica)) !== name) await sleep(PROBE_MS);
}

async function wrongAnswers(replica: Replica, name: Name, of: number): Promise<number> {
  let wrong = 0;
  for (let i = 0; i < of; i++) if ((await answer(replica)) !== name) wrong++;
  return wrong;
}

function other(name: Name): Name {
  return name === 'blue' ? 'green' : 'blue';
}

function figures(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!;
  return [at(0.5), at(0.9), at(1)].map((ms) => Math.round(ms).toLocaleString('en')).join(' | ');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
