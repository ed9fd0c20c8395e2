/** The admin port: probes, metrics and status of a proxy that has done some work. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { designTable, oneBackend, startTracks } from '../../support/design-table.ts';
import { type Family, parseExposition } from '../../support/exposition.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { exchange } from '../../support/raw-client.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const tracks = await startTracks();
const proxy = await startPointsman(designTable(tracks));
const admin = (path: string, method = 'GET') => send(proxy.adminPort, { path, method });

suite('probes', () => {
  test('/livez answers as long as the process does', async () => {
    const answer = await admin('/livez');
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'ok\n');
  });

  test('/readyz is 200 once every first check has ended', async () => {
    assert.equal((await admin('/readyz')).status, 200);
  });

  test('/readyz is 503, with the reasons, before that', async () => {
    const slow = await startHttpUpstream('slow');
    const own = await startPointsman(
      oneBackend(slow.url, { health: { path: '/hold', interval: '100ms', timeout: '30s' } }),
      { ready: false },
    );
    const answer = await send(own.adminPort, { path: '/readyz' });
    assert.equal(answer.status, 503);
    const { ready, reasons } = answer.json() as { ready: boolean; reasons: string[] };
    assert.equal(ready, false);
    assert.match(reasons.join(), /check/);
    assert.equal((await send(own.adminPort, { path: '/livez' })).status, 200);
    assert.deepEqual((await own.status()).ready, { ok: false, reasons });
    slow.release();
    await own.waitFor('readiness', async () => (await own.readiness()) === 200);
  });

  test('/readyz is 200 though an upstream is down: that is for metrics and alerts to say', async () => {
    const gone = await startHttpUpstream('gone');
    await gone.close();
    const own = await startPointsman(oneBackend(gone.url));
    assert.equal(await own.readiness(), 200);
    assert.equal((await send(own.trafficPort)).status, 503);
  });

  test('what is not there is 404, and nothing can be changed from here', async () => {
    const missing = await admin('/nothing');
    assert.equal(missing.status, 404);
    assert.match(missing.text, /\/metrics/);
    for (const method of ['POST', 'PUT', 'DELETE'])
      assert.equal((await admin('/status', method)).status, 405);
    assert.equal((await admin('/livez', 'HEAD')).status, 200);
  });
});

suite('metrics', () => {
  async function scrape(): Promise<ReadonlyMap<string, Family>> {
    const answer = await admin('/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type']!, /^text\/plain; version=0\.0\.4/);
    return parseExposition(answer.text);
  }

  test('are what Prometheus reads, each with a help text and counters ending in _total', async () => {
    await send(proxy.trafficPort);
    const families = await scrape();
    assert.ok(families.size > 20);
    for (const { name, type, help } of families.values()) {
      assert.ok(help.length > 10, name);
      if (name.startsWith('pointsman_')) assert.equal(name.endsWith('_total'), type === 'counter', name);
    }
    for (const name of [
      'pointsman_requests_total',
      'pointsman_request_duration_seconds',
      'pointsman_requests_in_flight',
      'pointsman_endpoint_up',
      'pointsman_client_connections',
      'pointsman_health_checks_total',
      'pointsman_config_last_reload_success',
      'pointsman_event_loop_lag_seconds',
      'pointsman_build_info',
      'process_resident_memory_bytes',
    ]) {
      assert.ok(families.has(name), name);
    }
  });

  test('count requests by route, backend, method and status class', async () => {
    const labels = { route: 'internal', backend: 'internal' };
    const count = (more: Record<string, string>) =>
      proxy.metric('pointsman_requests_total', { ...labels, ...more });
    const before = await Promise.all([
      count({ method: 'GET', code: '2xx' }),
      count({ method: 'POST', code: '4xx' }),
      count({ method: 'other', code: '5xx' }),
    ]);
    const headers = ['X-Traffic-Group', 'internal'];
    await inParallel(7, 2, () => send(proxy.trafficPort, { headers }));
    await inParallel(3, 2, () =>
      send(proxy.trafficPort, { headers, method: 'POST', path: '/status/404', body: 'x' }),
    );
    await send(proxy.trafficPort, { headers, method: 'PURGE', path: '/status/500' });
    const after = await Promise.all([
      count({ method: 'GET', code: '2xx' }),
      count({ method: 'POST', code: '4xx' }),
      count({ method: 'other', code: '5xx' }),
    ]);
    assert.deepEqual(
      after.map((value, i) => value - before[i]!),
      [7, 3, 1],
    );
  });

  test('have histograms whose buckets grow and end in the count', async () => {
    await inParallel(20, 4, () => send(proxy.trafficPort));
    const { samples } = (await scrape()).get('pointsman_request_duration_seconds')!;
    const own = samples.filter(
      ({ labels }) => labels['route'] === 'paid' && labels['backend'] === 'production',
    );
    const buckets = own.filter(({ name }) => name.endsWith('_bucket'));
    const count = own.find(({ name }) => name.endsWith('_count'))!.value;
    assert.ok(count >= 19);
    assert.equal(buckets.at(-1)!.labels['le'], '+Inf');
    assert.equal(buckets.at(-1)!.value, count);
    for (let i = 1; i < buckets.length; i++) assert.ok(buckets[i]!.value >= buckets[i - 1]!.value);
    assert.ok(own.find(({ name }) => name.endsWith('_sum'))!.value > 0);
  });

  test('have labels that clients cannot multiply', async () => {
    const own = await startPointsman(oneBackend(tracks.internal.url));
    const burst = async (from: number) => {
      await inParallel(100, 8, (i) =>
        send(own.trafficPort, {
          path: `/stranger-${from + i}`,
          headers: [
            'X-Traffic-Group',
            `stranger-${from + i}`,
            'Host',
            `stranger-${from + i}`,
            'X-Stranger',
            '1',
          ],
        }),
      );
      for (const method of ['PROPFIND', 'LINK', 'REPORT', 'NOTIFY', 'SUBSCRIBE', 'PURGE']) {
        await exchange(own.trafficPort, `${method} /${from} HTTP/1.1\r\nHost: a\r\n\r\n`);
      }
      const families = parseExposition(await own.metrics());
      // Those of Node itself come and go with its kinds of handles and collections.
      const ours = [...families.values()].filter(({ name }) => name.startsWith('pointsman_'));
      return ours.flatMap(({ samples }) =>
        samples.map(({ name, labels }) => `${name}${JSON.stringify(labels)}`),
      );
    };
    const before = await burst(0);
    assert.deepEqual(await burst(1000), before);
    assert.doesNotMatch(await own.metrics(), /stranger|PROPFIND/);
  });

  test('show what is in flight, and forget it when it is over', async () => {
    const held = [1, 2, 3].map(() =>
      send(proxy.trafficPort, { path: '/hold', headers: ['X-Traffic-Group', 'enterprise'] }),
    );
    await waitFor('them at the upstream', () => tracks.production.open === 3);
    assert.equal(await proxy.metric('pointsman_requests_in_flight', { backend: 'production' }), 3);
    tracks.production.release();
    await Promise.all(held);
    assert.equal(await proxy.metric('pointsman_requests_in_flight', { backend: 'production' }), 0);
  });

  test('show which endpoints are up', async () => {
    assert.equal(await proxy.metric('pointsman_endpoint_up', { backend: 'canary' }), 1);
  });
});

suite('status', () => {
  test('says what runs, with which table, and how it goes', async () => {
    await inParallel(100, 8, () => send(proxy.trafficPort, { headers: ['X-Traffic-Group', 'FREE'] }));
    const status = await proxy.status();
    assert.match(status.version, /^\d+\.\d+\.\d+$/);
    assert.equal(status.service, 'account-service');
    assert.equal(status.config.file, proxy.configPath);
    assert.match(status.config.hash, /^[0-9a-f]{64}$/);
    assert.ok(Math.abs(Date.parse(status.startedAt) - Date.now()) < 600_000);
    assert.deepEqual(status.ready, { ok: true, reasons: [] });
    assert.equal(status.workers.length, 1);
    assert.equal(status.workers[0]!.pid, proxy.pid);

    assert.deepEqual(
      status.routes.map(({ name }) => name),
      ['internal', 'free', 'enterprise', 'paid'],
    );
    const free = status.routes[1]!;
    assert.deepEqual(free.match, { group: 'FREE' });
    assert.deepEqual(free.shares, { canary: 5, production: 95 });
    assert.equal(free.requests, 100);
    assert.deepEqual(free.requestsByBackend, { canary: 5, production: 95 });
    assert.equal(free.errors, 0);
    const { p50, p99 } = free.latencyMs as unknown as Record<string, number>;
    assert.ok(p50! > 0 && p99! >= p50!);

    const canary = status.backends.find(({ name }) => name === 'canary')!;
    assert.equal(canary.url, tracks.canary.url);
    assert.equal(canary.usableEndpoints, 1);
    assert.equal(canary.endpoints[0]!.endpoint, `127.0.0.1:${tracks.canary.port}`);
    assert.equal(canary.endpoints[0]!.health, 'up');
    assert.ok(canary.endpoints[0]!.checks.length > 0);
    assert.ok(canary.endpoints[0]!.checks.every(({ ok }) => ok));
  });

  test('says what went wrong', async () => {
    const gone = await startHttpUpstream('gone');
    const own = await startPointsman(oneBackend(gone.url));
    assert.equal((await send(own.trafficPort, { path: '/status/500' })).status, 500);
    await gone.close();
    await own.waitForHealth('main', 'down');
    await send(own.trafficPort);
    const status = await own.status();
    assert.deepEqual(status.failures, { connect_failed: 1 });
    const [backend] = status.backends;
    assert.equal(backend!.usableEndpoints, 0);
    assert.equal(backend!.errors, 2);
    assert.match(backend!.endpoints[0]!.reason, /refused/);
    assert.ok(backend!.endpoints[0]!.checks.some(({ ok }) => !ok));
  });
});

test('the access log has the phases and letters of HAProxy’s httplog', async () => {
  const answer = await send(proxy.trafficPort, {
    path: '/delay/50?secret=1',
    method: 'POST',
    body: 'x'.repeat(10),
    headers: ['X-Traffic-Group', 'internal', 'Authorization', 'Bearer hidden', 'Cookie', 'uid=hidden'],
  });
  const line = await proxy.accessLine(answer.requestId);
  assert.equal(line['method'], 'POST');
  assert.equal(line['path'], '/delay/50?secret=1');
  assert.equal(line['host'], 'service.test');
  assert.equal(line['protocol'], 'HTTP/1.1');
  assert.equal(line['route'], 'internal');
  assert.equal(line['backend'], 'internal');
  assert.equal(line['endpoint'], `127.0.0.1:${tracks.internal.port}`);
  assert.equal(line['status'], 200);
  assert.equal(line['bytes_in'], 10);
  assert.equal(line['bytes_out'], answer.body.length);
  assert.equal(line['termination'], '--');
  for (const phase of ['Tw', 'Tc', 'Tr', 'Ta']) assert.ok(Number(line[phase]) >= 0, phase);
  assert.ok(Number(line['Tr']) >= 45 && Number(line['Ta']) >= Number(line['Tr']));
  assert.match(String(line['client']), /^127\.0\.0\.1:\d+$/);
  assert.ok(!JSON.stringify(line).includes('hidden'));
});

suite('accessLog.mode', () => {
  for (const [mode, expected] of [
    ['all', ['/fine', '/status/404', '/status/500']],
    ['errors', ['/status/500']],
    ['off', []],
  ] as const) {
    test(`${mode} writes ${expected.length} of three`, async () => {
      const own = await startPointsman({ ...designTable(tracks), accessLog: { mode } });
      for (const path of ['/fine', '/status/404', '/status/500']) await send(own.trafficPort, { path });
      assert.equal(await own.stop(), 0);
      assert.deepEqual(
        own.accessLog().map(({ path }) => path),
        expected,
      );
    });
  }
});
