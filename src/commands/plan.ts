/** `pointsman plan`: what another configuration would change, before it is applied. */
import { createReadStream } from 'node:fs';
import { parseArgs } from 'node:util';
import { type ConfigRead, readConfig } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import type { Config } from '../config/schema.ts';
import { linesOf } from '../plan/log-lines.ts';
import { type LogImpact, LogReplay } from '../plan/log-replay.ts';
import { type Planned, planChange } from '../plan/plan.ts';
import { planText } from '../plan/text.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman plan --from OLD --to NEW [--log FILE] [--output text|json]

Says what a new configuration changes: for every group the shares before and after, the buckets of users that
move (computed, or from 100,000 users where more than the bucket counts), and whether it keeps its invariants,
maxStep among them. Nothing is applied.

Options:
      --from OLD           configuration in use
      --to NEW             configuration to come
      --log FILE           access log of Pointsman: also the requests and users that would have gone elsewhere;
                           - reads standard input. Users are counted by their buckets, since a log holds no ids
  -o, --output text|json   default: text
  -h, --help               this text

Exit codes: 0 every request and user goes where it went, whatever else changes; 2 some go elsewhere; 3 the new
configuration breaks an invariant, and a proxy would refuse it; 1 wrong usage, or a file that cannot be read.
`;

const EXIT = { unchanged: 0, unreadable: 1, changed: 2, broken: 3 } as const;

export async function plan(args: readonly string[], io: CommandIo): Promise<number> {
  let options: Options | undefined;
  try {
    options = readOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError) && !isParseError(error)) throw error;
    // 2 means that something changes, also to scripts that mistype an option.
    io.stderr(`pointsman plan: ${(error as Error).message}\nTry: pointsman plan --help\n`);
    return EXIT.unreadable;
  }
  if (options === undefined) {
    io.stdout(HELP);
    return 0;
  }
  const from = await readConfig(options.from, io.environment);
  const to = await readConfig(options.to, io.environment);
  // What broke an invariant is still a table that can be compared.
  const [before, after] = [from.config ?? from.refused, to.config ?? to.refused];
  if (before === undefined || after === undefined) {
    for (const read of [from, to]) if (usable(read) === undefined) printProblems(read, io);
    return EXIT.unreadable;
  }
  const planned = planChange(before, after);
  let log: LogImpact | undefined;
  if (options.log !== undefined) {
    const replayed = await replay(options.log, planned);
    if (typeof replayed === 'string') {
      io.stderr(`pointsman plan: ${replayed}\n`);
      return EXIT.unreadable;
    }
    log = replayed;
  }
  const { broken, changed } = planned.plan;
  if (options.output === 'json') {
    const { from: fromFile, to: toFile } = options;
    io.stdout(
      `${JSON.stringify({ from: fromFile, to: toFile, ...planned.plan, log: log ?? null }, null, 2)}\n`,
    );
  } else {
    io.stdout(planText(planned.plan, log, terminal(io)));
    if (to.refused !== undefined) printProblems(to, io);
  }
  return broken ? EXIT.broken : changed ? EXIT.changed : EXIT.unchanged;
}

interface Options {
  readonly from: string;
  readonly to: string;
  readonly log: string | undefined;
  readonly output: string;
}

/** Undefined: only the help is wanted. */
function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      from: { type: 'string' },
      to: { type: 'string' },
      log: { type: 'string' },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const { from, to, log, output } = values;
  if (from === undefined || to === undefined) throw new UsageError('give both --from OLD and --to NEW');
  if (output !== 'text' && output !== 'json')
    throw new UsageError(`--output is text or json, not "${output}"`);
  return { from, to, log, output };
}

function isParseError(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
}

function usable(read: ConfigRead): Config | undefined {
  return read.config ?? read.refused;
}

function printProblems(read: ConfigRead, io: CommandIo): void {
  for (const problem of read.problems) io.stderr(`${formatProblem(problem)}\n`);
}

/** A string says why the log could not be read. */
async function replay(file: string, { before, after }: Planned): Promise<LogImpact | string> {
  const stream = file === '-' ? process.stdin.setEncoding('utf8') : createReadStream(file, 'utf8');
  const log = new LogReplay(before, after);
  try {
    for await (const line of linesOf(stream as AsyncIterable<string>)) if (line !== '') log.add(line);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return `the log ${file} cannot be read: ${code === 'ENOENT' ? 'there is no such file' : message}`;
  }
  return log.result();
}

function terminal({ environment }: CommandIo): { columns: number; color: boolean } {
  const isTerminal = process.stdout.isTTY === true && environment['TERM'] !== 'dumb';
  return {
    columns: process.stdout.columns ?? (Number(environment['COLUMNS']) || 100),
    color: isTerminal && !environment['NO_COLOR'],
  };
}
