/** Child processes of the bench: started on chosen cores, output to a file, ended in order. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Cores for the proxy, and for the load generator and the upstreams; undefined: not pinned. */
export interface Placement {
  readonly proxy: number | undefined;
  readonly load: number | undefined;
}

export interface Launched {
  readonly pid: number;
  readonly outputFile: string;
  output(): string;
  /** Resolves once the process is gone; SIGKILL when it has not ended `graceMs` after SIGTERM. */
  stop(graceMs?: number): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** Throws, with the end of its output, when the process has ended. */
  assertAlive(): void;
}

export interface LaunchOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly core: number | undefined;
  /** Folder for the output file. */
  readonly folder: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Gets standard output line by line, in place of the file; for what says too much for a file. */
  readonly onLine?: (line: string) => void;
}

export function placement(pin: boolean): Placement {
  if (!pin || availableParallelism() < 2 || !isInstalled('taskset'))
    return { proxy: undefined, load: undefined };
  return { proxy: 0, load: 1 };
}

export function isInstalled(command: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', command], { stdio: 'ignore' }).status === 0;
}

/** The load generator that costs least of those that are here. */
export function fastestDriver(): 'autocannon' | 'wrk' {
  return isInstalled('wrk') ? 'wrk' : 'autocannon';
}

/** `taskset` replaces itself with the command, so the process id stays the one spawned. */
export function onCore(
  core: number | undefined,
  command: string,
  args: readonly string[],
): [string, string[]] {
  return core === undefined ? [command, [...args]] : ['taskset', ['-c', String(core), command, ...args]];
}

const started = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

export function launch(options: LaunchOptions): Launched {
  const outputFile = join(options.folder, `${options.name}.out`);
  const file = openSync(outputFile, 'a');
  const [command, args] = onCore(options.core, options.command, options.args);
  const child = spawn(command, args, {
    stdio: ['ignore', options.onLine === undefined ? file : 'pipe', file],
    env: { ...process.env, ...options.env },
  });
  closeSync(file);
  if (options.onLine !== undefined && child.stdout !== null) {
    createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY }).on('line', options.onLine);
  }
  started.add(child);
  let failure: Error | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      failure = error;
      resolve();
    });
    child.once('exit', () => resolve());
  });
  ended.then(() => started.delete(child));
  const output = () => readFileSync(outputFile, 'utf8');
  const hasEnded = () => failure !== undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid ?? -1,
    outputFile,
    output,
    signal: (name) => void child.kill(name),
    assertAlive() {
      if (!hasEnded()) return;
      const how = failure?.message ?? `exit code ${child.exitCode}, signal ${child.signalCode}`;
      throw new Error(`${options.name} has ended (${how}); the end of its output:\n${output().slice(-2000)}`);
    },
    async stop(graceMs = 5000) {
      if (!hasEnded()) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Polls until `attempt` gives something other than undefined. */
export async function waitFor<T>(
  what: string,
  attempt: () => T | undefined | Promise<T | undefined>,
  deadlineMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const result = await attempt();
    if (result !== undefined) return result;
    if (performance.now() > deadline) throw new Error(`gave up after ${deadlineMs} ms waiting for ${what}`);
    await sleep(20);
  }
}

export function waitForPort(process: Launched, name: string, port: number): Promise<true> {
  return waitFor(`${name} to listen on port ${port}`, () => {
    process.assertAlive();
    return new Promise<true | undefined>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(undefined));
    });
  });
}

/** Ports that were free a moment ago, all different: for programs that cannot ask the kernel for one themselves. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port from the kernel');
    ports.push(address.port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
