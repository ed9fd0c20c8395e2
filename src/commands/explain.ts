/** `pointsman explain`: where a request would go, and why. */
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { readConfig } from '../config/load.ts';
import { suggestion } from '../config/nearest.ts';
import { formatProblem } from '../config/problems.ts';
import { MAX_USER_LENGTH, userOfText } from '../pinning/user-id.ts';
import { DescriptionError, explanationText, requestFacts } from '../routing/described-request.ts';
import { explainRequest } from '../routing/explain.ts';
import { compileTable } from '../routing/table.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman explain --config FILE [OPTIONS] [METHOD] [URL]

Says which row of the routing table a request matches, why the others do not, and which backend it gets:
by the code that traffic runs through, with every backend taken for healthy unless --down says otherwise.

Options:
  -c, --config FILE           configuration
  -H, --header 'NAME: VALUE'  a field of the request; may be given several times
      --group GROUP           the traffic group, instead of its field
      --user ID               the user, where the route has a pin; default: as the pin finds it in the request
      --client ADDRESS        address of the client; default: not known
      --pinned BACKEND        what the store of the pin remembers for the user; default: nothing
      --down BACKEND          takes a backend for down; may be given several times
      --show-values           also says what fields, cookies and parameters must be: they may be secrets
  -o, --output text|json      default: text
  -h, --help                  this text

Examples:
  pointsman explain -c pointsman.yaml --group free --user 4711 GET http://shop.example/cart
  pointsman explain -c pointsman.yaml --group free --user 4711 --down canary --pinned canary

Exit codes: 0 explained; 1 the request would be refused with 400; 2 wrong usage or configuration.
`;

export async function explain(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string', short: 'c' },
      header: { type: 'string', short: 'H', multiple: true, default: [] },
      group: { type: 'string' },
      user: { type: 'string' },
      client: { type: 'string', default: '' },
      pinned: { type: 'string' },
      down: { type: 'string', multiple: true, default: [] },
      'show-values': { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  if (values.config === undefined) throw new UsageError('--config FILE is missing');
  if (values.output !== 'text' && values.output !== 'json') {
    throw new UsageError(`--output is text or json, not "${values.output}"`);
  }
  const read = await readConfig(values.config, io.environment);
  if (read.config === undefined) {
    for (const problem of read.problems) io.stderr(`${formatProblem(problem)}\n`);
    return 2;
  }
  const table = compileTable(read.config);
  for (const name of [...values.down, ...(values.pinned === undefined ? [] : [values.pinned])]) {
    if (!Object.hasOwn(read.config.backends, name)) {
      throw new UsageError(
        `there is no backend "${name}"${suggestion(name, Object.keys(read.config.backends), 'backends')}`,
      );
    }
  }
  if (values.client !== '' && isIP(values.client) === 0) {
    throw new UsageError(`--client is an IP address, not "${values.client}"`);
  }
  const user = values.user === undefined ? undefined : userOfText(values.user);
  if (values.user !== undefined && user === undefined) {
    throw new UsageError(
      `--user is empty or longer than ${MAX_USER_LENGTH} bytes, so the request would name no user`,
    );
  }
  const { groupHeader } = read.config;
  const lines =
    values.group === undefined ? values.header : [...values.header, `${groupHeader}: ${values.group}`];
  const facts = factsOf(table, lines, positionals, values.client);
  if (typeof facts === 'string') {
    io.stdout(
      values.output === 'json' ? `${JSON.stringify({ refused: facts })}\n` : `refused with 400: ${facts}\n`,
    );
    return 1;
  }
  const circumstances = {
    down: new Set(values.down),
    remembered: values.pinned,
    showValues: values['show-values'],
  };
  const explanation = explainRequest(table, facts, user, circumstances);
  io.stdout(
    values.output === 'json' ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation),
  );
  return 0;
}

function factsOf(...described: Parameters<typeof requestFacts>): ReturnType<typeof requestFacts> {
  try {
    return requestFacts(...described);
  } catch (error) {
    throw error instanceof DescriptionError ? new UsageError(error.message) : error;
  }
}
