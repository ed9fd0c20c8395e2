/** Who may act at the admin port. */

import { z } from 'zod';
import { secret } from './values.ts';

export const acting = z.union([
  z.strictObject({
    token: secret(
      z.string().min(16, 'is too short to keep anybody out; use at least 16 characters').max(1_024),
    ).describe('What `Authorization: Bearer` must hold, from the environment: `${NAME}`.'),
  }),
  z.strictObject({
    tokenFile: z
      .string()
      .min(1)
      .max(4_096)
      .describe(
        'File with the token, such as a mounted Secret; it is read for every action, so it may change.',
      ),
  }),
]);
