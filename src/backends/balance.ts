/** Which endpoint of a backend takes a request. Pure over plain data; the caller owns the rotation. */
import type { BackendConfig } from '../config/schema.ts';

export interface Balanced {
  /** Requests under way on it. */
  readonly inFlight: number;
}

/**
 * @param rotation counter of the backend, one higher with every request
 * @param random   uniform in [0, 1)
 * @param tried    endpoints that this request failed on, left out while there are others
 * @returns undefined when `usable` is empty or wholly in `tried`
 */
export function selectEndpoint<T extends Balanced>(
  method: BackendConfig['balance'],
  usable: readonly T[],
  rotation: number,
  random: () => number,
  tried: readonly T[],
): T | undefined {
  const candidates = tried.length === 0 ? usable : usable.filter((endpoint) => !tried.includes(endpoint));
  const count = candidates.length;
  if (count <= 1) return candidates[0];
  switch (method) {
    case 'roundrobin':
      return candidates[rotation % count];
    case 'random':
      return candidates[Math.floor(random() * count)];
    case 'leastRequests': {
      // The better of two at random: near the best of all, and no herd runs to the one that just got free.
      const first = Math.floor(random() * count);
      const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
      const a = candidates[first]!;
      const b = candidates[second]!;
      return b.inFlight < a.inFlight ? b : a;
    }
  }
}
