import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildStatus, type ProcessFacts } from '../../../src/admin/status.ts';
import type { BackendStatus } from '../../../src/backends/endpoint.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { NO_LABEL, TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';
import { backendStatus, endpointStatus } from '../../support/endpoint-state.ts';

const config = configSchema.parse({
  service: 'shop',
  backends: { canary: { url: 'http://shop-canary' }, production: { url: 'http://shop:8080' } },
  routes: [{ name: 'all', split: { canary: 5, production: 95 } }],
});

const backends: BackendStatus[] = [
  backendStatus({
    name: 'canary',
    resolution: {
      state: 'failed',
      reason: 'no such name',
      since: 1_000,
      answeredAt: undefined,
      ttlMs: undefined,
    },
    endpoints: [],
  }),
  backendStatus({
    name: 'production',
    resolution: { state: 'resolved', reason: '2 addresses', since: 1_000, answeredAt: 2_000, ttlMs: 5_000 },
    endpoints: [
      endpointStatus({ address: '10.0.0.1', port: 8080, reason: 'connected', since: 1_500 }),
      endpointStatus({
        address: 'fd00::1',
        port: 8080,
        health: 'down',
        reason: 'connection refused',
        since: 1_600,
      }),
    ],
  }),
];

const facts: ProcessFacts = {
  version: '1.2.3',
  node: 'v26.0.0',
  startedAt: 1_000,
  now: 61_000,
  ready: { ok: false, reasons: ['shutting down'] },
  config: {
    file: '/etc/pointsman/pointsman.yaml',
    hash: 'abc',
    loadedAt: 31_000,
    reloads: { ok: 2, rejected: 1 },
    lastReload: { at: 31_000, result: 'ok', changes: ['route all: canary 1 → 5'] },
    lastError: undefined,
    restartNeeded: ['listen'],
  },
  workers: [{ id: 1, pid: 42, state: 'online', restarts: 0, eventLoop: undefined }],
};

function traffic(): Ledger {
  const ledger = new Ledger();
  const metrics = new TrafficMetrics(ledger);
  for (let i = 0; i < 99; i++) metrics.rowCells('all', 'production').record('GET', 200, 10, 8);
  metrics.rowCells('all', 'production').record('GET', 503, 1_000, -1);
  metrics.rowCells('all', 'canary').record('POST', 200, 10, 8);
  metrics.rowCells(NO_LABEL, NO_LABEL).record('GET', 400, 1, -1);
  metrics.endpointCells('production', '10.0.0.1:8080').requests.value = 100;
  metrics.failures('bad_request').value = 1;
  metrics.clientConnections.value = 7;
  return ledger;
}

const status = buildStatus({ config, backends, totals: traffic().totals(), facts });

test('the status says what runs, since when, and whether it is ready', () => {
  assert.equal(status.version, '1.2.3');
  assert.equal(status.uptimeSeconds, 60);
  assert.equal(status.config.ageSeconds, 30);
  assert.deepEqual(status.ready, { ok: false, reasons: ['shutting down'] });
  assert.deepEqual(status.config.lastReload?.changes, ['route all: canary 1 → 5']);
  assert.deepEqual(status.config.restartNeeded, ['listen']);
});

test('a route shows its shares as configured and its requests as they went', () => {
  const [all] = status.routes;
  assert.deepEqual(all?.shares, { canary: 5, production: 95 });
  assert.deepEqual(all?.requestsByBackend, { canary: 1, production: 100 });
  assert.equal(all?.requests, 101);
  assert.equal(all?.errors, 1);
  assert.ok(all.latencyMs.p50! <= 12.5 && all.latencyMs.p50! >= 8, String(all.latencyMs.p50));
});

test('a backend shows its name resolution, its endpoints and their health with reasons', () => {
  const [canary, production] = status.backends;
  assert.equal(canary?.resolution.reason, 'no such name');
  assert.equal(canary?.usableEndpoints, 0);
  assert.equal(production?.url, 'http://shop:8080');
  assert.equal(production?.usableEndpoints, 1);
  assert.deepEqual(
    production?.endpoints.map(({ endpoint, health, reason, requests }) => [
      endpoint,
      health,
      reason,
      requests,
    ]),
    [
      ['10.0.0.1:8080', 'up', 'connected', 100],
      ['[fd00::1]:8080', 'down', 'connection refused', 0],
    ],
  );
});

test('an endpoint shows three states, each with reason and since, and what traffic made of it', () => {
  const endpoint = endpointStatus({
    address: '10.0.0.1',
    port: 80,
    ejected: true,
    weight: 3,
    tier: 1,
    warmingSince: 9_000,
    reason: 'connected',
    since: 1_000,
    admin: { state: 'ready', reason: 'in service', since: 2_000 },
    dns: { state: 'stale', reason: 'timed out', since: 3_000 },
    ejection: { reason: '3 requests in a row without a response', since: 4_000, until: 34_000, times: 2 },
  });
  const idle = endpointStatus({ address: '10.0.0.2', port: 80, drained: true });
  const { backends: reports } = buildStatus({
    config,
    backends: [
      backendStatus({
        name: 'production',
        circuit: { state: 'open', reason: 'none available: 1 ejected', since: 4_000 },
        healthyShare: 1 / 3,
        endpoints: [endpoint, idle],
      }),
    ],
    totals: traffic().totals(),
    facts,
  });
  const report = reports.find(({ name }) => name === 'production')!;
  const at = (seconds: number) => new Date(seconds * 1_000).toISOString();
  assert.deepEqual(report.circuit, { state: 'open', reason: 'none available: 1 ejected', since: at(4) });
  assert.equal(report.healthyShare, 0.3333);
  assert.deepEqual(report.endpointsBy, { up: 2, down: 0, unchecked: 0, ejected: 1, drained: 1 });
  assert.equal(report.usableEndpoints, 0);
  const { health, reason, since, admin, dns, ejection, weight, tier, warmingSince } = report.endpoints[0]!;
  assert.deepEqual([health, reason, since], ['up', 'connected', at(1)]);
  assert.deepEqual(admin, { state: 'ready', reason: 'in service', since: at(2) });
  assert.deepEqual(dns, { state: 'stale', reason: 'timed out', since: at(3) });
  assert.deepEqual(ejection, {
    reason: '3 requests in a row without a response',
    since: at(4),
    until: at(34),
    times: 2,
  });
  assert.deepEqual([weight, tier, warmingSince], [3, 1, at(9)]);
  assert.equal(report.endpoints[1]!.ejection, null);
  assert.equal(report.endpoints[1]!.warmingSince, null);
});

test('failures and connections are counted', () => {
  assert.deepEqual(status.failures, { bad_request: 1 });
  assert.deepEqual(status.connections, { client: 7, tunnels: 0 });
});

test('the status is plain JSON', () => {
  assert.deepEqual(JSON.parse(JSON.stringify(status)), status);
});
