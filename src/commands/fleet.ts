/** `pointsman fleet`: is everything of every service as it should be? */

import { SettingsError } from '../fleet/settings.ts';
import { type CommandIo, UsageError } from './io.ts';

type Subcommand = (args: readonly string[], io: CommandIo) => Promise<number>;

const SUBCOMMANDS: Readonly<
  Record<string, { readonly summary: string; readonly load: () => Promise<Subcommand> }>
> = {
  status: {
    summary: 'survey once and print what is wrong',
    load: async () => (await import('./fleet/status.ts')).status,
  },
  watch: {
    summary: 'the same, live in the terminal',
    load: async () => (await import('./fleet/watch.ts')).watch,
  },
  alert: {
    summary: 'tell Slack and e-mail what breaks, stays broken and recovers',
    load: async () => (await import('./fleet/alert.ts')).alert,
  },
  serve: {
    summary: 'the overview as a page, JSON and metrics, of one cluster or of many',
    load: async () => (await import('./fleet/serve.ts')).serve,
  },
  agent: {
    summary: 'send the surveys of this cluster to a `fleet serve` elsewhere',
    load: async () => (await import('./fleet/agent.ts')).agent,
  },
  kinds: {
    summary: 'list every kind of finding',
    load: async () => (await import('./fleet/kinds.ts')).kinds,
  },
};

const HELP = `Usage: pointsman fleet SUBCOMMAND [OPTIONS]

Looks at every Service labelled tier: service, the proxies in front of it and the pods behind it, and says what is not
as it should be. It only reads; deploy/fleet has the rights it needs, and a Deployment and a CronJob for it.

Subcommands:
${Object.entries(SUBCOMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}\n`)
  .join('')}
pointsman fleet SUBCOMMAND --help says more of each.

Exit codes of status: 0 fine; 1 warnings; 2 something critical; 3 something could not be looked at. 64 wrong usage.
`;

/** The codes from 0 to 3 are taken by severities; this is EX_USAGE of sysexits. */
export const EXIT_USAGE = 64;

export async function fleet(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout(HELP);
    return 0;
  }
  const found =
    name === undefined ? undefined : Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  if (found === undefined) {
    io.stderr(name === undefined ? HELP : `pointsman fleet: there is no subcommand "${name}"\n\n${HELP}`);
    return EXIT_USAGE;
  }
  try {
    return await (await found.load())(rest, io);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS')) {
      io.stderr(`pointsman fleet ${name}: ${message}\nTry: pointsman fleet ${name} --help\n`);
      return EXIT_USAGE;
    }
    if (error instanceof SettingsError) {
      io.stderr(`${message}\n`);
      return EXIT_USAGE;
    }
    throw error;
  }
}
