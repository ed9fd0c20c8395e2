/** What a row of the table asks of a request. */

import { z } from 'zod';
import { cidr, fieldName, oneOrMany, secret } from './values.ts';

const text = z.string().max(4096);
const part = z.string().min(1).max(4096);
const expression = z.string().min(1).max(1024);

/** Every key that is given must hold of the same value; of a list, one entry. */
const comparisons = {
  exact: oneOrMany(text).optional().describe('The whole value, or a list of values.'),
  prefix: oneOrMany(part).optional().describe('How the value begins, or a list.'),
  suffix: oneOrMany(part).optional().describe('How the value ends, or a list.'),
  contains: oneOrMany(part).optional().describe('Text anywhere in the value, or a list.'),
  regex: oneOrMany(expression)
    .optional()
    .describe(
      'A regular expression in RE2 syntax, matched anywhere in the value in linear time, or a list of them.',
    ),
};
const ignoreCase = z.boolean().default(false).describe('Compare without regard to case.');
const present = z.boolean().optional().describe('`true`: it is there; `false`: it is not.');

/** What a field, cookie or parameter must be is at times a token. */
const headerMatch = secret(
  z.union([
    text,
    z.array(text).min(1).max(256),
    z.strictObject({
      ...comparisons,
      present,
      ignoreCase,
      list: z
        .boolean()
        .default(false)
        .describe(
          "Compare with each value of a comma-separated list instead of whole lines, as HAProxy's `hdr()` does.",
        ),
    }),
  ]),
);

const valueMatch = secret(
  z.union([text, z.array(text).min(1).max(256), z.strictObject({ ...comparisons, present, ignoreCase })]),
);

const conditionFields = {
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
  path: z
    .union([
      z.string().regex(/^\//, 'must start with /').max(4096),
      z.array(z.string().regex(/^\//, 'must start with /').max(4096)).min(1).max(256),
      z.strictObject({ ...comparisons, ignoreCase }),
    ])
    .optional()
    .describe(
      'How the path begins, or a list of beginnings, compared byte by byte (`/api` also matches `/apix`); or a comparison of the path without its query.',
    ),
  method: oneOrMany(
    z.string().regex(/^[A-Z-]{1,32}$/, 'is not a method; methods are written in capitals, such as GET'),
  )
    .optional()
    .describe('Method, or a list.'),
  headers: z
    .record(fieldName, headerMatch)
    .optional()
    .describe('Other fields, by name: an exact value, a list of them, or a comparison. All must match.'),
  cookies: z
    .record(
      z
        .string()
        .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'is not a valid cookie name')
        .max(128),
      valueMatch,
    )
    .optional()
    .describe('Cookies, by name, as `headers`; one of several of the same name is enough.'),
  query: z
    .record(z.string().regex(/^[\x21-\x7e]{1,128}$/, 'is not the name of a query parameter'), valueMatch)
    .optional()
    .describe('Query parameters, by name, as `headers`; compared as sent, without percent-decoding.'),
  client: oneOrMany(cidr)
    .optional()
    .describe(
      'Address ranges, or a list. The client is the peer or, behind trusted peers, the last address of X-Forwarded-For that is no trusted one.',
    ),
};

const conditions = z.strictObject(conditionFields);

const alternative = z.strictObject({
  ...conditionFields,
  and: oneOrMany(conditions)
    .optional()
    .describe('Further conditions, or a list of them, with the same keys; every one must hold too.'),
  not: oneOrMany(conditions)
    .optional()
    .describe('Conditions, or a list of them, with the same keys; none may hold as a whole.'),
});

/** One way to match, or a list of ways of which one is enough. */
export const match = z.union([alternative, z.array(alternative).min(1).max(256)]);
