/** An endpoint that can take a request at once, where there is one. */
import type { Balancer } from '../backends/balance.ts';
import type { Endpoint } from './endpoint.ts';

/**
 * The balancer's choice; when that one is at its limit of connections, another one that is not; when all are, the one
 * with the shortest queue.
 */
export function endpointWithRoom(
  balancer: Balancer<Endpoint>,
  tried: readonly Endpoint[],
  now: number,
): Endpoint | undefined {
  const chosen = balancer.select(tried, now);
  if (chosen === undefined || !chosen.pool.full) return chosen;
  let best = chosen;
  for (const endpoint of balancer.endpoints) {
    if (tried.includes(endpoint)) continue;
    const { pool } = endpoint;
    if (!pool.full) {
      // Of several with room the one with the fewest requests for its weight.
      if (best.pool.full || endpoint.inFlight * best.weight < best.inFlight * endpoint.weight)
        best = endpoint;
    } else if (best.pool.full && pool.pending < best.pool.pending) {
      best = endpoint;
    }
  }
  return best;
}
