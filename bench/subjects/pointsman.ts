/** Pointsman from this checkout, one worker. */

import { readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '../../src/config/schema.ts';
import { type Launched, launch, waitFor } from '../launch.ts';
import { TABLE, TRACKS } from '../workload.ts';
import type { Subject, SubjectOptions } from './subject.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** What the keys of a configuration are set to, against their defaults. */
export interface Variant {
  /** Default: true. */
  readonly fastLane?: boolean;
  /** Of all backends. Default: 1. */
  readonly pipelining?: number;
  /** With what tells of decisions and acts on them, and somebody who watches. Default: false. */
  readonly observed?: boolean;
}

/** As it comes: the fast lane, one request at a time on an upstream connection. */
export const pointsman = subject('pointsman', {});
/** Without the fast lane: node:http and undici. */
export const pointsmanFull = subject('pointsman-full', { fastLane: false });
/** With requests of one turn of the event loop sharing an upstream connection. */
export const pointsmanPipelining = subject('pointsman-pipelining', { pipelining: 16 });
/**
 * With guards that act, a release set, decisions told to the upstreams (`baggage` too), debugging and acting allowed,
 * the status page open and metrics scraped every 5 s. All but tracing, which is for samples of requests.
 */
export const pointsmanObserved = subject('pointsman-observed', { observed: true });

function subject(name: string, variant: Variant): Subject {
  return {
    name,
    logsAccess: true,
    unavailable: () => undefined,
    version: () => {
      const file = new URL('../../package.json', import.meta.url);
      return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    },
    async start(options) {
      // JSON is YAML too.
      const configFile = join(options.folder, 'pointsman.yaml');
      writeFileSync(configFile, JSON.stringify(pointsmanConfig(options, variant), null, 2));
      const { process, listening } = launchPointsman({
        configFile,
        folder: options.folder,
        core: options.placement.proxy,
        nodeArgs: options.nodeArgs ?? [],
      });
      const { traffic, admin } = await listening();
      const log = options.accessLog ? { logFile: process.outputFile } : {};
      const watcher = variant.observed === true ? watch(admin) : undefined;
      const stop = () => {
        watcher?.stop();
        return process.stop();
      };
      return { port: traffic, process, ...log, stop };
    },
  };
}

export function pointsmanConfig(
  options: Pick<SubjectOptions, 'upstreamPorts' | 'pinned' | 'accessLog' | 'plain'>,
  { fastLane = true, pipelining = 1, observed = false }: Variant = {},
): ConfigInput {
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    workers: 1,
    backends: Object.fromEntries(
      TRACKS.map((track) => [track, { url: `http://127.0.0.1:${options.upstreamPorts[track]}`, pipelining }]),
    ),
    routes: TABLE.map((row) => ({
      name: row.group?.toLowerCase() ?? 'default',
      ...(row.group === undefined ? {} : { match: { group: row.group } }),
      split: row.split as Record<string, number>,
      ...(options.pinned && Object.keys(row.split).length > 1 ? { pin: 'user' } : {}),
      ...(observed && Object.keys(row.split).length > 1 ? { guard: 'act' } : {}),
    })),
    ...(observed
      ? {
          sets: { release: ['canary', 'paid'] },
          propagate: {},
          debug: { token: 'a-token-of-the-bench' },
          acting: { token: 'a-token-of-the-bench' },
        }
      : {}),
    ...(options.pinned ? { pins: { user: { by: [{ header: 'X-User-Id' }], store: 'none' } } } : {}),
    forwarding: { fastLane, ...(options.plain ? { xForwarded: false, via: '' } : {}) },
    accessLog: { mode: options.accessLog ? 'all' : 'off' },
    shutdown: { delay: '0ms', timeout: '5s' },
  };
}

/** Keeps the status page's events open, and scrapes the metrics every 5 s. */
function watch(admin: number): { stop(): void } {
  const events = get({ host: '127.0.0.1', port: admin, path: '/events' }, (response) => response.resume());
  events.on('error', () => {});
  const scrape = setInterval(() => {
    get({ host: '127.0.0.1', port: admin, path: '/metrics' }, (response) => response.resume()).on(
      'error',
      () => {},
    );
  }, 5_000);
  return {
    stop() {
      clearInterval(scrape);
      events.destroy();
    },
  };
}

export interface StartedPointsman {
  readonly process: Launched;
  /** Ports, once it says that it forwards. */
  listening(): Promise<{ traffic: number; admin: number }>;
}

export function launchPointsman(options: {
  configFile: string;
  folder: string;
  core: number | undefined;
  nodeArgs: readonly string[];
}): StartedPointsman {
  const process = launch({
    name: 'pointsman',
    command: globalThis.process.execPath,
    args: [...options.nodeArgs, MAIN, 'run', '--config', options.configFile],
    core: options.core,
    folder: options.folder,
    env: { NODE_ENV: 'production' },
  });
  return {
    process,
    async listening() {
      return await waitFor('pointsman to log that it listens', () => {
        process.assertAlive();
        return listeningPorts(process.output());
      });
    },
  };
}

/** From the log, once it says so. */
export function listeningPorts(output: string): { traffic: number; admin: number } | undefined {
  for (const line of output.split('\n')) {
    if (!line.startsWith('{') || !line.includes('"msg":"listening"')) continue;
    const { traffic, admin } = JSON.parse(line) as { traffic?: unknown; admin?: unknown };
    if (typeof traffic === 'string' && typeof admin === 'string') {
      return { traffic: portOf(traffic), admin: portOf(admin) };
    }
  }
  return undefined;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
