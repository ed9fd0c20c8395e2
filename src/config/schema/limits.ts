/** Bounds: of messages, of what is under way, and of how often a client may ask. */

import { z } from 'zod';
import { duration, name, oneOrMany, size } from './values.ts';

const rate = z.strictObject({
  by: z
    .union([
      z.literal('client'),
      z.literal('group'),
      z.strictObject({ pin: name.describe('Name of the pin that says who the user is.') }),
    ])
    .describe(
      'What has a bucket of its own: each client (an IPv4 address or an IPv6 /64), each group that a row names and all others together, or each user of a pin. Requests without a user count for their client.',
    ),
  groups: oneOrMany(z.string().max(256))
    .optional()
    .describe('Only requests of these groups; `default`: those whose group no row names. Default: all.'),
  rate: z
    .number()
    .min(0.001)
    .max(1_000_000)
    .describe('Requests per second that are let through in the long run; 0.1 is one in ten seconds.'),
  burst: z
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe('Requests that may come at once. Default: those of one second, at least 1.'),
  store: z
    .enum(['memory', 'redis'])
    .default('memory')
    .describe(
      'Where the buckets are: in each worker, or in Redis, shared by all workers and replicas. While Redis is away each worker goes by its own.',
    ),
  maxEntries: z
    .int()
    .min(100)
    .max(10_000_000)
    .default(100_000)
    .describe('Most buckets in a worker; beyond them those not used for longest begin anew, full.'),
});

export const limits = z.strictObject({
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
      'Most client connections at once, per worker; further ones are closed at once. Never more than three quarters of the files that the process may open, so that probes and upstreams have some. Needs a restart.',
    ),
  connectionsPerClient: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20_000)
    .describe(
      'Most connections at once of one client (an IPv4 address or an IPv6 /64), per worker; further ones are closed at once. Peers in `trust.cidrs` are exempt, since they speak for many.',
    ),
  requestBody: size()
    .optional()
    .describe('Largest request body; a larger one is answered 413. Default: no limit.'),
  inFlight: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20_000)
    .describe('Most requests under way at once, per worker; a further one is answered 503.'),
  eventLoopDelay: duration({ min: 0, max: 60_000 })
    .prefault('1s')
    .describe(
      'When the event loop of a worker stays later than this, it takes fewer requests until it no longer is; the others are answered 503. `0ms`: never.',
    ),
  bufferedBytes: size({ min: 1024 ** 2, max: 1024 ** 4 })
    .prefault('256MiB')
    .describe(
      'Bytes that requests under way may hold together, per worker: bodies kept for retries, and what waits for slow readers. While there are more, new requests are answered 503.',
    ),
  rates: z
    .record(name, rate)
    .default({})
    .describe('How often requests may come, by a name for metrics; a request over one is answered 429.'),
});
