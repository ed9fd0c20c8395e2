/** HAProxy and nginx, from Debian's packages, with the table of the suite: what the same cases come to there. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cleanUp } from '../support/clean-up.ts';
import { freePort } from '../support/free-port.ts';
import { ENVIRONMENT, isOpen, startHaproxy } from '../support/haproxy.ts';
import { waitFor } from '../support/wait-for.ts';

/** One table: a backend for each group of the same name, the first one for everybody else. */
export interface Table {
  /** Ports by group; the first is everybody else's. */
  readonly ports: Readonly<Record<string, number>>;
  /** How long an upstream may take to answer, milliseconds. */
  readonly responseMs: number;
  /** Each upstream has one connection. */
  readonly oneConnection: boolean;
}

export interface OtherProxy {
  readonly name: string;
  readonly version: string;
  /** @returns the port that it listens on */
  start(table: Table): Promise<number>;
}

const CLIENT_MS = 1_500;

export const HAPROXY: OtherProxy = {
  name: 'HAProxy',
  version: versionOf('haproxy', ['-v'], /version (\S+)/),
  async start({ ports, responseMs, oneConnection }) {
    const port = await freePort();
    const [others, ...groups] = Object.keys(ports);
    const text = `
global
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client ${CLIENT_MS}ms
  timeout http-request ${CLIENT_MS}ms
  timeout http-keep-alive ${CLIENT_MS}ms
  timeout server ${responseMs}ms
  timeout queue 5s
frontend all
  bind 127.0.0.1:${port}
${groups.map((group) => `  use_backend ${group} if { req.hdr(X-Traffic-Group) -i ${group} }`).join('\n')}
  default_backend ${others}
${Object.entries(ports)
  .map(
    ([group, upstream]) =>
      `backend ${group}\n  http-reuse always\n  server one 127.0.0.1:${upstream}${oneConnection ? ' maxconn 1' : ''}`,
  )
  .join('\n')}
`;
    await startHaproxy(text, port, tmpdir());
    return port;
  },
};

export const NGINX: OtherProxy = {
  name: 'nginx',
  version: versionOf('nginx', ['-v'], /nginx\/(\S+)/),
  async start({ ports, responseMs }) {
    const port = await freePort();
    const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-nginx-'));
    const file = path.join(directory, 'nginx.conf');
    const [others, ...groups] = Object.keys(ports);
    writeFileSync(
      file,
      `
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log /dev/null;
events { worker_connections 1024; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${directory}/${what};`).join('\n  ')}
  client_header_timeout ${CLIENT_MS}ms;
  client_body_timeout ${CLIENT_MS}ms;
  keepalive_timeout ${CLIENT_MS}ms;
  client_max_body_size 0;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $forwarded_host;
  proxy_buffer_size 64k;
  proxy_buffers 8 64k;
  proxy_busy_buffers_size 128k;
  map $http_host $forwarded_host { '' torture; default $http_host; }
  proxy_read_timeout ${responseMs}ms;
  map $http_x_traffic_group $backend {
    ${groups.map((group) => `~*^${group}$ ${group};`).join('\n    ')}
    default ${others};
  }
  ${Object.entries(ports)
    .map(
      ([group, upstream]) => `upstream ${group} { server 127.0.0.1:${upstream} max_fails=0; keepalive 1; }`,
    )
    .join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://$backend; }
  }
}
`,
    );
    const child: ChildProcess = spawn('nginx', ['-e', '/dev/null', '-c', file], {
      env: ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-10_000);
    });
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    cleanUp(async () => {
      child.kill('SIGTERM');
      await exited;
      rmSync(directory, { recursive: true, force: true });
    });
    await waitFor('nginx to listen', () => {
      if (child.exitCode !== null) throw new Error(`nginx ended:\n${output}`);
      return isOpen(port);
    });
    return port;
  },
};

/** @returns '' when it is not installed */
function versionOf(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    // nginx tells it on stderr.
    const text = execFileSync('sh', ['-c', `${command} ${args.join(' ')} 2>&1`], {
      env: ENVIRONMENT,
      encoding: 'utf8',
    });
    return pattern.exec(text)?.[1] ?? '';
  } catch {
    return '';
  }
}
