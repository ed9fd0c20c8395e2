/** No proxy: the load goes straight to the production track. What the load generator and upstreams can do at most. */

import type { Subject } from './subject.ts';

export const direct: Subject = {
  name: 'direct',
  logsAccess: false,
  unavailable: () => undefined,
  version: () => 'no proxy',
  start: async ({ upstreamPorts }) =>
    await Promise.resolve({ port: upstreamPorts.production, process: undefined, stop: async () => {} }),
};
