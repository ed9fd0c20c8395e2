/** What the readers of the fast lane need from the outside, without a process around them. */

import { type ConfigInput, configSchema } from '../../src/config/schema.ts';
import type { Peer } from '../../src/forward/peer.ts';
import { compilePolicy, type ForwardPolicy } from '../../src/forward/policy.ts';

export function policyOf(config: Partial<ConfigInput> = {}): ForwardPolicy {
  const whole = configSchema.parse({
    backends: { main: { url: 'http://127.0.0.1:1' } },
    routes: [{ name: 'all', split: { main: 1 } }],
    ...config,
  });
  return compilePolicy(whole, { host: true, client: true }, undefined);
}

/** A client at 192.0.2.7. */
export function peerAt(trusted: boolean): Peer {
  return {
    address: '192.0.2.7',
    port: 40_000,
    label: '192.0.2.7:40000',
    acceptedAt: 0,
    requests: 0,
    trustList: undefined,
    trusted,
    counted: false,
    idleSince: 0,
    latest: undefined,
    next: undefined,
  };
}
