/** Proxy libraries of the Node world, each alone in a small server of `servers/`. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePorts, launch, waitForPort } from '../launch.ts';
import type { Subject } from './subject.ts';

export const httpProxy3 = library('http-proxy-3');
export const httpxy = library('httpxy');

function library(name: 'http-proxy-3' | 'httpxy'): Subject {
  return {
    name,
    logsAccess: false,
    unavailable: () => undefined,
    version: () => packageVersion(name),
    async start(options) {
      const [port] = await freePorts(1);
      const process = launch({
        name,
        command: globalThis.process.execPath,
        args: [
          ...(options.nodeArgs ?? []),
          fileURLToPath(new URL(`./servers/${name}.ts`, import.meta.url)),
          JSON.stringify({
            port,
            upstreamPorts: options.upstreamPorts,
            pinned: options.pinned,
            plain: options.plain,
          }),
        ],
        core: options.placement.proxy,
        folder: options.folder,
        env: { NODE_ENV: 'production' },
      });
      await waitForPort(process, name, port!);
      return { port: port!, process, stop: () => process.stop() };
    },
  };
}

export function packageVersion(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
