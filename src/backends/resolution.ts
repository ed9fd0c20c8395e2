/** What a name turned out to stand for, or why it could not be told. */

import type { Target } from './target.ts';

/** What is asked for. */
export interface Name {
  readonly host: string;
  /** For the SRV records of the host, else for its addresses. */
  readonly srv: boolean;
}

/**
 * `notFound`: the name does not exist (NXDOMAIN). `noAddresses`: it does, without an address. `serverFailure`: SERVFAIL
 * or an answer that makes no sense. `refused`: the server will not answer us. `other`: no server could be asked.
 */
export type FailureKind = 'notFound' | 'noAddresses' | 'timeout' | 'serverFailure' | 'refused' | 'other';

export interface Answer {
  readonly kind: 'answer';
  /** In a stable order, at least one. */
  readonly targets: readonly Target[];
  /** Between `minTtl` and `maxTtl`. */
  readonly ttlMs: number;
  /** Targets above the most that are used. */
  readonly omitted: number;
  /** For people: what is missing from the answer, and why. */
  readonly note?: string;
}

export interface Failure {
  readonly kind: 'failure';
  readonly reason: FailureKind;
  /** For people: what was asked for, of whom, and what came back. */
  readonly detail: string;
  /** How long the server says that this stays so (RFC 2308), unbounded; undefined: it did not say. */
  readonly ttlMs?: number;
}

export type Resolution = Answer | Failure;

/** What turns names into targets. */
export interface NameResolver {
  /** Never rejects. */
  resolve(name: Name): Promise<Resolution>;
  close(): void;
}

export function failure(reason: FailureKind, detail: string, ttlMs?: number): Failure {
  return { kind: 'failure', reason, detail, ...(ttlMs === undefined ? {} : { ttlMs }) };
}

/** Whether DNS has said that there is nothing, rather than nothing at all. */
export function isDenial(reason: FailureKind): boolean {
  return reason === 'notFound' || reason === 'noAddresses';
}

/** How much a failure says against the name being simply absent; the highest of several is told. */
const RANK: Record<FailureKind, number> = {
  notFound: 0,
  noAddresses: 1,
  refused: 2,
  serverFailure: 3,
  timeout: 4,
  other: 5,
};

export function worseOf(a: Failure | undefined, b: Failure): Failure {
  return a === undefined || RANK[b.reason] > RANK[a.reason] ? b : a;
}
