/**
 * Which failures an outage explains: those that no proxy can keep from clients. Each rule is as narrow as what is known
 * allows: the very connection, or the very endpoint that the request was on. Pure.
 */

import type { Failure } from './load/failure.ts';

/** A worker was stopped, looked at, and killed; times by the clock of all processes. */
export interface WorkerKill {
  readonly pid: number;
  readonly stoppedAt: number;
  /** Its end was noticed. */
  readonly goneAt: number;
  /** Client ports of the connections that it held when it was stopped. */
  readonly accepted: ReadonlySet<number>;
  /** And of those that nobody had accepted yet. */
  readonly waiting: ReadonlySet<number>;
}

export interface EndpointKill {
  readonly endpoint: string;
  readonly at: number;
  /** Its end was noticed: on a busy machine a process takes its time to die. */
  readonly goneAt: number;
}

export interface Incidents {
  readonly workerKills: readonly WorkerKill[];
  readonly endpointKills: readonly EndpointKill[];
}

/** What the access log says of a request that failed. */
export interface LoggedFailure {
  readonly endpoint: string | undefined;
  readonly reason: string | undefined;
}

export const EXPLANATIONS = {
  'worker-connection': 'cut: the connection belonged to the worker that was killed',
  'worker-unaccepted': 'cut: the connection waited to be accepted by the worker that was killed',
  'endpoint-unsafe': '502: under way on the endpoint that was killed, and must not be sent twice',
  'endpoint-begun': 'cut: the response of the endpoint that was killed had begun',
  'endpoint-tunnel': 'closed: a WebSocket to the endpoint that was killed',
} as const;

export type Explanation = keyof typeof EXPLANATIONS;

/** How long after its end the kernel's news of it may reach a client, or a worker that is busy. */
const NEWS_MS = 1_000;

/** `retries.bufferSize`: what is longer is not kept to be sent again. */
const KEPT_BYTES = 64 * 1024;

export function explain(
  failure: Failure,
  { workerKills, endpointKills }: Incidents,
  logged: LoggedFailure | undefined,
): Explanation | undefined {
  if (failure.form === 'cut') {
    for (const kill of workerKills) {
      const explanation = byWorker(failure, kill);
      if (explanation !== undefined) return explanation;
    }
  }
  const endpoint = failure.endpoint ?? logged?.endpoint;
  for (const kill of endpointKills) {
    if (kill.endpoint !== endpoint || !wasUnderWay(failure, kill.at, kill.goneAt)) continue;
    const explanation = byEndpoint(failure, logged);
    if (explanation !== undefined) return explanation;
  }
  return undefined;
}

function byWorker(failure: Failure, kill: WorkerKill): Explanation | undefined {
  const { port, connectingAt } = failure;
  if (!wasUnderWay(failure, kill.stoppedAt, kill.goneAt)) return undefined;
  if (kill.accepted.has(port) && connectingAt <= kill.stoppedAt) return 'worker-connection';
  // Those that came after the look at the kernel's table could not be accepted any more.
  const unaccepted =
    kill.waiting.has(port) || (connectingAt >= kill.stoppedAt && connectingAt <= kill.goneAt);
  return unaccepted && failure.status === 0 ? 'worker-unaccepted' : undefined;
}

function byEndpoint(failure: Failure, logged: LoggedFailure | undefined): Explanation | undefined {
  if (failure.kind === 'websocket') {
    const refused = failure.form === 'status' && failure.reason === 'upstream_reset';
    return failure.form === 'cut' || refused ? 'endpoint-tunnel' : undefined;
  }
  if (failure.form === 'cut') return logged?.reason === 'upstream_truncated' ? 'endpoint-begun' : undefined;
  if (failure.form !== 'status' || failure.status !== 502) return undefined;
  const mayBeRepeated = failure.method !== 'POST' && failure.bodyBytes <= KEPT_BYTES;
  return logged?.reason === 'upstream_reset' && !mayBeRepeated ? 'endpoint-unsafe' : undefined;
}

/** The request had begun when it happened, or while the news spread, and ended for that. */
function wasUnderWay({ startedAt, endedAt }: Failure, from: number, to: number): boolean {
  return startedAt <= to + NEWS_MS && endedAt >= from && endedAt <= to + NEWS_MS;
}
