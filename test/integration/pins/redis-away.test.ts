/** Redis goes away and comes back under the load of four proxies: nobody notices. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');
const server = await startRedis();

const CONFIG: TestConfig = {
  service: 'shop',
  backends: { canary: { url: canary.url }, production: { url: production.url } },
  routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
  pins: { user: { by: [{ header: 'X-User-Id' }], store: 'redis' } },
  redis: { url: server.url, cacheTtl: '300ms' },
  accessLog: { mode: 'errors' },
};

/** Known and new users, at all proxies, until it is stopped. */
class Load {
  readonly problems: string[] = [];
  answered = 0;
  readonly #seen = new Map<string, string>();
  readonly #lanes: Promise<void>[];
  #stopped = false;

  constructor(proxies: readonly PointsmanProcess[]) {
    this.#lanes = Array.from({ length: 8 }, (_, lane) => this.#run(proxies, lane));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  async #run(proxies: readonly PointsmanProcess[], lane: number): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const user = turn % 2 === 0 ? `known-${(lane * 31 + turn) % 400}` : `new-${lane}-${turn}`;
      const { trafficPort } = proxies[(lane + turn) % proxies.length]!;
      try {
        const answer = await send(trafficPort, { path: '/status/200', headers: ['X-User-Id', user] });
        if (answer.status !== 200) this.problems.push(`${user}: ${answer.status}`);
        const before = this.#seen.get(user);
        if (before !== undefined && before !== answer.text) this.problems.push(`${user}: moved`);
        this.#seen.set(user, answer.text);
        this.answered++;
      } catch (error) {
        this.problems.push(`${user}: ${(error as Error).message}`);
      }
    }
  }
}

const statesOf = (proxies: readonly PointsmanProcess[]) =>
  Promise.all(proxies.map(async (proxy) => (await proxy.status()).workers[0]!.pinStore!.state));

const all = (proxies: readonly PointsmanProcess[], wanted: 'closed' | 'away') =>
  waitFor(
    `all circuits to be ${wanted}`,
    async () => (await statesOf(proxies)).every((state) => (state === 'closed') === (wanted === 'closed')),
    20_000,
  );

const changes = (proxy: PointsmanProcess) => proxy.log().filter(({ msg }) => /Redis/.test(msg)).length;

suite('Redis under the load of four proxies', () => {
  test('killed, back, frozen, thawed: no request fails, nobody moves, circuits open and heal', async () => {
    const proxies = await Promise.all(Array.from({ length: 4 }, () => startPointsman(CONFIG)));
    await all(proxies, 'closed');
    const load = new Load(proxies);
    await waitFor('some load', () => load.answered > 500);
    await server.stop();
    await all(proxies, 'away');
    let mark = load.answered;
    await waitFor('load without Redis', () => load.answered > mark + 500);
    await server.start();
    await all(proxies, 'closed');
    mark = load.answered;
    await waitFor('load with it', () => load.answered > mark + 500);
    server.freeze();
    await all(proxies, 'away');
    mark = load.answered;
    await waitFor('load while it is frozen', () => load.answered > mark + 500);
    server.thaw();
    await all(proxies, 'closed');
    mark = load.answered;
    await waitFor('load after that', () => load.answered > mark + 500);
    await load.stop();
    assert.deepEqual(load.problems, []);
    for (const proxy of proxies) {
      // Connected, away, connected, away, connected; a deadline missed on a busy machine may add a pair.
      assert.ok(changes(proxy) <= 9, `${changes(proxy)} lines about Redis`);
      assert.ok((await proxy.metric('pointsman_pins_total', { result: 'unavailable' })) > 0);
    }
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  });

  test('slower than the deadline: the circuit opens, and heals when it is fast again', async () => {
    const proxy = await startPointsman(CONFIG);
    await all([proxy], 'closed');
    const load = new Load([proxy]);
    // Every answer is held back; what was asked is answered all at once afterwards.
    await server.client.client('PAUSE', 1_500, 'ALL');
    await all([proxy], 'away');
    await all([proxy], 'closed');
    await load.stop();
    assert.deepEqual(load.problems, []);
    await proxy.stop();
  });

  test('gone before the proxy starts: it starts, and shares pins as soon as there is one', async () => {
    await server.stop();
    const proxy = await startPointsman(CONFIG);
    const answer = await send(proxy.trafficPort, { headers: ['X-User-Id', 'early'] });
    assert.equal(answer.status, 200);
    await server.start();
    await all([proxy], 'closed');
    await send(proxy.trafficPort, { headers: ['X-User-Id', 'early'] });
    assert.equal((await server.client.keys('*:pin:*')).length, 1);
    await proxy.stop();
  });
});
