/** How often requests may come. Rates are so low that no token comes back while a test runs. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { type HttpUpstream, startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { send } from '../../support/request.ts';
import { openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const NEVER = 0.001;

type Rates = NonNullable<NonNullable<TestConfig['limits']>['rates']>;

async function withRates(rates: Rates, more: Partial<TestConfig> = {}) {
  const upstream = await startHttpUpstream('main');
  const config = (changed: Rates) => oneBackend(upstream.url, { ...more, limits: { rates: changed } });
  return { upstream, config, proxy: await startPointsman(config(rates)) };
}

/** Statuses of requests, one after the other. */
async function statuses(proxy: PointsmanProcess, ...requests: readonly (readonly string[])[]) {
  const seen: number[] = [];
  for (const headers of requests) seen.push((await send(proxy.trafficPort, { headers })).status);
  return seen;
}

const times = (count: number, headers: readonly string[]) => Array.from({ length: count }, () => headers);

suite('a rate', () => {
  test('answers 429 with Retry-After beyond its burst, and says so in the log and the metrics', async () => {
    const { proxy, upstream } = await withRates({ slow: { by: 'client', rate: NEVER, burst: 3 } });
    assert.deepEqual(await statuses(proxy, ...times(3, [])), [200, 200, 200]);
    const refused = await send(proxy.trafficPort, { method: 'POST', body: 'x'.repeat(1_000) });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['x-pointsman-reason'], 'rate_limited');
    const wait = Number(refused.headers['retry-after']);
    assert.ok(Number.isInteger(wait) && wait > 900 && wait <= 1_000, String(wait));
    assert.match(refused.failure().message, /by the rate slow\.$/);
    const line = await proxy.accessLine(refused.requestId);
    assert.deepEqual([line['status'], line['reason'], line['termination']], [429, 'rate_limited', 'PR']);
    assert.equal(await proxy.metric('pointsman_rate_limited_total', { rate: 'slow' }), 1);
    assert.equal(await proxy.metric('pointsman_failures_total', { reason: 'rate_limited' }), 1);
    assert.equal(upstream.requests.length, 3, 'it never saw the fourth');
    assert.equal((await send(proxy.adminPort, { path: '/livez' })).status, 200);
  });

  test('lets requests through again as tokens come', async () => {
    const { proxy } = await withRates({ quick: { by: 'client', rate: 20, burst: 1 } });
    const answers = new Set<number>();
    await proxy.waitFor('both answers, and the first again', async () => {
      const [status] = await statuses(proxy, []);
      answers.add(status!);
      return answers.has(429) && status === 200;
    });
  });

  test('of a group counts that group alone, and all groups that nobody named together', async () => {
    const { proxy } = await withRates(
      { each: { by: 'group', rate: NEVER, burst: 1 } },
      {
        routes: [
          { name: 'free', match: { group: 'FREE' }, split: { main: 1 } },
          { name: 'all', split: { main: 1 } },
        ],
      },
    );
    const group = (name: string) => ['X-Traffic-Group', name];
    assert.deepEqual(
      await statuses(proxy, group('FREE'), group('free'), group('A'), group('B'), []),
      [200, 429, 200, 429, 429],
    );
  });

  test('with groups is for those alone', async () => {
    const { proxy } = await withRates(
      {
        free: { by: 'client', groups: ['free'], rate: NEVER, burst: 1 },
        rest: { by: 'client', groups: ['default'], rate: NEVER, burst: 2 },
      },
      {
        routes: [
          { name: 'free', match: { group: ['FREE', 'ENTERPRISE'] }, split: { main: 1 } },
          { name: 'all', split: { main: 1 } },
        ],
      },
    );
    const enterprise = ['X-Traffic-Group', 'ENTERPRISE'];
    const free = ['X-Traffic-Group', 'FREE'];
    assert.deepEqual(await statuses(proxy, free, free, [], [], []), [200, 429, 200, 200, 429]);
    assert.deepEqual(await statuses(proxy, ...times(5, enterprise)), [200, 200, 200, 200, 200]);
  });

  test('of a pin counts users, and who names none by his address', async () => {
    const { proxy } = await withRates(
      { users: { by: { pin: 'user' }, rate: NEVER, burst: 1 } },
      { pins: { user: { by: [{ header: 'X-User-Id' }] } } },
    );
    const user = (id: string) => ['X-User-Id', id];
    assert.deepEqual(
      await statuses(proxy, user('a'), user('a'), user('b'), [], []),
      [200, 429, 200, 200, 429],
    );
  });

  test('of clients looks behind gateways that are trusted, and takes none of them for a client', async () => {
    const rates: Rates = { each: { by: 'client', rate: NEVER, burst: 1 } };
    const { proxy } = await withRates(rates, { trust: { cidrs: ['127.0.0.0/8'] } });
    const from = (list: string) => ['X-Forwarded-For', list];
    assert.deepEqual(
      await statuses(
        proxy,
        from('192.0.2.1'),
        from('192.0.2.2'),
        // What stands left of the last address that is not trusted is what its owner says.
        from('198.51.100.9, 192.0.2.1'),
        from('2001:db8::1'),
        from('2001:db8:0:0:7::9'),
        from('2001:db8:0:1::1'),
        ...times(3, []),
      ),
      [200, 200, 429, 200, 429, 200, 200, 200, 200],
    );
    const strange = await withRates(rates);
    assert.deepEqual(
      await statuses(strange.proxy, from('192.0.2.1'), from('192.0.2.2')),
      [200, 429],
      'who is not trusted cannot be somebody else',
    );
  });

  test('keeps its buckets over a reload that does not change it, and begins anew when it does', async () => {
    const rate = { by: 'client', rate: NEVER, burst: 2 } as const;
    const { proxy, config } = await withRates({ each: rate });
    assert.deepEqual(await statuses(proxy, [], [], []), [200, 200, 429]);
    await proxy.reload(config({ each: rate, other: { by: 'group', rate: 1_000 } }));
    assert.deepEqual(await statuses(proxy, []), [429]);
    await proxy.reload(config({ each: { ...rate, burst: 1 } }));
    assert.deepEqual(await statuses(proxy, [], []), [200, 429]);
    await proxy.reload(config({}));
    assert.deepEqual(await statuses(proxy, [], []), [200, 200]);
  });

  test('counts WebSockets as well', async () => {
    const upstream = await startWebSocketUpstream('main');
    const limits = { rates: { each: { by: 'client', rate: NEVER, burst: 1 } } } as const;
    const proxy = await startPointsman(oneBackend(upstream.url, { limits }));
    const socket = await openWebSocket(proxy.trafficPort);
    await assert.rejects(openWebSocket(proxy.trafficPort), /429/);
    socket.close();
  });
});

suite('a shared rate', () => {
  const shared = (url: string, upstream: HttpUpstream) =>
    oneBackend(upstream.url, {
      redis: { url, commandTimeout: '2s' },
      limits: { rates: { all: { by: 'client', rate: NEVER, burst: 4, store: 'redis' } } },
    });

  test('is one for all replicas, survives a lost script, and goes by the worker while Redis is away', async () => {
    const [redis, upstream] = await Promise.all([startRedis(), startHttpUpstream('main')]);
    const config = shared(`redis://127.0.0.1:${redis.port}`, upstream);
    const [a, b] = await Promise.all([startPointsman(config), startPointsman(config)]);
    const connected = (line: { msg: string }) => line.msg.startsWith('connected to Redis; rates');
    await Promise.all([a.waitForLog(connected), b.waitForLog(connected)]);
    assert.deepEqual(await statuses(a, [], []), [200, 200]);
    await redis.client.script('FLUSH');
    assert.deepEqual(await statuses(b, [], []), [200, 200]);
    assert.deepEqual(await statuses(a, []), [429]);
    const [key, ...others] = await redis.client.keys('*rate*');
    assert.deepEqual(others, []);
    assert.doesNotMatch(key!, /127/, 'no address in it');
    assert.ok((await redis.client.pttl(key!)) > 0, 'it ends by itself');

    await redis.stop();
    await b.waitForLog((line) => line.msg.startsWith('Redis is away; each worker'), 'its word', 10_000);
    // Of its own bucket b has used 2.
    assert.deepEqual(await statuses(b, [], [], []), [200, 200, 429]);
    assert.equal(await b.metric('pointsman_rate_store_faults_total', { rate: 'all' }), 2);
  });
});
