/** Several processes that forward: one service to the outside. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { inParallel } from '../../support/request.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const upstream = await startHttpUpstream('main');

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

/** A connection for each request, so that they spread over the workers. */
const ask = (port: number) =>
  exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n').then(
    (answer) => (answer.json() as { upstream: string }).upstream,
  );

async function start(config: TestConfig = oneBackend(upstream.url)) {
  const proxy = await startPointsman(config, { workers: 2 });
  const pids = await proxy.waitFor('two workers', async () => {
    const online = (await proxy.status()).workers.filter(({ state }) => state === 'online');
    return online.length === 2 ? online.map(({ pid }) => pid) : undefined;
  });
  return { proxy, pids };
}

suite('two workers', async () => {
  const { proxy, pids } = await start();

  test('are processes of their own', () => {
    assert.equal(new Set([...pids, proxy.pid]).size, 3);
  });

  test('share the connections of clients about evenly', async () => {
    const files = () => pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length);
    const before = files();
    const clients = await Promise.all(
      Array.from({ length: 128 }, () => RawClient.connect(proxy.trafficPort)),
    );
    try {
      await proxy.waitFor('all to be accepted', () => sum(files()) - sum(before) >= clients.length);
      // The kernel draws: fewer than 32 of 128 come once in 100 million runs.
      for (const [index, count] of files().entries())
        assert.ok(count - before[index]! >= 32, `worker ${index}`);
    } finally {
      for (const client of clients) client.destroy();
    }
  });

  test('count together', async () => {
    const before = await proxy.metric('pointsman_requests_total');
    await inParallel(100, 4, () => ask(proxy.trafficPort));
    assert.equal((await proxy.metric('pointsman_requests_total')) - before, 100);
    assert.equal((await proxy.status()).routes[0]!.requests, before + 100);
    assert.equal(await proxy.metric('pointsman_workers'), 2);
  });

  test('log together, every line whole', async () => {
    const from = proxy.accessLog().length;
    await inParallel(200, 8, () => ask(proxy.trafficPort));
    // A line that is not JSON would have ended the reader of this fixture.
    await proxy.waitFor('200 lines', () => proxy.accessLog().length >= from + 200);
    assert.equal(new Set(proxy.accessLog().map((line) => line['request_id'])).size, proxy.accessLog().length);
  });

  test('share one checker', async () => {
    const checked = await startHttpUpstream('checked');
    const own = await start(
      oneBackend(checked.url, { health: { path: '/healthz', interval: '100ms', timeout: '100ms' } }),
    );
    await own.proxy.waitFor(
      'some checks',
      async () => (await own.proxy.metric('pointsman_health_checks_total')) >= 5,
    );
    const counted = await own.proxy.metric('pointsman_health_checks_total');
    const seen = checked.requests.filter(({ url }) => url === '/healthz').length;
    assert.ok(Math.abs(seen - counted) <= 2, `${seen} seen, ${counted} counted`);
  });
});

suite('a worker that dies', () => {
  test('takes its own connections with it and no others, is replaced, and counters go on', async () => {
    const { proxy, pids } = await start();
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(proxy.trafficPort)));
    for (const client of clients) assert.equal((await client.send(GET).read()).status, 200);
    const before = await proxy.metric('pointsman_requests_total');
    assert.equal(before, 20);
    let closed = 0;
    for (const client of clients) void client.closed.then(() => closed++);

    process.kill(pids[0]!, 'SIGKILL');
    await waitFor('some connections to be cut', () => closed > 0);
    let last = before;
    await proxy.waitFor('the replacement', async () => {
      const now = await proxy.metric('pointsman_requests_total');
      assert.ok(now >= last || Number.isNaN(now), `${now} after ${last}`);
      last = now;
      const online = (await proxy.status()).workers.filter(({ state }) => state === 'online');
      return online.length === 2 && !online.some(({ pid }) => pid === pids[0]);
    });
    assert.ok(closed < 20, 'both workers had connections');
    assert.ok(last >= before, 'what the dead worker counted is not lost');
    const alive = clients.filter(({ socket }) => !socket.destroyed && !socket.readableEnded);
    assert.equal(alive.length, 20 - closed);
    for (const client of alive) assert.equal((await client.send(GET).read()).status, 200);
    await inParallel(40, 4, () => ask(proxy.trafficPort));
    assert.equal(await proxy.metric('pointsman_requests_total'), before + alive.length + 40);
    assert.equal(await proxy.metric('pointsman_worker_restarts_total'), 1);
    assert.ok(proxy.log().some(({ msg, level }) => msg === 'worker died' && level === 'error'));
    for (const client of clients) client.destroy();
  });

  test('again and again, leaves a service that works', async () => {
    const { proxy } = await start();
    for (let i = 1; i <= 3; i++) {
      const [victim] = (await proxy.status()).workers.filter(({ state }) => state === 'online');
      process.kill(victim!.pid, 'SIGKILL');
      await proxy.waitFor(`replacement ${i}`, async () => {
        const { workers } = await proxy.status();
        const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0);
        return restarts === i && workers.every(({ state }) => state === 'online');
      });
      assert.equal(await ask(proxy.trafficPort), 'main');
    }
    assert.equal(await proxy.readiness(), 200);
  });

  test('does not bring a table back that was replaced before', async () => {
    const other = await startHttpUpstream('other');
    const { proxy, pids } = await start();
    await proxy.reload({ ...oneBackend(other.url), workers: 2 });
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await proxy.waitFor('two replacements', async () => {
      const online = (await proxy.status()).workers.filter(({ state }) => state === 'online');
      return online.length === 2 && !online.some(({ pid }) => pids.includes(pid));
    });
    const names = await inParallel(20, 4, () => ask(proxy.trafficPort));
    assert.deepEqual(new Set(names), new Set(['other']));
  });
});

test('a reload reaches every worker', async () => {
  const other = await startHttpUpstream('other');
  const { proxy } = await start();
  assert.deepEqual(new Set(await inParallel(20, 4, () => ask(proxy.trafficPort))), new Set(['main']));
  await proxy.reload({ ...oneBackend(other.url), workers: 2 });
  await proxy.waitFor('every worker to have it', async () => {
    const names = await inParallel(20, 4, () => ask(proxy.trafficPort));
    return names.every((name) => name === 'other');
  });
});

test('an upstream that goes down is down for every worker', async () => {
  const gone = await startHttpUpstream('gone');
  const { proxy } = await start({
    backends: { gone: { url: gone.url }, main: { url: upstream.url } },
    routes: [{ name: 'all', split: { gone: 1, main: 1 } }],
  });
  await gone.close();
  await proxy.waitForHealth('gone', 'down');
  await proxy.waitFor('every worker to know', async () => {
    const retries = await proxy.metric('pointsman_retries_total');
    const names = await inParallel(20, 4, () => ask(proxy.trafficPort));
    assert.deepEqual(new Set(names), new Set(['main']));
    return (await proxy.metric('pointsman_retries_total')) === retries;
  });
});

test('shares are exact within one step of each worker', async () => {
  const canary = await startHttpUpstream('canary');
  const { proxy } = await start({
    backends: { canary: { url: canary.url }, main: { url: upstream.url } },
    routes: [{ name: 'all', split: { canary: 5, main: 95 } }],
  });
  const names = await inParallel(1000, 8, () => ask(proxy.trafficPort));
  const share = names.filter((name) => name === 'canary').length;
  assert.ok(Math.abs(share - 50) <= 2, `${share} of 1,000`);
});

test('a primary that is killed takes its workers with it', async () => {
  const { proxy, pids } = await start();
  proxy.signal('SIGKILL');
  await inTime('the end', proxy.exited);
  await waitFor('the workers to end', () =>
    pids.every((pid) => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    }),
  );
});
