/** How many different users met a build, and how many of them an error there. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';

suite('users exposed', () => {
  for (const workers of [1, 2]) {
    test(`are counted once each, with ${workers === 1 ? 'one process' : 'several workers'}`, async () => {
      const upstream = await startHttpUpstream('only');
      const config: TestConfig = {
        backends: { canary: { url: upstream.url }, production: { url: upstream.url } },
        routes: [
          { name: 'pinned', match: { path: '/pinned' }, split: { canary: 50, production: 50 }, pin: 'user' },
          { name: 'all', split: { production: 1 } },
        ],
        pins: { user: { by: [{ header: 'X-User' }], store: 'none' } },
      };
      const proxy = await startPointsman(config, { workers });
      const users = 300;
      // Each user comes several times, and by whichever worker.
      await inParallel(users * 3, 20, (i) =>
        send(proxy.trafficPort, { path: '/pinned', headers: ['X-User', `user-${i % users}`] }),
      );
      await send(proxy.trafficPort, { path: '/other', headers: ['X-User', 'nobody'] });
      const count = async (family: string, backend: string) =>
        (await proxy.metric(family, { route: 'pinned', backend })) ?? 0;
      await proxy.waitFor('all users to be counted', async () => {
        const [canary, production] = await Promise.all([
          count('pointsman_users_exposed', 'canary'),
          count('pointsman_users_exposed', 'production'),
        ]);
        // A sketch of so few users errs by a few.
        return canary > 100 && production > 100 && Math.abs(canary + production - users) <= 15;
      });
      assert.equal(await count('pointsman_users_hurt', 'canary'), 0);
    });
  }

  test('count among the hurt when they met an error', async () => {
    const upstream = await startHttpUpstream('only');
    const proxy = await startPointsman({
      backends: { canary: { url: upstream.url } },
      routes: [{ name: 'pinned', split: { canary: 1 }, pin: 'user' }],
      pins: { user: { by: [{ header: 'X-User' }], store: 'none' } },
    });
    for (let i = 0; i < 20; i++) {
      const path = i < 5 ? '/status/500' : '/fine';
      await send(proxy.trafficPort, { path, headers: ['X-User', `user-${i}`] });
    }
    const labels = { route: 'pinned', backend: 'canary' };
    assert.equal(await proxy.metric('pointsman_users_exposed', labels), 20);
    assert.equal(await proxy.metric('pointsman_users_hurt', labels), 5);
  });
});
