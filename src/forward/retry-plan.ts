/**
 * Whether a request whose attempt failed is sent again, and where. For every kind of request; knows nothing of how
 * one is sent.
 */

import type { RetryBudget } from '../admission/retry-budget.ts';
import type { Balancer } from '../backends/balance.ts';
import { isIdempotent } from '../http/methods.ts';
import { drawAtRandom } from '../routing/split.ts';
import type { Endpoint } from './endpoint.ts';
import { endpointWithRoom } from './endpoint-choice.ts';
import type { FailureReason } from './reasons.ts';
import type { LiveRoute } from './snapshot.ts';

/** Answers of a canary that its users need not see. */
export type GatewayAnswer = 'answered_502' | 'answered_503' | 'answered_504';

export type AttemptFailure = FailureReason | GatewayAnswer;

/** A request after a failed attempt. */
export interface FailedAttempt {
  readonly live: LiveRoute;
  /** Of the backend that was tried, in the split. */
  readonly index: number;
  readonly endpoint: Endpoint;
  readonly failure: AttemptFailure;
  /** The connection had been used before: it may have ended while it lay idle. */
  readonly reused: boolean;
  /** A byte of the response had come, and was not thrown away. */
  readonly responseBegun: boolean;
  readonly method: string;
  /** There is no body, or all of it that came is still here. */
  readonly replayable: boolean;
  /** Attempts before this one. */
  readonly retries: number;
  /** One of them ran out of time. */
  readonly timedOut: boolean;
  /** Its user must not be served by another backend. */
  readonly staysPut: boolean;
  /** Endpoints that the request failed on before; gets this one, if it is to blame. */
  readonly tried: Endpoint[];
}

export interface Retry {
  /** In the split. */
  readonly index: number;
  readonly endpoint: Endpoint;
  /** On a new connection: those that lie idle may be broken as well. */
  readonly fresh: boolean;
}

/** `final`: the failure is the answer; `denied`: it would have been sent again, were the budget not used up. */
export type RetryPlan = Retry | 'final' | 'denied';

export interface RetryMeans {
  /** Most retries of one request. */
  readonly attempts: number;
  readonly budget: RetryBudget;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Monotonic milliseconds. */
  readonly now: number;
}

export function planRetry(failed: FailedAttempt, { attempts, budget, random, now }: RetryMeans): RetryPlan {
  const { live, index, endpoint, failure, tried } = failed;
  if (failed.retries >= attempts || !failed.replayable || !mayRepeat(failed)) return 'final';
  const serves = live.use.balancer(index)?.endpoints.includes(endpoint) === true;
  if (failure === 'upstream_reset' && failed.reused && serves) {
    // It ended while it lay idle, most likely. Outside of the budget: there is one such retry for each connection.
    return { index, endpoint, fresh: true };
  }
  tried.push(endpoint);
  const next = nextBackend(failed, random());
  let target: Endpoint | undefined;
  if (next !== -1) {
    target = endpointWithRoom(live.use.balancer(next) as Balancer<Endpoint>, tried, now)!;
  } else if (serves && (isUnsent(failure) || failure === 'upstream_reset')) {
    target = endpoint;
  }
  if (target === undefined) return 'final';
  // What no upstream has seen yet and goes to one that answers multiplies nothing.
  const free = isUnsent(failure) && target !== endpoint && target.connectFailures === 0;
  if (!free && !budget.take(now)) return 'denied';
  return { index: next === -1 ? index : next, endpoint: target, fresh: target === endpoint };
}

/**
 * Where a request goes that waited for a backend which takes none any more.
 *
 * @returns index in the split; -1: nowhere
 */
export function otherBackend(live: LiveRoute, index: number, staysPut: boolean, random: number): number {
  if (live.usable(index)) return index;
  return staysPut ? -1 : drawAtRandom(live.route.split.weights, random, live.usable);
}

/** Whether the backend's failures are kept from users by sending their requests to the main backend. */
export function isShielded({ route }: LiveRoute, index: number): boolean {
  return route.shield && index !== route.split.main;
}

export function gatewayAnswer(status: number): GatewayAnswer | undefined {
  switch (status) {
    case 502:
      return 'answered_502';
    case 503:
      return 'answered_503';
    case 504:
      return 'answered_504';
    default:
      return undefined;
  }
}

/**
 * Only what cannot repeat an effect is sent again: either nothing reached an upstream, or the method is idempotent and
 * not a byte of a response came (RFC 9110, 9.2.2). Whoever waited for a timeout waits for a second one at most.
 */
function mayRepeat({ failure, method, responseBegun, timedOut }: FailedAttempt): boolean {
  if (isUnsent(failure)) return true;
  if (!isIdempotent(method)) return false;
  if (isGatewayAnswer(failure)) return true;
  if (responseBegun) return false;
  return failure === 'upstream_reset' || (failure === 'response_timeout' && !timedOut);
}

/**
 * Another endpoint of the same backend keeps a user in the same build; but where a canary itself may be what fails,
 * the main backend answers.
 *
 * @returns index in the split of a backend with an endpoint that was not tried; -1: there is none
 */
function nextBackend({ live, index, failure, staysPut, tried }: FailedAttempt, random: number): number {
  const { route, use } = live;
  const { main, weights } = route.split;
  const takesOver = weights[main]! > 0;
  const shield = !staysPut && takesOver && isShielded(live, index) && use.hasOther(main, tried);
  if (isGatewayAnswer(failure)) return shield ? main : -1;
  if (shield && failure === 'upstream_reset') return main;
  if (use.hasOther(index, tried)) return index;
  if (shield) return main;
  // Without a shield the failures of a canary are there to be seen.
  if (staysPut || (index !== main && !route.shield)) return -1;
  return drawAtRandom(weights, random, (other) => use.hasOther(other, tried));
}

function isUnsent(failure: AttemptFailure): boolean {
  return failure === 'connect_failed' || failure === 'connect_timeout' || failure === 'tls_failed';
}

function isGatewayAnswer(failure: AttemptFailure): boolean {
  return failure === 'answered_502' || failure === 'answered_503' || failure === 'answered_504';
}
