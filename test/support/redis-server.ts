/** Real servers of Redis on loopback ports: alone, as replica, under Sentinels, or as nodes of a Cluster. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { cleanUp } from './clean-up.ts';
import { freePort, isFree } from './free-port.ts';
import { temporaryDirectory } from './pointsman-process.ts';
import { waitFor } from './wait-for.ts';

export interface RedisServerOptions {
  /** Lines of redis.conf. */
  readonly lines?: readonly string[];
  /** Of the client of the test. */
  readonly client?: {
    readonly username?: string;
    readonly password?: string;
    readonly tls?: { readonly ca: Buffer };
  };
  /** `redis-sentinel` instead of a server of data. */
  readonly sentinel?: boolean;
  /** Listens with TLS alone. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  readonly port?: number;
}

/** One process; it can be stopped, frozen and started again on the same port. */
export class RedisServer {
  readonly port: number;
  /** Of the test itself: reconnects by itself. */
  readonly client: Redis;
  readonly #options: RedisServerOptions;
  readonly #config: string;
  #child: ChildProcess | undefined;

  constructor(port: number, options: RedisServerOptions) {
    this.port = port;
    this.#options = options;
    const directory = mkdtempSync(path.join(temporaryDirectory(), 'redis-'));
    this.#config = path.join(directory, 'redis.conf');
    const { tls } = options;
    const lines = [
      ...(tls === undefined
        ? [`port ${port}`]
        : [
            'port 0',
            `tls-port ${port}`,
            `tls-cert-file ${tls.cert}`,
            `tls-key-file ${tls.key}`,
            `tls-ca-cert-file ${tls.ca}`,
            'tls-auth-clients no',
          ]),
      'bind 127.0.0.1',
      `dir ${directory}`,
      ...(options.sentinel === true ? [] : ['save ""', 'repl-diskless-sync-delay 0']),
      ...(options.lines ?? []),
    ];
    writeFileSync(this.#config, `${lines.join('\n')}\n`);
    this.client = new Redis({
      port,
      host: '127.0.0.1',
      lazyConnect: true,
      retryStrategy: () => 50,
      ...options.client,
    });
    this.client.on('error', () => {});
    cleanUp(async () => {
      this.client.disconnect();
      await this.stop();
    });
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const mode = this.#options.sentinel === true ? ['--sentinel'] : [];
    const child = spawn('redis-server', [this.#config, ...mode], { stdio: 'ignore' });
    this.#child = child;
    await waitFor(
      `redis on port ${this.port}`,
      async () => child.exitCode !== null || (await this.client.ping()) === 'PONG',
    );
    // Somebody else may have taken the port, or that of the Cluster's bus, since it was found free.
    if (child.exitCode !== null) throw new Error(`redis on port ${this.port} ended with ${child.exitCode}`);
  }

  /** At once, as a crash would. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Connections stay, and nothing is answered. */
  freeze(): void {
    this.#child!.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child!.kill('SIGCONT');
  }
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = new RedisServer(options.port ?? (await freePort()), options);
  await server.start();
  return server;
}

/** A master, a replica of it, and as many Sentinels as agree on a fail-over within about a second. */
export async function startSentinels(): Promise<{ master: RedisServer; replica: RedisServer; url: string }> {
  const master = await startRedis();
  const replica = await startRedis({ lines: [`replicaof 127.0.0.1 ${master.port}`] });
  await waitFor('the replica to follow', async () =>
    (await replica.client.info('replication')).includes('master_link_status:up'),
  );
  const sentinels = await Promise.all(
    [0, 1, 2].map(() =>
      startRedis({
        sentinel: true,
        lines: [
          `sentinel monitor main 127.0.0.1 ${master.port} 2`,
          'sentinel down-after-milliseconds main 400',
          'sentinel failover-timeout main 3000',
        ],
      }),
    ),
  );
  for (const { client } of sentinels) {
    await waitFor('the Sentinels to know each other and the replica', async () => {
      const [row] = (await client.call('SENTINEL', 'MASTERS')) as string[][];
      const of = (key: string) => row![row!.indexOf(key) + 1];
      return of('num-other-sentinels') === '2' && of('num-slaves') === '1';
    });
  }
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return { master, replica, url: `redis+sentinel://${hosts}/main` };
}

/** How far above the port of a node that of the Cluster's bus is. */
const BUS = 10_000;

/** Three masters that share the slots. */
export async function startCluster(): Promise<{ nodes: readonly RedisServer[]; url: string }> {
  const nodes: RedisServer[] = [];
  while (nodes.length < 3) {
    const port = await freePort(32_767 - BUS);
    if (!(await isFree(port + BUS))) continue;
    nodes.push(
      await startRedis({
        port,
        lines: ['cluster-enabled yes', 'cluster-node-timeout 1000', 'cluster-require-full-coverage no'],
      }),
    );
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`);
  await promisify(execFile)('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-yes']);
  for (const { client } of nodes) {
    await waitFor('the Cluster', async () => (await client.cluster('INFO')).includes('cluster_state:ok'));
  }
  return { nodes, url: `redis+cluster://${hosts.join(',')}` };
}
