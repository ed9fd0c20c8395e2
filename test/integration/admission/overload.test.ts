/** What happens when there is more than a process may take on: the newest request is refused, at once. */

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { type Answer, send } from '../../support/request.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';
import { openWebSocket } from '../../support/websocket-upstream.ts';

const agent = new Agent({ keepAlive: true });
cleanUp(() => agent.destroy());

async function limited(limits: TestConfig['limits'], more: Partial<TestConfig> = {}) {
  const upstream = await startHttpUpstream('main');
  const config = oneBackend(upstream.url, { health: { enabled: false }, limits, ...more });
  return { upstream, proxy: await startPointsman(config) };
}

async function assertShed(proxy: PointsmanProcess, answer: Answer, cause: string): Promise<void> {
  assert.equal(answer.status, 503);
  assert.equal(answer.failure().reason, 'overloaded');
  assert.equal(answer.headers['retry-after'], '1');
  assert.notEqual(answer.headers.connection, 'close', 'a new connection would cost more than the answer');
  const line = await proxy.accessLine(answer.requestId);
  assert.deepEqual([line['reason'], line['termination'], line['backend']], ['overloaded', 'RR', undefined]);
  assert.ok((await proxy.metric('pointsman_shed_total', { cause })) > 0);
  for (const path of ['/livez', '/readyz', '/metrics', '/status']) {
    assert.equal((await send(proxy.adminPort, { path })).status, 200, path);
  }
}

suite('overload', () => {
  test('by limits.inFlight refuses the newest, whatever it is, and lets the others end', async () => {
    const { proxy, upstream } = await limited({ inFlight: 2 });
    const held = [1, 2].map(() => send(proxy.trafficPort, { path: '/hold', agent }));
    await waitFor('two under way', () => upstream.open === 2);
    const refused = await send(proxy.trafficPort, { method: 'POST', body: 'x'.repeat(10_000), agent });
    await assertShed(proxy, refused, 'in_flight');
    await assert.rejects(openWebSocket(proxy.trafficPort), /503/);
    upstream.release();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    assert.equal((await send(proxy.trafficPort, { agent })).status, 200);
    assert.equal(upstream.requests.length, 3);
  });

  test('is not what many requests one after the other are, nor those that clients give up', async () => {
    const { proxy, upstream } = await limited({ inFlight: 1 });
    for (let i = 0; i < 20; i++) assert.equal((await send(proxy.trafficPort)).status, 200);
    for (let i = 0; i < 3; i++) {
      const client = await RawClient.connect(proxy.trafficPort);
      client.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
      await waitFor('it to arrive', () => upstream.open === 1);
      client.destroy();
      await waitFor('it to be gone', () => upstream.open === 0);
    }
    await proxy.waitFor('a place', async () => (await send(proxy.trafficPort)).status === 200);
  });

  test('by limits.bufferedBytes refuses requests until what is held is let go of', async () => {
    const { proxy, upstream } = await limited({ bufferedBytes: '1MiB' }, { retries: { bufferSize: '1MiB' } });
    const body = Buffer.alloc(700 * 1024);
    const held = [1, 2].map(() => send(proxy.trafficPort, { method: 'PUT', path: '/hold', body, agent }));
    await waitFor('two under way', () => upstream.open === 2);
    await proxy.waitForLog(({ msg }) => msg.startsWith('overloaded'), 'its word');
    assert.ok((await proxy.metric('pointsman_buffered_bytes')) >= 2 * body.length);
    assert.equal(await proxy.metric('pointsman_overloaded', { cause: 'buffered_bytes' }), 1);
    await assertShed(proxy, await send(proxy.trafficPort, { agent }), 'buffered_bytes');
    upstream.release();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    await proxy.waitForLog(({ msg }) => msg.startsWith('no longer overloaded'), 'the end of it');
    assert.equal((await send(proxy.trafficPort, { agent })).status, 200);
    assert.equal(await proxy.metric('pointsman_overloaded'), 0);
  });

  test('by limits.eventLoopDelay refuses while the loop stays late, and no longer', async () => {
    const { proxy, upstream } = await limited({ eventLoopDelay: '150ms' });
    const held = Array.from({ length: 12 }, () => send(proxy.trafficPort, { path: '/hold', agent }));
    await waitFor('twelve under way', () => upstream.open === 12);
    // What a process without a turn of its own looks like from within.
    let stalls = true;
    const stalling = (async () => {
      while (stalls) {
        process.kill(proxy.pid, 'SIGSTOP');
        await pause(400);
        process.kill(proxy.pid, 'SIGCONT');
        await pause(20);
      }
    })();
    try {
      await proxy.waitForLog(({ msg }) => msg.startsWith('overloaded'), 'its word', 15_000);
      const refused = await waitFor('a refusal', async () => {
        const answer = await inTime('an answer', send(proxy.trafficPort, { agent }), 10_000);
        return answer.status === 503 ? answer : undefined;
      });
      await assertShed(proxy, refused, 'event_loop');
    } finally {
      stalls = false;
      await stalling;
    }
    upstream.release();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    await proxy.waitForLog(({ msg }) => msg.startsWith('no longer overloaded'), 'the end of it', 15_000);
    assert.equal((await send(proxy.trafficPort, { agent })).status, 200);
  });
});

suite('connections of one client', () => {
  const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

  test('over limits.connectionsPerClient are closed at once; others are served, and he when some have ended', async () => {
    const { proxy } = await limited({ connectionsPerClient: 2 });
    const from = (localAddress: string) => RawClient.connect(proxy.trafficPort, { localAddress });
    const first = await from('127.0.0.1');
    // Handed over to the other lane it still counts.
    assert.equal((await first.send('GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    const second = await from('127.0.0.1');
    assert.equal((await second.send(GET).read()).status, 200);
    const third = await from('127.0.0.1');
    assert.equal((await third.readToEnd()).length, 0);
    assert.equal(await proxy.metric('pointsman_failures_total', { reason: 'too_many_of_client' }), 1);
    const stranger = await from('127.0.0.2');
    assert.equal((await stranger.send(GET).read()).status, 200);
    assert.equal((await first.send(GET).read()).status, 200);
    for (const leaving of [first, second]) {
      leaving.destroy();
      await proxy.waitFor('room', async () => {
        const client = await from('127.0.0.1');
        client.send(GET);
        const answer = await client.read().catch(() => undefined);
        client.destroy();
        return answer?.status === 200;
      });
    }
    stranger.destroy();
  });

  test('of a trusted peer are not counted: it speaks for many', async () => {
    const { proxy } = await limited({ connectionsPerClient: 1 }, { trust: { cidrs: ['127.0.0.1'] } });
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(proxy.trafficPort)));
    for (const client of clients) {
      assert.equal((await client.send(GET).read()).status, 200);
      client.destroy();
    }
  });
});
