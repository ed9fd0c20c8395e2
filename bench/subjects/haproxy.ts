/** HAProxy with the configuration that Pointsman replaces: one thread, checks every 2 s, default connection reuse. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, isInstalled, launch, waitForPort } from '../launch.ts';
import { TABLE, type Track } from '../workload.ts';
import type { Subject, SubjectOptions } from './subject.ts';

export const haproxy: Subject = {
  name: 'haproxy',
  logsAccess: true,
  unavailable: () => (isInstalled('haproxy') ? undefined : 'haproxy is not installed'),
  version: () =>
    /version (\S+)/.exec(spawnSync('haproxy', ['-v'], { encoding: 'utf8' }).stdout)?.[1] ?? 'unknown',
  async start(options) {
    const [port] = await freePorts(1);
    const file = join(options.folder, 'haproxy.cfg');
    writeFileSync(file, configuration(options, port!));
    const process = launch({
      name: 'haproxy',
      command: 'haproxy',
      args: ['-db', '-f', file],
      core: options.placement.proxy,
      folder: options.folder,
    });
    await waitForPort(process, 'haproxy', port!);
    const log = options.accessLog ? { logFile: process.outputFile } : {};
    return { port: port!, process, ...log, stop: () => process.stop() };
  },
};

function configuration(options: SubjectOptions, port: number): string {
  const names = TABLE.map((row) => row.group?.toLowerCase() ?? 'default');
  const rules = TABLE.flatMap((row, index) =>
    row.group === undefined
      ? [`  default_backend be_${names[index]}`]
      : [
          `  acl is_${names[index]} hdr(X-Traffic-Group) -m str -i ${row.group}`,
          `  use_backend be_${names[index]} if is_${names[index]}`,
        ],
  );
  const fields = options.plain
    ? []
    : [
        '  option forwardfor',
        '  http-request set-header X-Forwarded-Proto http',
        '  http-request set-header X-Forwarded-Host %[req.hdr(Host)]',
        '  http-request set-header Via "1.1 haproxy"',
        '  unique-id-format %[uuid()]',
        '  unique-id-header X-Request-Id',
      ];
  // Standard output is a file here: HAProxy writes each line to it with one system call, as it would to a local socket.
  const log = options.accessLog ? ['  log stdout format raw local0', '  option httplog'] : [];
  const backends = TABLE.map((row, index) => {
    // `hdr` hashes the user and falls back to round robin where the field is missing, as Pointsman does.
    const balance = options.pinned ? 'hdr(X-User-Id)\n  hash-type consistent' : 'roundrobin';
    const servers = Object.entries(row.split).map(
      ([track, weight]) =>
        `  server ${track} 127.0.0.1:${options.upstreamPorts[track as Track]} weight ${weight} check inter 2000`,
    );
    return `backend be_${names[index]}\n  balance ${balance}\n${servers.join('\n')}`;
  });
  return `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  retries 3
  option redispatch
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend traffic
  bind 127.0.0.1:${port}
${[...log, ...fields, ...rules].join('\n')}
${backends.join('\n')}
`;
}
