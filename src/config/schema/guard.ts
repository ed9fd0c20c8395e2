/** The guard of canaries, and who is told of what it finds. */

import { z } from 'zod';
import { duration, fieldName, oneOrMany, secret } from './values.ts';

export const guardMode = z.enum(['off', 'warn', 'act']);

export const guard = z.strictObject({
  threshold: z
    .number()
    .min(3, 'would brake good canaries all the time; it must be at least 3')
    .max(100)
    .default(11.5)
    .describe(
      'Evidence that makes a canary count as worse, as the logarithm of how much likelier that is. More: fewer false alarms, slower.',
    ),
  errorFloor: z
    .number()
    .min(0.01)
    .max(20)
    .default(0.5)
    .describe(
      'Percentage of failures that a canary may always have, however good production is. What brakes fast is ten times that, and 5 at least.',
    ),
  minRequests: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20)
    .describe('Requests of the canary that a verdict needs at least.'),
  latency: z
    .boolean()
    .default(true)
    .describe("Slowness counts too: responses slower than nearly all of production's."),
  slowFloor: duration({ min: 0, max: 600_000 })
    .prefault('10ms')
    .describe('A response in less than this is never slow.'),
  hold: duration({ min: 1_000, max: 86_400_000 })
    .prefault('30s')
    .describe('How long the first brake lasts; the second twice as long, and so on.'),
  maxHold: duration({ min: 1_000, max: 86_400_000 }).prefault('5m').describe('Longest of these.'),
  probe: z
    .number()
    .min(0.1)
    .max(100)
    .default(10)
    .describe('Percentage of its share that a canary gets after a brake, until it has proved itself.'),
  latchAfter: z
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe(
      'So many verdicts within `latchWithin` brake it until somebody ends the override, or changes the split.',
    ),
  latchWithin: duration({ min: 1_000, max: 30 * 86_400_000 })
    .prefault('30m')
    .describe('How long a verdict counts for that.'),
});

/** Whoever knows a webhook may use it. */
const webhook = secret(
  z
    .string()
    .max(4_096)
    .regex(/^https?:\/\/[^\s]+$/, 'is not a URL; write https://…'),
);

export const alerts = z.strictObject({
  slack: z
    .strictObject({ url: webhook.describe('Incoming webhook; a secret, take it from `${NAME}`.') })
    .optional()
    .describe('To a channel of Slack.'),
  webhook: z
    .strictObject({
      url: webhook.describe('Gets a JSON object by POST; take secrets in it from `${NAME}`.'),
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
        .describe('Further fields, such as `Authorization`.'),
    })
    .optional()
    .describe('To a program.'),
  email: z
    .strictObject({
      server: secret(
        z
          .string()
          .max(4_096)
          .regex(/^smtps?:\/\/[^\s]+$/, 'is not an SMTP URL; write smtp://[USER:PASSWORD@]HOST[:PORT]'),
      ).describe('`smtp://[USER:PASSWORD@]HOST[:PORT]`, or `smtps://` for TLS from the first byte.'),
      tls: z
        .enum(['required', 'opportunistic', 'off'])
        .default('required')
        .describe('STARTTLS on `smtp://`.'),
      from: z.string().min(3).max(320).describe('Sender.'),
      to: oneOrMany(z.string().min(3).max(320)).describe('Receiver, or a list.'),
    })
    .optional()
    .describe('By e-mail.'),
});
