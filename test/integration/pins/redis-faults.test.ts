/** A Redis that refuses, lies or belongs to somebody else: the reason is told, and every request is served. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { freePort } from '../../support/free-port.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');

function config(redis: NonNullable<TestConfig['redis']>, pin: Record<string, unknown> = {}): TestConfig {
  return {
    service: 'shop',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'redis', ...pin } },
    redis: { commandTimeout: '1s', ...redis },
  };
}

async function backendOf(proxy: PointsmanProcess, user: string): Promise<string> {
  const answer = await send(proxy.trafficPort, { headers: ['X-User-Id', user] });
  assert.equal(answer.status, 200);
  return answer.echo().upstream;
}

const backendsOf = (proxy: PointsmanProcess, users: number) =>
  inParallel(users, 8, (index) => backendOf(proxy, `user-${index}`));

/** The proxy says so in log, status and metrics, and the hash decides, the same each time. */
async function servesWithout(proxy: PointsmanProcess, reason: RegExp): Promise<void> {
  const line = await proxy.waitForLog(({ msg }) => /Redis is away/.test(msg));
  assert.match(String(line['reason']), reason);
  const { pinStore } = (await proxy.status()).workers[0]!;
  assert.match(pinStore!.state, /open/);
  assert.match(pinStore!.reason, reason);
  assert.ok(Date.parse(pinStore!.since) > 0);
  assert.equal(await proxy.metric('pointsman_pin_store_state', { state: 'closed' }), 0);
  const before = await backendsOf(proxy, 40);
  assert.deepEqual(await backendsOf(proxy, 40), before);
  assert.ok(before.includes('canary') && before.includes('production'));
  assert.equal(proxy.log().filter(({ msg }) => /Redis is away/.test(msg)).length, 1, 'one line a change');
}

const connected = (proxy: PointsmanProcess) => proxy.waitForLog(({ msg }) => /connected to Redis/.test(msg));

suite('a Redis that refuses', () => {
  test('for a wrong password, for none, and for a user who may not', async () => {
    const server = await startRedis({
      lines: [
        'requirepass geheim-geheim',
        'user limited on >limited-pw ~other:* +@all',
        'user good on >good-pw ~pointsman:* +set +get +getex +info +ping',
      ],
      client: { password: 'geheim-geheim' },
    });
    const at = `127.0.0.1:${server.port}`;
    for (const [redis, reason] of [
      [{ url: `redis://:wrong-pw@${at}` }, /refuses the user or the password/],
      [{ url: `redis://${at}` }, /wants a password/],
      [{ url: `redis://${at}`, username: 'limited', password: 'limited-pw' }, /may not do this/],
    ] as const) {
      const proxy = await startPointsman(config(redis));
      await servesWithout(proxy, reason);
      const said = JSON.stringify([proxy.log(), await proxy.status()]);
      assert.doesNotMatch(said, /wrong-pw|limited-pw|user-1/);
      await proxy.stop();
    }
    const proxy = await startPointsman(config({ url: `redis://good:good-pw@${at}` }));
    await connected(proxy);
    await backendsOf(proxy, 5);
    assert.equal((await server.client.keys('*:pin:*')).length, 5);
    await proxy.stop();
  });

  test('for being a replica, until it is one no more', async () => {
    const master = await startRedis();
    const replica = await startRedis({ lines: [`replicaof 127.0.0.1 ${master.port}`] });
    const proxy = await startPointsman(config({ url: replica.url }));
    await servesWithout(proxy, /read-only replica/);
    await replica.client.replicaof('NO', 'ONE');
    await connected(proxy);
    await backendsOf(proxy, 5);
    assert.equal((await replica.client.keys('*:pin:*')).length, 5);
    await proxy.stop();
  });

  test('for want of memory, until there is some', async () => {
    const server = await startRedis({ lines: ['maxmemory-policy noeviction'] });
    const proxy = await startPointsman(config({ url: server.url }));
    await connected(proxy);
    await server.client.config('SET', 'maxmemory', '1');
    await proxy.waitFor('the circuit to open', async () => {
      await backendOf(proxy, `user-${Math.random()}`);
      return (await proxy.status()).workers[0]!.pinStore?.state !== 'closed';
    });
    await servesWithout(proxy, /out of memory/);
    await server.client.config('SET', 'maxmemory', '0');
    await proxy.waitFor('the circuit to close', async () => {
      return (await proxy.metric('pointsman_pin_store_state', { state: 'closed' })) === 1;
    });
    await proxy.stop();
  });

  test('for not being there, or being no Redis at all', async () => {
    const nobody = await startPointsman(config({ url: `redis://127.0.0.1:${await freePort()}` }));
    await servesWithout(nobody, /ECONNREFUSED/);
    await nobody.stop();
    const web = await startPointsman(config({ url: canary.url.replace('http', 'redis') }));
    await servesWithout(web, /Redis/);
    await web.stop();
  });
});

suite('keys that are not ours', () => {
  test('of another type or with other values are counted, told once, never changed, and asked for rarely', async () => {
    const server = await startRedis();
    const first = await startPointsman(config({ url: server.url }));
    await connected(first);
    await backendOf(first, 'a');
    await backendOf(first, 'b');
    const [list, text] = (await server.client.keys('*:pin:*')) as [string, string];
    await first.stop();
    await server.client.del(list, text);
    await server.client.rpush(list, 'cart-1', 'cart-2');
    await server.client.set(text, 'session of another service');
    const proxy = await startPointsman(config({ url: server.url, cacheTtl: '400ms' }));
    await connected(proxy);
    const before = [await backendOf(proxy, 'a'), await backendOf(proxy, 'b')];
    for (let i = 0; i < 20; i++) {
      assert.deepEqual([await backendOf(proxy, 'a'), await backendOf(proxy, 'b')], before);
    }
    assert.equal(await proxy.metric('pointsman_pins_total', { result: 'foreign' }), 2);
    // Looked up again in the background: still foreign, still left alone.
    await proxy.waitFor('the keys to be looked up again', async () => {
      assert.deepEqual([await backendOf(proxy, 'a'), await backendOf(proxy, 'b')], before);
      return (await proxy.metric('pointsman_pins_total', { result: 'foreign' })) >= 4;
    });
    assert.deepEqual(await server.client.lrange(list, 0, -1), ['cart-1', 'cart-2']);
    assert.equal(await server.client.get(text), 'session of another service');
    assert.equal(proxy.log().filter(({ msg }) => /something else than pins/.test(msg)).length, 1);
    assert.equal((await proxy.status()).workers[0]!.pinStore?.state, 'closed');
    await proxy.stop();
  });
});

suite('an answer of Redis', () => {
  test('is used for its time, refreshed in the background, and forgotten with the key', async () => {
    const server = await startRedis();
    const proxy = await startPointsman(config({ url: server.url, cacheTtl: '400ms' }, { ttl: '1h' }));
    await connected(proxy);
    const own = await backendOf(proxy, 'a');
    const [key] = (await server.client.keys('*:pin:*')) as [string];
    const other = own === 'canary' ? 'production' : 'canary';
    await server.client.set(key, `p1:${other}`, 'PX', 5_000);
    await proxy.waitFor('the other answer', async () => (await backendOf(proxy, 'a')) === other);
    assert.ok((await server.client.pttl(key)) > 3_000_000, 'the time of the pin begins anew');
    await server.client.del(key);
    await proxy.waitFor('the pin to be drawn again', async () => (await backendOf(proxy, 'a')) === own);
    assert.equal(await server.client.get(key), `p1:${own}`);
    await proxy.stop();
  });

  test('costs one command, however many requests of a new user come at once', async () => {
    const server = await startRedis();
    const proxy = await startPointsman(config({ url: server.url }));
    await connected(proxy);
    const sets = async () =>
      Number(/cmdstat_set:calls=(\d+)/.exec(await server.client.info('commandstats'))?.[1]);
    const before = await sets();
    await inParallel(40, 16, () => backendOf(proxy, 'a'));
    await inParallel(40, 16, () => backendOf(proxy, 'a'));
    assert.equal((await sets()) - before, 1);
    await proxy.stop();
  });

  test('of another generation counts for nothing, and is there again when one goes back', async () => {
    const server = await startRedis();
    const proxy = await startPointsman(config({ url: server.url }));
    await connected(proxy);
    const before = await backendsOf(proxy, 60);
    await proxy.reload(config({ url: server.url }, { generation: 2 }));
    const after = await backendsOf(proxy, 60);
    assert.notDeepEqual(after, before, 'drawn afresh, and by another hash');
    await proxy.reload(config({ url: server.url }));
    assert.deepEqual(await backendsOf(proxy, 60), before);
    await proxy.stop();
  });
});
