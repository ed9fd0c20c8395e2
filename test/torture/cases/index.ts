/** All cases of requests. */

import type { RequestCase } from './case.ts';
import { CHUNKS } from './chunks.ts';
import { FIELDS } from './fields.ts';
import { GROUPS } from './groups.ts';
import { HOSTS } from './hosts.ts';
import { LENGTHS } from './lengths.ts';
import { PIPELINES } from './pipelines.ts';
import { REQUEST_LINES } from './request-line.ts';
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

/** `te-disguised` of `te-disguised/no colon`. */
export function familyOf({ name }: { readonly name: string }): string {
  return name.slice(0, name.indexOf('/'));
}
