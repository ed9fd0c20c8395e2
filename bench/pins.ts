/**
 * `node bench/pins.ts`: what a pinned request costs beside an unpinned one, by where its user is remembered, and how
 * long a request takes while Redis does not answer. One proxy serves all kinds in turn, told apart by the traffic
 * group, with the same heads, so that nothing else differs.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { CookieIssuer } from '../src/pinning/issued-cookie.ts';
import { cpuBetween, readCpu } from './cpu.ts';
import { drivePaced } from './drivers/paced.ts';
import { freePorts, isInstalled, launch, placement } from './launch.ts';

const KINDS = ['unpinned', 'hash', 'memory', 'redis', 'cookie', 'token'] as const;
type Kind = (typeof KINDS)[number];

const USERS = 200;
const AMOUNT = 8_000;
const WARM_UP = 15_000;
const ROUNDS = 7;
const CONNECTIONS = 32;
/** Of the paced load. */
const SECONDS = 6;
const KEY = 'a key of the bench that signs cookies';
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

if (!isInstalled('redis-server')) throw new Error('redis-server is not installed');
const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const cores = placement(true);

const upstream = createServer((_req, res) => {
  res.writeHead(200, { 'Content-Length': 100 });
  res.end('x'.repeat(100));
});
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
const [traffic, admin, redisPort] = (await freePorts(3)) as [number, number, number];
const redis = launch({
  name: 'redis',
  command: 'redis-server',
  args: ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
  core: cores.load,
  folder,
});
const configPath = path.join(folder, 'pointsman.yaml');
writeFileSync(configPath, JSON.stringify(config()));
const proxy = launch({
  name: 'pointsman',
  command: process.execPath,
  args: [MAIN, 'run', '--config', configPath],
  core: cores.proxy,
  folder,
  env: { PIN_KEY: KEY },
});
await ready();

const medians = new Map<Kind, number>();
for (const kind of KINDS) await load(kind, WARM_UP);
const rounds = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const kind of round % 2 === 0 ? KINDS : [...KINDS].reverse()) {
    rounds.get(kind)!.push((await load(kind, AMOUNT)).cpuUs);
  }
}
for (const [kind, values] of rounds) medians.set(kind, values.sort((a, b) => a - b)[ROUNDS >> 1]!);

const base = medians.get('unpinned')!;
print('| user remembered | CPU µs/request | × unpinned |');
print('| --- | ---: | ---: |');
for (const kind of KINDS)
  print(`| ${words()[kind]} | ${medians.get(kind)!.toFixed(1)} | ${ratio(medians.get(kind)!)} |`);
const cold = await load('redis', 20_000, 'cold');
print(`| Redis, every request a new user | ${cold.cpuUs.toFixed(1)} | ${ratio(cold.cpuUs)} |`);
print('');
print('| new users, 500 requests/s | p50 ms | p99 ms | max ms |');
print('| --- | ---: | ---: | ---: |');
for (const [name, kind, signal] of [
  ['unpinned', 'unpinned', undefined],
  ['Redis answers', 'redis', undefined],
  ['Redis frozen before the first', 'redis', 'SIGSTOP'],
] as const) {
  if (signal !== undefined) redis.signal(signal);
  const requests = Array.from({ length: 500 * SECONDS }, (_, user) => ({
    method: 'GET' as const,
    path: '/',
    headers: headersOf(kind, `${name}-${user}`),
    bodySize: 0,
  }));
  const paced = { port: traffic, connections: CONNECTIONS, seconds: SECONDS, requests, rate: 500 };
  const { latency, errors, non2xx } = await drivePaced(paced, cores.load);
  if (errors > 0 || non2xx > 0) throw new Error(`${name}: ${errors} errors, ${non2xx} answers not 2xx`);
  const figures = [latency.p50, latency.p99, latency.max].map((ms) => ms.toFixed(2));
  print(`| ${name} | ${figures.join(' | ')} |`);
}
redis.signal('SIGCONT');
await proxy.stop();
await redis.stop();
process.exit();

function words(): Readonly<Record<Kind, string>> {
  return {
    unpinned: 'unpinned, by weight',
    hash: 'nowhere: by hash',
    memory: 'in memory',
    redis: 'Redis, known here',
    cookie: 'in memory, known by an issued cookie',
    token: 'in memory, known by a claim of a token',
  };
}

function ratio(cpuUs: number): string {
  return (cpuUs / base).toFixed(2);
}

function config(): unknown {
  const by = [{ header: 'X-User-Id' }];
  const nobody = [{ header: 'X-Nobody' }];
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  return {
    service: 'bench',
    listen: `127.0.0.1:${traffic}`,
    admin: `127.0.0.1:${admin}`,
    accessLog: { mode: 'off' },
    backends: { canary: { url }, production: { url } },
    redis: { url: `redis://127.0.0.1:${redisPort}` },
    pins: {
      hash: { by },
      memory: { by, store: 'memory' },
      redis: { by, store: 'redis' },
      cookie: { by: nobody, issueCookie: { name: 'seat', keys: ['${PIN_KEY}'] }, store: 'memory' },
      token: { by: [{ bearerClaim: 'sub' }], store: 'memory' },
    },
    routes: [...KINDS].reverse().map((kind) => ({
      name: kind,
      ...(kind === 'unpinned' ? {} : { match: { group: kind }, pin: kind }),
      split: { canary: 5, production: 95 },
    })),
  };
}

/** @param fresh a prefix that makes every request one of a user whom nobody has seen */
async function load(kind: Kind, amount: number, fresh?: string) {
  const requests = Array.from({ length: fresh === undefined ? USERS : amount }, (_, user) => ({
    method: 'GET' as const,
    path: '/',
    headers: headersOf(kind, `${fresh ?? 'user'}-${user}`),
  }));
  const options = {
    url: `http://127.0.0.1:${traffic}`,
    connections: CONNECTIONS,
    amount,
    requests: fresh === undefined ? requests : requests.slice(0, 1),
    // Each connection its own part: one list for all would send every user from all of them.
    setupClient: (client: autocannon.Client) => {
      if (fresh !== undefined) client.setRequests(requests.splice(0, Math.ceil(amount / CONNECTIONS)));
    },
  };
  const before = readCpu(proxy.pid);
  const result = await autocannon(options);
  proxy.assertAlive();
  if (result.errors > 0 || result.non2xx > 0) {
    const { errors, timeouts, non2xx } = result;
    throw new Error(`${kind}: ${errors} errors (${timeouts} timeouts), ${non2xx} answers not 2xx`);
  }
  const { totalUs } = cpuBetween(before, readCpu(proxy.pid));
  return { cpuUs: totalUs / result.requests.total };
}

function headersOf(kind: Kind, user: string): Record<string, string> {
  const claims = { iss: 'https://login.example.com/', sub: user, aud: ['shop'], scope: 'x'.repeat(300) };
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    'X-Traffic-Group': kind,
    'X-User-Id': user,
    Cookie: cookieOf(user),
    Authorization: `Bearer ${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}.${'s'.repeat(342)}`,
  };
}

/** One that the proxy takes for its own. */
function cookieOf(user: string): string {
  const settings = { name: 'seat', ttl: 365 * 86_400_000, sameSite: 'Lax', secure: true, path: '/' } as const;
  const random = () => Buffer.from(user.padEnd(16, '0')).subarray(0, 16);
  const edges = { now: Date.now, random };
  const issuer = new CookieIssuer({ ...settings, domain: undefined, keys: [KEY] }, 'bench', edges);
  return issuer.identify([]).setCookie!.split(';')[0]!;
}

async function ready(): Promise<void> {
  for (const until = Date.now() + 15_000; ; ) {
    proxy.assertAlive();
    try {
      const status = (await (await fetch(`http://127.0.0.1:${admin}/status`)).json()) as {
        ready: { ok: boolean };
        workers: { pinStore: { state: string } | null }[];
      };
      if (status.ready.ok && status.workers[0]?.pinStore?.state === 'closed') return;
    } catch {
      // Not listening yet.
    }
    if (Date.now() > until) throw new Error('the proxy did not become ready');
    await sleep(50);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
