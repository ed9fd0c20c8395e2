/** The real process, `node src/main.ts run`, on ports of the kernel's choice and a configuration of the test's. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { StatusDocument } from '../../src/admin/status.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { cleanUp } from './clean-up.ts';
import { LANE } from './lane.ts';
import { send } from './request.ts';
import { inTime, waitFor } from './wait-for.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** One line of the log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [key: string]: unknown;
}

export interface StartOptions {
  /** More arguments of `run`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workers?: number;
  /** Where the log goes instead of to this fixture, which then knows nothing of it: name the ports in the configuration. */
  readonly stdout?: number;
  /** The file to read; default: one in a directory of its own. It must exist already. */
  readonly configPath?: string;
  /** Program and arguments that the command is given to, and that becomes it. */
  readonly launcher?: readonly string[];
  /** `false`: return once it listens, ready or not. */
  readonly ready?: boolean;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What tests leave out: ports of the kernel's choice, quick checks, a quick end. */
const TEST_DEFAULTS = {
  listen: '127.0.0.1:0',
  admin: '127.0.0.1:0',
  health: { interval: '100ms', timeout: '100ms' },
  shutdown: { delay: '0ms', timeout: '2s' },
} as const satisfies Partial<ConfigInput>;

export type TestConfig = Partial<ConfigInput> & Pick<ConfigInput, 'backends' | 'routes'>;

/** The text of a configuration with the defaults of tests. */
export function configText(config: TestConfig | string): string {
  if (typeof config === 'string') return config;
  const forwarding = { fastLane: LANE === 'fast', ...config.forwarding };
  return stringify({ ...TEST_DEFAULTS, ...config, forwarding });
}

const live = new Set<PointsmanProcess>();

afterEach((context) => {
  if ((context as { passed?: boolean }).passed !== false) return;
  for (const process of live) process.explain();
});

export class PointsmanProcess {
  readonly configPath: string;
  readonly exited: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #lines: LogLine[] = [];
  #stdout = '';
  #rest = '';
  #stderr = '';
  #ended: Ended | undefined;
  trafficPort = 0;
  adminPort = 0;

  constructor(configPath: string, options: Pick<StartOptions, 'args' | 'env' | 'launcher' | 'stdout'>) {
    this.configPath = configPath;
    const { args = [], launcher = [], stdout = 'pipe' } = options;
    const [program, ...rest] = [...launcher, process.execPath, MAIN, 'run', '--config', configPath, ...args];
    this.#child = spawn(program!, rest, {
      stdio: ['ignore', stdout, 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...options.env },
    });
    live.add(this);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#onStdout(text));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.#ended = { code, signal, stdout: this.#stdout, stderr: this.#stderr };
        resolve(this.#ended);
      });
    });
    cleanUp(() => this.kill());
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get hasExited(): boolean {
    return this.#ended !== undefined;
  }

  /** Every line of the log so far. */
  log(): readonly LogLine[] {
    return this.#lines;
  }

  /** The lines of requests. */
  accessLog(): readonly LogLine[] {
    return this.#lines.filter((line) => line.msg === 'request');
  }

  /** The line of one request, by the id that its answer carried. */
  async accessLine(requestId: string | undefined): Promise<LogLine> {
    if (requestId === undefined) throw new Error('the answer has no request id');
    return await waitFor(`the log of request ${requestId}`, () =>
      this.accessLog().find((line) => line['request_id'] === requestId),
    );
  }

  async waitForLog(
    predicate: (line: LogLine) => boolean,
    what = 'a line of the log',
    timeoutMs = 5_000,
  ): Promise<LogLine> {
    return await waitFor(what, () => this.#lines.find(predicate), timeoutMs);
  }

  async status(): Promise<StatusDocument> {
    return (await send(this.adminPort, { path: '/status' })).json() as StatusDocument;
  }

  async metrics(): Promise<string> {
    return (await send(this.adminPort, { path: '/metrics' })).text;
  }

  /** The sum of all series of `name` whose labels include these; 0 when there are none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    let sum = 0;
    for (const line of (await this.metrics()).split('\n')) {
      const match = /^([a-z_:]+)(\{.*\})? (\S+)$/.exec(line);
      if (match === null || match[1] !== name) continue;
      if (wanted.every((label) => match[2]?.includes(label))) sum += Number(match[3]);
    }
    return sum;
  }

  async readiness(): Promise<number> {
    return (await send(this.adminPort, { path: '/readyz' })).status;
  }

  waitFor<T>(what: string, condition: () => T | Promise<T>, timeoutMs?: number): Promise<NonNullable<T>> {
    return waitFor(
      what,
      () => {
        if (this.#ended !== undefined) throw new Error(`the process has ended: ${this.#stderr}`);
        return condition();
      },
      timeoutMs,
    );
  }

  /** Resolves when every check that follows from the fixture's state has been seen by the proxy. */
  async waitForHealth(backend: string, health: 'up' | 'down'): Promise<void> {
    await this.waitFor(`backend ${backend} to be ${health}`, async () => {
      const found = (await this.status()).backends.find(({ name }) => name === backend);
      return found?.endpoints.every((endpoint) => endpoint.health === health);
    });
  }

  writeConfig(next: TestConfig | string): void {
    writeFileSync(this.configPath, configText(next));
  }

  /** Writes the file and waits until it was taken over. */
  async reload(next: TestConfig | string): Promise<void> {
    const before = (await this.status()).config.reloads.ok;
    this.writeConfig(next);
    await this.waitFor('the reload', async () => (await this.status()).config.reloads.ok > before);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM; resolves to the exit code. */
  async stop(timeoutMs = 10_000): Promise<number | null> {
    this.signal('SIGTERM');
    return (await inTime('the end of the process', this.exited, timeoutMs)).code;
  }

  async kill(): Promise<void> {
    live.delete(this);
    if (this.#ended !== undefined) return;
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  /** Resolves when the process has said where it listens. */
  async listening(): Promise<this> {
    const line = await waitFor(
      'the process to listen',
      () => {
        const found = this.#lines.find(({ msg }) => msg === 'listening');
        return found ?? (this.#ended === undefined ? undefined : 'ended');
      },
      15_000,
    );
    if (typeof line === 'string') {
      const { code, signal, stderr, stdout } = this.#ended!;
      throw new Error(
        `the process ended (${signal ?? `exit code ${code}`}) before it listened:\n${stderr}${stdout}`,
      );
    }
    this.trafficPort = portOf(line['traffic']);
    this.adminPort = portOf(line['admin']);
    return this;
  }

  /** By its configuration, where its log is not read. */
  listensAt(configPath: string): void {
    const { listen, admin } = parse(readFileSync(configPath, 'utf8')) as TestConfig;
    this.trafficPort = portOf(listen);
    this.adminPort = portOf(admin);
  }

  /** For a failed test: what the process said. */
  explain(): void {
    const told = this.#lines.filter((line) => line.msg !== 'request' || line['termination'] !== '--');
    const last = told.slice(-8).map((line) => JSON.stringify(line));
    const ended = this.#ended === undefined ? '' : `, ended: ${this.#ended.signal ?? this.#ended.code}`;
    console.error(`--- pointsman ${this.pid}${ended}\n${last.join('\n')}\n${this.#stderr}---`);
  }

  #onStdout(text: string): void {
    this.#stdout += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.#lines.push(JSON.parse(line) as LogLine);
  }
}

function portOf(address: unknown): number {
  const match = /:(\d+)$/.exec(String(address));
  if (match === null) throw new Error(`no port in ${JSON.stringify(address)}`);
  return Number(match[1]);
}

/** A directory that goes with the test file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-test-'));
  cleanUp(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts the proxy and resolves when it is ready. It is killed after the last test of the file. */
export async function startPointsman(
  config: TestConfig | string,
  options: StartOptions = {},
): Promise<PointsmanProcess> {
  const { workers, ready = true } = options;
  let { configPath } = options;
  if (configPath === undefined) {
    configPath = path.join(temporaryDirectory(), 'pointsman.yaml');
    const whole = typeof config === 'string' || workers === undefined ? config : { ...config, workers };
    writeFileSync(configPath, configText(whole));
  }
  const started = new PointsmanProcess(configPath, options);
  if (options.stdout === undefined) await started.listening();
  else started.listensAt(configPath);
  if (ready) await started.waitFor('readiness', async () => (await started.readiness()) === 200);
  return started;
}

/** Runs the command line to its end, for what must not start. */
export async function runToEnd(
  configPath: string,
  options: Pick<StartOptions, 'args' | 'env' | 'launcher'> = {},
): Promise<Ended> {
  const started = new PointsmanProcess(configPath, options);
  return await inTime('the end of the process', started.exited, 15_000);
}
