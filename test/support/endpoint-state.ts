/** An endpoint as the primary tells it, with nothing special about it but what a test says. */
import type { EndpointState, EndpointStatus } from '../../src/backends/endpoint.ts';

export function endpointState(
  facts: Partial<EndpointState> & Pick<EndpointState, 'address' | 'port'>,
): EndpointState {
  return {
    scheme: 'http',
    serverName: facts.address,
    authority: `${facts.address}:${facts.port}`,
    health: 'up',
    weight: 1,
    tier: 0,
    drained: false,
    ejected: false,
    warmingSince: 0,
    ...facts,
  };
}

/** The same as status shows it. */
export function endpointStatus(
  facts: Partial<EndpointStatus> & Pick<EndpointStatus, 'address' | 'port'>,
): EndpointStatus {
  return { ...endpointState(facts), reason: '', since: 0, checks: [], ...facts };
}
