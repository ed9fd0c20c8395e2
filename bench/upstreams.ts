/**
 * The four tracks behind the proxies: they answer every request with one fixed body, after reading the request body,
 * and name themselves in `X-Track`. HAProxy serves them where it is installed, at about 5 µs a request, so that the
 * upstreams' own time hardly shows; else a node:http process does.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts, isInstalled, launch, waitForPort } from './launch.ts';
import { bodyOf, TRACKS, type Track } from './workload.ts';

export interface Upstreams {
  readonly kind: 'haproxy' | 'node:http';
  readonly ports: Readonly<Record<Track, number>>;
  stop(): Promise<void>;
}

export interface UpstreamOptions {
  /** Bytes of the response body. */
  readonly size: number;
  readonly core: number | undefined;
  readonly folder: string;
}

/** HAProxy answers out of one buffer and must hold a whole request body in one. */
export const LARGEST_BODY = 1024 * 1024;

export async function startUpstreams(options: UpstreamOptions): Promise<Upstreams> {
  const free = await freePorts(TRACKS.length);
  const ports = Object.fromEntries(TRACKS.map((track, index) => [track, free[index]!])) as Record<
    Track,
    number
  >;
  const kind = isInstalled('haproxy') ? 'haproxy' : 'node:http';
  const process =
    kind === 'haproxy'
      ? launch({
          name: 'upstreams',
          command: 'haproxy',
          args: ['-db', '-f', writeHaproxyConfig(options, ports)],
          core: options.core,
          folder: options.folder,
        })
      : launch({
          name: 'upstreams',
          command: globalThis.process.execPath,
          args: [
            fileURLToPath(import.meta.resolve('./upstream-process.ts')),
            JSON.stringify({ ports, size: options.size }),
          ],
          core: options.core,
          folder: options.folder,
        });
  for (const track of TRACKS) await waitForPort(process, `upstream ${track}`, ports[track]);
  return { kind, ports, stop: () => process.stop() };
}

function writeHaproxyConfig(options: UpstreamOptions, ports: Readonly<Record<Track, number>>): string {
  const body = join(options.folder, 'upstream-body');
  writeFileSync(body, bodyOf(options.size));
  const frontends = TRACKS.map(
    (track) => `
frontend ${track}
  bind 127.0.0.1:${ports[track]}
  http-request wait-for-body time 10s if METH_POST
  http-request return status 200 content-type application/json file ${body} hdr X-Track ${track}`,
  );
  const path = join(options.folder, 'upstreams.cfg');
  writeFileSync(
    path,
    `global
  nbthread 1
  maxconn 4096
  tune.bufsize ${Math.max(32_768, options.size + 16_384)}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${frontends.join('\n')}
`,
  );
  return path;
}
