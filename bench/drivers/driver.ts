/** What a load generator is asked to do and what it gives back. All of them run as processes of their own. */

import type { Request } from '../workload.ts';

export interface Load {
  readonly port: number;
  /** Sent in turn by every connection. */
  readonly requests: readonly Request[];
  readonly connections: number;
  readonly seconds: number;
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface LoadResult {
  /** Answers received. */
  readonly requests: number;
  readonly seconds: number;
  /** Bytes received, heads included. */
  readonly bytes: number;
  readonly latency: Latency;
  /** Connections that failed or broke, timeouts, unreadable answers. */
  readonly errors: number;
  /** Answers with a status outside 200–299 (wrk counts those above 399 alone). */
  readonly non2xx: number;
}

export type DriverName = 'autocannon' | 'wrk' | 'paced';
