/** HAProxy and Pointsman before the same upstreams, one on a configuration and the other on what it is imported to. */

import { existsSync, readFileSync } from 'node:fs';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { type ImportResult, importHaproxy } from '../../src/import/import.ts';
import { cleanUp } from './clean-up.ts';
import { freePorts } from './free-port.ts';
import { startHaproxy } from './haproxy.ts';
import { startPointsman } from './pointsman-process.ts';

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn, Host included. */
  readonly headers: readonly string[];
  /** Address that the request comes from, of 127.0.0.0/8. */
  readonly from: string;
}

export interface Choice {
  readonly status: number;
  /** HAProxy's backend, or the row; undefined in answers that no upstream gave. */
  readonly backend: string | undefined;
  /** The address of the server as the file names it. */
  readonly upstream: string | undefined;
  /** Fields that the upstream got. */
  readonly received: readonly string[];
  /** Fields of the answer. */
  readonly answered: readonly string[];
}

export interface SideBySide {
  readonly config: ConfigInput;
  readonly haproxy: (request: SentRequest) => Promise<Choice>;
  readonly pointsman: (request: SentRequest) => Promise<Choice>;
}

const CHOSEN = 'X-Chosen-Backend';

/** What a test run may not touch: the process, its user and files. */
const PROCESS_LINES = /^\s*(user|group|daemon|pidfile|chroot|stats socket|nbthread|log)\b.*$/gm;

export function importFile(file: string, text = readFileSync(file, 'utf8')): ImportResult {
  return importHaproxy({
    files: [{ name: path.basename(file), text }],
    defines: new Map(),
    environment: {},
    readLines: (name) => patternLines(path.join(path.dirname(file), name)),
    service: undefined,
    frontend: undefined,
  });
}

function patternLines(file: string): string[] | undefined {
  if (!existsSync(file)) return undefined;
  return readFileSync(file, 'utf8')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** @param frontend name of the frontend or listen that routes */
export async function startSideBySide(file: string, frontend: string): Promise<SideBySide> {
  const upstreams = new Map<string, number>();
  let text = readFileSync(file, 'utf8').replace(PROCESS_LINES, '');
  for (const [, address] of text.matchAll(/^\s*server\s+\S+\s+(\S+)/gm)) {
    if (!upstreams.has(address!)) upstreams.set(address!, await startUpstream(address!));
  }
  text = text.replace(/^(\s*server\s+\S+\s+)(\S+)/gm, (_, head: string, address: string) => {
    return `${head}127.0.0.1:${upstreams.get(address)}`;
  });
  // After the upstreams listen, or one of them might be given such a port.
  const [port, ...others] = await freePorts(4);
  let section = '';
  text = text
    .split('\n')
    .map((line) => {
      const words = line.trim().split(/\s+/);
      if (/^(frontend|listen|backend|defaults|global|resolvers)$/.test(words[0]!)) section = words[1] ?? '';
      if (words[0] !== 'bind') return line;
      return section === frontend
        ? `    bind 127.0.0.1:${port}\n    http-response set-header ${CHOSEN} %b`
        : `    bind 127.0.0.1:${others.pop()}`;
    })
    .join('\n');
  const imported = importFile(file, text);
  if (imported.yaml === undefined) throw new Error(JSON.stringify(imported.verdicts, null, 1));
  const config = parse(imported.yaml) as ConfigInput;
  for (const route of config.routes) {
    route.response = { ...route.response, set: { ...route.response?.set, [CHOSEN]: '%{route}' } };
  }
  const names = new Map([...upstreams].map(([address, at]) => [String(at), address]));
  await startHaproxy(text, port!, path.dirname(file));
  const process = await startPointsman(
    stringify({
      ...config,
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      shutdown: { delay: '0ms', timeout: '2s' },
      accessLog: { mode: 'off' },
    }),
    { env: { POINTSMAN_COOKIE_KEY: 'a key of these tests alone' } },
  );
  return {
    config,
    haproxy: (request) => send(port!, request, names),
    pointsman: (request) => send(process.trafficPort, request, names),
  };
}

/** Says by which port it was reached, and what fields it got. */
async function startUpstream(address: string): Promise<number> {
  const server = createServer((req, res) => {
    req.resume();
    const { port } = req.socket.address() as AddressInfo;
    const received = Buffer.from(JSON.stringify(req.rawHeaders)).toString('base64');
    // A check may look for text in the body; every upstream holds what any could be asked for.
    res.writeHead(200, ['X-Upstream-Port', String(port), 'X-Received', received, 'Server', address]);
    res.end('by-body');
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

const agents = new Map<string, Agent>();
cleanUp(() => {
  for (const agent of agents.values()) agent.destroy();
});

function send(port: number, request: SentRequest, names: ReadonlyMap<string, string>): Promise<Choice> {
  const { from, method, headers } = request;
  let agent = agents.get(from);
  if (agent === undefined) {
    agent = new Agent({ keepAlive: true, maxSockets: 32 });
    agents.set(from, agent);
  }
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port,
        localAddress: from,
        agent,
        method,
        path: request.path,
        headers: method === 'GET' || method === 'HEAD' ? headers : [...headers, 'Content-Length', '0'],
      },
      (answer) => {
        const fields = answer.headers;
        answer.resume();
        answer.once('error', reject);
        answer.once('end', () => {
          const received = fields['x-received'];
          resolve({
            status: answer.statusCode ?? 0,
            backend: fields[CHOSEN.toLowerCase()] as string | undefined,
            upstream: names.get(String(fields['x-upstream-port'])),
            received:
              received === undefined
                ? []
                : (JSON.parse(Buffer.from(String(received), 'base64').toString()) as string[]),
            answered: answer.rawHeaders,
          });
        });
      },
    );
    sent.once('error', (error) =>
      reject(new Error(`${JSON.stringify(request)}: ${error.message}`, { cause: error })),
    );
    sent.setTimeout(20_000, () => sent.destroy(new Error('nothing came for 20 s')));
    sent.end();
  });
}
