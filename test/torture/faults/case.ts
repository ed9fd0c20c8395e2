/**
 * Faults as data: what a client does, what an upstream does, and what it comes to. The table in README.md beside is
 * written from them (`npm run docs`).
 */

import type { FailureReason } from '../../../src/forward/reasons.ts';
import type { Termination } from '../../../src/observe/access-log.ts';
import type { ClientName } from './clients.ts';
import type { UpstreamName } from './upstreams.ts';

/** Keys below `timeouts`. */
export const TIMEOUT_KEYS = [
  'connect',
  'responseHead',
  'idle',
  'requestHead',
  'requestBody',
  'keepAlive',
  'queue',
  'tunnel',
] as const;

export type TimeoutKey = (typeof TIMEOUT_KEYS)[number];

/** What a client gets, as far as it can tell. */
export type Sight =
  /** The upstream's response, whole. */
  | 'whole'
  /** Its beginning, and an end of the connection that shows that more was to come. */
  | 'cut'
  /** An answer of the proxy's own, with status and reason. */
  | 'refusal'
  /** An end of the connection without a word. */
  | 'end'
  /** It had left. */
  | 'nothing';

/** What it comes to. */
export interface Ending {
  /** Of the line in the access log; undefined: nothing was answered. */
  readonly status: number | undefined;
  /** Undefined: nothing failed. */
  readonly reason: FailureReason | undefined;
  /** HAProxy's letters in the access log; undefined: there is no line, since there was no request. */
  readonly log: Termination | undefined;
  readonly sees: Sight;
  /** Whether the client's connection takes another request. */
  readonly keeps: boolean;
  /** Retries, where it matters. */
  readonly retries: number | undefined;
}

export interface FaultCase {
  readonly client: ClientName;
  readonly upstream: UpstreamName;
  /** The only timeout that is short while the case runs: nothing else could end it. Undefined: none is. */
  readonly timeout: TimeoutKey | undefined;
  readonly ends: Ending;
}

export function nameOf({ client, upstream }: Pick<FaultCase, 'client' | 'upstream'>): string {
  return `${client} × ${upstream}`;
}
