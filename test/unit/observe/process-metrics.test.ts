import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackendStatus, HealthState, ResolutionState } from '../../../src/backends/endpoint.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { ProcessMetrics } from '../../../src/observe/process-metrics.ts';
import { familyOf, type ValueSeries } from '../../../src/observe/totals.ts';
import { backendStatus, endpointStatus } from '../../support/endpoint-state.ts';

function setUp() {
  const ledger = new Ledger();
  const metrics = new ProcessMetrics(ledger, { version: '1.2.3', node: 'v26.10.0' });
  const values = (name: string): Record<string, number> => {
    const series = familyOf(ledger.totals(), name)!.series as ValueSeries[];
    return Object.fromEntries(series.map(({ labels, value }) => [labels.join(' '), value]));
  };
  return { metrics, values };
}

function backend(name: string, state: ResolutionState, ...healths: HealthState[]): BackendStatus {
  return backendStatus({
    name,
    resolution: { state, reason: '', since: 0, answeredAt: undefined, ttlMs: undefined },
    endpoints: healths.map((health, i) =>
      endpointStatus({ address: i === 0 ? 'fd00::1' : `10.0.0.${i}`, port: 80, health }),
    ),
  });
}

test('endpoints are exposed one by one and by health, and only those that exist now', () => {
  const { metrics, values } = setUp();
  metrics.setBackends([backend('gone', 'failed'), backend('canary', 'resolved', 'up', 'down', 'unchecked')]);
  metrics.setBackends([backend('canary', 'stale', 'down', 'up')]);
  assert.deepEqual(values('pointsman_endpoint_up'), { 'canary [fd00::1]:80': 0, 'canary 10.0.0.1:80': 1 });
  assert.deepEqual(values('pointsman_backend_endpoints'), {
    'canary up': 1,
    'canary down': 1,
    'canary unchecked': 0,
  });
  assert.deepEqual(values('pointsman_dns_state'), {
    'canary static': 0,
    'canary pending': 0,
    'canary resolved': 0,
    'canary stale': 1,
    'canary failed': 0,
  });
});

test('a rejected configuration shows as failed and leaves hash and time of the one in use', () => {
  const { metrics, values } = setUp();
  metrics.configLoaded('first', 1_000, false);
  assert.deepEqual(values('pointsman_config_reloads_total'), { ok: 0, rejected: 0 });
  metrics.configLoaded('second', 5_000, true);
  metrics.configRejected();
  assert.deepEqual(values('pointsman_config_reloads_total'), { ok: 1, rejected: 1 });
  assert.deepEqual(values('pointsman_config_last_reload_success'), { '': 0 });
  assert.deepEqual(values('pointsman_config_last_reload_success_timestamp_seconds'), { '': 5 });
  assert.deepEqual(values('pointsman_config_hash'), { second: 1 });
});

test('checks count by result, and the versions are exposed', () => {
  const { metrics, values } = setUp();
  metrics.healthCheck('canary', true);
  metrics.healthCheck('canary', false);
  metrics.healthCheck('canary', false);
  assert.deepEqual(values('pointsman_health_checks_total'), { 'canary ok': 1, 'canary failed': 2 });
  assert.deepEqual(values('pointsman_build_info'), { '1.2.3 v26.10.0': 1 });
});

test('what keeps endpoints from traffic, the circuit of a backend and changes of state are exposed', () => {
  const { metrics, values } = setUp();
  const endpoints = [
    endpointStatus({ address: '10.0.0.1', port: 80, ejected: true }),
    endpointStatus({ address: '10.0.0.2', port: 80, drained: true }),
  ];
  const circuit = { state: 'panic', reason: '', since: 0 } as const;
  metrics.setBackends([backendStatus({ name: 'canary', circuit, healthyShare: 0.25, endpoints })]);
  assert.deepEqual(values('pointsman_endpoint_ejected'), {
    'canary 10.0.0.1:80': 1,
    'canary 10.0.0.2:80': 0,
  });
  assert.deepEqual(values('pointsman_endpoint_drained'), {
    'canary 10.0.0.1:80': 0,
    'canary 10.0.0.2:80': 1,
  });
  assert.deepEqual(values('pointsman_backend_healthy_ratio'), { canary: 0.25 });
  assert.deepEqual(values('pointsman_backend_circuit'), {
    'canary closed': 0,
    'canary degraded': 0,
    'canary panic': 1,
    'canary open': 0,
  });
  metrics.stateChanged('health', 'canary', 'down');
  metrics.stateChanged('health', 'canary', 'down');
  metrics.stateChanged('circuit', 'canary', 'open');
  assert.deepEqual(values('pointsman_state_changes_total'), {
    'health canary down': 2,
    'circuit canary open': 1,
  });
});
