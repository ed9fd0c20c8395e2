/** A release set over two services, each behind proxies of its own, which share a Redis. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type HttpUpstream, startHttpUpstream } from '../../support/http-upstream.ts';
import { act, TOKEN } from '../../support/operator.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const USERS = 40;
const PATIENCE_MS = 20_000;

interface Service {
  readonly canary: HttpUpstream;
  readonly table: TestConfig;
}

async function service(name: string, redisUrl: string): Promise<Service> {
  const [canary, main] = await Promise.all([startHttpUpstream('canary'), startHttpUpstream('main')]);
  return {
    canary,
    table: {
      service: name,
      acting: { token: TOKEN },
      backends: { canary: { url: canary.url }, production: { url: main.url } },
      routes: [{ name: 'all', split: { canary: 50, production: 50 }, main: 'production', pin: 'user' }],
      pins: { user: { by: [{ header: 'X-User' }], store: 'memory' } },
      sets: { 'checkout-v2': ['canary'] },
      redis: { url: redisUrl },
    },
  };
}

/** Users whom the canary answers. */
async function onCanary(proxy: PointsmanProcess): Promise<string[]> {
  const users = Array.from({ length: USERS }, (_, i) => `u${i}`);
  const answers = await inParallel(USERS, 4, (i) =>
    send(proxy.trafficPort, { headers: ['X-User', users[i]!] }),
  );
  return users.filter((_, i) => answers[i]!.echo().upstream === 'canary');
}

const isShared = async (proxy: PointsmanProcess) => (await proxy.status()).setsShared?.state === 'closed';

const redis = await startRedis();
const [cart, pricing] = await Promise.all([service('cart', redis.url), service('pricing', redis.url)]);
const [ofCart, ofPricing] = await Promise.all([startPointsman(cart.table), startPointsman(pricing.table)]);
for (const proxy of [ofCart, ofPricing]) await proxy.waitFor('Redis', () => isShared(proxy));

suite('a release set over two services', () => {
  test('meets the same users, is braked in both when one is, with the cause, and comes back with it', async () => {
    const users = await onCanary(ofCart);
    assert.ok(users.length > 5 && users.length < USERS - 5);
    assert.deepEqual(await onCanary(ofPricing), users);

    const brake = { route: 'all', weights: { canary: 0 }, for: '5m', reason: 'carts are lost', by: 'ann' };
    assert.equal((await act(ofCart.adminPort, 'split', brake)).status, 200);
    await ofPricing.waitFor(
      'the brake',
      async () => (await ofPricing.status()).routes[0]!.sharesNow['canary'] === 0,
      PATIENCE_MS,
    );
    assert.deepEqual(await onCanary(ofPricing), []);
    const status = await ofPricing.status();
    assert.deepEqual(
      [status.routes[0]!.override?.by, status.routes[0]!.override?.reason],
      ['ann', 'carts are lost (set checkout-v2: canary of cart)'],
    );
    assert.deepEqual(status.overrides, [], 'it is not its own to end');
    assert.equal(status.sets[0]!.elsewhere[0]!.service, 'cart');
    await ofPricing.waitForLog(({ msg, set }) => msg.includes('follows') && set === 'checkout-v2');
    assert.deepEqual((await ofCart.status()).sets[0]!.elsewhere, [], 'what follows is not told back');

    // A replica that starts meanwhile knows it before it takes traffic.
    const another = await startPointsman(pricing.table);
    assert.deepEqual(await onCanary(another), []);

    assert.equal((await act(ofCart.adminPort, 'end', { override: 'all' })).status, 200);
    for (const proxy of [ofPricing, another]) {
      await proxy.waitFor(
        'its end',
        async () => (await proxy.status()).routes[0]!.sharesNow['canary'] === 50,
        PATIENCE_MS,
      );
    }
    assert.deepEqual(await onCanary(another), users);
  });

  test('is left out in both when a member takes no requests in one, pins untouched, also while Redis loses its memory', async () => {
    const users = await onCanary(ofPricing);
    const port = Number(new URL(cart.canary.url).port);
    await cart.canary.close();
    await ofPricing.waitFor(
      'its set to be left out',
      async () => (await onCanary(ofPricing)).length === 0,
      PATIENCE_MS,
    );
    const explained = await send(ofPricing.adminPort, {
      method: 'POST',
      path: '/explain',
      headers: ['Content-Type', 'application/json'],
      body: JSON.stringify({ user: users[0] }),
    });
    assert.match(
      (explained.json() as { text: string }).text,
      /canary is left out with its release set checkout-v2 \(canary of cart takes no requests/,
    );
    await redis.client.flushall();
    await ofPricing.waitFor(
      'the record',
      async () => (await redis.client.hlen('pointsman:sets:checkout-v2')) === 1,
      PATIENCE_MS,
    );
    assert.deepEqual(await onCanary(ofPricing), []);

    await startHttpUpstream('canary', { port });
    await ofPricing.waitFor(
      'the same users to be back',
      async () => (await onCanary(ofPricing)).length === users.length,
      PATIENCE_MS,
    );
    assert.deepEqual(await onCanary(ofPricing), users);
    await ofPricing.waitForLog(({ msg }) => msg === 'release set is whole again');
    await ofPricing.waitFor(
      'nothing to be told',
      async () => (await redis.client.hlen('pointsman:sets:checkout-v2')) === 0,
    );
  });

  test('acts alone in each service while Redis is away, and together again once it is back', async () => {
    await redis.stop();
    for (const proxy of [ofCart, ofPricing]) {
      await proxy.waitFor('Redis to be gone', async () => !(await isShared(proxy)), PATIENCE_MS);
    }
    const brake = { route: 'all', weights: { canary: 0 }, for: '5m', reason: 'carts are lost' };
    assert.equal((await act(ofCart.adminPort, 'split', brake)).status, 200);
    assert.deepEqual(await onCanary(ofCart), []);
    assert.ok((await onCanary(ofPricing)).length > 0);
    await redis.start();
    await ofPricing.waitFor('the brake', async () => (await onCanary(ofPricing)).length === 0, PATIENCE_MS);
  });
});
