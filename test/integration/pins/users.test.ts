/** What a canary promises to users: so many of them, not of requests, and never one in two buckets. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { configSchema } from '../../../src/config/schema.ts';
import { PinKeys } from '../../../src/pinning/pin-record.ts';
import { RedisLink } from '../../../src/pinning/redis-link.ts';
import { RedisPinStore } from '../../../src/pinning/redis-store.ts';
import { decide } from '../../../src/routing/decide.ts';
import type { Route } from '../../../src/routing/route.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const PROXIES = 4;
const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');
const server = await startRedis();

type Store = 'none' | 'redis';

function config(percent: number, store: Store): TestConfig {
  return {
    service: 'account-service',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'free', split: { canary: percent, production: 100 - percent }, pin: 'user' }],
    pins: { user: { by: [{ header: 'X-User-Id' }], store } },
    redis: { url: server.url, commandTimeout: '5s' },
    accessLog: { mode: 'errors' },
  };
}

const routeAt = (percent: number, store: Store): Route =>
  compileTable(configSchema.parse(config(percent, store))).routes[0]!;

const everyone = () => true;
const userOf = (index: number) => `user-${index}`;

/** The backend of a user by the hash alone. */
function drawn(route: Route, user: string): string {
  return route.split.names[decide(route, user, undefined, everyone, undefined).index]!;
}

const shareOf = (backends: readonly string[]) =>
  (100 * backends.filter((backend) => backend === 'canary').length) / backends.length;

function assertShare(backends: readonly string[], percent: number): void {
  const share = shareOf(backends);
  assert.ok(Math.abs(share - percent) <= 0.2, `${share.toFixed(2)} % of the users are in the canary`);
}

suite('100,000 users, decided as four proxies do', () => {
  const USERS = 100_000;

  test('by hash alone: 5 % of them are in the canary, and more weight moves only those that it must', () => {
    let before = Array.from({ length: USERS }, (_, i) => drawn(routeAt5, userOf(i)));
    assertShare(before, 5);
    let percent = 5;
    for (const next of [10, 25]) {
      const route = routeAt(next, 'none');
      const after = Array.from({ length: USERS }, (_, i) => drawn(route, userOf(i)));
      assertShare(after, next);
      const moved = after.filter((backend, i) => backend !== before[i]).length;
      const left = after.filter((backend, i) => backend !== 'canary' && before[i] === 'canary').length;
      assert.equal(left, 0, 'nobody leaves a canary that grows');
      assert.ok(Math.abs((100 * moved) / USERS - (next - percent)) <= 0.2, `${moved} users moved`);
      [before, percent] = [after, next];
    }
  });

  const routeAt5 = routeAt(5, 'none');

  test('with Redis: who was pinned stays, whatever the weight becomes, and whichever proxy is asked', async () => {
    const parsed = configSchema.parse(config(5, 'redis'));
    const redis = parsed.redis!;
    const now = () => performance.now();
    const links = Array.from(
      { length: PROXIES },
      () => new RedisLink(redis, 'test', { now, onChange: () => {} }),
    );
    await waitFor('all to be connected', () => links.every(({ usable }) => usable));
    const stores = links.map(
      (link) =>
        new RedisPinStore({
          link,
          keys: new PinKeys(redis, 'test', 'user', 1),
          ttlMs: 3_600_000,
          cacheMs: 60_000,
          maxEntries: USERS,
          now,
          onResult: (result) => assert.notEqual(result, 'unavailable'),
        }),
    );
    /** The user's backend, as one proxy sees it at this weight. */
    const ask = (proxy: number, user: string, route: Route) =>
      new Promise<string>((resolve) => {
        const store = stores[proxy % PROXIES]!;
        const own = drawn(route, user);
        const known = store.recall(user);
        const honoured = (winner: string) =>
          route.split.names[decide(route, user, winner, everyone, undefined).index]!;
        if (known !== undefined) resolve(honoured(known));
        else store.claim(user, own, (winner) => resolve(honoured(winner)));
      });
    const first = await inParallel(USERS, 500, (i) => ask(i, userOf(i), routeAt5));
    assertShare(first, 5);
    for (const [turn, percent] of [5, 10, 25].entries()) {
      const route = routeAt(percent, 'redis');
      const again = await inParallel(USERS, 500, (i) => ask(i + turn + 1, userOf(i), route));
      assert.deepEqual(again, first, `at ${percent} %`);
    }
    // Users who come for the first time at 25 get their share of 25.
    const route = routeAt(25, 'redis');
    const newcomers = await inParallel(20_000, 500, (i) => ask(i, `new-${i}`, route));
    assert.ok(Math.abs(shareOf(newcomers) - 25) <= 1);
    for (const link of links) link.close();
  });
});

suite('20,000 users over the sockets of four proxies', () => {
  const USERS = 20_000;

  const start = (percent: number, store: Store) =>
    Promise.all(Array.from({ length: PROXIES }, () => startPointsman(config(percent, store))));

  /** Every user once, each at the proxy that `turn` brings him to. */
  const visit = (proxies: readonly PointsmanProcess[], turn: number) =>
    inParallel(USERS, 32, async (i) => {
      const proxy = proxies[(i + turn) % PROXIES]!;
      const answer = await send(proxy.trafficPort, {
        path: '/status/200',
        headers: ['X-User-Id', userOf(i)],
      });
      assert.equal(answer.status, 200);
      return answer.text;
    });

  const reload = (proxies: readonly PointsmanProcess[], percent: number, store: Store) =>
    Promise.all(proxies.map((proxy) => proxy.reload(config(percent, store))));

  test('by hash alone, each is where the pure decision says, while the weight goes 5, 10, 25', async () => {
    const proxies = await start(5, 'none');
    for (const [turn, percent] of [5, 10, 25].entries()) {
      if (turn > 0) await reload(proxies, percent, 'none');
      const route = routeAt(percent, 'none');
      const expected = Array.from({ length: USERS }, (_, i) => drawn(route, userOf(i)));
      assert.deepEqual(await visit(proxies, turn), expected);
    }
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  });

  test('with Redis, each stays where he was first, also while the proxies change one after the other', async () => {
    await server.client.flushall();
    const proxies = await start(5, 'redis');
    const first = await visit(proxies, 0);
    const route = routeAt(5, 'none');
    assert.deepEqual(
      first,
      Array.from({ length: USERS }, (_, i) => drawn(route, userOf(i))),
    );
    const changed = reload(proxies, 25, 'redis');
    assert.deepEqual(await visit(proxies, 1), first);
    await changed;
    assert.equal((await server.client.keys('*:pin:*')).length, USERS);
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  });
});
