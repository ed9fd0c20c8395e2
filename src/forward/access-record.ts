/** The part of an access record that every kind of request has: plain, upgraded, or refused before it was one. */
import type { AccessRecord } from '../observe/access-log.ts';
import type { Decision } from '../routing/decide.ts';
import type { Endpoint } from './endpoint.ts';
import { withheldBy } from './live-route.ts';
import type { Peer } from './peer.ts';
import type { RequestDescription } from './request-description.ts';
import type { LiveRoute } from './snapshot.ts';

/** How far a request came. */
export interface Progress {
  readonly live: LiveRoute | undefined;
  /** Index in the split of the backend that served; -1: none was chosen. */
  readonly index: number;
  readonly endpoint: Endpoint | undefined;
  readonly decision: Decision | undefined;
  /** The request named a user. */
  readonly pinned: boolean;
}

/** A record with what is known of any request; times, counts and the end are for the caller to fill in. */
export function startRecord(peer: Peer): AccessRecord {
  return {
    client: peer.label,
    method: '<BADREQ>',
    path: '',
    host: undefined,
    protocol: '',
    group: undefined,
    route: undefined,
    backend: undefined,
    endpoint: undefined,
    status: undefined,
    bytesIn: 0,
    bytesOut: 0,
    headMs: undefined,
    queueMs: undefined,
    connectMs: undefined,
    responseMs: undefined,
    totalMs: undefined,
    termination: '--',
    reason: undefined,
    retries: 0,
    redispatched: false,
    spilled: false,
    spilledFrom: undefined,
    panic: false,
    shieldedFrom: undefined,
    retryDenied: undefined,
    reused: undefined,
    requestId: undefined,
    pinned: undefined,
    bucket: undefined,
    invariant: undefined,
  };
}

export function describeRequest(
  record: AccessRecord,
  { facts, requestId, host, target, protocol }: RequestDescription,
  { live, index, endpoint, decision, pinned }: Progress,
): void {
  record.method = facts.method;
  record.path = target;
  record.host = host;
  record.protocol = protocol;
  record.group = facts.groups?.join(', ') ?? (facts.group === '' ? undefined : facts.group);
  record.requestId = requestId;
  record.route = live?.route.name;
  record.backend = index === -1 ? undefined : live?.route.split.names[index];
  record.endpoint = endpoint?.label;
  if (decision === undefined) return;
  record.spilled = decision.wanted !== -1 && decision.index !== -1 && decision.index !== decision.wanted;
  if (record.spilled) record.spilledFrom = live?.route.split.names[decision.wanted];
  record.pinned = pinned ? decision.source : undefined;
  if (decision.bucket !== -1) record.bucket = decision.bucket;
  if (decision.index === -1 && live !== undefined) record.invariant = withheldBy(live);
}

/** Phases that were not reached are -1 here and undefined in a record. */
export function reached(ms: number): number | undefined {
  return ms < 0 ? undefined : ms;
}
