/** nginx with one worker: weighted upstreams by group; with pins, `split_clients` over the user id. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, isInstalled, launch, waitForPort } from '../launch.ts';
import { TABLE, TRACKS, type Track } from '../workload.ts';
import type { Subject, SubjectOptions } from './subject.ts';

export const nginx: Subject = {
  name: 'nginx',
  logsAccess: true,
  unavailable: () => (isInstalled('nginx') ? undefined : 'nginx is not installed'),
  version: () =>
    /nginx\/(\S+)/.exec(spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr)?.[1] ?? 'unknown',
  async start(options) {
    const [port] = await freePorts(1);
    const file = join(options.folder, 'nginx.conf');
    writeFileSync(file, configuration(options, port!));
    const process = launch({
      name: 'nginx',
      command: 'nginx',
      args: ['-c', file, '-p', options.folder, '-e', 'stderr', '-g', 'daemon off;'],
      core: options.placement.proxy,
      folder: options.folder,
    });
    await waitForPort(process, 'nginx', port!);
    const log = options.accessLog ? { logFile: accessLogFile(options) } : {};
    return { port: port!, process, ...log, stop: () => process.stop() };
  },
};

function accessLogFile(options: SubjectOptions): string {
  return join(options.folder, 'nginx-access.log');
}

function configuration(options: SubjectOptions, port: number): string {
  const { upstreamPorts, folder } = options;
  const keepAlive = 'keepalive 256; keepalive_requests 1000000000; keepalive_time 1d;';
  const rowName = (index: number) => TABLE[index]!.group?.toLowerCase() ?? 'default';
  const pools = TABLE.map((row, index) => {
    const servers = Object.entries(row.split).map(
      ([track, weight]) => `server 127.0.0.1:${upstreamPorts[track as Track]} weight=${weight};`,
    );
    return `  upstream row_${rowName(index)} { ${servers.join(' ')} ${keepAlive} }`;
  });
  const tracks = TRACKS.map(
    (track) => `  upstream track_${track} { server 127.0.0.1:${upstreamPorts[track]}; ${keepAlive} }`,
  );
  const splits = TABLE.flatMap((row, index) => {
    const [first, last] = Object.entries(row.split);
    return last === undefined
      ? []
      : [
          `  split_clients $http_x_user_id $split_${rowName(index)} { ${first![1]}% track_${first![0]}; * track_${last[0]}; }`,
        ];
  });
  const targets = TABLE.map((row, index) => {
    const [first, last] = Object.keys(row.split);
    const pinned = last === undefined ? `track_${first}` : `$split_${rowName(index)}`;
    const target = options.pinned ? pinned : `row_${rowName(index)}`;
    return `    ${row.group === undefined ? 'default' : `"~*^${row.group}$"`} ${target};`;
  });
  const fields = options.plain
    ? ''
    : `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Via "1.1 nginx";`;
  return `worker_processes 1;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 8192; }
http {
  access_log ${options.accessLog ? `${accessLogFile(options)} combined` : 'off'};
  client_body_temp_path ${join(folder, 'nginx-body')};
  proxy_temp_path ${join(folder, 'nginx-proxy')};
  fastcgi_temp_path ${join(folder, 'nginx-fastcgi')};
  uwsgi_temp_path ${join(folder, 'nginx-uwsgi')};
  scgi_temp_path ${join(folder, 'nginx-scgi')};
  client_max_body_size 0;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  keepalive_time 1d;
${[...pools, ...tracks, ...splits].join('\n')}
  map $http_x_traffic_group $target {
${targets.join('\n')}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://$target;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      ${fields}
    }
  }
}
`;
}
