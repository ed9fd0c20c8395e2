/** Members of a release set share their fate. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

test('when one member of a release set is down, the others get nothing either, and get it back with it', async () => {
  const [cart, pricing, main] = await Promise.all([
    startHttpUpstream('cart-v2'),
    startHttpUpstream('pricing-v2'),
    startHttpUpstream('main'),
  ]);
  const proxy = await startPointsman({
    backends: { cart: { url: cart.url }, pricing: { url: pricing.url }, main: { url: main.url } },
    routes: [
      { name: 'cart', match: { path: '/cart' }, split: { cart: 50, main: 50 } },
      { name: 'alone', match: { path: '/alone' }, split: { cart: 1 } },
      { name: 'all', split: { pricing: 50, main: 50 } },
    ],
    sets: { v2: ['cart', 'pricing'] },
  });
  const served = async () => {
    const answers = await inParallel(20, 4, () => send(proxy.trafficPort, { path: '/cart' }));
    return answers.filter((answer) => answer.echo().upstream === 'cart-v2').length;
  };
  assert.equal(await served(), 10);
  const port = Number(new URL(pricing.url).port);
  await pricing.close();
  await proxy.waitFor('its whole set to be left', async () => (await served()) === 0);
  // Where there is nothing else, half a release is better than none.
  assert.equal((await send(proxy.trafficPort, { path: '/alone' })).echo().upstream, 'cart-v2');
  await startHttpUpstream('pricing-v2', { port });
  await proxy.waitFor('its whole set to be back', async () => (await served()) === 10);
});
