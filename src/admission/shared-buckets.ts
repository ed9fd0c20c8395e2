/**
 * Buckets in Redis, one key each, shared by every worker and replica. The arithmetic is the one of `token-bucket.ts`,
 * by the clock of Redis, so that clocks of replicas need not agree.
 */
import { createHash, createHmac } from 'node:crypto';
import type { RedisConfig } from '../config/schema.ts';
import type { RedisLink } from '../pinning/redis-link.ts';
import type { BucketShape } from './token-bucket.ts';

/**
 * Microseconds throughout: whole numbers, which both Lua and a key hold exactly until the year 2255.
 * KEYS[1] the bucket; ARGV[1] the interval, ARGV[2] the capacity. Returns microseconds to wait, 0 when a token was taken.
 */
const TAKE = `local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[1])) or 0
if full < now then full = now end
local nextFull = full + ARGV[1]
if nextFull - now > ARGV[2] + 1 then return nextFull - now - ARGV[2] end
redis.call('SET', KEYS[1], string.format('%.0f', nextFull), 'PX', math.ceil((nextFull - now) / 1000))
return 0`;

const TAKE_SHA = createHash('sha1').update(TAKE).digest('hex');

export interface SharedBucketsOptions {
  readonly link: RedisLink;
  readonly redis: Pick<RedisConfig, 'keyPrefix' | 'keySecret'>;
  readonly service: string;
  /** Redis did not say: the process's own bucket has decided. */
  readonly onFault: (rate: string) => void;
}

export class SharedBuckets {
  readonly #options: SharedBucketsOptions;

  constructor(options: SharedBucketsOptions) {
    this.#options = options;
  }

  /**
   * Takes a token from the bucket of `key` under a rate.
   *
   * @param rate  name of the rate
   * @param shape of its buckets
   * @param done  called exactly once: milliseconds to wait; 0 when a token was taken, or Redis gave no reply
   */
  take(rate: string, { interval, capacity }: BucketShape, key: string, done: (waitMs: number) => void): void {
    const { link, onFault } = this.#options;
    const args = [Math.max(1, Math.round(interval * 1_000)), Math.round(capacity * 1_000)] as const;
    const name = this.#keyOf(rate, key);
    link.run(
      (client) =>
        client.evalsha(TAKE_SHA, 1, name, ...args).catch((error: unknown) => {
          // Redis forgets scripts when it starts anew.
          if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
          return client.eval(TAKE, 1, name, ...args);
        }),
      (answer) => done(Math.ceil(Number(answer) / 1_000)),
      () => {
        onFault(rate);
        done(0);
      },
    );
  }

  /** Clients and users are in it as a hash alone: who reads Redis should not learn who was there. */
  #keyOf(rate: string, key: string): string {
    const { redis, service } = this.#options;
    const { keyPrefix, keySecret } = redis;
    const hash = keySecret === undefined ? createHash('sha256') : createHmac('sha256', keySecret);
    const digest = hash.update(`${rate}\0${key}`).digest('base64url').slice(0, 22);
    return `${keyPrefix}${service}:rate:${rate}:${digest}`;
  }
}
