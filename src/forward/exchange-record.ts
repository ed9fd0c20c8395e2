/** The access record of an exchange. Pure. */
import type { AccessRecord, Termination } from '../observe/access-log.ts';
import type { Decision } from '../routing/decide.ts';
import { describeRequest, reached, startRecord } from './access-record.ts';
import type { Attempt } from './attempt.ts';
import type { Peer } from './peer.ts';
import type { FailureReason } from './reasons.ts';
import type { RequestDescription } from './request-description.ts';
import type { LiveRoute } from './snapshot.ts';

export interface ExchangeFacts {
  readonly peer: Peer;
  readonly request: RequestDescription;
  readonly live: LiveRoute | undefined;
  readonly decision: Decision | undefined;
  /** True if the request named a user. */
  readonly pinned: boolean;
  /** The last one. */
  readonly attempt: Attempt;
  /** 0: nothing was answered. */
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Clock milliseconds. */
  readonly startedAt: number;
  /** Milliseconds; -1: it did not wait for a place. */
  readonly queueMs: number;
  readonly totalMs: number;
  readonly termination: Termination;
  readonly reason: FailureReason | undefined;
  readonly retries: number;
  readonly redispatched: boolean;
  /** Index in the split of the canary whose failure the main backend made good; -1: none. */
  readonly shieldedFrom: number;
  /** The retry budget did not allow a retry. */
  readonly denied: boolean;
}

export function exchangeRecord(facts: ExchangeFacts): AccessRecord {
  const { peer, live, attempt } = facts;
  const { index, endpoint } = attempt;
  const record = startRecord(peer);
  describeRequest(record, facts.request, {
    live,
    index,
    endpoint,
    decision: facts.decision,
    pinned: facts.pinned,
  });
  const dispatched = attempt.dispatchedAt !== -1;
  record.status = facts.status === 0 ? undefined : facts.status;
  record.bytesIn = facts.bytesIn;
  record.bytesOut = facts.bytesOut;
  // When the first byte of a later request on a connection arrived is not noted.
  if (peer.requests === 1) record.headMs = facts.startedAt - peer.acceptedAt;
  record.queueMs = reached(facts.queueMs) ?? (dispatched ? 0 : undefined);
  record.connectMs = reached(attempt.connectMs);
  record.responseMs = reached(attempt.responseMs);
  record.totalMs = facts.totalMs;
  record.termination = facts.termination;
  record.reason = facts.reason;
  record.retries = facts.retries;
  record.redispatched = facts.redispatched;
  record.panic = index !== -1 && live!.use.panics(index);
  if (facts.shieldedFrom !== -1) record.shieldedFrom = live!.route.split.names[facts.shieldedFrom];
  if (facts.denied) record.retryDenied = 'retry_budget';
  if (dispatched) record.reused = attempt.reused;
  return record;
}
