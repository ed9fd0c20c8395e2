/** Reloads under load: nothing that clients see may fail or change, and memory must stay flat. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { currentRss, openFiles } from '../cpu.ts';
import { freePorts, type Launched, launch, waitFor, waitForPort } from '../launch.ts';
import { median } from '../report.ts';
import { launchPointsman } from '../subjects/pointsman.ts';
import { TRACKS, type Track } from '../workload.ts';
import { startPostClients, startWebSockets } from './clients.ts';
import { mountConfig, type Way } from './config-mount.ts';
import type { GetLoadResult } from './get-load-process.ts';
import { badFile, PROBE_GROUP, versionAt } from './versions.ts';

export interface ReloadOptions {
  /** The load lasts at least this long; longer when the reloads need it. */
  readonly seconds: number;
  readonly reloads: number;
  /** Keep-alive connections of autocannon's GET load. */
  readonly getConnections: number;
  readonly postClients: number;
  readonly webSockets: number;
  /** Bytes of the largest body posted. */
  readonly largestPost: number;
  readonly way: Way;
  readonly workers: number;
  readonly fastLane: boolean;
}

/** Sampled over the run: medians of its first, middle and last third, and the samples. */
export interface Sampled {
  readonly first: number;
  readonly middle: number;
  readonly last: number;
  readonly samples: readonly number[];
}

export interface ReloadResult {
  readonly passed: boolean;
  readonly seconds: number;
  readonly reloads: {
    readonly asked: number;
    /** Seen in force by a request that the new table alone routes that way. */
    readonly applied: number;
    /** Broken files written in between, which must change nothing. */
    readonly badFiles: number;
    /** Milliseconds from the change of the file to a request routed by it. */
    readonly delay: { readonly p50: number; readonly max: number };
  };
  readonly get: GetLoadResult;
  readonly post: { readonly requests: number; readonly failed: number; readonly bytes: number };
  readonly webSockets: { readonly open: number; readonly messages: number; readonly failed: number };
  /** Resident set of the proxy's processes, bytes. */
  readonly rss: Sampled;
  /** File descriptors of the same: connections that are never closed show here. */
  readonly openFiles: Sampled;
  /** The first failures, at most 20. */
  readonly failures: readonly string[];
}

const BODY_SIZE = 1024;
const MOST_FAILURES_KEPT = 20;
/** Every so many reloads a broken file comes first. */
const BAD_EVERY = 20;

export async function reloadUnderLoad(options: ReloadOptions): Promise<ReloadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-reload-'));
  const launched: Launched[] = [];
  const start = (name: string, script: string, argument: unknown): Launched => {
    const process = launch({
      name,
      command: globalThis.process.execPath,
      args: [fileURLToPath(new URL(script, import.meta.url)), JSON.stringify(argument)],
      core: undefined,
      folder,
    });
    launched.push(process);
    return process;
  };
  try {
    const free = await freePorts(TRACKS.length);
    const ports = Object.fromEntries(TRACKS.map((track, index) => [track, free[index]!])) as Record<
      Track,
      number
    >;
    const upstreams = start('upstreams', './upstream-process.ts', { ports, size: BODY_SIZE });
    for (const track of TRACKS) await waitForPort(upstreams, track, ports[track]);

    const proxyFolder = join(folder, 'proxy');
    mkdirSync(proxyFolder);
    let proxy: Launched | undefined;
    const mount = mountConfig(join(folder, 'config'), options.way, () => proxy?.signal('SIGHUP'));
    const textAt = (index: number) => {
      const { config } = versionAt(index, ports, options.fastLane);
      return JSON.stringify({ ...config, workers: options.workers });
    };
    mount.write(textAt(0));
    const pointsman = launchPointsman({
      configFile: mount.file,
      folder: proxyFolder,
      core: undefined,
      nodeArgs: [],
    });
    proxy = pointsman.process;
    launched.push(proxy);
    const { traffic } = await pointsman.listening();
    return await underLoad(options, { traffic, ports, proxy, textAt, write: mount.write, start });
  } finally {
    for (const process of launched.reverse()) await process.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Scene {
  readonly traffic: number;
  readonly ports: Readonly<Record<Track, number>>;
  readonly proxy: Launched;
  readonly textAt: (index: number) => string;
  readonly write: (text: string) => void;
  readonly start: (name: string, script: string, argument: unknown) => Launched;
}

async function underLoad(options: ReloadOptions, scene: Scene): Promise<ReloadResult> {
  const { proxy, traffic } = scene;
  const failures: string[] = [];
  const log = {
    add: (what: string) => {
      if (failures.length < MOST_FAILURES_KEPT) failures.push(what);
    },
  };
  const started = performance.now();
  const sockets = await startWebSockets(traffic, options.webSockets, log);
  const posts = startPostClients(traffic, options.postClients, options.largestPost, log);
  const gets = scene.start('get-load', './get-load-process.ts', {
    port: traffic,
    connections: options.getConnections,
    size: BODY_SIZE,
  });
  const rss: number[] = [];
  const files: number[] = [];
  const sampler = setInterval(
    () => {
      try {
        rss.push(currentRss(proxy.pid));
        files.push(openFiles(proxy.pid));
      } catch (error) {
        log.add((error as Error).message);
      }
    },
    Math.max(100, options.seconds * 10),
  );

  const delays: number[] = [];
  let badFiles = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const begun = performance.now();
    const interval = (options.seconds * 1000) / options.reloads;
    for (let index = 1; index <= options.reloads; index += 1) {
      proxy.assertAlive();
      if (index % BAD_EVERY === 0) {
        scene.write(badFile(index / BAD_EVERY));
        badFiles += 1;
        await sleep(5);
      }
      const from = performance.now();
      scene.write(scene.textAt(index));
      const wanted = versionAt(index, scene.ports, options.fastLane).probeTrack;
      await waitFor(
        `reload ${index} to come into force`,
        async () => ((await probe(agent, traffic)) === wanted ? true : undefined),
        10_000,
      );
      delays.push(performance.now() - from);
      await sleep(Math.max(0, begun + index * interval - performance.now()));
    }
  } catch (error) {
    log.add((error as Error).message);
  } finally {
    agent.destroy();
    clearInterval(sampler);
  }
  await posts.stop();
  await sockets.stop();
  await gets.stop(10_000);
  const get = getResult(gets, log);

  return {
    passed:
      delays.length === options.reloads &&
      failures.length === 0 &&
      get.errors + get.non2xx + get.mismatches === 0 &&
      get.requests > 0 &&
      posts.done > 0,
    seconds: (performance.now() - started) / 1000,
    reloads: {
      asked: options.reloads,
      applied: delays.length,
      badFiles,
      delay: { p50: median(delays), max: Math.max(0, ...delays) },
    },
    get,
    post: { requests: posts.done, failed: posts.failed, bytes: posts.bytes },
    webSockets: { open: sockets.open, messages: sockets.done, failed: sockets.failed },
    rss: inThirds(rss),
    openFiles: inThirds(files),
    failures,
  };
}

function getResult(gets: Launched, log: { add(what: string): void }): GetLoadResult {
  try {
    return JSON.parse(gets.output()) as GetLoadResult;
  } catch {
    log.add(`autocannon gave no result: ${gets.output().slice(-500)}`);
    return { requests: 0, errors: 1, non2xx: 0, mismatches: 0 };
  }
}

/** The track that answered a request of the probe group. */
function probe(agent: Agent, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'X-Traffic-Group': PROBE_GROUP };
    const request = get(
      { host: '127.0.0.1', port, path: '/', agent, headers, timeout: 10_000 },
      (response) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () => {
          if (response.statusCode === 200) resolve(String(response.headers['x-track']));
          else reject(new Error(`the probe was answered ${response.statusCode}`));
        });
      },
    );
    request.once('timeout', () => request.destroy(new Error('the probe got no answer within 10 s')));
    request.once('error', reject);
  });
}

function inThirds(samples: readonly number[]): Sampled {
  const third = (part: number) =>
    median(
      samples.slice(Math.floor((samples.length * part) / 3), Math.ceil((samples.length * (part + 1)) / 3)),
    );
  return { first: third(0), middle: third(1), last: third(2), samples };
}
