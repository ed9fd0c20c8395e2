/** Pins in a real Redis: shared by replicas, and never in the way of a request. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../support/pointsman-process.ts';
import { startRedis } from '../support/redis-server.ts';
import { inParallel, send } from '../support/request.ts';
import { waitFor } from '../support/wait-for.ts';

const PASSWORD = 'correct horse';

const server = await startRedis({ lines: [`requirepass "${PASSWORD}"`], client: { password: PASSWORD } });
const redis = server.client;
const pinKeys = () => redis.keys('*:pin:*');
const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');

function config(weights: Record<string, number>): TestConfig {
  return {
    service: 'shop',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'all', split: weights, pin: 'user' }],
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'redis' } },
    redis: { url: '${REDIS_URL}', commandTimeout: '500ms' },
  } as TestConfig;
}

const env = { REDIS_URL: `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}` };
const start = (weights: Record<string, number>) => startPointsman(config(weights), { env });

async function backendsOf(proxy: PointsmanProcess, users: number): Promise<string[]> {
  return await inParallel(users, 8, async (index) => {
    const answer = await send(proxy.trafficPort, { headers: ['X-User-Id', `user-${index}`] });
    assert.equal(answer.status, 200);
    return answer.echo().upstream;
  });
}

const USERS = 200;

suite('pins in Redis', () => {
  test('are shared: what one replica answered first, another keeps, also at other weights', async () => {
    const first = await start({ canary: 50, production: 50 });
    await first.waitForLog((line) => /connected to Redis/.test(line.msg));
    const before = await backendsOf(first, USERS);
    const second = await start({ canary: 1, production: 99 });
    await second.waitForLog((line) => /connected to Redis/.test(line.msg));
    assert.deepEqual(await backendsOf(second, USERS), before);
    assert.ok(before.includes('canary') && before.includes('production'));
    assert.equal((await pinKeys()).length, USERS);
    await first.stop();
    await second.stop();
  });

  test('are drawn again and rewritten when their backend has no weight any more', async () => {
    const proxy = await start({ canary: 0, production: 100 });
    await proxy.waitForLog((line) => /connected to Redis/.test(line.msg));
    assert.deepEqual(new Set(await backendsOf(proxy, USERS)), new Set(['production']));
    await waitFor('all keys to be rewritten', async () => {
      const values = await redis.mget(await pinKeys());
      return values.every((value) => value === 'p1:production');
    });
    await proxy.stop();
  });

  test('hold neither user nor password in keys, log or status, and end by themselves', async () => {
    const proxy = await start({ canary: 50, production: 50 });
    await backendsOf(proxy, 5);
    for (const key of await pinKeys()) {
      assert.match(key, /^pointsman:shop:pin:user:1:[A-Za-z0-9_-]{24}$/);
      assert.ok((await redis.pttl(key)) > 0);
    }
    const said = `${JSON.stringify(proxy.log())}${JSON.stringify(await proxy.status())}${await proxy.metrics()}`;
    assert.ok(!said.includes('user-1') && !said.includes('horse'));
    await proxy.stop();
  });

  test('fail no request when Redis is killed or frozen, and come back with it', async () => {
    const proxy = await start({ canary: 50, production: 50 });
    await proxy.waitForLog((line) => /connected to Redis/.test(line.msg));
    await server.stop();
    const without = await backendsOf(proxy, USERS);
    assert.deepEqual(await backendsOf(proxy, USERS), without, 'the hash decides, the same each time');
    assert.ok((await proxy.metric('pointsman_pins_total', { result: 'unavailable' })) > 0);
    await server.start();
    await proxy.waitFor('pins to be stored again', async () => {
      await backendsOf(proxy, 10);
      return (await proxy.metric('pointsman_pins_total', { result: 'stored' })) > 0;
    });
    server.freeze();
    await backendsOf(proxy, 40);
    server.thaw();
    await proxy.stop();
  });
});
