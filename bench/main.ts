/** The bench: the same work through Pointsman, other proxies and no proxy. See README.md beside this file. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { driveAutocannon } from './drivers/autocannon.ts';
import type { Load } from './drivers/driver.ts';
import { drivePaced } from './drivers/paced.ts';
import { driveWrk } from './drivers/wrk.ts';
import { type Placement, placement } from './launch.ts';
import { machineFacts } from './machine.ts';
import { measureRound, type Round } from './measure.ts';
import { type BenchOptions, readBenchOptions, USAGE, UsageError } from './options.ts';
import { writeReadme } from './readme.ts';
import { hasFailed, plainText, type Section, type Series, summarize, tableOf } from './report.ts';
import type { RunningSubject, Subject } from './subjects/subject.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';
import { verify } from './verify.ts';
import { requestsOf, type Scenario } from './workload.ts';

interface Started {
  readonly subject: Subject;
  readonly running: RunningSubject | undefined;
  readonly refused: string | undefined;
}

interface Kind {
  readonly scenario: Scenario;
  readonly size: number;
}

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions | 'help';
  try {
    options = readBenchOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const subjects = options.accessLog
    ? options.subjects.filter((subject) => subject.logsAccess)
    : options.subjects;
  if (subjects.length === 0) {
    console.error('none of the chosen subjects can run in this mode');
    return 2;
  }
  const cores = placement(options.pin);
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-bench-'));
  const sections: Section[] = [];
  let upstreamKind = '';
  try {
    for (const scenario of options.scenarios) {
      for (const size of options.sizes) {
        const kindFolder = join(folder, `${scenario}-${size}`);
        mkdirSync(kindFolder);
        const upstreams = await startUpstreams({ size, core: cores.load, folder: kindFolder });
        upstreamKind = upstreams.kind;
        try {
          const bench = { options, subjects, cores, upstreams, folder: kindFolder };
          for (const section of await measureKind({ scenario, size }, bench)) {
            sections.push(section);
            console.log(`\n${plainText(tableOf(section))}`);
          }
        } finally {
          await upstreams.stop();
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const facts = machineFacts(subjects, cores, upstreamKind);
  console.log(`\n${facts.placement} ${facts.cpu}, ${facts.cores} cores, Linux ${facts.kernel}.`);
  const command = `npm run bench -- ${args.filter((arg) => arg !== '--write').join(' ')}`.trim();
  const log = options.accessLog ? 'on, to a file' : 'off';
  const { rounds, seconds } = options;
  const run = { command, accessLog: log, rounds, seconds };
  if (options.json !== undefined) {
    const measured = sections.map((section) => ({ ...section, summary: section.series.map(summarize) }));
    writeFileSync(options.json, `${JSON.stringify({ machine: facts, run, sections: measured }, null, 2)}\n`);
  }
  if (options.write) writeReadme(facts, run, sections);
  return hasFailed(sections) ? 1 : 0;
}

interface Bench {
  readonly options: BenchOptions;
  readonly subjects: readonly Subject[];
  readonly cores: Placement;
  readonly upstreams: Upstreams;
  readonly folder: string;
}

async function measureKind(kind: Kind, bench: Bench): Promise<Section[]> {
  const { options, cores, folder } = bench;
  const started: Started[] = [];
  try {
    for (const subject of bench.subjects) started.push(await startSubject(subject, kind, bench));
    const load = (running: RunningSubject, seconds: number): Load => ({
      port: running.port,
      requests: requestsOf(kind.scenario, kind.size),
      connections: options.connections,
      seconds,
    });
    const drive = (driver: 'autocannon' | 'wrk', running: RunningSubject, seconds: number) =>
      driver === 'wrk'
        ? driveWrk(load(running, seconds), cores.load, folder)
        : driveAutocannon(load(running, seconds), cores.load);
    const fastest = options.drivers.at(-1)!;
    const rates: number[] = [];
    for (const { running } of started) {
      if (running === undefined || options.warmup === 0) continue;
      const { requests, seconds } = await drive(fastest, running, options.warmup);
      rates.push(requests / seconds);
      trimLogs(folder);
    }
    const common = { ...kind, connections: options.connections };
    if (options.latency) {
      if (options.rate === undefined && rates.length === 0)
        throw new UsageError('--latency needs --rate or --warmup');
      const rate = options.rate ?? Math.floor(Math.min(...rates) / 2);
      const series = await measureSeries(started, kind, bench, (running) =>
        drivePaced({ ...load(running, options.seconds), rate }, cores.load),
      );
      return [{ ...common, driver: 'paced', rate, series: series.map((one) => withShortfall(one, rate)) }];
    }
    const sections: Section[] = [];
    for (const driver of options.drivers) {
      const series = await measureSeries(started, kind, bench, (running) =>
        drive(driver, running, options.seconds),
      );
      sections.push({ ...common, driver, series });
    }
    return sections;
  } finally {
    await Promise.all(started.map(({ running }) => running?.stop()));
  }
}

async function startSubject(subject: Subject, kind: Kind, bench: Bench): Promise<Started> {
  const { options, upstreams, cores } = bench;
  const folder = join(bench.folder, subject.name);
  mkdirSync(folder);
  process.stderr.write(`${kind.scenario} ${kind.size}: starting ${subject.name}\n`);
  const begin = () =>
    subject.start({
      upstreamPorts: upstreams.ports,
      pinned: kind.scenario === 'pinned',
      accessLog: options.accessLog,
      plain: options.plain,
      placement: cores,
      folder,
      ...(options.lane === undefined ? {} : { lane: options.lane }),
    });
  let running: RunningSubject;
  try {
    running = await begin();
  } catch (error) {
    return { subject, running: undefined, refused: (error as Error).message };
  }
  const refused = await verify({ port: running.port, ...kind, routes: subject.name !== 'direct' });
  if (refused === undefined) return { subject, running, refused };
  await running.stop();
  return { subject, running: undefined, refused };
}

/** Rounds go over all subjects in turn, so that a drift of the machine meets every one of them. */
async function measureSeries(
  started: readonly Started[],
  kind: Kind,
  bench: Bench,
  drive: (running: RunningSubject) => ReturnType<typeof driveAutocannon>,
): Promise<Series[]> {
  const rounds = started.map((): Round[] => []);
  for (let round = 0; round < bench.options.rounds; round += 1) {
    for (const [index, { subject, running }] of started.entries()) {
      if (running === undefined) continue;
      process.stderr.write(`${kind.scenario} ${kind.size}: round ${round + 1}, ${subject.name}\n`);
      rounds[index]!.push(
        await measureRound({
          running,
          core: bench.cores.proxy,
          size: kind.size,
          drive: () => drive(running),
        }),
      );
      trimLogs(bench.folder);
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

process.exitCode = await main(process.argv.slice(2));
