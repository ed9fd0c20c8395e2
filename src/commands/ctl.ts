/** `pointsman ctl`: acts on a running proxy through its admin port. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { formatDuration, parseDuration } from '../config/units.ts';
import { AdminClient, type AdminReply } from './ctl/admin-client.ts';
import { statusText } from './ctl/status-text.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman ctl VERB [ARGUMENTS] [OPTIONS]

Looks at a running proxy, and acts on it.

  status                          what holds by hand, and where each route's requests go
  explain [METHOD] [URL]          where a request would go now (--group, --user, --header)
  split ROUTE BACKEND=WEIGHT…     weights of a route, or of a group that meets one route, for a time
  drain BACKEND [ENDPOINT]        no new requests to a backend, or to one IP:PORT or IP of it, for a time
  undrain BACKEND [ENDPOINT]      ends a drain before its time
  end OVERRIDE                    ends what was set by hand: by id, or the split of a route
  forget USER                     forgets the pin of a user (--pin: of one pin alone); "-" reads the id from stdin
  check                           asks for every name and checks every endpoint now
  reload                          reads the configuration again
  dump                            the whole state as JSON, without secrets

Options:
      --admin URL          admin port (default: $POINTSMAN_ADMIN, else http://127.0.0.1:9901)
      --token-file FILE    the token; default: $POINTSMAN_ADMIN_TOKEN. It is never an argument.
      --for TIME           of split and drain: how long, such as 30m (default: 1h)
      --reason TEXT        of split and drain: why; it is shown and logged
      --by NAME            who; default: the user of this machine
      --force              of drain: also where it leaves requests without any backend
      --pin PIN, --group GROUP, --user ID, -H, --header 'NAME: VALUE'
  -o, --output text|json   default: text
  -h, --help               this text

Examples:
  pointsman ctl split free canary=0 --for 30m --reason "500s since 14:05"
  pointsman ctl drain production 10.1.2.3:8080 --for 2h --reason "node is being replaced"
  pointsman ctl end free

With Redis in the configuration all replicas share what is set by hand; without, it holds in the one that was asked.
Exit codes: 0 done; 1 refused, or no answer; 2 wrong usage.
`;

const DEFAULT_DURATION = '1h';

interface Options {
  readonly for: string | undefined;
  readonly reason: string | undefined;
  readonly by: string;
  readonly force: boolean;
  readonly pin: string | undefined;
  readonly group: string | undefined;
  readonly user: string | undefined;
  readonly header: readonly string[];
}

export async function ctl(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      admin: { type: 'string' },
      'token-file': { type: 'string' },
      for: { type: 'string' },
      reason: { type: 'string' },
      by: { type: 'string' },
      force: { type: 'boolean', default: false },
      pin: { type: 'string' },
      group: { type: 'string' },
      user: { type: 'string' },
      header: { type: 'string', short: 'H', multiple: true, default: [] },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [verb, ...rest] = positionals;
  if (values.help || verb === undefined) {
    (values.help ? io.stdout : io.stderr)(HELP);
    return values.help ? 0 : 2;
  }
  if (values.output !== 'text' && values.output !== 'json') {
    throw new UsageError(`--output is text or json, not "${values.output}"`);
  }
  const json = values.output === 'json';
  const options: Options = {
    for: values.for,
    reason: values.reason,
    by: (values.by ?? userName()).slice(0, 64),
    force: values.force,
    pin: values.pin,
    group: values.group,
    user: values.user,
    header: values.header,
  };
  const admin = values.admin ?? io.environment['POINTSMAN_ADMIN'] ?? 'http://127.0.0.1:9901';
  const client = new AdminClient(admin);
  if (verb === 'status') {
    takesNoMore(verb, rest, 0);
    const reply = await client.get('/status');
    if (reply.status === 200 && !json) {
      io.stdout(statusText(reply.body, Date.now()));
      return 0;
    }
    return tell(reply, json, io);
  }
  if (verb === 'explain') return tell(await client.post('/explain', explainBody(rest, options)), json, io);
  const { action, body } = requestOf(verb, rest, options);
  const token = tokenOf(values['token-file'], io.environment);
  return tell(await client.post(`/actions/${action}`, body, token), json || verb === 'dump', io);
}

function requestOf(
  verb: string,
  rest: readonly string[],
  options: Options,
): { readonly action: string; readonly body: Readonly<Record<string, unknown>> } {
  const { by } = options;
  switch (verb) {
    case 'split': {
      const [route, ...given] = rest;
      if (route === undefined || given.length === 0) {
        throw new UsageError('split needs a route and weights: split free canary=0');
      }
      return { action: verb, body: { route, weights: weightsOf(given), ...timed(options), by } };
    }
    case 'drain':
      return { action: verb, body: { ...drainOf(verb, rest), ...timed(options), force: options.force, by } };
    case 'undrain':
      return { action: verb, body: { ...drainOf(verb, rest), by } };
    case 'end': {
      const [override] = rest;
      if (override === undefined) throw new UsageError('end needs the id of an override, or a route');
      takesNoMore(verb, rest, 1);
      return { action: verb, body: { override, by } };
    }
    case 'forget': {
      const [given] = rest;
      if (given === undefined) throw new UsageError('forget needs a user');
      takesNoMore(verb, rest, 1);
      // A shell keeps its arguments in a history: the id may come another way.
      const user = given === '-' ? readFileSync(0, 'utf8').trim() : given;
      return {
        action: 'forget-pin',
        body: { user, ...(options.pin === undefined ? {} : { pin: options.pin }), by },
      };
    }
    case 'check':
    case 'reload':
    case 'dump':
      takesNoMore(verb, rest, 0);
      return { action: verb, body: { by } };
    default:
      throw new UsageError(
        `there is no verb "${verb}"; there are status, explain, split, drain, undrain, end, forget, check, reload and dump`,
      );
  }
}

function weightsOf(given: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    given.map((text) => {
      const match = /^([^=]+)=(\d{1,7})$/.exec(text);
      if (match === null)
        throw new UsageError(`"${text}" is no weight; write BACKEND=WEIGHT, such as canary=0`);
      return [match[1]!, Number(match[2])];
    }),
  );
}

function drainOf(verb: string, rest: readonly string[]): { backend: string; endpoint?: string } {
  const [backend, endpoint] = rest;
  if (backend === undefined) throw new UsageError(`${verb} needs a backend`);
  takesNoMore(verb, rest, 2);
  return endpoint === undefined ? { backend } : { backend, endpoint };
}

function timed({ for: time = DEFAULT_DURATION, reason }: Options): { for: string; reason: string } {
  const ms = parseDuration(time);
  if (ms === undefined) throw new UsageError(`--for is a time such as 30m, 2h or 1d, not "${time}"`);
  if (reason === undefined || reason.trim() === '') throw new UsageError('say why: --reason TEXT');
  return { for: formatDuration(ms), reason };
}

function explainBody(rest: readonly string[], { group, user, header }: Options) {
  takesNoMore('explain', rest, 2);
  const [first, second] = rest;
  const isUrl = (text: string | undefined) => text !== undefined && /^(\/|https?:)/.test(text);
  const url = second ?? (isUrl(first) ? first : undefined);
  const method = first !== undefined && first !== url ? first : undefined;
  return {
    ...(method === undefined ? {} : { method }),
    ...(url === undefined ? {} : { url }),
    ...(group === undefined ? {} : { group }),
    ...(user === undefined ? {} : { user }),
    headers: header,
  };
}

function takesNoMore(verb: string, rest: readonly string[], most: number): void {
  if (rest.length > most) throw new UsageError(`${verb}: "${rest[most]}" is too much`);
}

function tokenOf(file: string | undefined, environment: CommandIo['environment']): string {
  if (file !== undefined) {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      throw new UsageError(`--token-file cannot be read: ${(error as Error).message}`);
    }
  }
  const token = environment['POINTSMAN_ADMIN_TOKEN'];
  if (token === undefined || token === '') {
    throw new UsageError('this needs the token: set POINTSMAN_ADMIN_TOKEN, or give --token-file FILE');
  }
  return token;
}

function tell({ status, body, fault }: AdminReply, json: boolean, io: CommandIo): number {
  if (fault !== undefined) {
    io.stderr(`pointsman ctl: ${fault}\n`);
    return 1;
  }
  const done = status === 200;
  if (json) {
    io.stdout(`${JSON.stringify(body, null, 2)}\n`);
    return done ? 0 : 1;
  }
  const { message, text, override, shared } = body as Readonly<Record<string, unknown>> & {
    readonly override?: { readonly id: string };
  };
  if (!done) {
    io.stderr(`pointsman ctl: ${String(message ?? `answered with ${status}`)}\n`);
    return 1;
  }
  if (typeof text === 'string') io.stdout(text.endsWith('\n') ? text : `${text}\n`);
  else {
    io.stdout(`${String(message)}\n`);
    if (override !== undefined) io.stdout(`override ${override.id}\n`);
    if (typeof shared === 'string') io.stdout(`reaches ${shared}\n`);
  }
  return 0;
}

function userName(): string {
  try {
    return os.userInfo().username;
  } catch {
    return '';
  }
}
