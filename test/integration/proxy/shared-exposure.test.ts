/** How many different users met a build, over replicas that share a Redis. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const upstream = await startHttpUpstream('only');

/** Nobody decides by these figures within seconds, and a busy machine is given time. */
const PATIENCE_MS = 30_000;

const table = (url: string, build = '1.6'): TestConfig => ({
  service: 'account-service',
  backends: { canary: { url: upstream.url, build } },
  routes: [{ name: 'free', split: { canary: 1 }, pin: 'user' }],
  pins: { user: { by: [{ header: 'X-User' }], store: 'none' } },
  redis: { url },
});

const visit = (replica: PointsmanProcess, from: number, to: number) =>
  inParallel(to - from, 8, (i) =>
    send(replica.trafficPort, {
      path: (from + i) % 10 === 0 ? '/status/500' : '/fine',
      headers: ['X-User', `geheim-${from + i}`],
    }),
  );

const exposure = async (replica: PointsmanProcess) => (await replica.status()).exposure;

const users = async (replica: PointsmanProcess): Promise<readonly [number, number]> => {
  const [row] = (await exposure(replica)).rows;
  return [row?.exposed ?? 0, row?.hurt ?? 0];
};

/** A sketch of so few errs by a few. */
const isAbout = ([exposed, hurt]: readonly [number, number], expected: readonly [number, number]) =>
  Math.abs(exposed - expected[0]) <= expected[0] / 20 && Math.abs(hurt - expected[1]) <= 3;

const isShared = async (replica: PointsmanProcess) => (await exposure(replica)).of === 'all';

// They mostly wait.
suite('users exposed, over replicas', { concurrency: true }, () => {
  test('count once however many replicas they met, are known to one that restarts, and outlive a Redis that loses them', async () => {
    const redis = await startRedis();
    const [first, second] = await Promise.all([1, 2].map(() => startPointsman(table(redis.url))));
    for (const replica of [first!, second!]) await replica.waitFor('Redis', () => isShared(replica));
    await Promise.all([visit(first!, 0, 300), visit(second!, 200, 500)]);
    for (const replica of [first!, second!]) {
      await replica.waitFor('all users', async () => isAbout(await users(replica), [500, 50]), PATIENCE_MS);
      assert.equal(await replica.metric('pointsman_users_shared'), 1);
      const ofMetric = await replica.metric('pointsman_users_exposed', { route: 'free', backend: 'canary' });
      assert.ok(Math.abs(ofMetric - 500) <= 25, String(ofMetric));
    }

    await visit(second!, 500, 600);
    assert.equal(await second!.stop(), 0);
    const again = await startPointsman(table(redis.url));
    await again.waitFor(
      'what was known, its last users too',
      async () => isAbout(await users(again), [600, 60]),
      PATIENCE_MS,
    );

    const keys = await redis.client.keys('*');
    const texts = await Promise.all(
      keys.map(async (key) => [key, JSON.stringify(await redis.client.hgetall(key).catch(() => ''))]),
    );
    assert.doesNotMatch(JSON.stringify(texts), /geheim/);
    for (const key of keys) {
      assert.match(key, /^pointsman:account-service:/);
      assert.ok((await redis.client.pttl(key)) > 0, `${key} ends`);
    }

    await redis.client.flushall();
    await first!.waitFor(
      'Redis to be filled again',
      async () => (await redis.client.keys('pointsman:account-service:users:*:digests')).length > 0,
      PATIENCE_MS,
    );
    const fields = async () => {
      const [digests] = await redis.client.keys('pointsman:account-service:users:*:digests');
      return digests === undefined ? 0 : await redis.client.hlen(digests);
    };
    assert.equal(await fields(), 1);
  });

  test('begin anew with another build', async () => {
    const redis = await startRedis();
    const proxy = await startPointsman(table(redis.url));
    await visit(proxy, 0, 100);
    await proxy.waitFor('all users', async () => isAbout(await users(proxy), [100, 10]), PATIENCE_MS);
    await proxy.reload(table(redis.url, '1.7'));
    assert.deepEqual(await users(proxy), [0, 0]);
    assert.equal((await proxy.status()).backends[0]!.build, '1.7');
    await visit(proxy, 0, 30);
    const [row] = await proxy.waitFor('new users', async () => {
      const { rows } = await exposure(proxy);
      return rows.length > 0 ? rows : undefined;
    });
    assert.equal(row!.build, '1.7');
    assert.ok(isAbout([row!.exposed, row!.hurt], [30, 3]), `${row!.exposed}, ${row!.hurt}`);
  });

  test('are those of one replica while Redis is away, which is said, and are put together afterwards', async () => {
    const redis = await startRedis();
    const [first, second] = await Promise.all([1, 2].map(() => startPointsman(table(redis.url))));
    for (const replica of [first!, second!]) await replica.waitFor('Redis', () => isShared(replica));
    await redis.stop();
    await Promise.all([visit(first!, 0, 200), visit(second!, 100, 300)]);
    await first!.waitFor(
      'that to be said',
      async () => {
        const { of, asOf, why } = await exposure(first!);
        return of === 'partly' && asOf !== null && why !== '';
      },
      PATIENCE_MS,
    );
    assert.equal(await first!.metric('pointsman_users_shared'), 0);
    assert.ok(isAbout(await users(first!), [200, 20]));
    await redis.start();
    await first!.waitFor('all users', async () => isAbout(await users(first!), [300, 30]), PATIENCE_MS);
    assert.equal((await exposure(first!)).of, 'all');
  });
});
