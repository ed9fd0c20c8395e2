/** The command line of `npm run bench`. */

import { parseArgs } from 'node:util';
import { isInstalled } from './launch.ts';
import { PARTS, type Part } from './standard.ts';
import { SUBJECTS, subjectNamed } from './subjects/registry.ts';
import type { Subject } from './subjects/subject.ts';
import { LARGEST_BODY } from './upstreams.ts';
import { SCENARIOS, type Scenario } from './workload.ts';

export interface BenchOptions {
  readonly subjects: readonly Subject[];
  readonly drivers: readonly ('autocannon' | 'wrk')[] | 'paced';
  readonly scenarios: readonly Scenario[];
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly connections: readonly number[];
  readonly accessLog: boolean;
  readonly plain: boolean;
  readonly pin: boolean;
  /** Undefined: what the options above choose. */
  readonly parts: readonly Part[] | undefined;
  /** Requests a second in latency mode; undefined: half of what the slowest subject can do. */
  readonly rate: number | undefined;
  readonly write: boolean;
  readonly json: string | undefined;
}

export const USAGE = `usage: npm run bench -- [options]
  --subjects A,B     of ${SUBJECTS.map((subject) => subject.name).join(', ')} (all that can run here)
  --driver NAME      autocannon, wrk or both (both where wrk is installed)
  --scenario NAME    ${SCENARIOS.join(', ')} or all (get)
  --sizes A,B        bytes of the bodies, at most ${LARGEST_BODY} (1024)
  --rounds N         the table shows medians over them (3; 5 with --standard)
  --seconds N        of each round (5)
  --warmup N         seconds before the first round (2; 10 with --standard: until the compiler has done its work)
  --connections A,B  kept open by the load generator (64)
  --access-log       one line of log per request, to a file; only subjects that can
  --plain            without X-Forwarded-*, Via and X-Request-Id
  --latency          latency at a fixed rate instead of throughput
  --rate N           requests a second for --latency (half of what the slowest subject can do)
  --no-pin           leave the placement on cores to the kernel
  --json FILE        write every measurement to FILE
  --standard         what bench/README.md states, about 20 minutes; rounds, seconds and --no-pin apply
  --part A,B         of ${PARTS.join(', ')} (all), with --standard
  --write            put the results of --standard into bench/README.md and its picture`;

export class UsageError extends Error {}

/** @throws UsageError with one line that says what is wrong */
export function readBenchOptions(args: readonly string[]): BenchOptions | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  const wrk = isInstalled('wrk');
  const driver = values.driver ?? (wrk ? 'both' : 'autocannon');
  if (!['autocannon', 'wrk', 'both'].includes(driver)) {
    throw new UsageError(`--driver ${driver}: use autocannon, wrk or both`);
  }
  const { standard, write } = values;
  if (write && !standard)
    throw new UsageError('--write: only what --standard measures goes into bench/README.md');
  const warmup = whole('--warmup', values.warmup ?? (standard ? '10' : '2'), 0, 3600);
  const rate = values.rate === undefined ? undefined : whole('--rate', values.rate, 1, 1_000_000);
  if (values.latency && rate === undefined && warmup === 0)
    throw new UsageError('--latency: needs --rate, or a --warmup that tells what the slowest can do');
  const options: BenchOptions = {
    subjects: chooseSubjects(values.subjects),
    drivers: values.latency
      ? 'paced'
      : driver === 'both'
        ? ['autocannon', 'wrk']
        : [driver as 'autocannon' | 'wrk'],
    scenarios: chooseScenarios(values.scenario),
    sizes: values.sizes.split(',').map((size) => whole('--sizes', size, 1, LARGEST_BODY)),
    rounds: whole('--rounds', values.rounds ?? (standard ? '5' : '3'), 1, 1000),
    seconds: whole('--seconds', values.seconds, 1, 3600),
    warmup,
    connections: values.connections.split(',').map((count) => whole('--connections', count, 1, 4000)),
    accessLog: values['access-log'],
    plain: values.plain,
    pin: values.pin,
    rate,
    parts: standard ? chooseParts(values.part) : undefined,
    write,
    json: values.json,
  };
  // Last, so that a wrong option is reported also where wrk is not installed.
  if (driver !== 'autocannon' && !wrk) throw new UsageError(`--driver ${driver}: wrk is not installed`);
  if (standard && !wrk) throw new UsageError('--standard: wrk is not installed');
  return options;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowNegative: true,
      options: {
        subjects: { type: 'string' },
        driver: { type: 'string' },
        scenario: { type: 'string', default: 'get' },
        sizes: { type: 'string', default: '1024' },
        rounds: { type: 'string' },
        seconds: { type: 'string', default: '5' },
        warmup: { type: 'string' },
        connections: { type: 'string', default: '64' },
        'access-log': { type: 'boolean', default: false },
        plain: { type: 'boolean', default: false },
        pin: { type: 'boolean', default: true },
        standard: { type: 'boolean', default: false },
        part: { type: 'string' },
        latency: { type: 'boolean', default: false },
        rate: { type: 'string' },
        write: { type: 'boolean', default: false },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function chooseParts(names: string | undefined): readonly Part[] {
  if (names === undefined) return PARTS;
  return names.split(',').map((name) => {
    if (!PARTS.includes(name as Part)) throw new UsageError(`--part ${name}: use ${PARTS.join(', ')}`);
    return name as Part;
  });
}

function chooseSubjects(names: string | undefined): Subject[] {
  if (names === undefined) return SUBJECTS.filter((subject) => subject.unavailable() === undefined);
  return names.split(',').map((name) => {
    const subject = subjectNamed(name);
    if (subject === undefined) throw new UsageError(`--subjects: there is no "${name}"`);
    const problem = subject.unavailable();
    if (problem !== undefined) throw new UsageError(`--subjects ${name}: ${problem}`);
    return subject;
  });
}

function chooseScenarios(name: string): readonly Scenario[] {
  if (name === 'all') return SCENARIOS;
  if (!SCENARIOS.includes(name as Scenario)) {
    throw new UsageError(`--scenario ${name}: use ${SCENARIOS.join(', ')} or all`);
  }
  return [name as Scenario];
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`${option} ${text}: must be a whole number from ${min} to ${max}`);
  }
  return value;
}
