/** Facts about a request for its log line, its metrics, its trace and its debug headers. */
import type { AccessRecord, Termination } from '../observe/access-log.ts';
import type { Decision } from '../routing/decide.ts';
import type { TracedRequest } from '../tracing/tracing.ts';
import type { Attempt } from './attempt.ts';
import type { Forwarder } from './forwarder.ts';
import { withheldBy } from './live-route.ts';
import type { Peer } from './peer.ts';
import { type FailureReason, metError } from './reasons.ts';
import type { RequestDescription } from './request-description.ts';
import type { LiveRoute } from './snapshot.ts';

/** Progress of a request. */
export class Progress {
  live: LiveRoute | undefined = undefined;
  /** Undefined if the request names no user. Never logged. */
  user: string | undefined = undefined;
  decision: Decision | undefined = undefined;
  trace: TracedRequest | undefined = undefined;
  /** Milliseconds; -1: it did not wait for a place. */
  queueMs = -1;
  retries = 0;
  redispatched = false;
  /** The retry budget did not allow a retry. */
  denied = false;
  /** Index in the split of the canary whose failure the main backend made good; -1: none. */
  shieldedFrom = -1;
  reason: FailureReason | undefined = undefined;
  termination: Termination = '--';
  /** Bytes that crossed a tunnel. */
  tunnelIn = 0;
  tunnelOut = 0;
}

/** Result of a request, in addition to its progress. */
export interface Ending {
  /** 0: nothing was answered. */
  readonly status: number;
  /** Content bytes of the request and of the response. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Clock milliseconds. */
  readonly startedAt: number;
  readonly totalMs: number;
}

/** Counts a request that has ended, and ends its trace. The parameters are those of `Ending`. */
export function countExchange(
  forwarder: Forwarder,
  { facts }: RequestDescription,
  progress: Progress,
  attempt: Attempt,
  status: number,
  bytesIn: number,
  bytesOut: number,
  totalMs: number,
): void {
  const { metrics } = forwarder.edges;
  const { live, reason, user, decision, trace } = progress;
  const { index, endpoint, responseMs } = attempt;
  // The open time of a tunnel is not a latency.
  const duration = status === 101 ? responseMs : totalMs;
  forwarder.cellsOf(live, index).record(facts.method, status, duration, responseMs);
  if (status >= 500 && reason === undefined && endpoint !== undefined) endpoint.cells.errors.value++;
  if (user !== undefined && index !== -1) {
    live!.exposure?.[index]?.record(decision!.hash, metError(status, reason));
  }
  metrics.bytesIn.value += bytesIn;
  metrics.bytesOut.value += bytesOut;
  trace?.end(
    {
      method: facts.method,
      route: live?.route.name,
      backend: index === -1 ? undefined : live?.route.split.names[index],
      endpoint: endpoint?.label,
      status,
      bucket: decision === undefined || decision.bucket === -1 ? undefined : decision.bucket,
      retries: progress.retries,
      reason,
    },
    Date.now(),
  );
}

/** Returns the access record of a request. Pure. @param attempt the last one */
export function exchangeRecord(
  peer: Peer,
  { facts, requestId, host, target, protocol }: RequestDescription,
  progress: Progress,
  { index, endpoint, dispatchedAt, connectMs, responseMs, reused }: Attempt,
  ending: Ending,
): AccessRecord {
  const { live, decision } = progress;
  const names = live?.route.split.names;
  const record = startRecord(peer);
  record.method = facts.method;
  record.path = target;
  record.host = host;
  record.protocol = protocol;
  record.group = facts.groups?.join(', ') ?? (facts.group === '' ? undefined : facts.group);
  record.requestId = requestId;
  record.route = live?.route.name;
  record.backend = index === -1 ? undefined : names?.[index];
  record.endpoint = endpoint?.label;
  if (decision !== undefined) {
    const { wanted, source, bucket } = decision;
    record.spilled = wanted !== -1 && decision.index !== -1 && decision.index !== wanted;
    if (record.spilled) record.spilledFrom = names?.[wanted];
    record.pinned = progress.user === undefined ? undefined : source;
    if (bucket !== -1) record.bucket = bucket;
    if (decision.index === -1 && live !== undefined) record.invariant = withheldBy(live);
  }
  const dispatched = dispatchedAt !== -1;
  record.status = ending.status === 0 ? undefined : ending.status;
  record.bytesIn = ending.bytesIn + progress.tunnelIn;
  record.bytesOut = ending.bytesOut + progress.tunnelOut;
  // When the first byte of a later request on a connection arrived is not noted.
  if (peer.requests === 1) record.headMs = ending.startedAt - peer.acceptedAt;
  record.queueMs = reached(progress.queueMs) ?? (dispatched ? 0 : undefined);
  record.connectMs = reached(connectMs);
  record.responseMs = reached(responseMs);
  record.totalMs = ending.totalMs;
  record.termination = progress.termination;
  record.reason = progress.reason;
  record.retries = progress.retries;
  record.redispatched = progress.redispatched;
  record.panic = index !== -1 && live!.use.panics(index);
  if (progress.shieldedFrom !== -1) record.shieldedFrom = names?.[progress.shieldedFrom];
  if (progress.denied) record.retryDenied = 'retry_budget';
  if (dispatched) record.reused = reused;
  return record;
}

/** Returns an empty access record for a client. */
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

/** Returns a duration; undefined if the phase was not reached. */
function reached(ms: number): number | undefined {
  return ms < 0 ? undefined : ms;
}
