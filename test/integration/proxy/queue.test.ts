/** Requests that wait for a connection to an endpoint at its limit. */

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { type HttpUpstream, startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';
import { openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const agent = new Agent({ keepAlive: true });
cleanUp(() => agent.destroy());

/** One request at a time for each of the upstreams. */
function limited(upstreams: readonly HttpUpstream[], drain: string[] = [], more = {}): TestConfig {
  return {
    backends: {
      main: { servers: upstreams.map(({ url }) => ({ url })), maxConnections: 1, drain, ...more },
    },
    routes: [{ name: 'all', split: { main: 1 } }],
    health: { enabled: false },
    timeouts: { queue: '10s' },
  };
}

suite('an endpoint at its limit of connections', () => {
  test('is passed over while another one has room, whatever the method of balancing', async () => {
    for (const balance of ['roundrobin', 'leastRequests', 'random'] as const) {
      const [busy, free] = await Promise.all([startHttpUpstream('busy'), startHttpUpstream('free')]);
      const proxy = await startPointsman(limited([busy, free], [], { balance }));
      const held = send(proxy.trafficPort, { path: '/hold', agent });
      await waitFor('one to be busy', () => busy.open + free.open === 1);
      const holder = busy.open === 1 ? busy : free;
      const answers = await inParallel(20, 1, () => send(proxy.trafficPort));
      for (const answer of answers) {
        assert.notEqual(answer.echo().upstream, holder.name);
        assert.equal((await proxy.accessLine(answer.requestId))['Tw'], 0);
      }
      holder.release();
      assert.equal((await held).status, 200);
    }
  });

  test('serves what waits in the order it came, and the gauge counts it', async () => {
    const upstream = await startHttpUpstream('only');
    const proxy = await startPointsman(limited([upstream]));
    const held = send(proxy.trafficPort, { path: '/hold', agent });
    await waitFor('it to be busy', () => upstream.open === 1);
    const waiting: Promise<unknown>[] = [];
    for (let i = 0; i < 4; i++) {
      waiting.push(send(proxy.trafficPort, { path: `/${i}`, agent }));
      await proxy.waitFor(
        `${i + 1} to wait`,
        async () => (await proxy.metric('pointsman_requests_queued', { backend: 'main' })) === i + 1,
      );
    }
    upstream.release();
    await Promise.all([held, ...waiting]);
    assert.deepEqual(
      upstream.requests.map(({ url }) => url),
      ['/hold', '/0', '/1', '/2', '/3'],
    );
    assert.equal(await proxy.metric('pointsman_requests_queued'), 0);
  });

  test('hands what waits to the others when it is drained', async () => {
    const [a, b] = await Promise.all([startHttpUpstream('a'), startHttpUpstream('b')]);
    const proxy = await startPointsman(limited([a, b]));
    const held = [1, 2].map(() => send(proxy.trafficPort, { path: '/hold', agent }));
    await waitFor('both to be busy', () => a.open === 1 && b.open === 1);
    const waiting = [1, 2, 3, 4].map(() => send(proxy.trafficPort, { agent }));
    await proxy.waitFor('four to wait', async () => (await proxy.metric('pointsman_requests_queued')) === 4);
    await proxy.reload(limited([a, b], [`127.0.0.1:${a.port}`]));
    b.release();
    for (const answer of await Promise.all(waiting)) assert.equal(answer.echo().upstream, 'b');
    assert.equal(a.open, 1, 'what it had begun goes on');
    a.release();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
  });

  test('lets go of a request whose client leaves the queue', async () => {
    const upstream = await startHttpUpstream('only');
    const proxy = await startPointsman(limited([upstream]));
    const held = send(proxy.trafficPort, { path: '/hold', agent });
    await waitFor('it to be busy', () => upstream.open === 1);
    const own = new Agent();
    const gone = assert.rejects(send(proxy.trafficPort, { path: '/gone', agent: own }));
    await proxy.waitFor('it to wait', async () => (await proxy.metric('pointsman_requests_queued')) === 1);
    for (const sockets of Object.values(own.sockets)) for (const socket of sockets!) socket.destroy();
    await gone;
    await proxy.waitFor('none to wait', async () => (await proxy.metric('pointsman_requests_queued')) === 0);
    upstream.release();
    await held;
    assert.equal((await send(proxy.trafficPort)).status, 200);
    assert.ok(!upstream.requests.some(({ url }) => url === '/gone'));
  });
});

suite('WebSockets count as connections of their endpoint', () => {
  const config = (url: string, queue: string): TestConfig => ({
    backends: { main: { url, maxConnections: 1 } },
    routes: [{ name: 'all', split: { main: 1 } }],
    health: { enabled: false },
    timeouts: { queue },
  });

  test('what comes beyond the limit waits until one is closed, in the order it came', async () => {
    const upstream = await startWebSocketUpstream('only');
    const proxy = await startPointsman(config(upstream.url, '10s'));
    const queued = (count: number) =>
      proxy.waitFor(
        `${count} to wait`,
        async () => (await proxy.metric('pointsman_requests_queued')) === count,
      );
    const first = await openWebSocket(proxy.trafficPort);
    const second = openWebSocket(proxy.trafficPort);
    await queued(1);
    const plain = send(proxy.trafficPort, { agent });
    await queued(2);
    first.close();
    const opened = await second;
    await queued(1);
    assert.equal(upstream.upgrades.length, 2);
    opened.close();
    assert.equal((await plain).status, 200);
    await queued(0);
  });

  test('one that has waited for too long is answered 503, one that leaves is forgotten', async () => {
    const upstream = await startWebSocketUpstream('only');
    const proxy = await startPointsman(config(upstream.url, '300ms'));
    const first = await openWebSocket(proxy.trafficPort);
    await assert.rejects(openWebSocket(proxy.trafficPort), /503/);
    assert.equal(await proxy.metric('pointsman_failures_total', { reason: 'queue_timeout' }), 1);
    assert.equal(await proxy.metric('pointsman_requests_queued'), 0);
    first.close();
    await proxy.waitFor('it to be closed', async () => (await proxy.metric('pointsman_tunnels')) === 0);
    (await openWebSocket(proxy.trafficPort)).close();
    assert.equal(upstream.upgrades.length, 2);
  });
});
