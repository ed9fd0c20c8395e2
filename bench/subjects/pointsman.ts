/** Pointsman from this checkout, one worker. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConfigInput, configSchema } from '../../src/config/schema.ts';
import { type Launched, launch, waitFor } from '../launch.ts';
import { TABLE, TRACKS } from '../workload.ts';
import type { Subject, SubjectOptions } from './subject.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export const pointsman: Subject = {
  name: 'pointsman',
  logsAccess: true,
  unavailable: () => (existsSync(MAIN) ? undefined : 'src/main.ts does not exist'),
  version: () => {
    const file = new URL('../../package.json', import.meta.url);
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  },
  async start(options) {
    // JSON is YAML too.
    const configFile = join(options.folder, 'pointsman.yaml');
    writeFileSync(configFile, JSON.stringify(pointsmanConfig(options), null, 2));
    const { process, listening } = launchPointsman({
      configFile,
      folder: options.folder,
      core: options.placement.proxy,
      nodeArgs: options.nodeArgs ?? [],
    });
    const { traffic } = await listening();
    const log = options.accessLog ? { logFile: process.outputFile } : {};
    return { port: traffic, process, ...log, stop: () => process.stop() };
  },
};

export function pointsmanConfig(
  options: Pick<SubjectOptions, 'upstreamPorts' | 'pinned' | 'accessLog' | 'plain' | 'lane'>,
): ConfigInput {
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    workers: 1,
    backends: Object.fromEntries(
      TRACKS.map((track) => [track, { url: `http://127.0.0.1:${options.upstreamPorts[track]}` }]),
    ),
    routes: TABLE.map((row) => ({
      name: row.group?.toLowerCase() ?? 'default',
      ...(row.group === undefined ? {} : { match: { group: row.group } }),
      split: row.split as Record<string, number>,
      ...(options.pinned && Object.keys(row.split).length > 1 ? { pin: 'user' } : {}),
    })),
    ...(options.pinned ? { pins: { user: { by: [{ header: 'X-User-Id' }], store: 'none' } } } : {}),
    forwarding: { ...(options.plain ? { xForwarded: false, via: '' } : {}), ...laneKeys(options.lane) },
    accessLog: { mode: options.accessLog ? 'all' : 'off' },
    shutdown: { delay: '0ms', timeout: '5s' },
  };
}

/**
 * The keys of `forwarding` that force a lane. `full` is what a version without a choice of lanes does anyway; any other name must be
 * known to the schema, or measuring it would measure something else.
 *
 * @throws when this version cannot be held to that lane; `laneProblem` says so beforehand
 */
function laneKeys(lane: string | undefined): Record<string, unknown> {
  if (lane === undefined) return {};
  const problem = laneProblem(lane);
  if (problem !== undefined) throw new Error(problem);
  return schemaKnows(lane) ? { lane } : {};
}

export function laneProblem(lane: string | undefined): string | undefined {
  if (lane === undefined || lane === 'full' || schemaKnows(lane)) return undefined;
  return `this version has no lane "${lane}" to choose (no such value of a configuration key forwarding.lane)`;
}

function schemaKnows(lane: string): boolean {
  return configSchema.safeParse({
    backends: { a: { url: 'http://127.0.0.1:1' } },
    routes: [{ name: 'all', split: { a: 1 } }],
    forwarding: { lane },
  }).success;
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
      const { traffic, admin } = await waitFor('pointsman to log that it listens', () => {
        process.assertAlive();
        return listeningLine(process.output());
      });
      return { traffic: portOf(traffic), admin: portOf(admin) };
    },
  };
}

function listeningLine(output: string): { traffic: string; admin: string } | undefined {
  for (const line of output.split('\n')) {
    if (!line.startsWith('{') || !line.includes('"msg":"listening"')) continue;
    const { traffic, admin } = JSON.parse(line) as { traffic?: unknown; admin?: unknown };
    if (typeof traffic === 'string' && typeof admin === 'string') return { traffic, admin };
  }
  return undefined;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
