/**
 * What checking many endpoints costs: CPU of the process that checks, and latency of light traffic through it, without
 * checks, with TCP checks and with HTTP checks.
 *
 *   node bench/checks.ts [--endpoints 1000] [--interval 2s] [--seconds 20] [--rounds 3] [--rate 500]
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ConfigInput } from '../src/config/schema.ts';
import { cpuBetween, readCpu } from './cpu.ts';
import type { LoadResult } from './drivers/driver.ts';
import { drivePaced } from './drivers/paced.ts';
import { freePorts, isInstalled, launch, placement, waitForPort } from './launch.ts';
import { median } from './report.ts';
import { launchPointsman } from './subjects/pointsman.ts';
import { requestsOf } from './workload.ts';

const USAGE = `usage: node bench/checks.ts [options]
  --endpoints N   checked, at most 60000 (1000)
  --interval T    of the checks (2s)
  --seconds N     of each measurement (20)
  --rounds N      the table shows medians over them (3)
  --rate N        requests a second of the traffic (500)
  --no-pin        leave the placement on cores to the kernel`;

const { values } = parseArgs({
  options: {
    endpoints: { type: 'string', default: '1000' },
    interval: { type: 'string', default: '2s' },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    rate: { type: 'string', default: '500' },
    'no-pin': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const options = {
  endpoints: Number(values.endpoints),
  seconds: Number(values.seconds),
  rounds: Number(values.rounds),
  rate: Number(values.rate),
};
if (
  values.help ||
  Object.values(options).some((value) => !Number.isInteger(value) || value < 1) ||
  options.endpoints > 60_000
) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
if (!isInstalled('haproxy')) {
  console.error('haproxy answers the checks, so that the other end costs little; it is not installed');
  process.exit(2);
}

const KINDS = { off: { enabled: false }, tcp: {}, http: { path: '/healthz' } } as const;
type Kind = keyof typeof KINDS;

interface Measured {
  /** Percent of one core, without traffic and with it. */
  readonly idleCpu: number;
  readonly loadedCpu: number;
  readonly load: LoadResult;
  readonly checksPerSecond: number;
}

/** Most servers of one backend. */
const SERVERS = 250;
/** First checks, and whatever the JIT does in its first seconds. */
const WARM_UP_MS = 8_000;

const folder = mkdtempSync(join(tmpdir(), 'pointsman-checks-'));
const cores = placement(!values['no-pin']);
const [port] = await freePorts(1);
const upstream = launch({
  name: 'upstream',
  command: 'haproxy',
  args: ['-db', '-f', upstreamConfig(port!)],
  core: cores.load,
  folder,
});
try {
  await waitForPort(upstream, 'the upstream', port!);
  const results: Record<Kind, Measured[]> = { off: [], tcp: [], http: [] };
  for (let round = 0; round < options.rounds; round++) {
    for (const kind of Object.keys(KINDS) as Kind[]) results[kind].push(await measure(kind, round));
  }
  printTable(results);
} finally {
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function measure(kind: Kind, round: number): Promise<Measured> {
  const own = join(folder, `${kind}-${round}`);
  mkdirSync(own);
  const configFile = join(own, 'pointsman.yaml');
  writeFileSync(configFile, JSON.stringify(configOf(kind)));
  const { process: proxy, listening } = launchPointsman({
    configFile,
    folder: own,
    core: cores.proxy,
    nodeArgs: [],
  });
  try {
    const { traffic, admin } = await listening();
    await sleep(WARM_UP_MS);
    const checksBefore = await checksEnded(admin);
    const idleCpu = await coreShare(proxy.pid, () => sleep(options.seconds * 1_000));
    const checks = (await checksEnded(admin)) - checksBefore;
    let load: LoadResult | undefined;
    const paced = { port: traffic, requests: requestsOf('get', 100), connections: 16, rate: options.rate };
    await drivePaced({ ...paced, seconds: 3 }, cores.load);
    const loadedCpu = await coreShare(proxy.pid, async () => {
      load = await drivePaced({ ...paced, seconds: options.seconds }, cores.load);
    });
    if (load!.errors + load!.non2xx > 0) {
      throw new Error(`${kind}: ${load!.errors} errors and ${load!.non2xx} bad answers`);
    }
    return { idleCpu, loadedCpu, load: load!, checksPerSecond: checks / options.seconds };
  } finally {
    await proxy.stop();
  }
}

async function coreShare(pid: number, during: () => Promise<unknown>): Promise<number> {
  const before = readCpu(pid);
  const start = performance.now();
  await during();
  const { totalUs } = cpuBetween(before, readCpu(pid));
  return totalUs / 10 / (performance.now() - start);
}

/** All of them good: checks that fail would cost something else. */
async function checksEnded(admin: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  let ended = 0;
  for (const [, result, count] of text.matchAll(
    /^pointsman_health_checks_total\{.*result="(\w+)".*\} (\d+)$/gm,
  )) {
    if (result !== 'ok' && Number(count) > 0) throw new Error('checks have failed');
    ended += Number(count);
  }
  return ended;
}

function configOf(kind: Kind): ConfigInput {
  const addresses = Array.from(
    { length: options.endpoints },
    (_, i) => `127.${1 + Math.floor(i / 62_500)}.${Math.floor(i / 250) % 250}.${1 + (i % 250)}`,
  );
  const backends: ConfigInput['backends'] = {
    main: { url: `http://127.0.0.1:${port}`, health: { enabled: false } },
  };
  for (let from = 0; from < addresses.length; from += SERVERS) {
    backends[`checked-${from / SERVERS}`] = {
      servers: addresses.slice(from, from + SERVERS).map((address) => ({ url: `http://${address}:${port}` })),
    };
  }
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    backends,
    routes: [{ name: 'all', split: { main: 1 } }],
    health: { interval: values.interval, ...KINDS[kind] },
    accessLog: { mode: 'off' },
    shutdown: { delay: '0ms', timeout: '5s' },
  };
}

function upstreamConfig(upstreamPort: number): string {
  const file = join(folder, 'upstream.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend all
  bind 0.0.0.0:${upstreamPort}
  http-request return status 200 content-type text/plain string ok
`,
  );
  return file;
}

function printTable(results: Readonly<Record<Kind, readonly Measured[]>>): void {
  const of = (kind: Kind, value: (measured: Measured) => number, digits: number) =>
    median(results[kind].map(value)).toFixed(digits);
  console.log(
    `${options.endpoints} endpoints every ${values.interval}; ${options.rate} requests/s; medians of ${options.rounds} rounds of ${options.seconds} s\n`,
  );
  console.log('| checks | checks/s | CPU of a core, idle | with traffic | p50 ms | p99 ms | p99.9 ms |');
  console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const kind of Object.keys(KINDS) as Kind[]) {
    const cells = [
      kind,
      of(kind, ({ checksPerSecond }) => checksPerSecond, 0),
      `${of(kind, ({ idleCpu }) => idleCpu, 1)} %`,
      `${of(kind, ({ loadedCpu }) => loadedCpu, 1)} %`,
      of(kind, ({ load }) => load.latency.p50, 2),
      of(kind, ({ load }) => load.latency.p99, 2),
      of(kind, ({ load }) => load.latency.p999, 2),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}
