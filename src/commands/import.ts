/** `pointsman import`: a haproxy.cfg as a configuration, with a report on every line. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parseConfig } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import { importHaproxy } from '../import/import.ts';
import { formatReport } from '../import/report.ts';
import type { SourceFile } from '../import/sections.ts';
import { formatVerdict } from '../import/verdict.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman import FILE... [OPTIONS] > pointsman.yaml

Turns a configuration of HAProxy into one of Pointsman, on standard output. A report on standard error accounts for
every line: translated, approximated (how the result differs) or not supported (why, and what to do).

Several FILEs are read one after the other, as HAProxy's -f does; of a directory, its *.cfg in alphabetical order.
Pattern and map files are looked for in the working directory, then beside the FILE.

Options:
      --service NAME        name of the service; default: that of the frontend
      --frontend NAME       the frontend or listen to take over; default: the one with most rules
  -D, --define NAME=VALUE   an environment variable of HAProxy; may be given several times
      --force               succeed although something is not supported
  -q, --quiet               report only what is approximated or not supported
  -h, --help                this text

Exit codes: 0 all is translated or approximated; 1 something is not supported (a configuration is written all the
same; with --force: 0); 2 wrong usage, or files that cannot be read or that HAProxy would refuse, each fault with its
FILE:LINE:COLUMN.
`;

/** More is no configuration. */
const MAX_FILE = 4 * 1024 ** 2;

/** @throws UsageError, or a TypeError of `parseArgs` */
export function importCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      service: { type: 'string' },
      frontend: { type: 'string' },
      define: { type: 'string', short: 'D', multiple: true, default: [] },
      force: { type: 'boolean', default: false },
      quiet: { type: 'boolean', short: 'q', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return Promise.resolve(0);
  }
  if (positionals.length === 0) throw new UsageError('name the haproxy.cfg to import');
  const files: SourceFile[] = [];
  for (const name of positionals) {
    const read = readSources(name);
    if (typeof read === 'string') {
      io.stderr(`${name}: ${read}\n`);
      return Promise.resolve(2);
    }
    files.push(...read);
  }
  const result = importHaproxy({
    files,
    defines: new Map(values.define.map(readDefine)),
    environment: io.environment,
    readLines: (file) => readLines(file, files),
    service: values.service,
    frontend: values.frontend,
  });
  if (result.yaml === undefined) {
    for (const verdict of result.verdicts) io.stderr(`${formatVerdict(verdict)}\n`);
    return Promise.resolve(2);
  }
  io.stderr(formatReport(result.report, ({ fate }) => !values.quiet || fate !== 'translated'));
  for (const note of result.notes) io.stderr(`note: ${note}\n`);
  io.stdout(result.yaml);
  const missing = result.report.some(({ fate }) => fate === 'not supported');
  const good = isLoadable(result.yaml, io);
  return Promise.resolve((missing || !good) && !values.force ? 1 : 0);
}

/** Says what the loader would refuse. That a secret is not in this environment is no fault of the file. */
function isLoadable(yaml: string, io: CommandIo): boolean {
  const file = 'standard output';
  const { config, problems } = parseConfig(yaml, { file, environment: io.environment });
  if (config !== undefined) return true;
  for (const problem of problems) io.stderr(`note: ${formatProblem(problem)}\n`);
  const environment = { ...io.environment, POINTSMAN_COOKIE_KEY: 'sixteen characters' };
  return parseConfig(yaml, { file, environment }).config !== undefined;
}

function readDefine(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`--define is NAME=VALUE, not "${text}"`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

/** @returns why not, when it is a string */
function readSources(name: string): SourceFile[] | string {
  try {
    const stat = statSync(name);
    if (!stat.isDirectory()) return [{ name, text: readText(name) }];
    const inside = readdirSync(name)
      .filter((entry) => entry.endsWith('.cfg') && !entry.startsWith('.'))
      .sort();
    if (inside.length === 0) return 'the directory has no *.cfg';
    return inside.map((entry) => ({ name: path.join(name, entry), text: readText(path.join(name, entry)) }));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'the file does not exist; check the path' : `cannot be read: ${message}`;
  }
}

function readText(name: string): string {
  const bytes = readFileSync(name);
  if (bytes.length > MAX_FILE) throw new Error('it is larger than 4 MiB');
  if (bytes.includes(0)) throw new Error('it holds a NUL character; is this a text file?');
  return bytes.toString('utf8');
}

/** Lines of a pattern file: blank ones and comments left out, leading blanks taken off, as HAProxy does. */
function readLines(name: string, files: readonly SourceFile[]): readonly string[] | undefined {
  for (const directory of ['', ...files.map((file) => path.dirname(file.name))]) {
    try {
      return readText(path.resolve(directory, name))
        .split(/\r?\n/)
        .map((line) => line.replace(/^[ \t]+/, ''))
        .filter((line) => line !== '' && !line.startsWith('#'));
    } catch {
      // Looked for in the next directory.
    }
  }
  return undefined;
}
