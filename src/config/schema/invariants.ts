/** What the table promises, whatever else is changed in it. */

import { z } from 'zod';
import { name, oneOrMany } from './values.ts';

const groups = oneOrMany(z.string().min(1).max(256)).describe(
  'Group, in any case, or a list of them. `default`: requests without a group, or with one that no row names; `*`: all.',
);

const invariant = z.strictObject({
  never: z
    .strictObject({
      group: groups,
      backend: oneOrMany(name).describe('Backend, or a list, that no request of the group ever reaches.'),
    })
    .optional()
    .describe('Keeps a group away from backends.'),
  maxShare: z
    .strictObject({
      group: groups,
      backend: name.describe('Backend whose share is bounded. It takes nothing over that others spill.'),
      percent: z.number().min(0).max(100).describe('Largest share of each such group, in percent.'),
    })
    .optional()
    .describe('Bounds the share of a group that a backend gets.'),
  maxStep: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe(
      'Percentage points by which one reload may change the share of a backend, in any row and for any group.',
    ),
  force: z
    .string()
    .min(1, 'is empty; say why the step is larger, since it is written to the log')
    .max(1_024)
    .optional()
    .describe(
      'Beside `maxStep`: why the next reload may go further. It counts for the reload that brings it, not for those after.',
    ),
});

export const invariants = z.array(invariant).max(256).default([]);
