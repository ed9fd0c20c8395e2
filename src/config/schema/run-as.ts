/** Whom the process becomes when it was started as root. */

import { z } from 'zod';

/** The highest id means "no change" to the system. */
const id = z.int().min(0).max(4_294_967_294);
const accountName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/,
    'is not the name of an account; write it as in /etc/passwd, or give its number',
  );

export const runAs = z.strictObject({
  user: z
    .union([id, accountName])
    .optional()
    .describe(
      'Name or number. Default: 65534 (nobody), as long as that user can read the configuration and what it names; `root`: the process stays what it is.',
    ),
  group: z
    .union([id, accountName])
    .optional()
    .describe('Name or number. Default: that of the user in /etc/passwd, else the number of the user.'),
});
