/** Makes happen what the schedule says, and keeps what is needed to explain the failures that follow. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DnsServer } from '../../test/support/dns-server.ts';
import { waitFor } from '../launch.ts';
import type { ConfigMount } from '../reload/config-mount.ts';
import { monotonic } from './clock.ts';
import type { Endpoints } from './endpoints.ts';
import type { EndpointKill, Incidents, WorkerKill } from './explain.ts';
import type { Pointsman } from './pointsman.ts';
import type { Redis } from './redis.ts';
import type { EventKind, Planned } from './schedule.ts';
import { clientPortsOf } from './sockets-of.ts';
import { brokenFile, type Scene, versionAt } from './versions.ts';

export interface Means {
  readonly proxy: Pointsman;
  readonly endpoints: Endpoints;
  readonly dns: DnsServer;
  readonly redis: Redis;
  readonly mount: ConfigMount;
  readonly scene: Scene;
  /** How many times as often as in the standard run things happen, and so how much shorter they last. */
  readonly pace: number;
}

export interface Happened {
  /** Seconds from the start of the load. */
  readonly at: number;
  readonly kind: EventKind;
  readonly detail: string;
}

/** Longest until a file that was written is in force, or refused. */
const RELOAD_MS = 15_000;

export class Happenings implements Incidents {
  readonly workerKills: WorkerKill[] = [];
  readonly endpointKills: EndpointKill[] = [];
  readonly happened: Happened[] = [];
  /** What did not go as it must. */
  readonly problems: string[] = [];
  readonly #means: Means;
  #versions = 0;
  #reloading: Promise<void> = Promise.resolve();

  constructor(means: Means) {
    this.#means = means;
  }

  /** Resolves when the last of what was planned is over. */
  async follow(planned: readonly Planned[], startedAt: number): Promise<void> {
    const running: Promise<void>[] = [];
    for (const one of planned) {
      await sleep(Math.max(0, startedAt + one.at - monotonic()));
      this.#means.proxy.process.assertAlive();
      running.push(this.#happen(one, startedAt));
    }
    await Promise.all(running);
  }

  async #happen({ kind, turn }: Planned, startedAt: number): Promise<void> {
    const at = (monotonic() - startedAt) / 1000;
    try {
      const detail = await this.#act(kind, turn);
      if (detail !== undefined) this.happened.push({ at, kind, detail });
    } catch (error) {
      this.problems.push(`${kind} at ${at.toFixed(1)} s: ${(error as Error).message}`);
    }
  }

  /** @returns what happened; undefined: it could not, since nothing could be spared */
  #act(kind: EventKind, turn: number): Promise<string | undefined> {
    switch (kind) {
      case 'reload':
        return this.#oneByOne(() => this.#reload());
      case 'broken file':
        return this.#oneByOne(() => this.#writeBroken(turn));
      case 'endpoint killed':
        return this.#killEndpoint(turn);
      case 'DNS change':
        return turn % 3 === 2 ? this.#means.endpoints.hide() : this.#means.endpoints.replace();
      case 'DNS frozen':
        return this.#freezeDns();
      case 'Redis killed':
        return this.#killRedis();
      case 'Redis frozen':
        return this.#freezeRedis();
      case 'worker killed':
        return this.#killWorker();
      case 'override':
        return this.#override(turn);
    }
  }

  /** The next file is written when the one before is in force. */
  async #oneByOne(task: () => Promise<string>): Promise<string> {
    const before = this.#reloading;
    let done = () => {};
    this.#reloading = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    try {
      return await task();
    } finally {
      done();
    }
  }

  async #reload(): Promise<string> {
    const { proxy, mount, scene } = this.#means;
    const before = (await proxy.status()).config.reloads;
    this.#versions += 1;
    mount.write(JSON.stringify(versionAt(this.#versions, scene)));
    await waitFor(
      `version ${this.#versions} to come into force`,
      async () => ((await proxy.status()).config.reloads.ok > before.ok ? true : undefined),
      RELOAD_MS,
    );
    return `version ${this.#versions}`;
  }

  /** It changes nothing; the last good file is what a proxy that starts now would need, so it comes back. */
  async #writeBroken(turn: number): Promise<string> {
    const { proxy, mount, scene } = this.#means;
    const before = (await proxy.status()).config;
    mount.write(brokenFile(turn, scene));
    const after = await waitFor(
      'a broken file to be refused',
      async () => {
        const { config } = await proxy.status();
        return config.reloads.rejected > before.reloads.rejected ? config : undefined;
      },
      RELOAD_MS,
    );
    if (after.hash !== before.hash) throw new Error('a broken file was taken over');
    await this.#reload();
    return `refused: ${after.lastError?.problems[0]?.message.slice(0, 80)}`;
  }

  async #killEndpoint(turn: number): Promise<string | undefined> {
    const kill = await this.#means.endpoints.kill();
    if (kill === undefined) return undefined;
    this.endpointKills.push(kill);
    await this.#wait(7);
    const revived = await this.#means.endpoints.revive(turn % 2 === 1);
    return `${kill.track} ${kill.endpoint}; then ${revived}`;
  }

  async #freezeDns(): Promise<string> {
    this.#means.dns.stop();
    await this.#wait(6);
    this.#means.dns.resume();
    return 'for 6 s';
  }

  async #killRedis(): Promise<string> {
    await this.#means.redis.kill();
    await this.#wait(8);
    await this.#means.redis.start();
    return 'away for 8 s, then empty';
  }

  async #freezeRedis(): Promise<string> {
    this.#means.redis.freeze();
    await this.#wait(6);
    this.#means.redis.thaw();
    return 'for 6 s';
  }

  /** Always the same place: the worker in the other one lives through the whole run, so that its memory can be compared. */
  async #killWorker(): Promise<string> {
    const { proxy } = this.#means;
    const { workers } = await proxy.status();
    const { pid } = workers.at(-1)!;
    const stoppedAt = monotonic();
    process.kill(pid, 'SIGSTOP');
    await waitFor('the worker to stand still', () => (isStopped(pid) ? true : undefined));
    const { accepted, waiting } = clientPortsOf(pid, proxy.traffic);
    process.kill(pid, 'SIGKILL');
    while (isAlive(pid)) await sleep(1);
    this.workerKills.push({ pid, stoppedAt, goneAt: monotonic(), accepted, waiting });
    await waitFor('the worker to be replaced', async () => {
      const seat = (await proxy.status()).workers.at(-1)!;
      return seat.pid !== pid && seat.state === 'online' ? true : undefined;
    });
    return `with ${accepted.size} connections`;
  }

  /** Set, and ended before its time or left to end by itself. */
  async #override(turn: number): Promise<string> {
    const { proxy } = this.#means;
    const told = { for: '12s', reason: 'soak', by: 'soak' };
    if (turn % 3 === 2) {
      await proxy.act('drain', { backend: 'canary', ...told });
      await this.#wait(8);
      await proxy.act('undrain', { backend: 'canary', by: 'soak' });
      return 'canary drained for 8 s';
    }
    const { override } = await proxy.act('split', { route: 'free', weights: { canary: 0 }, ...told });
    if (turn % 3 === 1) return 'canary 0 for 12 s';
    await this.#wait(8);
    await proxy.act('end', { override: override!.id, by: 'soak' });
    return 'canary 0, ended after 8 s';
  }

  #wait(seconds: number): Promise<void> {
    return sleep((seconds * 1000) / this.#means.pace);
  }
}

/** A signal is not there the moment it is sent: what the process accepts until then is its own, too. */
function isStopped(pid: number): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
