/** What services behind are told of a decision, so that they agree with it. */

import { z } from 'zod';
import { fieldName, name } from './values.ts';

export const propagate = z.strictObject({
  route: fieldName.default('X-Pointsman-Route').describe('Field of the request that names the route.'),
  bucket: fieldName
    .default('X-Pointsman-Bucket')
    .describe(
      "Field that holds the user's bucket, 0–9999. From peers in `trust.cidrs` it is believed: their users keep it here. From others both fields are taken out.",
    ),
  baggage: z
    .boolean()
    .default(true)
    .describe(
      'Both also as `pointsman.route` and `pointsman.bucket` in W3C `baggage`, whose other members stay.',
    ),
});

export const sets = z
  .record(name, z.array(name).min(1, 'must name at least one backend').max(100))
  .default({});
