/** Fields that a row sets, adds or removes, with the small language of their values. */

import { z } from 'zod';
import { fieldName, oneOrMany, secret } from './values.ts';

/** Fields that frame a message or belong to one connection: a rule on them would break it (RFC 9110, 7.6.1). */
export const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Most `%{…}` in one value: each may be as long as a whole head. */
const MAX_VARIABLES = 16;

const VARIABLES = [
  'client.address',
  'client.port',
  'request.id',
  'request.method',
  'request.host',
  'request.path',
  'route',
  'backend',
  'service',
] as const;

export type VariableName = (typeof VARIABLES)[number];

/** A piece of a value: text, or what stands in its place when a request comes. */
export type ValuePart =
  | { readonly text: string }
  | { readonly variable: VariableName }
  /** Lower case. */
  | { readonly header: string }
  | { readonly cookie: string };

/**
 * The pieces of a value. `%{NAME}` is a variable, `%%{` stands for `%{`; any other `%` is itself.
 *
 * @returns what is wrong, as a predicate, when it is a string
 */
export function parseValue(value: string): readonly ValuePart[] | string {
  const parts: ValuePart[] = [];
  let text = '';
  let variables = 0;
  for (let at = 0; at < value.length; ) {
    if (value.startsWith('%%{', at)) {
      text += '%{';
      at += 3;
    } else if (value.startsWith('%{', at)) {
      const end = value.indexOf('}', at);
      if (end === -1) return 'has a %{ without }; write %%{ for a literal %{';
      const part = variableOf(value.slice(at + 2, end));
      if (part === undefined) {
        return `has an unknown variable; there are ${VARIABLES.join(', ')}, header:NAME and cookie:NAME`;
      }
      if (++variables > MAX_VARIABLES) return `has more than ${MAX_VARIABLES} variables`;
      if (text !== '') parts.push({ text });
      text = '';
      parts.push(part);
      at = end + 1;
    } else text += value[at++];
  }
  if (text !== '' || parts.length === 0) parts.push({ text });
  return parts;
}

function variableOf(name: string): ValuePart | undefined {
  const known = VARIABLES.find((variable) => variable === name);
  if (known !== undefined) return { variable: known };
  const named = /^(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$/.exec(name);
  if (named === null) return undefined;
  return named[1] === 'header' ? { header: named[2]!.toLowerCase() } : { cookie: named[2]! };
}

const value = z
  .string()
  .max(4096)
  .regex(/^[\x20-\x7e\t]*$/, 'has a character that no field may hold')
  .superRefine((text, context) => {
    const parts = parseValue(text);
    if (typeof parts === 'string') context.addIssue({ code: 'custom', message: parts });
  });

const ruledField = fieldName.refine(
  (name) => !FRAMING_FIELDS.has(name.toLowerCase()),
  'frames the message or belongs to one connection; no rule may touch it',
);

/** Host may be set too, since it says which site an upstream serves, but only to a fixed one. */
const settableField = fieldName.refine(
  (name) => name.toLowerCase() === 'host' || !FRAMING_FIELDS.has(name.toLowerCase()),
  'frames the message or belongs to one connection; no rule may touch it',
);

const rules = (settable: typeof fieldName) =>
  z.strictObject({
    remove: z.array(ruledField).min(1).max(64).optional().describe('Fields that are taken out, first.'),
    set: z
      .record(settable, secret(value))
      .optional()
      .describe('Fields and their value, in place of any there are. `%{…}` stands for a variable.'),
    add: z
      .record(ruledField, secret(oneOrMany(value)))
      .optional()
      .describe('Fields and their value, or values, besides those there are.'),
  });

const HOST = /^[A-Za-z0-9._-]{1,253}(:\d{1,5})?$|^\[[0-9A-Fa-f:.]+\](:\d{1,5})?$/;

export const requestRules = rules(settableField).superRefine((given, context) => {
  for (const [name, host] of Object.entries(given.set ?? {})) {
    if (name.toLowerCase() !== 'host' || HOST.test(host)) continue;
    context.addIssue({
      code: 'custom',
      path: ['set', name],
      message: 'is not a host; write HOST or HOST:PORT, without variables',
    });
  }
});

export const responseRules = rules(ruledField);
