/** All cases. */

import type { RequestCase } from './case.ts';
import { CHUNKS } from './chunks.ts';
import { FIELDS } from './fields.ts';
import { GROUPS } from './groups.ts';
import { HOSTS } from './hosts.ts';
import { LENGTHS } from './lengths.ts';
import { PIPELINES } from './pipelines.ts';
import { REQUEST_LINES } from './request-line.ts';
import { RESPONSE_BODIES } from './response-bodies.ts';
import type { ResponseCase } from './response-case.ts';
import { RESPONSE_HEADS } from './response-heads.ts';
import { TRANSFER_ENCODING } from './transfer-encoding.ts';

export const REQUEST_CASES: readonly RequestCase[] = [
  ...LENGTHS,
  ...TRANSFER_ENCODING,
  ...CHUNKS,
  ...REQUEST_LINES,
  ...HOSTS,
  ...FIELDS,
  ...GROUPS,
  ...PIPELINES,
];

export const RESPONSE_CASES: readonly ResponseCase[] = [...RESPONSE_HEADS, ...RESPONSE_BODIES];

/** `te-disguised` of `te-disguised/no colon`. */
export function familyOf({ name }: { readonly name: string }): string {
  return name.slice(0, name.indexOf('/'));
}
