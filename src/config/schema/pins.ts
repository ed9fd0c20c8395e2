/** Who a user is, and where his backend is remembered. */

import { z } from 'zod';
import { duration, fieldName, secret } from './values.ts';

const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

const cookieName = z.string().regex(COOKIE_NAME, 'is not a valid cookie name');

const pinSource = z.union([
  z.strictObject({ header: fieldName.describe("Field that holds the user's id.") }),
  z.strictObject({ cookie: cookieName.describe("Cookie that holds the user's id.") }),
  z.strictObject({
    bearerClaim: z
      .string()
      .min(1)
      .max(256)
      .describe(
        "Claim of the JWT in `Authorization: Bearer` that holds the user's id, such as `sub` or `realm.user`. It is read, never verified, and used for nothing else.",
      ),
  }),
  z.strictObject({
    clientAddress: z
      .strictObject({
        trustedHops: z
          .int()
          .min(0)
          .max(16)
          .default(0)
          .describe(
            'Proxies in front: 0 takes the address of the peer, N the Nth element of X-Forwarded-For from the right, and only from peers in `trust.cidrs`.',
          ),
      })
      .describe('The address of the client.'),
  }),
]);

const issueCookie = z.strictObject({
  name: cookieName.optional().describe('Default: `pointsman-` and the name of the service.'),
  ttl: duration({ min: 60_000, max: 400 * 86_400_000 })
    .prefault('365d')
    .describe('How long the cookie is good; when half of it is over it is issued anew with the same id.'),
  sameSite: z.enum(['Lax', 'Strict', 'None']).default('Lax').describe('Attribute SameSite.'),
  secure: z.boolean().default(true).describe('Attribute Secure: clients send it over TLS alone.'),
  path: z
    .string()
    .regex(/^\/[\x21-\x3a\x3c-\x7e]{0,255}$/, 'is not a path for a cookie; it starts with / and has no ";"')
    .default('/')
    .describe('Attribute Path.'),
  domain: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, 'is not a domain; write example.com')
    .optional()
    .describe('Attribute Domain; default: the host of the request alone.'),
  keys: z
    .array(secret(z.string().min(16, 'is too short to sign with; use at least 16 characters').max(1_024)))
    .min(1)
    .max(8)
    .describe(
      'Keys of the signature, from the environment: `${NAME}`. The first one signs, all verify; to change it put the new one in front and take the old one away after `ttl`.',
    ),
});

export const pin = z.strictObject({
  by: z
    .array(pinSource)
    .min(1)
    .max(16)
    .describe("Where the user's id is looked for; the first one found counts."),
  issueCookie: issueCookie
    .optional()
    .describe('A signed cookie with a random id, issued where no id is found.'),
  store: z
    .enum(['none', 'memory', 'redis'])
    .default('none')
    .describe(
      'Where the first answer is remembered: nowhere (the hash alone), in this process, or in Redis.',
    ),
  ttl: duration({ min: 1_000 }).prefault('30d').describe('How long an answer is remembered.'),
  salt: secret(z.string().max(256))
    .optional()
    .describe('Salt of the hash; default: `service`. Equal salts choose equal users.'),
  generation: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(1)
    .describe('Raised by one, it makes every pin void: all users are drawn afresh, and hash differently.'),
  onUnavailable: z
    .enum(['fallback', 'fail'])
    .default('fallback')
    .describe(
      "When no endpoint of a user's backend is available: serve him from another one of the split, his pin unchanged, or answer 503.",
    ),
  maxEntries: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(100_000)
    .describe('Most users remembered in this process.'),
});

const redisTls = z.strictObject({
  ca: z.string().min(1).max(4_096).optional().describe('File with the certificates of the authority (PEM).'),
  serverName: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe('Name that the certificate must carry; default: the host that is connected to.'),
});

const credential = secret(z.string().max(1_024));

export const redis = z.strictObject({
  url: secret(
    z
      .string()
      .max(4_096)
      .regex(
        /^rediss?(\+sentinel|\+cluster)?:\/\//,
        'is not a Redis URL; write redis://HOST[:PORT][/DB], redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST (rediss… for TLS)',
      ),
  ).describe(
    '`redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `redis+sentinel://HOST[:PORT],…/MASTER[/DB]` or `redis+cluster://HOST[:PORT],…`; `rediss…` for TLS. Take secrets from `${NAME}`.',
  ),
  username: credential.optional().describe('User, instead of the one in the URL.'),
  password: credential.optional().describe('Password, instead of the one in the URL.'),
  sentinelPassword: credential.optional().describe('Password of the Sentinels themselves.'),
  tls: redisTls.prefault({}).describe('TLS of `rediss…`; the certificate is always verified.'),
  commandTimeout: duration({ max: 10_000 })
    .prefault('20ms')
    .describe('Longest a request waits for Redis; then the hash decides.'),
  cacheTtl: duration({ min: 100, max: 86_400_000 })
    .prefault('60s')
    .describe('How long an answer of Redis is used before Redis is asked again, in the background.'),
  keyPrefix: z.string().max(128).default('pointsman:').describe('Prefix of every key.'),
  keySecret: secret(z.string().min(16, 'is too short; use at least 16 characters').max(1_024))
    .optional()
    .describe(
      'Key of the hash that stands for the user in keys, so that ids cannot be guessed from a dump; another one forgets all pins.',
    ),
});
