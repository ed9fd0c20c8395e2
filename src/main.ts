#!/usr/bin/env node
/** The command line. */
import { readFileSync } from 'node:fs';
import { completionOf } from './commands/completion.ts';
import { endOnEarlySignals } from './commands/early-end.ts';
import { type CommandIo, UsageError } from './commands/io.ts';
import { describeVersion } from './commands/version.ts';

type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

interface Entry {
  readonly summary: string;
  /** On use, so that `check` does not pay for the proxy. */
  readonly load: () => Promise<Command>;
  /** Before it is loaded to be run. */
  readonly prepare?: () => unknown;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'run the proxy',
    prepare: endOnEarlySignals,
    load: async () => (await import('./commands/run.ts')).run,
  },
  check: {
    summary: 'check a configuration and print every error',
    load: async () => (await import('./commands/check.ts')).check,
  },
  explain: {
    summary: 'say where a request would go, and why',
    load: async () => (await import('./commands/explain.ts')).explain,
  },
  plan: {
    summary: 'say what another configuration would change, group by group',
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  ctl: {
    summary: 'look at a running proxy and act on it: splits, drains, pins, checks, reloads',
    load: async () => (await import('./commands/ctl.ts')).ctl,
  },
  pins: {
    summary: 'count, export or forget what Redis remembers of users',
    load: async () => (await import('./commands/pins.ts')).pins,
  },
  import: {
    summary: 'turn a haproxy.cfg into a configuration',
    load: async () => (await import('./commands/import.ts')).importCommand,
  },
  schema: {
    summary: 'print the JSON Schema of the configuration',
    load: async () => (await import('./commands/schema.ts')).schema,
  },
  stage: {
    summary: 'move builds through the stages of a pipeline, every change a commit',
    load: async () => (await import('./commands/stage.ts')).stage,
  },
  fleet: {
    summary: 'survey all services of a cluster: status, watch, alert, serve, agent',
    prepare: async () => (await import('./commands/fleet/small-heap.ts')).restartWithSmallHeap(),
    load: async () => (await import('./commands/fleet.ts')).fleet,
  },
  demo: {
    summary: 'show it at work with four upstreams of its own',
    load: async () => (await import('./commands/demo.ts')).demo,
  },
  completion: {
    summary: 'print a script with which bash, zsh or fish completes commands and options',
    load: () =>
      Promise.resolve(completionOf(Object.entries(COMMANDS).map(([name, entry]) => ({ name, ...entry })))),
  },
};

const HELP = `Usage: pointsman COMMAND [OPTIONS]

Commands:
${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}\n`)
  .join('')}
pointsman COMMAND --help says more of each; pointsman --version prints the version.
`;

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...args] = argv;
  const { version, engines } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  ) as { version: string; engines: { node: string } };
  const io: CommandIo = {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    environment: process.env,
    version,
  };
  if (name === '--version' || name === '-v') {
    io.stdout(`${describeVersion(version)}\n`);
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout(HELP);
    return 0;
  }
  const command = name === undefined ? undefined : Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    io.stderr(name === undefined ? HELP : `pointsman: there is no command "${name}"\n\n${HELP}`);
    return 2;
  }
  const needed = engines.node.replace('>=', '');
  if (isOlder(process.versions.node, needed)) {
    io.stderr(`pointsman needs Node ${needed} or newer; this is ${process.versions.node}\n`);
    return 2;
  }
  try {
    await command.prepare?.();
    return await (await command.load())(args, io);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS')) {
      io.stderr(`pointsman ${name}: ${(error as Error).message}\nTry: pointsman ${name} --help\n`);
      return 2;
    }
    throw error;
  }
}

/** Otherwise it would end with a syntax error somewhere. */
function isOlder(version: string, needed: string): boolean {
  const [[major = 0, minor = 0], [neededMajor = 0, neededMinor = 0]] = [version, needed].map((text) =>
    text.split('.').map(Number),
  ) as [number[], number[]];
  return major < neededMajor || (major === neededMajor && minor < neededMinor);
}

process.exitCode = await main(process.argv.slice(2));
// A pipe takes 64 KiB at a time: what is still to be written must not be cut off. A reader that is gone takes nothing.
if (process.stdout.writableLength > 0) {
  await new Promise<void>((resolve) => {
    process.stdout.once('error', () => resolve());
    process.stdout.write('', () => resolve());
  });
}
// A pipe takes 64 KiB at once: what is written beyond that would be lost if the process ended now. A reader that has
// gone takes nothing more.
process.stdout.on('error', () => process.exit());
process.stderr.on('error', () => process.exit());
// Whatever is still open (a keep-alive connection of a peer) must not hold the process.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
