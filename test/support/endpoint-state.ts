/** An endpoint as the primary tells it, with nothing special about it but what a test says. */
import type { BackendStatus, EndpointState, EndpointStatus } from '../../src/backends/endpoint.ts';

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
  return {
    ...endpointState(facts),
    reason: '',
    since: 0,
    admin: { state: 'ready', reason: 'in service', since: 0 },
    dns: { state: 'static', reason: 'the URL holds an address', since: 0 },
    ejection: undefined,
    checks: [],
    ...facts,
  };
}

/** A backend of these endpoints, resolved and with nothing wrong but what a test says. */
export function backendStatus(
  facts: Partial<BackendStatus> & Pick<BackendStatus, 'name' | 'endpoints'>,
): BackendStatus {
  return {
    resolution: { state: 'resolved', reason: '', since: 0, answeredAt: undefined, ttlMs: undefined },
    servers: [],
    circuit: { state: 'closed', reason: '', since: 0 },
    healthyShare: 1,
    ...facts,
  };
}
