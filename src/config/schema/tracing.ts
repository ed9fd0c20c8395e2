/** Why a request went where it went, and how long it took: for who asks, and for a collector of traces. */

import { z } from 'zod';
import { fieldName, secret } from './values.ts';

export const debug = z.strictObject({
  token: secret(z.string().min(16, 'is too short to keep anybody out; use at least 16 characters').max(1_024))
    .optional()
    .describe(
      'What `X-Pointsman-Debug` must hold, from the environment: `${NAME}`. Default: only trusted peers may ask.',
    ),
});

export const tracing = z.strictObject({
  endpoint: secret(
    z
      .string()
      .max(4_096)
      .regex(/^https?:\/\/[^\s]+$/, 'is not a URL; write http://COLLECTOR:4318/v1/traces'),
  ).describe('Where spans go, by OTLP over HTTP: `http://COLLECTOR:4318/v1/traces`.'),
  headers: z
    .record(
      fieldName,
      secret(
        z
          .string()
          .max(4_096)
          .regex(/^[\t\x20-\x7e]*$/, 'is not a value of a field'),
      ),
    )
    .default({})
    .describe('Further fields for the collector, such as `Authorization`.'),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe(
      'Share of the traces begun here that is recorded; what a caller has decided about its own counts.',
    ),
});
