/** Whether a request is taken on, asked by requests and upgrades alike; and the answer to one that is not. */
import type { Admission } from '../admission/admission.ts';
import type { Rate, RateLimits } from '../admission/rate-limits.ts';
import { retryAfterSeconds } from '../admission/token-bucket.ts';
import { clientAddress } from '../http/message-fields.ts';
import type { TrafficMetrics } from '../observe/traffic-metrics.ts';
import type { RequestFacts } from '../routing/match.ts';
import { withForwardedFor } from './forwarded-headers.ts';
import type { Peer } from './peer.ts';
import type { ForwardPolicy } from './policy.ts';
import type { FailureReason } from './reasons.ts';

export interface Refusal {
  readonly reason: FailureReason;
  readonly detail: string;
  /** Of the answer: names and values in turn. */
  readonly fields: readonly string[];
}

const CAUSES = {
  inFlight: 'As many requests as allowed are under way.',
  eventLoop: 'There is more to do than can be done.',
  bufferedBytes: 'Requests under way fill the memory they may have.',
} as const;

const SOON: readonly string[] = ['Retry-After', '1'];

/** For a request that comes while the ceiling is reached. Counts it. */
export function overloadRefusal(admission: Admission): Refusal {
  return { reason: 'overloaded', detail: CAUSES[admission.countShed()], fields: SOON };
}

/** For a request over a rate. Counts it. */
function rateRefusal(metrics: TrafficMetrics, rate: Rate, waitMs: number): Refusal {
  metrics.rateLimited(rate.name).value++;
  const seconds = String(retryAfterSeconds(waitMs));
  return {
    reason: 'rate_limited',
    detail: `Again in ${seconds} s, by the rate ${rate.name}.`,
    fields: ['Retry-After', seconds],
  };
}

/** @param then called exactly once, at once or within the deadline of Redis; without a refusal the request is taken on */
export function askRates(
  rates: RateLimits,
  metrics: TrafficMetrics,
  facts: RequestFacts,
  peer: Peer,
  policy: ForwardPolicy,
  then: (refusal: Refusal | undefined) => void,
): void {
  const client = rates.needsClient ? clientOf(facts.rawHeaders, peer, policy) : '';
  rates.admit({ facts, peer, client }, (exceeded, waitMs) => {
    then(exceeded === undefined ? undefined : rateRefusal(metrics, exceeded, waitMs));
  });
}

/** '' for a trusted peer that does not say for whom it asks: a gateway must not be taken for one client. */
function clientOf(rawHeaders: readonly string[], { address, trusted }: Peer, policy: ForwardPolicy): string {
  if (!trusted) return address;
  let forwardedFor: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 15 || name.toLowerCase() !== 'x-forwarded-for') continue;
    forwardedFor = withForwardedFor(forwardedFor, rawHeaders[i + 1]!);
  }
  const client = clientAddress(address, forwardedFor, policy.isTrusted);
  return policy.isTrusted(client) ? '' : client;
}
