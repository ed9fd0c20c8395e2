/** One row of the routing table. */

import { z } from 'zod';
import { duration, fieldName, name, oneOrMany, weight } from './values.ts';

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

const routeTimeouts = z.strictObject({
  responseHead: duration().optional().describe('Overrides `timeouts.responseHead` for this route.'),
  idle: duration().optional().describe('Overrides `timeouts.idle` for this route.'),
});

export const route = z.strictObject({
  name: name.describe('Name in metrics, logs and answers; unique.'),
  match: match
    .optional()
    .describe('What a request must have, all of it; without it the row matches everything.'),
  split: z.record(name, weight).describe('Weights by backend, whole numbers; only their ratio counts.'),
  pin: name.optional().describe('One of `pins`: users keep their backend.'),
  main: name
    .optional()
    .describe('Backend of the split that lies between two canaries; default: the heaviest.'),
  shield: z
    .boolean()
    .default(true)
    .describe(
      "A canary's failure (connect, reset, 502, 503, 504) on an idempotent request is retried once on the main backend.",
    ),
  timeouts: routeTimeouts.optional().describe('Timeouts of this route.'),
});
