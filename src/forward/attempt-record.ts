/** What a failed attempt, and the one that follows it, count as: the same for every kind of request. */
import type { Endpoint } from './endpoint.ts';
import type { FailureReason } from './reasons.ts';
import { type AttemptFailure, isShielded, type Retry } from './retry-plan.ts';
import type { LiveRoute } from './snapshot.ts';

/**
 * Counts an attempt that brought no response, or not all of one, and holds it against the endpoint if that is to blame.
 *
 * @param index         of the backend, in the split
 * @param local         the fault is on this side: files or ports have run out
 * @param reused        the connection had been used before
 * @param responseBegun a byte of the response had come
 */
export function recordFailure(
  live: LiveRoute,
  index: number,
  endpoint: Endpoint,
  reason: FailureReason,
  local: boolean,
  reused: boolean,
  responseBegun: boolean,
): void {
  const upstream = live.upstreams[index]!;
  upstream.cells.errors(reason).value++;
  endpoint.cells.errors.value++;
  // What a client can provoke by what it asks for must not take endpoints away from others.
  if (local || reason === 'bad_response' || reason === 'bad_request') return;
  // A connection that lay idle may end in the very moment it is used again: nobody's fault.
  if (reused && reason === 'upstream_reset') return;
  if (responseBegun) upstream.onBroken(endpoint);
  else upstream.onNoAnswer(endpoint);
}

/**
 * Counts a retry where it comes from.
 *
 * @param status    of the failure: the one that came, or the one that would have been answered
 * @param elapsedMs since the request began
 * @returns whether it shields a canary: nobody sees the failure then, but it counts as the canary's answer all the same,
 *          or whoever judges it would be deceived
 */
export function recordRetry(
  live: LiveRoute,
  index: number,
  endpoint: Endpoint,
  next: Retry,
  failure: AttemptFailure,
  status: number,
  method: string,
  elapsedMs: number,
): boolean {
  const { cells } = live.upstreams[index]!;
  cells.retries(failure).value++;
  if (next.endpoint !== endpoint) cells.redispatches.value++;
  if (next.index === index || !isShielded(live, index)) return false;
  cells.shielded(failure).value++;
  live.cells[index]!.record(method, status, elapsedMs, -1);
  return true;
}
