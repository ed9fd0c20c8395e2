/** Connections: how many, how long, and which are used again. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { fieldValues, inParallel, send } from '../../support/request.ts';
import { startUpstreamProcess } from '../../support/upstream-process.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const unchecked: Partial<TestConfig> = { health: { enabled: false } };

function withBackend(url: string, backend: Partial<TestConfig['backends'][string]>): TestConfig {
  return {
    backends: { main: { url, ...backend } },
    routes: [{ name: 'all', split: { main: 1 } }],
    ...unchecked,
  };
}

suite('to upstreams', () => {
  test('requests one after the other share one connection, whatever client and method', async () => {
    const upstream = await startRawUpstream(({ method }) =>
      method === 'HEAD' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : OK,
    );
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    for (let i = 0; i < 30; i++) {
      const method = (['GET', 'POST', 'HEAD', 'DELETE', 'PUT', 'OPTIONS'] as const)[i % 6]!;
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(`${method} /${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`);
      assert.equal((await client.read({ head: method === 'HEAD' })).status, 200);
      client.destroy();
    }
    assert.equal(upstream.requests.length, 30);
    assert.deepEqual(new Set(upstream.requests.map(({ connection }) => connection)), new Set([0]));
  });

  test('there are no more than requests at once', async () => {
    const upstream = await startRawUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    await inParallel(200, 10, () => send(proxy.trafficPort));
    assert.ok(new Set(upstream.requests.map(({ connection }) => connection)).size <= 10);
    assert.ok((await proxy.metric('pointsman_upstream_connects_total')) <= 10);
  });

  test('there are no more than maxConnections', async () => {
    const upstream = await startRawUpstream();
    const proxy = await startPointsman(withBackend(upstream.url, { maxConnections: 2 }));
    const answers = await inParallel(100, 10, () => send(proxy.trafficPort));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(new Set(upstream.requests.map(({ connection }) => connection)).size, 2);
  });

  test('an idle one is closed after keepAlive', async () => {
    const upstream = await startRawUpstream();
    const proxy = await startPointsman(withBackend(upstream.url, { keepAlive: '200ms' }));
    await send(proxy.trafficPort);
    assert.equal(upstream.openConnections, 1);
    await waitFor('it to be closed', () => upstream.openConnections === 0);
    assert.equal((await send(proxy.trafficPort)).status, 200);
  });

  test('one older than maxConnectionAge is replaced, and no request fails over it', async () => {
    const upstream = await startRawUpstream();
    const proxy = await startPointsman(withBackend(upstream.url, { maxConnectionAge: '1s' }));
    await waitFor('another connection', async () => {
      assert.equal((await send(proxy.trafficPort)).status, 200);
      return upstream.requests.at(-1)!.connection >= 1;
    });
    assert.equal(await proxy.metric('pointsman_retries_total'), 0);
    await waitFor('the old one to be closed', () => upstream.openConnections === 1);
  });

  test('those to an upstream that was killed do not fail the first requests after its return', async () => {
    const upstream = await startUpstreamProcess('main');
    const proxy = await startPointsman(oneBackend(upstream.url, { retries: { attempts: 0 } }));
    await inParallel(40, 10, () => send(proxy.trafficPort, { path: '/delay/5' }));
    await upstream.kill();
    await proxy.waitForHealth('main', 'down');
    await upstream.restart();
    await proxy.waitForHealth('main', 'up');
    const answers = await inParallel(40, 10, () =>
      send(proxy.trafficPort, { method: 'POST', path: '/delay/5', body: 'x' }),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  });
});

suite('of clients', () => {
  test('an idle one is closed in order after timeouts.keepAlive', async () => {
    const upstream = await startHttpUpstream('main');
    const proxy = await startPointsman(oneBackend(upstream.url, { timeouts: { keepAlive: '300ms' } }));
    const client = await RawClient.connect(proxy.trafficPort);
    assert.equal((await client.send(GET).read()).status, 200);
    assert.equal(await inTime('the end', client.closed, 5_000), 'end');
  });

  test('requests on one of them reach upstreams one after the other, and are answered in order', async () => {
    const upstream = await startHttpUpstream('main');
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await RawClient.connect(proxy.trafficPort);
    const targets = Array.from({ length: 100 }, (_, i) => `/${i}`);
    const posts = targets.map(
      (target) => `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi`,
    );
    client.send(`GET /hold HTTP/1.1\r\nHost: a\r\n\r\n${posts.join('')}`);
    await waitFor('the first one', () => upstream.requests.length > 0);
    // What would have come besides has had the time of a whole other request.
    assert.equal((await send(proxy.trafficPort, { path: '/another' })).status, 200);
    assert.deepEqual(
      upstream.requests.map(({ url }) => url),
      ['/hold', '/another'],
    );
    upstream.release();
    assert.equal((await client.read()).status, 200);
    for (const target of targets) {
      assert.equal(((await client.read()).json() as { url: string }).url, target);
    }
    assert.deepEqual(
      upstream.requests.slice(2).map(({ url }) => url),
      targets,
    );
    client.destroy();
  });

  test('those over limits.connections are closed at once, and there is room again when others leave', async () => {
    const upstream = await startHttpUpstream('main');
    const proxy = await startPointsman(oneBackend(upstream.url, { limits: { connections: 3 } }));
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(proxy.trafficPort)));
    for (const client of clients) assert.equal((await client.send(GET).read()).status, 200);
    const fourth = await RawClient.connect(proxy.trafficPort);
    await inTime('the end of the fourth', fourth.closed);
    assert.equal(await proxy.metric('pointsman_failures_total', { reason: 'too_many_connections' }), 1);
    for (const client of clients) assert.equal((await client.send(GET).read()).status, 200);
    clients[0]!.destroy();
    await proxy.waitFor('room', async () => (await proxy.status()).connections.client === 2);
    const another = await RawClient.connect(proxy.trafficPort);
    assert.equal((await another.send(GET).read()).status, 200);
    for (const client of [...clients, another]) client.destroy();
  });

  test('over IPv4 to a listener on [::] are seen as IPv4', async () => {
    const upstream = await startHttpUpstream('main');
    const proxy = await startPointsman(
      oneBackend(upstream.url, { listen: '[::]:0', trust: { cidrs: ['127.0.0.0/8'] } }),
    );
    const answer = await send(proxy.trafficPort, { headers: ['X-Forwarded-For', '10.1.1.1'] });
    assert.deepEqual(fieldValues(answer.echo().rawHeaders, 'x-forwarded-for'), ['10.1.1.1, 127.0.0.1']);
    assert.match(String((await proxy.accessLine(answer.requestId))['client']), /^127\.0\.0\.1:\d+$/);
  });
});
