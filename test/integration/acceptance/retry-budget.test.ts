/** Retries in an outage: what is left of the upstreams must not be buried under requests that are sent again. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startPointsman } from '../../support/pointsman-process.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';
import { startUpstreamProcess } from '../../support/upstream-process.ts';

const REQUESTS = 400;
const FLOOR = 3;

suite('an outage of all endpoints', () => {
  for (const [percent, requests] of [
    [20, REQUESTS],
    [0, 100],
  ] as const) {
    test(`reaches the upstreams as at most ${100 + percent} % of the requests, and says why`, async () => {
      const broken = await Promise.all(
        [1, 2, 3].map(() => startRawUpstream(() => (socket) => socket.resetAndDestroy())),
      );
      const proxy = await startPointsman({
        backends: { main: { servers: broken.map(({ url }) => ({ url })) } },
        routes: [{ name: 'all', split: { main: 1 } }],
        health: { enabled: false },
        retries: { attempts: 5, budget: { percent, floor: FLOOR, window: '60s' } },
      });
      const answers = await inParallel(requests, 8, () => send(proxy.trafficPort));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([502]));
      const seen = broken.reduce((sum, upstream) => sum + upstream.requests.length, 0);
      assert.ok(seen <= requests + Math.max(FLOOR, (requests * percent) / 100), `${seen} for ${requests}`);
      assert.ok(seen >= requests + FLOOR, 'what the budget grants is used');
      const denied = await proxy.metric('pointsman_retries_denied_total', { reason: 'upstream_reset' });
      assert.ok(denied >= requests * 0.7, `${denied} denied`);
      const lines = await Promise.all(answers.slice(-20).map(({ requestId }) => proxy.accessLine(requestId)));
      assert.ok(lines.some((line) => line['retry_denied'] === 'retry_budget'));
    });
  }
});

suite('the budget is not asked', () => {
  test('for a connection that ended while it lay idle', async () => {
    const racing = await startRawUpstream(({ index }) => (index === 0 ? OK : (socket) => socket.destroy()));
    const proxy = await startPointsman({
      backends: { main: { url: racing.url } },
      routes: [{ name: 'all', split: { main: 1 } }],
      health: { enabled: false },
      retries: { budget: { percent: 0, floor: 0 } },
    });
    const answers = await inParallel(100, 4, () => send(proxy.trafficPort));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  });

  test('for what was never sent and goes to an endpoint that answers', async () => {
    const good = await startRawUpstream();
    const dead = await startUpstreamProcess('dead');
    const proxy = await startPointsman({
      backends: { main: { servers: [{ url: dead.url }, { url: good.url }] } },
      routes: [{ name: 'all', split: { main: 1 } }],
      health: { enabled: false },
      outlier: { enabled: false },
      retries: { budget: { percent: 0, floor: 0 } },
    });
    await dead.kill();
    const answers = await inParallel(100, 4, () => send(proxy.trafficPort, { method: 'POST', body: 'x' }));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(good.requests.length, 100, 'each was sent once');
  });
});
