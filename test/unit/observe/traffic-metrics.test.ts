import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../../src/observe/ledger.ts';
import { familyOf, type HistogramSeries, type ValueSeries } from '../../../src/observe/totals.ts';
import { NO_LABEL, TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';

function setUp() {
  const ledger = new Ledger();
  const metrics = new TrafficMetrics(ledger);
  const values = (name: string): Record<string, number> => {
    const series = familyOf(ledger.totals(), name)!.series as ValueSeries[];
    return Object.fromEntries(series.map(({ labels, value }) => [labels.join(' '), value]));
  };
  return { ledger, metrics, values };
}

test('a request counts by route, backend, method class and status class', () => {
  const { metrics, values } = setUp();
  const row = metrics.rowCells('free', 'canary');
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
    row.record(method, 200, 1, 1);
  for (const method of ['PROPFIND', 'get', '__proto__']) row.record(method, 200, 1, 1);
  for (const status of [101, 204, 304, 404, 503, 599]) row.record('GET', status, 1, 1);
  assert.deepEqual(values('pointsman_requests_total'), {
    'free canary GET 2xx': 2,
    'free canary HEAD 2xx': 1,
    'free canary POST 2xx': 1,
    'free canary PUT 2xx': 1,
    'free canary DELETE 2xx': 1,
    'free canary PATCH 2xx': 1,
    'free canary OPTIONS 2xx': 1,
    'free canary other 2xx': 3,
    'free canary GET 1xx': 1,
    'free canary GET 3xx': 1,
    'free canary GET 4xx': 1,
    'free canary GET 5xx': 2,
  });
});

test('a request without an answer, or with a status outside the classes, counts as none', () => {
  const { metrics, values } = setUp();
  const row = metrics.rowCells('free', NO_LABEL);
  for (const status of [0, -1, 99, 600, Number.NaN]) row.record('GET', status, 1, -1);
  assert.deepEqual(values('pointsman_requests_total'), { 'free - GET none': 5 });
});

test('the time to the response head is counted only for requests that got one', () => {
  const { ledger, metrics } = setUp();
  const row = metrics.rowCells('free', 'canary');
  row.record('GET', 200, 20, 10);
  row.record('GET', 503, 5, -1);
  const histogram = (name: string) => familyOf(ledger.totals(), name)!.series[0] as HistogramSeries;
  assert.equal(histogram('pointsman_request_duration_seconds').count, 2);
  assert.equal(histogram('pointsman_request_duration_seconds').sum, 25);
  assert.equal(histogram('pointsman_upstream_response_seconds').count, 1);
  assert.equal(histogram('pointsman_upstream_response_seconds').sum, 10);
});

test('a row that got no traffic is not exposed', () => {
  const { metrics, ledger } = setUp();
  metrics.rowCells('free', 'canary');
  for (const name of ['pointsman_requests_total', 'pointsman_request_duration_seconds']) {
    assert.deepEqual(familyOf(ledger.totals(), name)!.series, []);
  }
});

test('cells are the same objects on every call', () => {
  const { metrics } = setUp();
  assert.equal(metrics.rowCells('a', 'b'), metrics.rowCells('a', 'b'));
  assert.notEqual(metrics.rowCells('a', 'b'), metrics.rowCells('b', 'a'));
  assert.equal(metrics.backendCells('b'), metrics.backendCells('b'));
  assert.equal(metrics.backendCells('b').errors('reset'), metrics.backendCells('b').errors('reset'));
  assert.equal(metrics.endpointCells('b', '1.2.3.4:80'), metrics.endpointCells('b', '1.2.3.4:80'));
  assert.equal(metrics.failures('x'), metrics.failures('x'));
});

test('a backend counts connects, retries and errors by reason under its name', () => {
  const { metrics, values } = setUp();
  const backend = metrics.backendCells('canary');
  backend.inFlight.value++;
  backend.connects.value += 2;
  backend.retries('connect_refused').value++;
  backend.errors('connect_refused').value += 3;
  metrics.spills('canary', 'production').value++;
  metrics.pins('user', 'hash').value++;
  assert.deepEqual(values('pointsman_requests_in_flight'), { canary: 1 });
  assert.deepEqual(values('pointsman_upstream_connects_total'), { canary: 2 });
  assert.deepEqual(values('pointsman_retries_total'), { 'canary connect_refused': 1 });
  assert.deepEqual(values('pointsman_upstream_errors_total'), { 'canary connect_refused': 3 });
  assert.deepEqual(values('pointsman_spills_total'), { 'canary production': 1 });
  assert.deepEqual(values('pointsman_pins_total'), { 'user hash': 1 });
});

test('endpoints that came and went for months leave room for those that are there', () => {
  const { metrics, values } = setUp();
  metrics.rowCells('free', 'canary').record('GET', 200, 1, 1);
  for (let pod = 0; pod < 20_000; pod++) {
    const current = `10.0.${pod >> 8}.${pod & 255}:8080`;
    metrics.endpointCells('canary', current).requests.value++;
    metrics.retain({
      hasRoute: (route) => route === 'free',
      hasBackend: (backend) => backend === 'canary',
      hasEndpoint: (_backend, endpoint) => endpoint === current,
    });
  }
  const counted = values('pointsman_endpoint_requests_total');
  assert.equal(counted['other other'], undefined);
  assert.equal(counted['canary 10.0.78.31:8080'], 1);
  assert.deepEqual(values('pointsman_requests_total'), { 'free canary GET 2xx': 1 });
});

test('cells taken anew after retain are exposed', () => {
  const { metrics, values } = setUp();
  const live = { hasRoute: () => false, hasBackend: () => false, hasEndpoint: () => false };
  for (let i = 0; i < 4096; i++) metrics.endpointCells('b', `e${i}`).requests.value++;
  const before = metrics.endpointCells('b', 'e1').requests;
  assert.equal(metrics.retain(live), true);
  metrics.endpointCells('b', 'e1').requests.value++;
  assert.notEqual(metrics.endpointCells('b', 'e1').requests, before);
  assert.deepEqual(values('pointsman_endpoint_requests_total'), { 'b e1': 1 });
});
