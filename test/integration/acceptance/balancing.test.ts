/** Weights, backups, drains and panic, over the sockets of several servers. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { type HttpUpstream, startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { inParallel, send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

type Servers = NonNullable<ConfigInput['backends'][string]['servers']>;

const start = (...names: string[]) => Promise.all(names.map((name) => startHttpUpstream(name)));

function one(
  servers: Servers,
  backend: Partial<ConfigInput['backends'][string]> = {},
  more = {},
): TestConfig {
  return {
    backends: { main: { servers, ...backend } },
    routes: [{ name: 'all', split: { main: 1 } }],
    ...more,
  };
}

/** How many of so many requests each upstream answered; every answer must be a 200. */
async function tally(proxy: PointsmanProcess, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  await inParallel(count, 4, async () => {
    const answer = await send(proxy.trafficPort);
    assert.equal(answer.status, 200, answer.text);
    const name = answer.echo().upstream;
    counts[name] = (counts[name] ?? 0) + 1;
  });
  return counts;
}

/** Resolves when checks have found these, and only these, endpoints up. */
async function untilUp(
  proxy: PointsmanProcess,
  backend: string,
  ...upstreams: HttpUpstream[]
): Promise<void> {
  const expected = upstreams.map(({ port }) => `127.0.0.1:${port}`).sort();
  await proxy.waitFor(`${upstreams.map(({ name }) => name)} to be up`, async () => {
    const report = (await proxy.status()).backends.find(({ name }) => name === backend)!;
    const up = report.endpoints.filter(({ health }) => health === 'up').map(({ endpoint }) => endpoint);
    return up.sort().join() === expected.join();
  });
}

suite('servers of one backend', () => {
  test('get exactly their weights, also after one has gone and come back', async () => {
    const [a, b, c] = (await start('a', 'b', 'c')) as [HttpUpstream, HttpUpstream, HttpUpstream];
    const proxy = await startPointsman(
      one([
        { url: a.url, weight: 5 },
        { url: b.url, weight: 3 },
        { url: c.url, weight: 2 },
      ]),
    );
    assert.deepEqual(await tally(proxy, 100), { a: 50, b: 30, c: 20 });
    await a.close();
    await untilUp(proxy, 'main', b, c);
    assert.deepEqual(await tally(proxy, 100), { b: 60, c: 40 });
    const again = await startHttpUpstream('a', { port: a.port });
    await untilUp(proxy, 'main', again, b, c);
    await tally(proxy, 10);
    assert.deepEqual(await tally(proxy, 100), { a: 50, b: 30, c: 20 });
  });

  test('that are backups serve only while no other is available', async () => {
    const [a, b, spare] = (await start('a', 'b', 'spare')) as [HttpUpstream, HttpUpstream, HttpUpstream];
    const proxy = await startPointsman(
      one([{ url: a.url }, { url: b.url }, { url: spare.url, backup: true }], { panicThreshold: 0 }),
    );
    assert.deepEqual(await tally(proxy, 20), { a: 10, b: 10 });
    await a.close();
    await untilUp(proxy, 'main', b, spare);
    assert.deepEqual(await tally(proxy, 20), { b: 20 });
    await b.close();
    await untilUp(proxy, 'main', spare);
    assert.deepEqual(await tally(proxy, 20), { spare: 20 });
    const again = await startHttpUpstream('b', { port: b.port });
    await untilUp(proxy, 'main', again, spare);
    assert.deepEqual(await tally(proxy, 20), { b: 20 });
  });

  test('that are drained end what they have begun and get nothing new', async () => {
    const [a, b] = (await start('a', 'b')) as [HttpUpstream, HttpUpstream];
    const config = (drain: string[]) => one([{ url: a.url }, { url: b.url }], { drain });
    const proxy = await startPointsman(config([]));
    const held = [send(proxy.trafficPort, { path: '/hold' }), send(proxy.trafficPort, { path: '/hold' })];
    await waitFor('both to be busy', () => a.open === 1 && b.open === 1);
    await proxy.reload(config([`127.0.0.1:${a.port}`]));
    assert.deepEqual(await tally(proxy, 20), { b: 20 });
    a.release();
    b.release();
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    await waitFor('its connections to close', () => connectionsOf(a));
    await proxy.reload(config([]));
    await tally(proxy, 2);
    assert.deepEqual(await tally(proxy, 20), { a: 10, b: 10 });
  });

  test('ramp up to their share when they come back with slowStart', async () => {
    const [a, b] = (await start('a', 'b')) as [HttpUpstream, HttpUpstream];
    const proxy = await startPointsman(one([{ url: a.url }, { url: b.url }], { slowStart: '60s' }));
    await a.close();
    await untilUp(proxy, 'main', b);
    const again = await startHttpUpstream('a', { port: a.port });
    await untilUp(proxy, 'main', again, b);
    const counts = await tally(proxy, 220);
    assert.ok(
      counts['a']! >= 15 && counts['a']! <= 60,
      `a tenth of a share is 20 of 220, not ${counts['a']}`,
    );
  });
});

suite('a backend of a split', () => {
  test('that is a backup serves only while no other is available', async () => {
    const [canary, production, standby] = (await start('canary', 'production', 'standby')) as [
      HttpUpstream,
      HttpUpstream,
      HttpUpstream,
    ];
    const proxy = await startPointsman({
      backends: {
        canary: { url: canary.url },
        production: { url: production.url },
        standby: { url: standby.url, backup: true },
      },
      routes: [{ name: 'all', split: { canary: 10, production: 90, standby: 500 } }],
    });
    assert.deepEqual(await tally(proxy, 100), { canary: 10, production: 90 });
    await production.close();
    await proxy.waitForHealth('production', 'down');
    assert.deepEqual(await tally(proxy, 50), { canary: 50 });
    await canary.close();
    await proxy.waitForHealth('canary', 'down');
    assert.deepEqual(await tally(proxy, 50), { standby: 50 });
    await startHttpUpstream('production', { port: production.port });
    await proxy.waitForHealth('production', 'up');
    assert.deepEqual(await tally(proxy, 50), { production: 50 });
  });

  test('that cannot serve spills: counted from where to where, and flagged, without a pin too', async () => {
    const [canary, production] = (await start('canary', 'production')) as [HttpUpstream, HttpUpstream];
    const proxy = await startPointsman({
      backends: { canary: { url: canary.url }, production: { url: production.url } },
      routes: [{ name: 'all', split: { canary: 5, production: 95 } }],
    });
    await canary.close();
    await proxy.waitForHealth('canary', 'down');
    const answers = await inParallel(100, 4, () => send(proxy.trafficPort));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    const labels = { from: 'canary', to: 'production' };
    assert.equal(await proxy.metric('pointsman_spills_total', labels), 5);
    const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
    assert.equal(lines.filter((line) => line['spilled_from'] === 'canary' && line['spilled']).length, 5);
    await startHttpUpstream('canary', { port: canary.port });
    await proxy.waitForHealth('canary', 'up');
    assert.deepEqual(await tally(proxy, 100), { canary: 5, production: 95 });
  });
});

suite('panic', () => {
  test('the main backend uses all of its endpoints when too few are healthy, a canary does not', async () => {
    const names = ['m1', 'm2', 'm3', 'c1', 'c2', 'c3'];
    const upstreams = await start(...names);
    const serversOf = (from: number) => upstreams.slice(from, from + 3).map(({ url }) => ({ url }));
    const proxy = await startPointsman({
      backends: { main: { servers: serversOf(0) }, canary: { servers: serversOf(3) } },
      routes: [{ name: 'all', split: { main: 75, canary: 25 } }],
      // Two of three that answer nothing but checks: what is down still serves traffic.
      health: { interval: '100ms', timeout: '100ms', path: '/healthz', status: [200] },
      outlier: { enabled: false },
    });
    const sick = [...upstreams.slice(1, 3), ...upstreams.slice(4)];
    for (const upstream of sick) makeUnhealthy(upstream);
    await untilUp(proxy, 'main', upstreams[0]!);
    await untilUp(proxy, 'canary', upstreams[3]!);
    const counts = await tally(proxy, 120);
    assert.deepEqual(counts, { m1: 30, m2: 30, m3: 30, c1: 30 });
    assert.equal(await proxy.metric('pointsman_backend_panic', { backend: 'main' }), 1);
    assert.equal(await proxy.metric('pointsman_backend_panic', { backend: 'canary' }), 0);
    const answers = await inParallel(8, 1, () => send(proxy.trafficPort));
    const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
    for (const line of lines) assert.equal(line['panic'] === true, line['backend'] === 'main');
  });

  test('a sole backend that checks find down is tried, and is out of panic when it is up', async () => {
    const upstream = await startHttpUpstream('only');
    const proxy = await startPointsman(
      one([{ url: upstream.url }], {}, { health: { interval: '100ms', timeout: '100ms', path: '/healthz' } }),
    );
    const heal = makeUnhealthy(upstream);
    await proxy.waitForHealth('main', 'down');
    assert.deepEqual(await tally(proxy, 10), { only: 10 });
    assert.equal(await proxy.metric('pointsman_backend_panic'), 1);
    heal();
    await proxy.waitForHealth('main', 'up');
    assert.equal(await proxy.metric('pointsman_backend_panic'), 0);
  });

  test('not with panicThreshold: 0', async () => {
    const upstream = await startHttpUpstream('only');
    const proxy = await startPointsman(
      one(
        [{ url: upstream.url }],
        { panicThreshold: 0 },
        { health: { interval: '100ms', timeout: '100ms', path: '/healthz' } },
      ),
    );
    makeUnhealthy(upstream);
    await proxy.waitForHealth('main', 'down');
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'no_endpoint');
  });
});

/** From now on checks are answered 503, and nothing else is. */
function makeUnhealthy({ server }: HttpUpstream): () => void {
  const [listener] = server.listeners('request') as ((...args: unknown[]) => void)[];
  server.removeAllListeners('request');
  server.on('request', (req, res) => {
    if (req.url === '/healthz') res.writeHead(503).end();
    else listener!.call(server, req, res);
  });
  return () => {
    server.removeAllListeners('request');
    server.on('request', listener!);
  };
}

function connectionsOf({ server }: HttpUpstream): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // Checks come and go; what traffic had open has lain idle since.
    server.getConnections((error, count) => (error === null ? resolve(count <= 1) : reject(error)));
  });
}
