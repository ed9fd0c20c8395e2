/** The whole soak: the scene is set, loaded and disturbed, looked at again and again, and then left in peace. */

import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DnsServer } from '../../test/support/dns-server.ts';
import { freePort } from '../../test/support/free-port.ts';
import { type Launched, launch, waitFor } from '../launch.ts';
import { mountConfig } from '../reload/config-mount.ts';
import { monotonic } from './clock.ts';
import { Endpoints } from './endpoints.ts';
import { type Explanation, explain } from './explain.ts';
import { Exposition } from './exposition.ts';
import { type Happened, Happenings, type Means } from './happenings.ts';
import type { Failure } from './load/failure.ts';
import { type LoadOptions, RATES } from './load/kinds.ts';
import type { Interval, Told } from './load/tally.ts';
import { Pointsman } from './pointsman.ts';
import { Redis } from './redis.ts';
import {
  mergeIntervals,
  type ProcessSample,
  type Sample,
  type Seat,
  sampleProcess,
  trafficOf,
} from './samples.ts';
import { schedule } from './schedule.ts';
import { type Scene, versionAt } from './versions.ts';
import { startWatchers } from './watchers.ts';

const LOAD_PROCESS = fileURLToPath(new URL('./load-process.ts', import.meta.url));

export interface SoakOptions {
  readonly seconds: number;
  /** How many times as often as in the standard run things happen. */
  readonly pace: number;
  /** Of the standard rates. */
  readonly share: number;
  /** Milliseconds between samples. */
  readonly sampleMs: number;
  readonly workers: number;
  /** Told as it goes. */
  readonly log: (line: string) => void;
}

/** What each process holds when nothing is under way. */
export interface AtRest {
  readonly sockets: number;
  readonly files: number;
  readonly resources: number;
  readonly listeners: number;
}

export interface SoakResult {
  readonly seconds: number;
  readonly samples: readonly Sample[];
  readonly happened: readonly Happened[];
  /** By kind of traffic. */
  readonly requests: Readonly<Record<string, number>>;
  /** Not sent, since too many of their kind were under way. */
  readonly held: number;
  readonly watched: number;
  readonly scrapes: number;
  readonly explained: Readonly<Partial<Record<Explanation, number>>>;
  readonly unexplained: readonly string[];
  /** By process: before the load, and when the last connection of the load had ended. */
  readonly atRest: Readonly<Record<string, { readonly before: AtRest; readonly after: AtRest }>>;
  /** Requests that an upstream answered in full, as their clients and as the access log count them. */
  readonly answered: { readonly clients: number; readonly accessLog: number };
  /** Lines of the log besides those of requests, by level and message. */
  readonly said: Readonly<Record<string, number>>;
}

/** Kinds that are costly to check run in a process of their own, so that they do not delay those that are timed. */
const TIMED_LOAD = ['get', 'pinned', 'head', 'connect', 'options', 'absolute', 'limited'];
const WEB_SOCKETS = 40;
const WATCHERS = 2;
/** Between the parts of a slow response. */
const DRIP_MS = 250;
const SCRAPE_MS = 5_000;
/** Idle connections to upstreams stay for 4 s. */
const REST_MS = 20_000;
const MOST_TOLD = 100;

/** Kinds that end without an answer of an upstream, or are no requests. */
const UNANSWERED = ['vanish', 'websocket', 'limited, 429'];

/** Said when a file is broken, and when a worker is killed. */
const EXPECTED_ERRORS = [
  'error: the configuration has errors and was not taken over; the last good one stays',
  'error: worker died',
];

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-soak-'));
  const dns = new DnsServer(options.pace > 1 ? 0 : 1);
  process.on('exit', () => void dns.kill());
  const stops: (() => Promise<unknown>)[] = [() => dns.discard()];
  try {
    const outputs = join(folder, 'outputs');
    const probes = join(folder, 'probes');
    mkdirSync(outputs);
    mkdirSync(probes);
    // Started as root, the proxy becomes nobody: who must be able to read its configuration, and to write what it sees.
    chmodSync(folder, 0o755);
    chmodSync(probes, 0o777);
    const scene: Scene = {
      upstreamPort: await freePort(),
      redisPort: await freePort(),
      nameserver: '',
      workers: options.workers,
      pace: options.pace,
    };
    await dns.serve({});
    await dns.start();
    const named: Scene = { ...scene, nameserver: dns.address };
    const endpoints = new Endpoints({
      port: scene.upstreamPort,
      dns,
      folder: outputs,
      noticeMs: 8_000 / options.pace,
      dripMs: DRIP_MS / options.pace,
    });
    stops.push(() => endpoints.stop());
    const redis = new Redis({ port: scene.redisPort, folder: outputs });
    stops.push(() => redis.kill());
    await Promise.all([endpoints.start(), redis.start()]);
    const mount = mountConfig(join(folder, 'config'), 'configmap', () => {});
    mount.write(JSON.stringify(versionAt(0, named)));
    const proxy = new Pointsman({ configFile: mount.file, folder: outputs, probes, pace: options.pace });
    stops.push(() => proxy.process.stop(10_000));
    await proxy.listening();
    const run = new Run(options, { proxy, endpoints, dns, redis, mount, scene: named, outputs, probes });
    return await run.result();
  } finally {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Setting extends Omit<Means, 'pace'> {
  readonly outputs: string;
  readonly probes: string;
}

class Run {
  readonly #options: SoakOptions;
  readonly #setting: Setting;
  readonly #happenings: Happenings;
  readonly #failures: Failure[] = [];
  readonly #problems: string[] = [];
  readonly #samples: Sample[] = [];
  readonly #total: Record<string, number> = {};
  readonly #warned = new Set<string>();
  /** Load generators that can be asked. */
  readonly #begun: Launched[] = [];
  #sinceSample: Interval[] = [];
  #sampling = false;
  #held = 0;
  #startedAt = 0;
  #exposition = new Exposition('');
  #scrapes = 0;

  constructor(options: SoakOptions, setting: Setting) {
    this.#options = options;
    this.#setting = setting;
    this.#happenings = new Happenings({ ...setting, pace: options.pace });
  }

  async result(): Promise<SoakResult> {
    const { options, proxy } = { options: this.#options, proxy: this.#setting.proxy };
    await waitFor('every worker to be there, with Redis', async () => {
      const { workers } = await proxy.status();
      const isReady = workers.every(
        ({ state, pinStore }) => state === 'online' && pinStore?.state === 'closed',
      );
      return isReady ? true : undefined;
    });
    const before = await this.#atRest('before the load');
    const watchers = startWatchers(proxy.admin, WATCHERS, (what) => this.#problems.push(what));
    this.#startedAt = monotonic();
    const loads = this.#startLoads();
    const scraping = setInterval(() => void this.#scrape(), SCRAPE_MS);
    const sampling = setInterval(() => void this.#sample(), options.sampleMs);
    await this.#happenings.follow(schedule(options.seconds, options.pace), this.#startedAt);
    await sleep(Math.max(0, this.#startedAt + options.seconds * 1000 - monotonic()));
    clearInterval(sampling);
    const seconds = (monotonic() - this.#startedAt) / 1000;
    // Slow transfers and the last answers take some seconds.
    await Promise.all(loads.map((load) => load.stop(40_000)));
    watchers.stop();
    clearInterval(scraping);
    const after = await this.#atRest('after the load');
    this.#judge(after.exposition);
    const { explained, unexplained } = this.#explained();
    return {
      seconds,
      samples: this.#samples,
      happened: this.#happenings.happened,
      requests: this.#total,
      held: this.#held,
      watched: watchers.events,
      scrapes: this.#scrapes,
      explained,
      unexplained,
      atRest: Object.fromEntries(
        Object.keys(after.seats).map((name) => [
          name,
          { before: before.seats[name]!, after: after.seats[name]! },
        ]),
      ),
      answered: {
        clients: sum(this.#total) - sum(UNANSWERED.map((kind) => this.#total[kind] ?? 0)),
        accessLog: proxy.answered,
      },
      said: Object.fromEntries(proxy.said),
    };
  }

  // ---- load ----

  #startLoads(): Launched[] {
    const others = Object.keys(RATES).filter((kind) => !TIMED_LOAD.includes(kind));
    return [
      this.#startLoad({ name: 'a', kinds: TIMED_LOAD, webSockets: 0 }),
      this.#startLoad({ name: 'b', kinds: others, webSockets: WEB_SOCKETS * this.#options.share }),
    ];
  }

  #startLoad(part: Pick<LoadOptions, 'name' | 'kinds' | 'webSockets'>): Launched {
    const { share, pace } = this.#options;
    const argument: LoadOptions = {
      ...part,
      port: this.#setting.proxy.traffic,
      share,
      pace,
    };
    const load = launch({
      name: `load-${part.name}`,
      command: process.execPath,
      args: [LOAD_PROCESS, JSON.stringify(argument)],
      core: undefined,
      folder: this.#setting.outputs,
      onLine: (line) => this.#onTold(load, JSON.parse(line) as Told),
    });
    return load;
  }

  #onTold(load: Launched, told: Told): void {
    if ('begun' in told) {
      this.#begun.push(load);
      return;
    }
    if ('failure' in told) {
      this.#failures.push(told.failure);
      return;
    }
    this.#sinceSample.push(told.interval);
    this.#held += told.interval.held;
    for (const [kind, count] of Object.entries(told.interval.done)) {
      this.#total[kind] = (this.#total[kind] ?? 0) + count;
    }
  }

  // ---- looking ----

  async #scrape(): Promise<void> {
    try {
      this.#exposition = new Exposition(await this.#setting.proxy.metrics());
      this.#scrapes += 1;
    } catch (error) {
      this.#problems.push(`a scrape: ${(error as Error).message}`);
    }
  }

  async #seats(): Promise<Seat[]> {
    const { workers } = await this.#setting.proxy.status();
    return [
      { name: 'primary', pid: this.#setting.proxy.process.pid },
      ...workers.map(({ pid, state }, index) => ({
        name: `worker ${index + 1}`,
        pid: state === 'online' ? pid : 0,
      })),
    ];
  }

  async #sample(): Promise<void> {
    if (this.#sampling) return;
    this.#sampling = true;
    const at = (monotonic() - this.#startedAt) / 1000;
    try {
      const seats = await this.#seats();
      const processes = Object.fromEntries(
        seats.map(({ name, pid }) => [
          name,
          pid === 0 ? undefined : sampleProcess(pid, this.#setting.probes),
        ]),
      );
      for (const [name, sample] of Object.entries(processes)) {
        for (const warning of sample?.probe?.warnings ?? []) this.#warned.add(`${name}: ${warning}`);
      }
      const { done, latency } = mergeIntervals(await this.#intervals());
      const sample: Sample = { at, processes, ...trafficOf(this.#exposition), requests: sum(done), latency };
      this.#samples.push(sample);
      this.#options.log(this.#line(sample));
    } catch (error) {
      this.#problems.push(`a sample at ${at.toFixed(0)} s: ${(error as Error).message}`);
    } finally {
      this.#sampling = false;
    }
  }

  /** What all clients did since the last sample. */
  async #intervals(): Promise<Interval[]> {
    for (const load of this.#begun) load.signal('SIGUSR2');
    await waitFor('the load to tell what it did', () =>
      this.#sinceSample.length >= this.#begun.length ? true : undefined,
    );
    return this.#sinceSample.splice(0);
  }

  #line({ at, processes, requests, latency, clientConnections, series }: Sample): string {
    const mib = (bytes: number | undefined) => (bytes === undefined ? '–' : (bytes / 1024 ** 2).toFixed(0));
    const memory = Object.values(processes).map((one) => mib(one?.rss));
    const alive = Object.values(processes).map((one) => mib(one?.probe?.heapAlive));
    const { p50 = 0, p99 = 0 } = latency['get'] ?? {};
    return [
      `${at.toFixed(0)} s`,
      `RSS ${memory.join(' ')}`,
      `heap ${alive.join(' ')}`,
      `${requests} requests`,
      `p50 ${p50.toFixed(2)} p99 ${p99.toFixed(1)} ms`,
      `${clientConnections} connections`,
      `${series} series`,
      `${this.#failures.length} failures`,
    ].join(', ');
  }

  async #lookInside(): Promise<{ name: string; sample: ProcessSample | undefined }[]> {
    return (await this.#seats()).map(({ name, pid }) => ({
      name,
      sample: pid === 0 ? undefined : sampleProcess(pid, this.#setting.probes),
    }));
  }

  /** Waits until nothing is under way and idle connections are closed. */
  async #atRest(when: string): Promise<{ seats: Record<string, AtRest>; exposition: Exposition }> {
    let problem = '';
    try {
      await waitFor(
        `nothing to be left ${when}`,
        async () => {
          await this.#scrape();
          const { clientConnections, upstreamConnections, tunnels, inFlight, bufferedBytes } = trafficOf(
            this.#exposition,
          );
          const left = { clientConnections, upstreamConnections, tunnels, inFlight, bufferedBytes };
          if (Object.values(left).every((count) => count === 0)) return true;
          problem = JSON.stringify(left);
          await sleep(100);
          return undefined;
        },
        REST_MS,
      );
    } catch (error) {
      this.#problems.push(`${(error as Error).message}: ${problem}`);
    }
    const earlier = await this.#lookInside();
    // Not what was written before everything had ended.
    const looks = await waitFor(`a look into every process ${when}`, async () => {
      const next = await this.#lookInside();
      const isNew = next.every(({ sample }, index) => {
        const turn = sample?.probe?.turn;
        return turn !== undefined && turn !== earlier[index]?.sample?.probe?.turn;
      });
      return isNew ? next : undefined;
    });
    const seats: Record<string, AtRest> = {};
    for (const { name, sample } of looks) {
      seats[name] = {
        sockets: sample!.files.sockets,
        files: sample!.files.pipes + sample!.files.others,
        resources: sum(sample!.probe!.resources),
        listeners: sample!.probe!.listeners,
      };
    }
    return { seats, exposition: this.#exposition };
  }

  // ---- judging ----

  #judge(exposition: Exposition): void {
    const { proxy } = this.#setting;
    for (const line of proxy.torn.slice(0, MOST_TOLD))
      this.#problems.push(`a line of the log is no JSON: ${line}`);
    for (const [said, count] of proxy.said) {
      const isError = said.startsWith('error:') || said.startsWith('fatal:');
      if (isError && !EXPECTED_ERRORS.includes(said))
        this.#problems.push(`the log says ${count} times ${said}`);
    }
    for (const warning of this.#warned) this.#problems.push(`a warning of Node: ${warning}`);
    const stderr = proxy.process.output();
    if (stderr !== '') this.#problems.push(`standard error says: ${stderr.slice(0, 1_000)}`);
    const dropped = exposition.sum('pointsman_log_lines_dropped_total');
    if (dropped > 0) this.#problems.push(`${dropped} lines of the log were lost`);
    const restarts = exposition.sum('pointsman_worker_restarts_total');
    const kills = this.#happenings.workerKills.length;
    if (restarts !== kills) this.#problems.push(`${restarts} workers ended, and ${kills} were killed`);
  }

  #explained(): { explained: Partial<Record<Explanation, number>>; unexplained: string[] } {
    const explained: Partial<Record<Explanation, number>> = {};
    const unexplained = [...this.#happenings.problems, ...this.#problems];
    for (const failure of this.#failures) {
      const logged = this.#setting.proxy.failed.get(failure.nonce);
      const explanation = explain(failure, this.#happenings, logged);
      if (explanation === undefined) unexplained.push(this.#told(failure, logged));
      else explained[explanation] = (explained[explanation] ?? 0) + 1;
    }
    return { explained, unexplained };
  }

  #told(failure: Failure, logged: unknown): string {
    const { form, kind, nonce, what, status, reason, endpoint, port, startedAt, endedAt } = failure;
    const seconds = (at: number) => ((at - this.#startedAt) / 1000).toFixed(3);
    const facts = { status, reason, endpoint, port, logged };
    return `${form} ${kind} ${nonce} from ${seconds(startedAt)} to ${seconds(endedAt)} s: ${what} ${JSON.stringify(facts)}`;
  }
}

function sum(counts: readonly number[] | Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
