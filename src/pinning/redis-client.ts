/** The connection to Redis as the configuration describes it. ioredis is loaded only here, and only when it is used. */
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { Cluster, Redis } from 'ioredis';
import { parseRedisUrl } from '../config/redis-url.ts';
import type { RedisConfig } from '../config/schema.ts';

export type RedisClient = Redis | Cluster;

export interface RedisClientOptions {
  /** Deadline of every command, milliseconds. */
  readonly commandTimeout: number;
  /** Connect again whenever the connection is lost; a command line tool rather fails. */
  readonly reconnects: boolean;
}

const CONNECT_TIMEOUT_MS = 2_000;

/** Longer than any command runs. */
const NEVER_MS = 1_000_000_000;

/**
 * Not connected yet: `connect()` does that. Throws when the URL is no good, or a file of TLS cannot be read.
 *
 * No offline queue and no retries: a command that cannot be answered within its deadline fails at once.
 */
export async function createRedisClient(
  config: RedisConfig,
  { commandTimeout, reconnects }: RedisClientOptions,
): Promise<RedisClient> {
  const address = parseRedisUrl(config.url);
  if (typeof address === 'string') throw new Error(`redis.url ${address}`);
  const tls = address.tls ? tlsOptions(config) : undefined;
  const username = config.username ?? address.username;
  const password = config.password ?? address.password;
  const retryStrategy = reconnects
    ? (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000) + Math.random() * 50
    : () => null;
  const common = {
    lazyConnect: true,
    enableAutoPipelining: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disableClientInfo: true,
    // Proxies of Redis often speak no RESP3, and nothing here needs it.
    protocol: 2 as const,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  };
  const ioredis = await import('ioredis');
  switch (address.kind) {
    case 'single':
      return new ioredis.Redis({
        ...common,
        ...address.nodes[0],
        db: address.db,
        enableOfflineQueue: false,
        // With a connection that is not retried at all, ioredis does not tell why there is none.
        retryStrategy: reconnects ? retryStrategy : () => NEVER_MS,
      });
    case 'sentinel':
      return new ioredis.Redis({
        ...common,
        sentinels: address.nodes.map((node) => ({ ...node })),
        name: address.master,
        db: address.db,
        enableOfflineQueue: false,
        retryStrategy,
        sentinelRetryStrategy: retryStrategy,
        sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
        failoverDetector: reconnects,
        ...(config.sentinelPassword === undefined ? {} : { sentinelPassword: config.sentinelPassword }),
        ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
      });
    case 'cluster':
      return new ioredis.Cluster(
        address.nodes.map((node) => ({ ...node })),
        {
          lazyConnect: true,
          // Within `redisOptions` it would be ignored.
          enableOfflineQueue: false,
          enableAutoPipelining: true,
          clusterRetryStrategy: retryStrategy,
          retryDelayOnFailover: 0,
          retryDelayOnClusterDown: 0,
          retryDelayOnTryAgain: 0,
          maxRedirections: 3,
          slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
          redisOptions: common,
        },
      );
  }
}

function tlsOptions({ tls }: RedisConfig): ConnectionOptions {
  let ca: Buffer | undefined;
  if (tls.ca !== undefined) {
    try {
      ca = readFileSync(tls.ca);
    } catch (error) {
      throw new Error(`redis.tls.ca cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
    }
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}
