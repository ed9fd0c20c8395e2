/** `pointsman run`: the proxy. */
import { parseArgs } from 'node:util';
import { runPrimary } from '../process/primary.ts';
import type { CommandIo } from './io.ts';

const HELP = `Usage: pointsman run [--config FILE]

Runs the proxy. It takes traffic at \`listen\` of the configuration (default: 0.0.0.0:8080) once every upstream was
resolved and checked once, or after 3 s, and answers probes, metrics and status at \`admin\` (0.0.0.0:9901).

The file is read again when it changes, also as a ConfigMap mounted as a directory, and takes effect as a whole. One
with errors is refused, in the log and the metrics, and the last good one stays. References such as \${NAME} in it are
taken from the environment.

Options:
  -c, --config FILE   configuration (default: /etc/pointsman/pointsman.yaml)
  -h, --help          this text

Signals:
  SIGTERM, SIGINT     end in order: not ready at once; connections end with their next response; after shutdown.delay
                      no new ones; after shutdown.timeout more what is left is cut. A second one ends it at once
  SIGHUP              read the configuration again now

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
