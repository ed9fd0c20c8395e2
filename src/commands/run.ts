/** `pointsman run`: the proxy. */
import { parseArgs } from 'node:util';
import { runPrimary } from '../process/primary.ts';
import type { CommandIo } from './io.ts';

const HELP = `Usage: pointsman run --config FILE

Runs the proxy until SIGTERM or SIGINT; SIGHUP reads the file again, as does every change of it.

Options:
  -c, --config FILE   configuration (default: /etc/pointsman/pointsman.yaml)
  -h, --help          this text

Exit codes: 0 ended in order; 1 failed, or was told twice to end; 2 wrong usage or configuration, or a port
is taken: nothing was started.
`;

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: { type: 'string', short: 'c', default: '/etc/pointsman/pointsman.yaml' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  return await runPrimary({
    configPath: values.config,
    environment: io.environment,
    version: io.version,
    stderr: io.stderr,
  });
}
