/** How many users a store remembers, by backend: counted without being in anybody's way. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { configSchema } from '../../../src/config/schema.ts';
import { countPins, MAX_KEYS, MAX_PINS } from '../../../src/pinning/pin-census.ts';
import { PinKeys } from '../../../src/pinning/pin-record.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const upstream = await startHttpUpstream('only');
const server = await startRedis();

const table: TestConfig = {
  service: 'shop',
  backends: { canary: { url: upstream.url }, production: { url: upstream.url } },
  routes: [{ name: 'all', split: { canary: 25, production: 75 }, pin: 'user' }],
  pins: { user: { by: [{ header: 'X-User' }], store: 'redis', generation: 2 } },
  redis: { url: server.url, keyPrefix: 'app[1]:*' },
};
const redis = configSchema.parse(table).redis!;

/** A fifth of them in the canary. */
async function pinUsers(from: number, to: number, generation = 2): Promise<void> {
  const keys = new PinKeys(redis, 'shop', 'user', generation);
  for (let start = from; start < to; start += 5_000) {
    const pipeline = server.client.pipeline();
    for (let i = start; i < Math.min(to, start + 5_000); i++) {
      pipeline.set(keys.of(`u${i}`), i % 5 === 0 ? 'p1:canary' : 'p1:production');
    }
    await pipeline.exec();
  }
}

suite('users remembered by Redis', () => {
  test('are counted one by one while there are few, of the generation in use alone', async () => {
    await pinUsers(0, 1_000);
    await pinUsers(0, 100, 1);
    await server.client.mset('app[1]:*shop:pin:user:2:short', 'p1:canary', 'app[1]:*other:pin:user:2:x', 'y');
    await server.client.hset(new PinKeys(redis, 'shop', 'user', 2).of('a hash'), 'a', 'b');
    assert.deepEqual(await countPins(server.client, redis, 'shop', { user: 2, session: 1 }, 0), {
      exact: true,
      pins: { user: { canary: 200, production: 800 }, session: {} },
    });
  });

  test('are shown by every replica, counted by one, with the time', async () => {
    const [first, second] = await Promise.all([startPointsman(table), startPointsman(table)]);
    for (const replica of [first, second]) {
      const remembered = await replica.waitFor(
        'the count',
        async () => (await replica.status()).pins[0]!.remembered,
        30_000,
      );
      assert.deepEqual(remembered.byBackend, { canary: 200, production: 800 });
      assert.equal(remembered.exact, true);
      assert.ok(Math.abs(Date.parse(remembered.at) - Date.now()) < 60_000);
    }
  });

  test('are estimated from a sample where there are many', async () => {
    const users = 3 * MAX_PINS;
    await pinUsers(1_000, users);
    const others = server.client.pipeline();
    for (let i = 0; i < MAX_KEYS / 5; i++) others.set(`other:${i}`, 'x');
    await others.exec();
    const { exact, pins } = await countPins(server.client, redis, 'shop', { user: 2 }, 0);
    assert.equal(exact, false);
    const { canary = 0, production = 0 } = pins['user']!;
    assert.ok(Math.abs((canary + production) / users - 1) < 0.15, `${canary} + ${production} of ${users}`);
    assert.ok(Math.abs(canary / (canary + production) - 0.2) < 0.04, `${canary} of ${canary + production}`);
  });
});

test('users remembered in memory are counted over all workers', async () => {
  const proxy = await startPointsman(
    { ...table, pins: { user: { by: [{ header: 'X-User' }], store: 'memory' } } },
    { workers: 2 },
  );
  await inParallel(200, 1, (i) => send(proxy.trafficPort, { headers: ['X-User', `u${i}`] }));
  const { byBackend } = await proxy.waitFor('all users', async () => {
    const { remembered } = (await proxy.status()).pins[0]!;
    const all = Object.values(remembered!.byBackend).reduce((sum, users) => sum + users, 0);
    return all === 200 ? remembered : undefined;
  });
  assert.ok(byBackend['canary']! > 20 && byBackend['production']! > 100, JSON.stringify(byBackend));
});
