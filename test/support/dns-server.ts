/** A real DNS server, dnsmasq, unprivileged on a loopback port, whose records can be changed while it runs. */

import { type ChildProcess, spawn } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cleanUp } from './clean-up.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

/** Addresses by full name. */
export type DnsZone = Readonly<Record<string, readonly string[]>>;

/** A SRV record. */
export interface DnsService {
  readonly name: string;
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

/** Records that dnsmasq reads at its start alone. */
export interface FixedRecords {
  readonly services?: readonly DnsService[];
  /** Names that they stand for, by alias. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** Answers whenever the server runs; no test uses it. */
const SENTINEL = 'sentinel.invalid';

export class DnsServer {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'pointsman-dns-'));
  readonly #ttl: number;
  #child: ChildProcess | undefined;
  #generation = 0;
  #fixed: FixedRecords = {};
  port = 0;

  constructor(ttl: number) {
    this.#ttl = ttl;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /**
   * Replaces all records; resolves when the server answers by the new ones. Without `fixed` those stay; with it, a server
   * that runs is gone for a moment.
   */
  async serve(zone: DnsZone, fixed?: FixedRecords): Promise<void> {
    this.#generation = (this.#generation + 1) % 250;
    const sentinel = `127.9.9.${this.#generation + 1}`;
    const lines = [`${sentinel} ${SENTINEL}`];
    for (const [name, addresses] of Object.entries(zone)) {
      for (const address of addresses) lines.push(`${address} ${name}`);
    }
    const file = path.join(this.#directory, 'zone');
    writeFileSync(`${file}.next`, `${lines.join('\n')}\n`);
    renameSync(`${file}.next`, file);
    if (fixed !== undefined) {
      this.#fixed = fixed;
      if (this.#child === undefined) return;
      await this.kill();
      await this.start();
      return;
    }
    if (this.#child === undefined) return;
    // dnsmasq reads --addn-hosts again, and forgets what has gone from it, on this signal.
    this.#child.kill('SIGHUP');
    await this.#serves(sentinel);
  }

  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    const program = process.env['DNSMASQ'] ?? 'dnsmasq';
    const child = spawn(
      program,
      [
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--bind-interfaces',
        '--listen-address=127.0.0.1',
        `--port=${this.port}`,
        `--addn-hosts=${path.join(this.#directory, 'zone')}`,
        `--local-ttl=${this.#ttl}`,
        // NXDOMAIN for what it does not know, as a cluster's server says; without it dnsmasq refuses.
        '--local=//',
        '--local=/#/',
        '--user=',
        '--group=',
        '--pid-file=',
        '--log-facility=-',
        '--cache-size=0',
        ...(this.#fixed.services ?? []).map(
          ({ name, target, port, priority = 0, weight = 0 }) =>
            `--srv-host=${name},${target},${port},${priority},${weight}`,
        ),
        ...Object.entries(this.#fixed.aliases ?? {}).map(([alias, target]) => `--cname=${alias},${target}`),
      ],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
      },
    );
    let said = '';
    child.stderr!.on('data', (chunk) => {
      said += chunk;
    });
    child.on('error', (error) => {
      said += error.message;
    });
    this.#child = child;
    await this.#serves(`127.9.9.${this.#generation + 1}`).catch((error) => {
      throw new Error(`${(error as Error).message}; dnsmasq said: ${said}`);
    });
  }

  /** Stopped, it neither answers nor refuses. */
  stop(): void {
    this.#child!.kill('SIGSTOP');
  }

  resume(): void {
    this.#child!.kill('SIGCONT');
  }

  /** Resolves when its port is closed. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async discard(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #serves(sentinel: string): Promise<void> {
    await waitFor('dnsmasq to serve the records', async () => {
      const resolver = new Resolver({ timeout: 200, tries: 1 });
      resolver.setServers([this.address]);
      return (await resolver.resolve4(SENTINEL)).includes(sentinel);
    });
  }
}

/** One that serves `zone`, and is killed with the test, or the test file, that starts it. */
export async function startDnsServer(
  zone: DnsZone,
  { ttl = 1, ...fixed }: { readonly ttl?: number } & FixedRecords = {},
): Promise<DnsServer> {
  const server = new DnsServer(ttl);
  cleanUp(() => server.discard());
  await server.serve(zone, fixed);
  await server.start();
  return server;
}
