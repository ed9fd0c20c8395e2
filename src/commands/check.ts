/** `pointsman check`: every problem of a configuration in one go. */
import { parseArgs } from 'node:util';
import { readConfig } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman check [--strict] FILE

Reads a configuration as the proxy would and prints every problem, one line each:
FILE:LINE:COLUMN: KEY: what is wrong and what to do. References such as \${NAME} are taken from this environment.

Options:
  --strict     fail on warnings too
  -h, --help   this text

Exit codes: 0 good, perhaps with warnings; 1 the file has errors; 2 wrong usage, or the file cannot be read.
`;

/** @throws UsageError, or a TypeError of `parseArgs` */
export async function check(
  args: readonly string[],
  io: Pick<CommandIo, 'stdout' | 'stderr' | 'environment'>,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      strict: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const [file, ...more] = positionals;
  if (file === undefined || file === '') throw new UsageError('name the FILE to check');
  if (more.length > 0) throw new UsageError(`give one FILE, not ${positionals.length}`);
  const { config, hash, problems } = await readConfig(file, io.environment);
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  if (config === undefined) return hash === '' ? 2 : 1;
  if (values.strict && problems.length > 0) return 1;
  const backends = Object.keys(config.backends).length;
  io.stdout(`${file}: ok (${count(config.routes.length, 'route')}, ${count(backends, 'backend')})\n`);
  return 0;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
