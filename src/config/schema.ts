/**
 * The configuration, defined once. Types, the published JSON Schema and the reference table of the README are all
 * derived from this file; cross-references between keys are checked in `rules.ts`.
 *
 * After parsing, durations are milliseconds, sizes are bytes, names of HTTP fields keep the case they were written in.
 *
 * Messages are predicates ("is not …", "must …") without the value: the loader puts the value before those that begin
 * with "is" or "has", unless it came from the environment and might be a secret.
 */

import { z } from 'zod';
import { acting } from './schema/admin.ts';
import { backend, health, outlier } from './schema/backends.ts';
import { alerts, guard } from './schema/guard.ts';
import { invariants } from './schema/invariants.ts';
import { limits } from './schema/limits.ts';
import { pin, redis } from './schema/pins.ts';
import { propagate, sets } from './schema/propagation.ts';
import { resolver } from './schema/resolver.ts';
import { route } from './schema/routes.ts';
import { runAs } from './schema/run-as.ts';
import { debug, tracing } from './schema/tracing.ts';
import { accessLog, forwarding, retries, timeouts } from './schema/traffic.ts';
import { address, cidr, duration, fieldName, name } from './schema/values.ts';

export const configSchema = z.strictObject({
  service: name.default('pointsman').describe('Name of the service behind, in pins, metrics and logs.'),
  listen: address.prefault('0.0.0.0:8080').describe('Address for traffic. Needs a restart.'),
  admin: address
    .prefault('0.0.0.0:9901')
    .describe('Address for the status page, probes and metrics. Needs a restart.'),
  acting: acting
    .optional()
    .describe(
      'Lets people act at the admin port, from the page and with `pointsman ctl`: whoever has the token. Default: it only shows.',
    ),
  workers: z
    .union([z.int().min(1).max(256), z.literal('auto')])
    .default(1)
    .describe('Processes that forward; `auto`: one per available core. Needs a restart.'),
  runAs: runAs
    .prefault({})
    .describe(
      'Whom a process that was started as root becomes once its ports are open, without further groups and capabilities. Needs a restart.',
    ),
  groupHeader: fieldName.default('X-Traffic-Group').describe('Field that holds the traffic group.'),
  ambiguousGroup: z
    .enum(['reject', 'default', 'any'])
    .default('reject')
    .describe(
      'Several different groups in one request: refuse with 400, treat as none, or match any of them in the order of the routes (HAProxy).',
    ),
  unknownGroup: name
    .optional()
    .describe(
      'Row for requests whose group no row names, instead of the row without match; requests without a group still take that one.',
    ),
  backends: z.record(name, backend).describe('Upstream services, by name.'),
  routes: z
    .array(route)
    .min(1, 'must have at least one route')
    .max(1000)
    .describe('The routing table; the first match wins, the last row matches everything.'),
  sets: sets.describe(
    'Release sets: backends that are one release together, by name. Their rows share a salt, named after the set, so that a user meets all members or none; and what takes from the share of one takes from all: an override, a brake, or that none of its endpoints is available. Tables of several services that name the same set and use the same `redis` (URL and `keyPrefix`) are one set.',
  ),
  propagate: propagate
    .optional()
    .describe('Tells the upstreams the route and the bucket of a request. Default: it does not.'),
  invariants: invariants.describe('What no reload and no decision may break.'),
  health: health.prefault({}).describe('Active checks of every endpoint.'),
  outlier: outlier.prefault({}).describe('Ejection of endpoints on which traffic fails, besides the checks.'),
  guard: guard
    .prefault({})
    .describe('How canaries are judged against the main backend of their row, where a row has a `guard`.'),
  alerts: alerts.prefault({}).describe('Who is told of what a guard finds and does.'),
  pins: z.record(name, pin).default({}).describe('Ways of keeping users on a backend, by name.'),
  redis: redis
    .optional()
    .describe(
      'Redis for pins and rates with `store: redis`; and for what replicas share: what operators set by hand (`acting`), brakes of guards, how many users met a build; and, over services that use the same one, the fate of `sets`.',
    ),
  resolver: resolver.prefault({}).describe('DNS; default: the resolv.conf of the pod.'),
  trust: z
    .strictObject({
      cidrs: z
        .array(cidr)
        .max(256)
        .default([])
        .describe(
          'Peers whose X-Forwarded-*, Forwarded and request id are kept. When set, only these peers may set the group, and Pointsman removes from every request the headers that CGI and WSGI servers confuse with its own, such as `X_Traffic_Group` and `X_Forwarded_For`.',
        ),
    })
    .prefault({})
    .describe('Who may say things about a request.'),
  forwarding: forwarding.prefault({}).describe('What is added on the way to the upstream.'),
  timeouts: timeouts.prefault({}).describe('Timeouts.'),
  retries: retries.prefault({}).describe('Retries on another endpoint or connection.'),
  limits: limits.prefault({}).describe('Bounds.'),
  debug: debug
    .optional()
    .describe(
      'Lets a request with `X-Pointsman-Debug` ask why it went where it went: its response says it. Default: the field means nothing.',
    ),
  tracing: tracing
    .optional()
    .describe(
      'Spans of requests, by OpenTelemetry. Default: none, and `traceparent` passes as it is. Needs a restart.',
    ),
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
export type Config = z.output<typeof configSchema> & {
  /** By route: weights that hold for a while instead of the file's. Laid over a configuration, never read from one. */
  readonly heldWeights?: Readonly<Record<string, HeldWeights>>;
  /** By release set: which member of another service takes no requests. Laid over a configuration too. */
  readonly lostSets?: Readonly<Record<string, string>>;
};

/** What somebody set by hand, or a guard did. */
export interface HeldWeights {
  /** Of every backend of the split. */
  readonly weights: Readonly<Record<string, number>>;
  /** Epoch milliseconds. */
  readonly until: number;
  readonly reason: string;
  readonly by: string;
}

/** The configuration as written, before defaults. */
export type ConfigInput = z.input<typeof configSchema>;
export type BackendConfig = Config['backends'][string];
export type RouteConfig = Config['routes'][number];
export type ServerConfig = NonNullable<BackendConfig['servers']>[number];
export type ServerUrl = ServerConfig['url'];
export type HealthConfig = Config['health'];
export type OutlierConfig = Config['outlier'];
export type ResolverConfig = Config['resolver'];
export type InvariantConfig = Config['invariants'][number];
export type PinConfig = Config['pins'][string];
export type RateConfig = Config['limits']['rates'][string];
export type RedisConfig = NonNullable<Config['redis']>;
export type ListenAddress = Config['listen'];

/** The checks of one backend: `health`, with the backend's own keys over it. */
export function healthOf(config: Config, backendName: string): HealthConfig {
  return { ...config.health, ...config.backends[backendName]?.health } as HealthConfig;
}

/** Ejection from one backend: `outlier`, with the backend's own keys over it. */
export function outlierOf(config: Config, backendName: string): OutlierConfig {
  return { ...config.outlier, ...config.backends[backendName]?.outlier } as OutlierConfig;
}

/** The upstreams of a backend, at least one: `servers`, or the one of `url`. */
export function serversOf(backend: BackendConfig): readonly ServerConfig[] {
  if (backend.servers !== undefined) return backend.servers;
  return [{ url: backend.url!, weight: 1, backup: false, drain: false }];
}

/** The build that runs behind a backend; '' where the file names none. */
export function buildOf(config: Pick<Config, 'backends'>, backend: string): string {
  return config.backends[backend]?.build ?? '';
}

/** A URL as it was written. */
export function formatUrl({ scheme, srv, authority }: ServerUrl): string {
  return `${srv ? (scheme === 'http' ? 'dns+srv' : 'dns+srvs') : scheme}://${authority}`;
}

/** Keys that a reload cannot change; a change is kept for the next start and said in the log. */
export const RESTART_KEYS = [
  'listen',
  'admin',
  'workers',
  'runAs',
  'tracing',
  'limits.headSize',
  'limits.headers',
  'limits.connections',
] as const;
