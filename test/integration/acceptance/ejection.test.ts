/** Endpoints that accept and pass every check, and on which traffic fails. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startPointsman } from '../../support/pointsman-process.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';

const BROKEN = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';

suite('an endpoint that answers 503 while its checks are good', () => {
  for (const workers of [1, 2]) {
    test(`is ejected after gatewayFailures of them in a row, seen by ${workers} worker(s), and comes back`, async () => {
      let broken = true;
      const bad = await startRawUpstream(() => (broken ? BROKEN : OK));
      const good = await Promise.all([startRawUpstream(), startRawUpstream()]);
      const proxy = await startPointsman(
        {
          backends: { main: { servers: [bad, ...good].map(({ url }) => ({ url })) } },
          routes: [{ name: 'all', split: { main: 1 } }],
          outlier: { gatewayFailures: 5, baseEjection: '2s', maxEjection: '2s' },
        },
        { workers },
      );
      const endpoint = `127.0.0.1:${bad.port}`;
      let failures = 0;
      await proxy.waitFor('the ejection', async () => {
        const answers = await inParallel(6, 2, () => send(proxy.trafficPort));
        failures += answers.filter(({ status }) => status === 503).length;
        return proxy
          .log()
          .some((line) => line.msg === 'endpoint is ejected' && line['endpoint'] === endpoint);
      });
      // Each worker counts for itself, and a few are under way when the last one is seen.
      assert.ok(failures >= 5 && failures <= 5 * workers + 12, `${failures} failures`);
      const { endpoints } = (await proxy.status()).backends[0]!;
      assert.equal(endpoints.find((report) => report.endpoint === endpoint)!.health, 'up');
      // In rotation, ten of them would be its own.
      await proxy.waitFor('thirty requests of which it gets none', async () => {
        const before = bad.requests.length;
        const answers = await inParallel(30, 2, () => send(proxy.trafficPort));
        return bad.requests.length === before && answers.every(({ status }) => status === 200);
      });
      broken = false;
      const before = bad.requests.length;
      await proxy.waitFor('traffic on it again', async () => {
        await inParallel(6, 2, () => send(proxy.trafficPort));
        return bad.requests.length > before + 3;
      });
      assert.equal((await send(proxy.trafficPort)).status, 200);
    });
  }

  test('is never ejected when it is the last one', async () => {
    const bad = await startRawUpstream(() => BROKEN);
    const proxy = await startPointsman({
      backends: { main: { url: bad.url } },
      routes: [{ name: 'all', split: { main: 1 } }],
      outlier: { gatewayFailures: 2 },
    });
    const answers = await inParallel(20, 2, () => send(proxy.trafficPort));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([503]));
    assert.equal(bad.requests.length, 20, 'each came from the upstream, and was passed on once');
    const { endpoints } = (await proxy.status()).backends[0]!;
    assert.equal(endpoints[0]!.ejection, null);
  });

  test('is not ejected for errors that are its own business', async () => {
    const failing = await startRawUpstream(() => 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n');
    const good = await startRawUpstream();
    const proxy = await startPointsman({
      backends: { main: { servers: [{ url: failing.url }, { url: good.url }] } },
      routes: [{ name: 'all', split: { main: 1 } }],
      outlier: { gatewayFailures: 2, connectFailures: 2 },
    });
    const answers = await inParallel(40, 2, () => send(proxy.trafficPort));
    assert.equal(answers.filter(({ status }) => status === 500).length, 20);
  });
});
