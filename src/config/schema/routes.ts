/** One row of the routing table. */

import { z } from 'zod';
import { guardMode } from './guard.ts';
import { requestRules, responseRules } from './header-rules.ts';
import { match } from './match.ts';
import { duration, name, weight } from './values.ts';

const routeTimeouts = z.strictObject({
  responseHead: duration().optional().describe('Overrides `timeouts.responseHead` for this route.'),
  idle: duration().optional().describe('Overrides `timeouts.idle` for this route.'),
});

export const route = z.strictObject({
  name: name.describe('Name in metrics, logs and answers; unique.'),
  match: match
    .optional()
    .describe(
      'What a request must have, all of it, or a list of such conditions of which one is enough; without it the row matches everything.',
    ),
  split: z.record(name, weight).describe('Weights by backend, whole numbers; only their ratio counts.'),
  pin: name.optional().describe('One of `pins`: users keep their backend.'),
  main: name
    .optional()
    .describe(
      'The backend of the split that is no canary; among the buckets it lies between the canaries. Default: the heaviest; among the buckets, whose order must not follow from weights, the last by name.',
    ),
  rollback: z
    .record(name, z.enum(['drain', 'evacuate']))
    .optional()
    .describe(
      'Backends of the split that nobody new goes to, whatever their weight. `drain`: users whom a store remembers there stay; `evacuate`: their pins are void at once.',
    ),
  shield: z
    .boolean()
    .default(true)
    .describe(
      "A canary's failure (connect, reset, 502, 503, 504) on an idempotent request is retried once on the main backend.",
    ),
  guard: guardMode
    .default('off')
    .describe(
      'When a canary of the row fails or is slow clearly more often than its main backend: nothing, an alert, or an alert and no more requests for it until it is good again.',
    ),
  request: requestRules
    .optional()
    .describe('Fields of the request that are changed on the way to the upstream.'),
  response: responseRules
    .optional()
    .describe(
      "Fields of an upstream's response that are changed; answers of Pointsman itself stay as they are.",
    ),
  timeouts: routeTimeouts.optional().describe('Timeouts of this route.'),
});
