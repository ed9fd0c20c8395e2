/** `pointsman schema`: the JSON Schema of the configuration, for editors. */
import { parseArgs } from 'node:util';
import { configJsonSchema } from '../config/json-schema.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman schema > pointsman.schema.json

Prints the JSON Schema (draft 2020-12) of the configuration. For completion in editors, put this line on top of the
file: # yaml-language-server: $schema=./pointsman.schema.json

Options:
  -h, --help   this text
`;

/** @throws UsageError, or a TypeError of `parseArgs` */
export function schema(args: readonly string[], io: Pick<CommandIo, 'stdout'>): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h', default: false } },
  });
  if (positionals.length > 0) throw new UsageError('schema takes no arguments');
  io.stdout(values.help ? HELP : `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  return Promise.resolve(0);
}
