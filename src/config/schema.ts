/**
 * The configuration, defined once. Types, the published JSON Schema and the reference table of the README are all
 * derived from this file; cross-references between keys are checked in `rules.ts`.
 *
 * After parsing, durations are milliseconds, sizes are bytes, names of HTTP fields keep the case they were written in.
 *
 * Messages are predicates ("is not …", "must …") without the value: the loader puts the value before those that begin
 * with "is" or "has", unless it came from the environment and might be a secret.
 */

import { isIP } from 'node:net';
import { z } from 'zod';
import { ADDRESS_REGEX_SOURCE, parseAddress } from './address.ts';
import {
  DURATION_REGEX_SOURCE,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  SIZE_REGEX_SOURCE,
} from './units.ts';

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const duration = (options: { min?: number; max?: number } = {}) => {
  const { min = 1, max = Number.POSITIVE_INFINITY } = options;
  return quantity(
    parseDuration,
    { pattern: DURATION_REGEX_SOURCE },
    'is not a duration; write a number and a unit: 250ms, 2s, 5m, 12h or 30d',
    range(min, max, formatDuration),
  );
};

const size = (options: { min?: number; max?: number } = {}) => {
  const { min = 0, max = Number.POSITIVE_INFINITY } = options;
  return quantity(
    parseSize,
    { pattern: SIZE_REGEX_SOURCE },
    'is not a size; write a whole number and a unit: 512B, 16KiB, 1MiB or 1GiB',
    range(min, max, formatSize),
  );
};

interface Range {
  readonly min: number;
  readonly max: number;
  readonly message: string;
}

function range(min: number, max: number, format: (value: number) => string): Range {
  const bounds =
    max === Number.POSITIVE_INFINITY ? `at least ${format(min)}` : `${format(min)} to ${format(max)}`;
  return { min, max, message: `is out of range; it must be ${bounds}` };
}

function quantity(
  parse: (text: string) => number | undefined,
  meta: { pattern: string },
  malformed: string,
  { min, max, message }: Range,
) {
  return z
    .string()
    .meta(meta)
    .transform((text, context) => {
      const value = parse(text);
      if (value !== undefined && value >= min && value <= max) return value;
      context.issues.push({
        code: 'custom',
        input: text,
        message: value === undefined ? malformed : message,
      });
      return z.NEVER;
    });
}

const fieldName = z
  .string()
  .regex(FIELD_NAME, 'is not a valid HTTP field name (letters, digits and hyphens, at most 128 characters)');

const name = z
  .string()
  .regex(
    NAME,
    'is not a valid name: letters, digits, ".", "_" and "-", at most 63, starting with a letter or digit',
  );

/** `host:port`, `[v6]:port` or `:port` → `{ host, port }`; port 0 asks the kernel for a free one. */
const address = z
  .string()
  .meta({ pattern: ADDRESS_REGEX_SOURCE })
  .transform((text, context) => {
    const parsed = parseAddress(text);
    if (parsed !== undefined) return parsed;
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'is not an address to listen on; write IP:PORT, such as 0.0.0.0:8080 or [::]:8080',
    });
    return z.NEVER;
  });

/** An upstream's URL → scheme, host, port and the authority as written (for Host, where the client sent none). */
const backendUrl = z
  .string()
  .meta({ format: 'uri', pattern: '^https?://[^/?#@]+/?$' })
  .transform((text, context) => {
    const problem = (message: string) => {
      context.issues.push({ code: 'custom', input: text, message });
      return z.NEVER;
    };
    const match = /^(https?):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?(\/?)(.*)$/.exec(text);
    if (match === null)
      return problem('is not an upstream URL; write http://HOST[:PORT] or https://HOST[:PORT]');
    if (match[5] !== '') {
      return problem('has more than scheme, host and port; paths pass through as the client sent them');
    }
    const scheme = match[1] as 'http' | 'https';
    const bracketed = match[2]!.startsWith('[');
    const host = match[2]!.replace(/^\[|\]$/g, '');
    if (bracketed && isIP(host) !== 6) return problem('has no IPv6 address between the brackets');
    if (host.length > 253) return problem('has a host name longer than 253 characters');
    if (!bracketed && !/^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/.test(host)) {
      return problem('has a host name with a part that is empty or longer than 63 characters');
    }
    const port = match[3] === undefined ? (scheme === 'http' ? 80 : 443) : Number(match[3]);
    if (port < 1 || port > 65_535) return problem('has a port that is not from 1 to 65535');
    const authority = match[3] === undefined ? match[2]! : `${match[2]!}:${match[3]}`;
    return { scheme, host, port, authority };
  });

const cidr = z.string().refine((text) => {
  const match = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(text);
  if (match === null) return false;
  const family = isIP(match[1]!);
  return family !== 0 && (match[2] === undefined || Number(match[2]) <= (family === 4 ? 32 : 128));
}, 'is not an address range; write it as 10.0.0.0/8, 192.168.1.7 or fd00::/8');

const oneOrMany = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1).max(256)]);

const valueMatch = z.union([
  z.string().max(4096),
  z.strictObject({
    exact: z.string().max(4096).optional().describe('The whole value.'),
    prefix: z.string().min(1).max(4096).optional().describe('How the value begins.'),
    regex: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .describe('A regular expression in RE2 syntax, matched anywhere in the value in linear time.'),
    present: z.boolean().optional().describe('`true`: the field is there; `false`: it is not.'),
    ignoreCase: z.boolean().default(false).describe('Compare without regard to case.'),
  }),
]);

const match = z.strictObject({
  group: oneOrMany(z.string().min(1).max(256))
    .optional()
    .describe('Traffic group, or a list of them; any case.'),
  host: oneOrMany(
    z
      .string()
      .regex(/^(\*\.)?[A-Za-z0-9._-]{1,253}$/, 'is not a host name; write www.example.com or *.example.com'),
  )
    .optional()
    .describe('Host, or a list; any case, without port. `*.example.com` matches every name below it.'),
  path: oneOrMany(z.string().regex(/^\//, 'must start with /').max(4096))
    .optional()
    .describe(
      'How the path begins, or a list of beginnings, compared byte by byte (`/api` also matches `/apix`).',
    ),
  method: oneOrMany(
    z.string().regex(/^[A-Z-]{1,32}$/, 'is not a method; methods are written in capitals, such as GET'),
  )
    .optional()
    .describe('Method, or a list.'),
  headers: z
    .record(fieldName, valueMatch)
    .optional()
    .describe(
      'Other fields, by name: an exact value, or `exact`, `prefix`, `regex` or `present`. All must match.',
    ),
});

const weight = z.int().min(0, 'must not be negative').max(1_000_000);

const timeouts = z.strictObject({
  connect: duration({ max: 300_000 })
    .prefault('2s')
    .describe('To connect to an upstream (HAProxy: `timeout connect`).'),
  responseHead: duration()
    .prefault('60s')
    .describe('From the end of the request to the head of the response (HAProxy: `timeout server`).'),
  idle: duration()
    .prefault('60s')
    .describe(
      'Without a byte while a body is under way, either direction (HAProxy: `timeout client` and `server`).',
    ),
  requestHead: duration({ max: 3_600_000 })
    .prefault('10s')
    .describe('To receive a whole request head (HAProxy: `timeout http-request`).'),
  requestBody: duration({ min: 0 })
    .prefault('0ms')
    .describe('To receive a whole request body; `0ms`: no limit besides `idle`.'),
  keepAlive: duration({ max: 86_400_000 })
    .prefault('75s')
    .describe('Between requests on a client connection (HAProxy: `timeout http-keep-alive`).'),
  queue: duration({ max: 3_600_000 })
    .prefault('2s')
    .describe('Waiting for a connection to an endpoint at its limit (HAProxy: `timeout queue`).'),
  tunnel: duration()
    .prefault('1h')
    .describe('Without a byte in a WebSocket or other upgraded connection (HAProxy: `timeout tunnel`).'),
});

const routeTimeouts = z.strictObject({
  responseHead: duration().optional().describe('Overrides `timeouts.responseHead` for this route.'),
  idle: duration().optional().describe('Overrides `timeouts.idle` for this route.'),
});

/** One set of fields for `health` (where each has a default) and for a backend's overrides (where none has). */
const healthFields = {
  enabled: z.boolean().describe('`false`: endpoints count as up without being checked.'),
  interval: duration({ min: 50, max: 3_600_000 }).describe('Between two checks of one endpoint.'),
  timeout: duration({ min: 10, max: 600_000 }).describe('For one check, connecting included.'),
  rise: z.int().min(1).max(100).describe('Good checks in a row that bring a down endpoint back up.'),
  fall: z.int().min(1).max(100).describe('Failed checks in a row that take an up endpoint down.'),
  jitter: z.number().min(0).max(0.5).describe('Share of the interval by which checks are spread at random.'),
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'must start with / and hold neither blanks nor control characters')
    .max(2048)
    .describe('Check with an HTTP request to this path; without it, with a TCP connect.'),
  method: z.enum(['GET', 'HEAD', 'OPTIONS']).describe('Method of an HTTP check.'),
  host: z
    .string()
    .regex(/^[A-Za-z0-9._:[\]-]{1,253}$/, 'is not a host; write HOST or HOST:PORT')
    .describe("Host field of an HTTP check; default: the backend's own authority."),
  status: z
    .array(
      z.union([
        z.int().min(100).max(599),
        z.string().regex(/^[1-5]xx$/, 'is not a status code or a class such as 2xx'),
      ]),
    )
    .min(1)
    .max(100)
    .describe('Status codes or classes that count as good.'),
};

const health = z.strictObject({
  enabled: healthFields.enabled.default(true),
  interval: healthFields.interval.prefault('2s'),
  timeout: healthFields.timeout.prefault('1s'),
  rise: healthFields.rise.default(2),
  fall: healthFields.fall.default(3),
  jitter: healthFields.jitter.default(0.1),
  path: healthFields.path.optional(),
  method: healthFields.method.default('GET'),
  host: healthFields.host.optional(),
  status: healthFields.status.default(['2xx', '3xx']),
});

const backend = z.strictObject({
  url: backendUrl.describe('`http://HOST[:PORT]` or `https://HOST[:PORT]`.'),
  balance: z
    .enum(['roundrobin', 'leastRequests', 'random'])
    .default('roundrobin')
    .describe('Among the endpoints: in turn, the less busy of two picked at random, or at random.'),
  health: z
    .strictObject(healthFields)
    .partial()
    .optional()
    .describe('Overrides single keys of `health` for this backend.'),
  maxConnections: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Most connections to one endpoint, per worker; further requests wait. 0: no limit.'),
  maxPending: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(1024)
    .describe('Most requests waiting for a connection to one endpoint.'),
  maxConnectionAge: duration({ min: 1_000 })
    .prefault('5m')
    .describe(
      'A connection older than this is closed after its request, so that load spreads behind a ClusterIP.',
    ),
  keepAlive: duration({ max: 3_600_000 })
    .prefault('4s')
    .describe('How long an idle connection is kept; below the keep-alive time of the upstream itself.'),
});

const route = z.strictObject({
  name: name.describe('Name in metrics, logs and answers; unique.'),
  match: match
    .optional()
    .describe('What a request must have, all of it; without it the row matches everything.'),
  split: z.record(name, weight).describe('Weights by backend, whole numbers; only their ratio counts.'),
  pin: name.optional().describe('One of `pins`: users keep their backend.'),
  main: name
    .optional()
    .describe('Backend of the split that lies between two canaries; default: the heaviest.'),
  timeouts: routeTimeouts.optional().describe('Timeouts of this route.'),
});

const pinSource = z.union([
  z.strictObject({ header: fieldName.describe("Field that holds the user's id.") }),
  z.strictObject({
    cookie: z
      .string()
      .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'is not a valid cookie name')
      .describe("Cookie that holds the user's id."),
  }),
]);

const pin = z.strictObject({
  by: z
    .array(pinSource)
    .min(1)
    .max(16)
    .describe("Where the user's id is looked for; the first one found counts."),
  store: z
    .enum(['none', 'memory', 'redis'])
    .default('none')
    .describe(
      'Where the first answer is remembered: nowhere (the hash alone), in this process, or in Redis.',
    ),
  ttl: duration({ min: 1_000 }).prefault('30d').describe('How long an answer is remembered.'),
  salt: z
    .string()
    .max(256)
    .optional()
    .describe('Salt of the hash; default: `service`. Equal salts choose equal users.'),
  maxEntries: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(100_000)
    .describe('Most users remembered in this process.'),
});

const redis = z.strictObject({
  url: z
    .string()
    .regex(/^rediss?:\/\//, 'is not a Redis URL; write redis://HOST[:PORT][/DB] or rediss://…')
    .describe(
      '`redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or `rediss://` for TLS; take secrets from `${NAME}`.',
    ),
  commandTimeout: duration({ max: 10_000 })
    .prefault('20ms')
    .describe('Longest a request waits for Redis; then the hash decides.'),
  keyPrefix: z.string().max(128).default('pointsman:').describe('Prefix of every key.'),
});

const resolver = z.strictObject({
  minTtl: duration().prefault('1s').describe('Shortest time an answer is used before it is asked for again.'),
  maxTtl: duration().prefault('30s').describe('Longest time an answer is used before it is asked for again.'),
  timeout: duration({ max: 60_000 })
    .optional()
    .describe('For one query; default: `options timeout` of resolv.conf.'),
  attempts: z
    .int()
    .min(1)
    .max(10)
    .optional()
    .describe('Queries per server; default: `options attempts` of resolv.conf.'),
  nameservers: z
    .array(
      z
        .string()
        .regex(/^(\[[0-9A-Fa-f:.]+\](:\d{1,5})?|[0-9.]+(:\d{1,5})?|[0-9A-Fa-f:]+)$/, 'is not IP or IP:PORT')
        .refine(isNameserver, 'is not IP or IP:PORT'),
    )
    .min(1)
    .max(3)
    .optional()
    .describe('Name servers to ask instead of those of resolv.conf, at most 3.'),
  search: z
    .array(z.string().max(253))
    .max(32)
    .optional()
    .describe('Search domains instead of those of resolv.conf.'),
  ndots: z.int().min(0).max(15).optional().describe('Dots from which a name is tried as it stands first.'),
  family: z
    .enum(['ipv4', 'ipv6', 'both'])
    .default('ipv4')
    .describe(
      'Addresses used: `ipv4` or `ipv6` (the other family where there are none), or `both` together.',
    ),
});

const limits = z.strictObject({
  headSize: size({ min: 1024, max: 1024 ** 2 })
    .prefault('16KiB')
    .describe('Largest request or response head. Needs a restart.'),
  headers: z.int().min(10).max(2000).default(128).describe('Most fields in a request head. Needs a restart.'),
  connections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(100_000)
    .describe(
      'Most client connections at once, per worker; further ones are closed at once. Needs a restart.',
    ),
  requestBody: size()
    .optional()
    .describe('Largest request body; a larger one is answered 413. Default: no limit.'),
});

const retries = z.strictObject({
  attempts: z.int().min(0).max(10).default(2).describe('Most retries of one request.'),
  bufferSize: size({ max: 16 * 1024 ** 2 })
    .prefault('64KiB')
    .describe('Largest request body kept so that an idempotent request can be sent again.'),
});

const forwarding = z.strictObject({
  xForwarded: z.boolean().default(true).describe('Send X-Forwarded-For, -Proto and -Host to upstreams.'),
  forwarded: z.boolean().default(false).describe('Send Forwarded (RFC 7239) to upstreams.'),
  via: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,64}$/, 'is not a name for Via: letters, digits, ".", "_" and "-", at most 64')
    .default('pointsman')
    .describe('Name in Via; empty: no Via.'),
  requestId: fieldName.default('X-Request-Id').describe('Field of the request id.'),
  upgrades: z
    .array(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~/-]{1,64}$/, 'is not a protocol name'))
    .max(16)
    .default(['websocket'])
    .describe('Protocols a client may upgrade to; any other upgrade is treated as an ordinary request.'),
});

const accessLog = z.strictObject({
  mode: z
    .enum(['all', 'errors', 'off'])
    .default('all')
    .describe('Every request, those with status 500 and above or that failed, or none.'),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('Share of the requests logged in mode `all`; failures always are.'),
});

export const configSchema = z.strictObject({
  service: name.default('pointsman').describe('Name of the service behind, in pins, metrics and logs.'),
  listen: address.prefault('0.0.0.0:8080').describe('Address for traffic. Needs a restart.'),
  admin: address
    .prefault('0.0.0.0:9901')
    .describe('Address for probes, metrics and status. Needs a restart.'),
  workers: z
    .union([z.int().min(1).max(256), z.literal('auto')])
    .default(1)
    .describe('Processes that forward; `auto`: one per available core. Needs a restart.'),
  groupHeader: fieldName.default('X-Traffic-Group').describe('Field that holds the traffic group.'),
  ambiguousGroup: z
    .enum(['reject', 'default', 'any'])
    .default('reject')
    .describe(
      'Several different groups in one request: refuse with 400, treat as none, or match any of them in the order of the routes (HAProxy).',
    ),
  backends: z.record(name, backend).describe('Upstream services, by name.'),
  routes: z
    .array(route)
    .min(1, 'must have at least one route')
    .max(1000)
    .describe('The routing table; the first match wins, the last row matches everything.'),
  health: health.prefault({}).describe('Active checks of every endpoint.'),
  pins: z.record(name, pin).default({}).describe('Ways of keeping users on a backend, by name.'),
  redis: redis.optional().describe('Redis for pins with `store: redis`.'),
  resolver: resolver.prefault({}).describe('DNS; default: the resolv.conf of the pod.'),
  trust: z
    .strictObject({
      cidrs: z
        .array(cidr)
        .max(256)
        .default([])
        .describe(
          'Peers whose X-Forwarded-*, Forwarded and request id are kept. When set, the group is taken from them alone.',
        ),
    })
    .prefault({})
    .describe('Who may say things about a request.'),
  forwarding: forwarding.prefault({}).describe('What is added on the way to the upstream.'),
  timeouts: timeouts.prefault({}).describe('Timeouts.'),
  retries: retries.prefault({}).describe('Retries on another endpoint or connection.'),
  limits: limits.prefault({}).describe('Bounds.'),
  accessLog: accessLog.prefault({}).describe('One JSON line per request on standard output.'),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error'])
        .default('info')
        .describe('Least level that is written.'),
    })
    .prefault({})
    .describe('The log, on standard output.'),
  shutdown: z
    .strictObject({
      delay: duration({ min: 0, max: 3_600_000 })
        .prefault('5s')
        .describe(
          'After SIGTERM, how long new connections are still accepted while readiness already fails.',
        ),
      timeout: duration({ min: 0, max: 86_400_000 })
        .prefault('30s')
        .describe('After the delay, how long running requests may take before they are cut.'),
    })
    .prefault({})
    .describe('The orderly end.'),
});

/** The validated configuration: every default filled in, durations in milliseconds, sizes in bytes. */
export type Config = z.output<typeof configSchema>;
/** The configuration as written, before defaults. */
export type ConfigInput = z.input<typeof configSchema>;
export type BackendConfig = Config['backends'][string];
export type RouteConfig = Config['routes'][number];
export type HealthConfig = Config['health'];
export type ResolverConfig = Config['resolver'];
export type PinConfig = Config['pins'][string];
export type RedisConfig = NonNullable<Config['redis']>;
export type ListenAddress = Config['listen'];

/** The checks of one backend: `health`, with the backend's own keys over it. */
export function healthOf(config: Config, backendName: string): HealthConfig {
  return { ...config.health, ...config.backends[backendName]?.health } as HealthConfig;
}

/** Keys that a reload cannot change; a change is kept for the next start and said in the log. */
export const RESTART_KEYS = [
  'listen',
  'admin',
  'workers',
  'limits.headSize',
  'limits.headers',
  'limits.connections',
] as const;

/** IP, IPv4:PORT or [IPv6]:PORT, judged beyond what the pattern of the JSON Schema can say. */
function isNameserver(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return isIP(text) === 6;
  const port = Number(match[3] ?? 53);
  return (
    (match[1] === undefined ? isIP(match[2]!) === 4 : isIP(match[1]) === 6) && port >= 1 && port <= 65_535
  );
}
