/** Who a user is, and where his backend is remembered. */

import { z } from 'zod';
import { duration, fieldName } from './values.ts';

const pinSource = z.union([
  z.strictObject({ header: fieldName.describe("Field that holds the user's id.") }),
  z.strictObject({
    cookie: z
      .string()
      .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'is not a valid cookie name')
      .describe("Cookie that holds the user's id."),
  }),
]);

export const pin = z.strictObject({
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

export const redis = z.strictObject({
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
