/** `pointsman pins`: what Redis remembers of users, and how to make it forget. */
import { parseArgs } from 'node:util';
import { readConfig } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import type { Config, RedisConfig } from '../config/schema.ts';
import { PinKeys } from '../pinning/pin-record.ts';
import { deletePins, scanPins } from '../pinning/pin-scan.ts';
import { createRedisClient, type RedisClient } from '../pinning/redis-client.ts';
import { redisFaultOf } from '../pinning/redis-fault.ts';
import { userOfText } from '../pinning/user-id.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman pins count  --config FILE [--pin PIN] [--output text|json]
       pointsman pins export --config FILE [--pin PIN]
       pointsman pins forget --config FILE [--pin PIN] USER
       pointsman pins forget --config FILE [--pin PIN] [--generation N] --backend BACKEND
       pointsman pins forget --config FILE [--pin PIN] --generation N

Reads and undoes what pins with store: redis remember.

  count    pins by pin, generation and backend
  export   one line of JSON a pin: pin, generation, user (the hash that stands for the id), backend, expiresAt
  forget   deletes the pin of one user, or all those to a backend, or of a generation; the user's next request is
           decided anew, once the proxies' own memory of it has ended (redis.cacheTtl)

Options:
  -c, --config FILE   configuration: service, pins and redis are taken from it
      --pin PIN       one of its pins; default: all with store: redis
      --backend NAME  pins to this backend
      --generation N  pins of this generation; default: all
  -o, --output text|json   of count; default: text
  -h, --help          this text

Other keys of Redis are never touched. Exit codes: 0 done, also when there was nothing to forget; 1 Redis did not
answer, or failed midway; 2 wrong usage or configuration.
`;

/** Longest wait for one answer: nobody's request waits for this. */
const COMMAND_TIMEOUT_MS = 10_000;

interface Selection {
  readonly config: Config;
  readonly redis: RedisConfig;
  readonly pins: readonly string[];
  readonly backend: string | undefined;
  readonly generation: number | undefined;
  readonly json: boolean;
}

export async function pins(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string', short: 'c' },
      pin: { type: 'string' },
      backend: { type: 'string' },
      generation: { type: 'string' },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const [verb, ...rest] = positionals;
  if (verb !== 'count' && verb !== 'export' && verb !== 'forget') {
    throw new UsageError(verb === undefined ? 'say count, export or forget' : `there is no verb "${verb}"`);
  }
  const { backend, generation: written } = values;
  const [user] = rest;
  if (verb === 'forget') {
    if (rest.length > 1) throw new UsageError(`give one USER, not ${rest.length}`);
    if (user !== undefined && (backend !== undefined || written !== undefined)) {
      throw new UsageError('give USER, or --backend and --generation');
    }
    if (user === undefined && backend === undefined && written === undefined) {
      throw new UsageError('say what to forget: USER, --backend BACKEND or --generation N');
    }
  } else if (rest.length > 0 || backend !== undefined || written !== undefined) {
    throw new UsageError(`${verb} takes neither USER nor --backend nor --generation`);
  }
  if (values.output !== 'text' && values.output !== 'json') {
    throw new UsageError(`--output is text or json, not "${values.output}"`);
  }
  if (written !== undefined && !/^[1-9]\d{0,9}$/.test(written)) {
    throw new UsageError(`--generation is a number from 1, not "${written}"`);
  }
  if (values.config === undefined) throw new UsageError('--config FILE is missing');
  const read = await readConfig(values.config, io.environment);
  if (read.config === undefined) {
    for (const problem of read.problems) io.stderr(`${formatProblem(problem)}\n`);
    return 2;
  }
  const { config } = read;
  const { redis } = config;
  const names = selectPins(config, values.pin);
  if (redis === undefined || names.length === 0) throw new UsageError('no pin of this file has store: redis');
  const generation = written === undefined ? undefined : Number(written);
  const selection = { config, redis, pins: names, backend, generation, json: values.output === 'json' };
  const client = await connect(redis).catch((error: unknown) => failed(error, io));
  if (client === undefined) return 1;
  try {
    if (verb === 'count') await count(client, selection, io);
    else if (verb === 'export') await exportPins(client, selection, io);
    else if (user !== undefined) await forgetUser(client, selection, user, io);
    else await forgetMany(client, selection, io);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    failed(error, io);
    return 1;
  } finally {
    client.disconnect();
  }
}

function failed(error: unknown, io: CommandIo): undefined {
  io.stderr(`pointsman pins: ${redisFaultOf(error).reason}\n`);
}

function selectPins(config: Config, name: string | undefined): string[] {
  if (name !== undefined && !Object.hasOwn(config.pins, name)) {
    const known = Object.keys(config.pins).join(', ');
    throw new UsageError(`there is no pin "${name}"; the pins of this file: ${known || 'none'}`);
  }
  return Object.keys(config.pins).filter(
    (pin) => config.pins[pin]!.store === 'redis' && (name === undefined || pin === name),
  );
}

/** Rejects with the reason why no connection came about, which ioredis tells only as an event. */
async function connect(redis: RedisConfig): Promise<RedisClient> {
  const client = await createRedisClient(redis, { commandTimeout: COMMAND_TIMEOUT_MS, reconnects: false });
  let reason: Error | undefined;
  client.on('error', (error: Error) => {
    reason = error;
  });
  try {
    await client.connect();
    // Also finds out that the password is wrong: ioredis counts as connected before that is said.
    await client.ping();
    return client;
  } catch (error) {
    await new Promise(setImmediate);
    client.disconnect();
    throw reason ?? error;
  }
}

async function count(client: RedisClient, selection: Selection, io: CommandIo): Promise<void> {
  const { config, redis, pins: names, json } = selection;
  const counts = new Map<string, Map<number, Map<string, number>>>(names.map((pin) => [pin, new Map()]));
  for await (const batch of scanPins(client, redis, config.service, names, false)) {
    for (const { pin, generation, backend } of batch) {
      const generations = counts.get(pin)!;
      const backends = generations.get(generation) ?? new Map<string, number>();
      generations.set(generation, backends);
      const label = backend ?? NO_PIN;
      backends.set(label, (backends.get(label) ?? 0) + 1);
    }
  }
  const rows = [...counts].flatMap(([pin, generations]) =>
    [...generations]
      .sort(([a], [b]) => b - a)
      .flatMap(([generation, backends]) =>
        [...backends].sort().map(([backend, users]) => ({
          pin,
          generation,
          current: generation === config.pins[pin]!.generation,
          backend: backend === NO_PIN ? null : backend,
          users,
        })),
      ),
  );
  if (json) {
    io.stdout(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  for (const pin of names) if (counts.get(pin)!.size === 0) io.stdout(`${pin}: no pins\n`);
  for (const { pin, generation, current, backend, users } of rows) {
    io.stdout(
      `${pin}  generation ${generation}${current ? '' : ' (void)'}  ${backend ?? 'no pin: another value'}  ${users}\n`,
    );
  }
}

/** Cannot be the name of a backend. */
const NO_PIN = '';

async function exportPins(client: RedisClient, selection: Selection, io: CommandIo): Promise<void> {
  const { config, redis, pins: names } = selection;
  for await (const batch of scanPins(client, redis, config.service, names, true)) {
    const now = Date.now();
    let lines = '';
    for (const { pin, generation, hash, backend, endsIn } of batch) {
      if (backend === undefined) continue;
      const expiresAt = endsIn === undefined ? null : new Date(now + endsIn).toISOString();
      lines += `${JSON.stringify({ pin, generation, user: hash, backend, expiresAt })}\n`;
    }
    io.stdout(lines);
  }
}

async function forgetUser(
  client: RedisClient,
  { config, redis, pins: names }: Selection,
  text: string,
  io: CommandIo,
): Promise<void> {
  const user = userOfText(text);
  if (user === undefined) throw new UsageError('USER is empty, or longer than 256 bytes');
  let forgotten = 0;
  for (const pin of names) {
    const { generation } = config.pins[pin]!;
    forgotten += await deletePins(client, [new PinKeys(redis, config.service, pin, generation).of(user)]);
  }
  io.stdout(`forgot ${pinsOf(forgotten)}\n`);
}

async function forgetMany(client: RedisClient, selection: Selection, io: CommandIo): Promise<void> {
  const { config, redis, pins: names, backend, generation } = selection;
  let forgotten = 0;
  for await (const batch of scanPins(client, redis, config.service, names, false)) {
    const keys = batch
      .filter((stored) => stored.backend !== undefined)
      .filter((stored) => backend === undefined || stored.backend === backend)
      .filter((stored) => generation === undefined || stored.generation === generation)
      .map(({ key }) => key);
    forgotten += await deletePins(client, keys);
  }
  const known = backend === undefined || Object.hasOwn(config.backends, backend);
  if (forgotten === 0 && !known) io.stderr(`pointsman pins: this file has no backend "${backend}"\n`);
  io.stdout(`forgot ${pinsOf(forgotten)}\n`);
}

function pinsOf(count: number): string {
  return `${count} ${count === 1 ? 'pin' : 'pins'}`;
}
