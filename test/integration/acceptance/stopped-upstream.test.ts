/** An upstream stopped with SIGSTOP under load: the kernel accepts its connections, and nobody ever answers. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EndpointReport } from '../../../src/admin/status.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { startUpstreamProcess } from '../../support/upstream-process.ts';

const INTERVAL_MS = 300;
const TIMEOUT_MS = 300;
const FALL = 3;
const RESPONSE_MS = 400;
/** What a machine busy with other tests may add to a schedule. */
const SLACK_MS = 1_500;

async function threeServers(config: Partial<ConfigInput>) {
  const upstreams = await Promise.all(['a', 'b', 'c'].map((name) => startUpstreamProcess(name)));
  const proxy = await startPointsman({
    backends: { main: { servers: upstreams.map(({ url }) => ({ url })), panicThreshold: 0 } },
    routes: [{ name: 'all', split: { main: 1 } }],
    timeouts: { responseHead: `${RESPONSE_MS}ms` },
    ...config,
  });
  const victim = upstreams[0]!;
  const label = `127.0.0.1:${victim.port}`;
  const endpoint = async (): Promise<EndpointReport> =>
    (await proxy.status()).backends[0]!.endpoints.find((report) => report.endpoint === label)!;
  const requests = () => proxy.metric('pointsman_endpoint_requests_total', { endpoint: label });
  return { proxy, victim, label, endpoint, requests };
}

/** Idempotent requests without pause until told to stop. */
function load(proxy: PointsmanProcess) {
  let running = true;
  const seen = { sent: 0, failed: [] as string[], slowestMs: 0 };
  const lanes = Array.from({ length: 8 }, async () => {
    while (running) {
      seen.sent++;
      const start = performance.now();
      const { status, text } = await send(proxy.trafficPort);
      seen.slowestMs = Math.max(seen.slowestMs, performance.now() - start);
      if (status !== 200) seen.failed.push(`${status} ${text}`);
    }
  });
  return {
    seen,
    stop: async () => {
      running = false;
      await Promise.all(lanes);
      return seen;
    },
  };
}

suite('an upstream stopped under load', () => {
  test('is out of rotation within fall x interval + timeout by its HTTP checks, and back when it goes on', async () => {
    const { proxy, victim, label, endpoint, requests } = await threeServers({
      health: {
        path: '/healthz',
        interval: `${INTERVAL_MS}ms`,
        timeout: `${TIMEOUT_MS}ms`,
        jitter: 0,
        fall: FALL,
      },
      outlier: { enabled: false },
    });
    const traffic = load(proxy);
    await proxy.waitFor('traffic on it', async () => (await requests()) > 50);
    const stoppedAt = Date.now();
    victim.stop();
    await proxy.waitForLog(({ msg, endpoint: which }) => msg === 'endpoint is down' && which === label);
    const { health, reason, since } = await endpoint();
    assert.deepEqual([health, reason], ['down', `timed out after ${TIMEOUT_MS}ms`]);
    const took = Date.parse(since) - stoppedAt;
    assert.ok(took <= FALL * INTERVAL_MS + TIMEOUT_MS + SLACK_MS, `out of rotation after ${took} ms`);

    // What was sent to it before has its answer by now, from elsewhere.
    await proxy.waitFor('no request on it', async () => (await proxy.status()).backends[0]!.inFlight <= 8);
    const before = await requests();
    const sentBefore = traffic.seen.sent;
    await proxy.waitFor('more traffic', () => traffic.seen.sent > sentBefore + 200);
    assert.ok((await requests()) <= before + 8, 'requests still go to it');
    const { failed, slowestMs } = await traffic.stop();
    assert.deepEqual(failed, [], 'idempotent requests are sent again elsewhere');
    assert.ok(slowestMs <= 3 * RESPONSE_MS + SLACK_MS, `a request took ${slowestMs} ms`);

    victim.resume();
    await proxy.waitForHealth('main', 'up');
    const after = load(proxy);
    const once = await requests();
    await proxy.waitFor('traffic on it again', async () => (await requests()) > once + 20);
    assert.deepEqual((await after.stop()).failed, []);
  });

  test('is ejected by the traffic that fails on it where checks find it accepting, and comes back in time', async () => {
    const { proxy, victim, label, endpoint, requests } = await threeServers({
      health: { interval: `${INTERVAL_MS}ms`, timeout: `${TIMEOUT_MS}ms` },
      outlier: { connectFailures: 3, baseEjection: '2s', maxEjection: '2s' },
    });
    const traffic = load(proxy);
    await proxy.waitFor('traffic on it', async () => (await requests()) > 50);
    victim.stop();
    const line = await proxy.waitForLog(({ msg }) => msg === 'endpoint is ejected');
    assert.deepEqual(
      [line['endpoint'], line['backend'], line['from'], line['to'], line['reason']],
      [label, 'main', 'in_rotation', 'ejected', '3 requests in a row without a response'],
    );
    const report = await endpoint();
    assert.equal(report.health, 'up', 'a TCP check finds nothing wrong with it');
    assert.match(report.ejection!.reason, /without a response/);
    assert.ok(Date.parse(report.ejection!.until) > Date.parse(report.ejection!.since));
    const [backend] = (await proxy.status()).backends;
    assert.equal(backend!.circuit.state, 'degraded');
    assert.ok((await proxy.metric('pointsman_endpoint_ejected', { endpoint: label })) === 1);
    const ejections = { kind: 'ejection', backend: 'main', to: 'ejected' };
    assert.ok((await proxy.metric('pointsman_state_changes_total', ejections)) >= 1);
    victim.resume();
    await proxy.waitForLog(({ msg }) => msg === 'endpoint is back from its ejection');
    const once = await requests();
    await proxy.waitFor('traffic on it again', async () => (await requests()) > once + 20);
    assert.deepEqual((await traffic.stop()).failed, [], 'idempotent requests are sent again elsewhere');
  });
});
