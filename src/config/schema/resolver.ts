/** DNS. */

import { z } from 'zod';
import { duration, nameserver } from './values.ts';

const domain = z
  .string()
  .regex(
    /^(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/,
    'is not a domain; write it as corp.example',
  );

/** Milliseconds; Infinity: `forever`. */
const hold = z
  .union([z.literal('forever'), duration({ min: 0 })])
  .prefault('forever')
  .transform((value) => (value === 'forever' ? Number.POSITIVE_INFINITY : value));

export const resolver = z.strictObject({
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
    .array(nameserver)
    .min(1)
    .max(3)
    .optional()
    .describe('Name servers to ask instead of those of resolv.conf, at most 3.'),
  stubDomains: z
    .record(domain, z.array(nameserver).min(1).max(3))
    .default({})
    .describe(
      'Name servers by domain, for all names in it; the most specific domain counts, as `stubDomains` of kube-dns.',
    ),
  upstreamNameservers: z
    .array(nameserver)
    .min(1)
    .max(3)
    .optional()
    .describe(
      'Name servers for names outside of the cluster domain and of `stubDomains`, as `upstreamNameservers` of kube-dns; default: those that all other names go to.',
    ),
  clusterDomain: domain
    .default('cluster.local')
    .describe(
      "Domain of the cluster, whose names go to the cluster's own name servers, unless a stub domain within it is more specific.",
    ),
  hold: z
    .strictObject({
      notFound: hold.describe('NXDOMAIN: the name does not exist.'),
      noAddresses: hold.describe('The name exists and has no address.'),
      serverFailure: hold.describe('SERVFAIL, or an answer that makes no sense.'),
      refused: hold.describe('REFUSED.'),
      timeout: hold.describe('No answer.'),
      other: hold.describe('No server could be asked.'),
    })
    .prefault({})
    .describe(
      'How long the last good addresses stay in use once questions fail (HAProxy: `hold`): the kind of the latest failure counts, from the first failure after the last good answer, of whichever kind; `forever`: until checks prove them wrong.',
    ),
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
