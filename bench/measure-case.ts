/** One kind of load over all its subjects: started, proven to do the work, then loaded in turn, round by round. */

import { mkdirSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { driveAutocannon } from './drivers/autocannon.ts';
import type { Load, LoadResult } from './drivers/driver.ts';
import { drivePaced } from './drivers/paced.ts';
import { driveWrk } from './drivers/wrk.ts';
import { fastestDriver, type Placement } from './launch.ts';
import { measureRound, type Round } from './measure.ts';
import type { Section, Series } from './report.ts';
import type { RunningSubject, Subject } from './subjects/subject.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';
import { verify } from './verify.ts';
import { requestsOf, type Scenario } from './workload.ts';

export interface Case {
  readonly scenario: Scenario;
  /** Bytes of the bodies. */
  readonly size: number;
  readonly connections: number;
  /** One line of log per request, to a file; only subjects that can. */
  readonly accessLog: boolean;
  readonly subjects: readonly Subject[];
  /** Throughput, once by each; or latency at a fixed rate. */
  readonly drivers: readonly ('autocannon' | 'wrk')[] | 'paced';
  /** Requests a second of `paced`. Default: that of the pace. */
  readonly rate?: number;
  /** What ratios are to. Default: `haproxy`. */
  readonly reference?: string;
}

export interface Pace {
  readonly rounds: number;
  /** Of each round. */
  readonly seconds: number;
  /** Seconds before the first round. */
  readonly warmup: number;
  /** Requests a second of `paced`; undefined: half of what the slowest proxy can do. */
  readonly rate: number | undefined;
  /** Without X-Forwarded-*, Via and X-Request-Id. */
  readonly plain: boolean;
}

/** Seconds of each round of `paced` that are not timed. */
const SETTLE = 1;

interface Started {
  readonly subject: Subject;
  readonly running: RunningSubject | undefined;
  readonly refused: string | undefined;
}

interface Scene {
  readonly case: Case;
  readonly pace: Pace;
  readonly cores: Placement;
  readonly upstreams: Upstreams;
  readonly folder: string;
}

/**
 * @param folder  for configurations and output; must be empty
 * @returns one section by driver, and what the upstreams were
 */
export async function measureCase(
  one: Case,
  pace: Pace,
  cores: Placement,
  folder: string,
): Promise<{ sections: Section[]; upstreams: string }> {
  const upstreams = await startUpstreams({ size: one.size, core: cores.load, folder });
  const scene: Scene = { case: one, pace, cores, upstreams, folder };
  const started: Started[] = [];
  try {
    for (const subject of one.subjects) started.push(await startSubject(subject, scene));
    return { sections: await measureStarted(started, scene), upstreams: upstreams.kind };
  } finally {
    await Promise.all(started.map(({ running }) => running?.stop()));
    await upstreams.stop();
  }
}

async function measureStarted(started: readonly Started[], scene: Scene): Promise<Section[]> {
  const { pace, cores, folder } = scene;
  const { drivers, scenario, size, connections, accessLog } = scene.case;
  const load = (running: RunningSubject, seconds: number): Load => ({
    port: running.port,
    requests: requestsOf(scenario, size),
    connections,
    seconds,
  });
  const drive = (driver: 'autocannon' | 'wrk', running: RunningSubject, seconds: number) =>
    driver === 'wrk'
      ? driveWrk(load(running, seconds), cores.load, folder)
      : driveAutocannon(load(running, seconds), cores.load);
  const closedLoop = drivers === 'paced' ? fastestDriver() : drivers.at(-1)!;
  const rates: number[] = [];
  for (const { subject, running } of started) {
    if (running === undefined || pace.warmup === 0) continue;
    const { requests, seconds } = await drive(closedLoop, running, pace.warmup);
    if (subject.name !== 'direct') rates.push(requests / seconds);
    trimLogs(folder);
  }
  const { reference } = scene.case;
  const common = {
    scenario,
    size,
    connections,
    accessLog,
    ...(reference === undefined ? {} : { reference }),
  };
  if (drivers === 'paced') {
    const rate = scene.case.rate ?? pace.rate ?? Math.floor(Math.min(...rates) / 2);
    const series = await measureSeries(started, scene, (running) =>
      drivePaced({ ...load(running, SETTLE + pace.seconds), rate, settle: SETTLE }, cores.load),
    );
    return [{ ...common, driver: 'paced', rate, series: series.map((row) => withShortfall(row, rate)) }];
  }
  const sections: Section[] = [];
  for (const driver of drivers) {
    const series = await measureSeries(started, scene, (running) => drive(driver, running, pace.seconds));
    sections.push({ ...common, driver, series });
  }
  return sections;
}

async function startSubject(subject: Subject, scene: Scene): Promise<Started> {
  const { scenario, size, accessLog } = scene.case;
  const folder = join(scene.folder, subject.name);
  mkdirSync(folder);
  let running: RunningSubject;
  try {
    running = await subject.start({
      upstreamPorts: scene.upstreams.ports,
      pinned: scenario === 'pinned',
      accessLog,
      plain: scene.pace.plain,
      placement: scene.cores,
      folder,
    });
  } catch (error) {
    return { subject, running: undefined, refused: (error as Error).message };
  }
  const refused = await verify({
    port: running.port,
    scenario,
    size,
    routes: subject.name !== 'direct',
  });
  if (refused === undefined) return { subject, running, refused };
  await running.stop();
  return { subject, running: undefined, refused };
}

/** Rounds go over all subjects in turn, so that a drift of the machine meets every one of them. */
async function measureSeries(
  started: readonly Started[],
  scene: Scene,
  drive: (running: RunningSubject) => Promise<LoadResult>,
): Promise<Series[]> {
  const rounds = started.map((): Round[] => []);
  for (let round = 0; round < scene.pace.rounds; round += 1) {
    for (const [index, { running }] of started.entries()) {
      if (running === undefined) continue;
      rounds[index]!.push(
        await measureRound({
          running,
          core: scene.cores.proxy,
          size: scene.case.size,
          drive: () => drive(running),
        }),
      );
      trimLogs(scene.folder);
    }
  }
  return started.map(({ subject, refused }, index) => ({
    subject: subject.name,
    rounds: rounds[index]!,
    ...(refused === undefined ? {} : { refused }),
  }));
}

/** At a fixed rate, falling behind is a failure too: its latency would be that of a queue. */
function withShortfall(series: Series, rate: number): Series {
  return {
    ...series,
    rounds: series.rounds.map((round) => {
      const reached = round.result.requests / round.result.seconds;
      const problem = `reached ${Math.round(reached)} of ${rate} requests/s`;
      return reached < rate * 0.95 ? { ...round, problems: [...round.problems, problem] } : round;
    }),
  };
}

/** Access logs of a whole run would fill a disk; they are opened for appending, so they can be emptied between. */
function trimLogs(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(out|log)$/.test(name)) continue;
    const path = join(folder, name);
    if (statSync(path).size > 16 * 1024 ** 2) truncateSync(path);
  }
}
