/** Requests and tunnels that `shutdown.timeout` cuts: answered if possible, always recorded. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { valuesOf } from '../../support/http-wire.ts';
import { type LogLine, type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { acceptUpgrade, echoBytes, upgradeRequest } from '../../support/upgrade.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

async function start(workers: number) {
  const held = await startHttpUpstream('held');
  const tunnels = await startRawUpstream(({ fields, target }) => {
    if (valuesOf(fields, 'upgrade').length === 0) return OK;
    return target === '/tunnels/silent' ? () => undefined : acceptUpgrade(echoBytes);
  });
  const proxy = await startPointsman(
    {
      backends: {
        held: { url: held.url },
        tunnels: { url: tunnels.url },
        one: { url: held.url, maxConnections: 1 },
      },
      routes: [
        { name: 'tunnels', match: { path: '/tunnels/' }, split: { tunnels: 1 } },
        { name: 'one', match: { query: { one: '1' } }, split: { one: 1 } },
        { name: 'all', split: { held: 1 } },
      ],
      health: { enabled: false },
      timeouts: { queue: '60s' },
      shutdown: { delay: '0ms', timeout: '500ms' },
    },
    { workers },
  );
  return { held, tunnels, proxy };
}

/** Ends the process, and returns the only line of a request to this target. */
async function lineAtTheEnd(proxy: PointsmanProcess, target: string): Promise<LogLine> {
  assert.equal((await inTime('the end of the process', proxy.exited)).code, 0);
  const lines = proxy.accessLog().filter(({ path }) => path === target);
  assert.equal(lines.length, 1, `lines of ${target}`);
  return lines[0]!;
}

for (const workers of [1, 2]) {
  suite(`what is cut by shutdown.timeout, with ${workers} worker${workers === 1 ? '' : 's'}`, () => {
    for (const [what, target, request] of [
      ['a request whose response has not begun', '/hold', 'GET /hold HTTP/1.1\r\nHost: a\r\n\r\n'],
      [
        'a request whose body is still sent',
        '/upload',
        'POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf',
      ],
      [
        'a request that the fast lane does not take',
        '/hold?1.0',
        'GET /hold?1.0 HTTP/1.0\r\nHost: a\r\n\r\n',
      ],
    ] as const) {
      test(`gives 503 with the reason to ${what}, and a log line`, async () => {
        const { held, proxy } = await start(workers);
        const client = await RawClient.connect(proxy.trafficPort);
        client.send(request);
        await waitFor('the request at the upstream', () => held.open === 1);
        proxy.signal('SIGTERM');
        const answer = await client.read();
        assert.equal(answer.status, 503);
        assert.equal(answer.value('x-pointsman-reason'), 'shutdown');
        await inTime('the end of the connection', client.closed);
        const line = await lineAtTheEnd(proxy, target);
        assert.equal(line['status'], 503);
        assert.equal(line['reason'], 'shutdown');
        assert.equal(line['request_id'], answer.value('x-request-id'));
        await waitFor('the upstream to be told', () => held.open === 0);
      });
    }

    test('gives 503 with the reason to a handshake that is not answered, and a log line', async () => {
      const { tunnels, proxy } = await start(workers);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(upgradeRequest('/tunnels/silent'));
      await waitFor('the handshake at the upstream', () => tunnels.requests.length === 1);
      proxy.signal('SIGTERM');
      const answer = await client.read();
      assert.equal(answer.status, 503);
      assert.equal(answer.value('x-pointsman-reason'), 'shutdown');
      const line = await lineAtTheEnd(proxy, '/tunnels/silent');
      assert.equal(line['status'], 503);
      assert.equal(line['reason'], 'shutdown');
    });

    test('leaves a log line for a cut response, which the client sees as incomplete', async () => {
      const { proxy } = await start(workers);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send('GET /trickle/100000 HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal((await client.readHead()).status, 200);
      proxy.signal('SIGTERM');
      await inTime('the end of the connection', client.closed);
      assert.ok(!client.unread.toString('latin1').endsWith('0\r\n\r\n'));
      const line = await lineAtTheEnd(proxy, '/trickle/100000');
      assert.equal(line['status'], 200);
      assert.equal(line['reason'], 'shutdown');
      assert.notEqual(line['termination'], '--');
    });

    test('leaves a log line for a tunnel', async () => {
      const { proxy } = await start(workers);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(upgradeRequest('/tunnels/open'));
      assert.equal((await client.readHead()).status, 101);
      client.send('hello');
      await waitFor('the echo', () => client.unread.toString() === 'hello');
      proxy.signal('SIGTERM');
      await inTime('the end of the tunnel', client.closed);
      const line = await lineAtTheEnd(proxy, '/tunnels/open');
      assert.equal(line['status'], 101);
      assert.equal(line['reason'], 'shutdown');
      assert.equal(line['bytes_in'], 5);
      assert.equal(line['bytes_out'], 5);
    });
  });
}

test('a request that waits for a connection gets 503 with the reason at shutdown.timeout', async () => {
  const { held, proxy } = await start(1);
  const first = await RawClient.connect(proxy.trafficPort);
  first.send('GET /hold?one=1 HTTP/1.1\r\nHost: a\r\n\r\n');
  await waitFor('the first request at the upstream', () => held.open === 1);
  const second = await RawClient.connect(proxy.trafficPort);
  second.send('GET /queued?one=1 HTTP/1.1\r\nHost: a\r\n\r\n');
  await proxy.waitFor('the second to wait', async () => {
    return (await proxy.metric('pointsman_requests_queued', { backend: 'one' })) === 1;
  });
  proxy.signal('SIGTERM');
  const answer = await second.read();
  assert.equal(answer.status, 503);
  assert.equal(answer.value('x-pointsman-reason'), 'shutdown');
  assert.equal((await lineAtTheEnd(proxy, '/queued?one=1'))['reason'], 'shutdown');
  assert.ok(!held.requests.some(({ url }) => url === '/queued?one=1'));
});
