/** Redis behind Sentinels, as a Cluster, and over TLS. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { selfSigned } from '../../support/certificate.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import {
  type PointsmanProcess,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { startCluster, startRedis, startSentinels } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';
import { pause, waitFor } from '../../support/wait-for.ts';

const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');

function config(redis: NonNullable<TestConfig['redis']>): TestConfig {
  return {
    service: 'shop',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'redis' } },
    redis: { commandTimeout: '1s', ...redis },
  };
}

const backendsOf = (proxy: PointsmanProcess, users: number) =>
  inParallel(users, 8, async (index) => {
    const answer = await send(proxy.trafficPort, { headers: ['X-User-Id', `user-${index}`] });
    assert.equal(answer.status, 200);
    return answer.echo().upstream;
  });

const isClosed = async (proxy: PointsmanProcess) =>
  (await proxy.status()).workers[0]!.pinStore?.state === 'closed';

suite('pins', () => {
  test('follow the Sentinels to the new master, and no request fails on the way', async () => {
    const { master, replica, url } = await startSentinels();
    const proxy = await startPointsman(config({ url, commandTimeout: '50ms' }));
    await proxy.waitFor('the circuit to close', () => isClosed(proxy));
    const before = await backendsOf(proxy, 50);
    assert.equal((await master.client.keys('*:pin:*')).length, 50);
    await waitFor(
      'the replica to have all',
      async () => (await replica.client.keys('*:pin:*')).length === 50,
    );
    await master.stop();
    await waitFor(
      'the replica to be master, and found',
      async () => {
        assert.deepEqual(await backendsOf(proxy, 50), before);
        await pause(50);
        return (await replica.client.info('replication')).includes('role:master') && (await isClosed(proxy));
      },
      20_000,
    );
    const more = await backendsOf(proxy, 80);
    assert.deepEqual(more.slice(0, 50), before);
    assert.equal((await replica.client.keys('*:pin:*')).length, 80);
    await proxy.stop();
  });

  test('spread over a Cluster, which may lose a node', async () => {
    const { nodes, url } = await startCluster();
    const proxy = await startPointsman(config({ url, commandTimeout: '100ms' }));
    await proxy.waitFor('the circuit to close', () => isClosed(proxy));
    const before = await backendsOf(proxy, 90);
    const counts = await Promise.all(nodes.map(async ({ client }) => (await client.keys('*:pin:*')).length));
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      90,
    );
    assert.ok(
      counts.every((count) => count > 0),
      counts.join(),
    );
    await nodes[2]!.stop();
    const after = await backendsOf(proxy, 150);
    assert.deepEqual(after.slice(0, 90), before);
    await nodes[2]!.start();
    await proxy.waitFor('pins on the node that came back', async () => {
      await backendsOf(proxy, 150);
      return (await nodes[2]!.client.keys('*:pin:*')).length > 0;
    });
    await proxy.stop();
  });

  test('go over TLS to a server whose certificate the given authority has signed, and to no other', async () => {
    const pem = selfSigned('127.0.0.1');
    const directory = temporaryDirectory();
    const [cert, key] = [path.join(directory, 'cert.pem'), path.join(directory, 'key.pem')];
    writeFileSync(cert, pem.cert);
    writeFileSync(key, pem.key);
    const server = await startRedis({
      tls: { cert, key, ca: cert },
      client: { tls: { ca: Buffer.from(pem.cert) } },
    });
    const url = `rediss://127.0.0.1:${server.port}`;
    const proxy = await startPointsman(config({ url, tls: { ca: cert } }));
    await proxy.waitFor('the circuit to close', () => isClosed(proxy));
    await backendsOf(proxy, 5);
    assert.equal((await server.client.keys('*:pin:*')).length, 5);
    await proxy.stop();
    for (const [tls, reason] of [
      [{}, /SELF_SIGNED|UNABLE_TO_VERIFY|self-signed/],
      [{ ca: '/nowhere/ca.pem' }, /redis\.tls\.ca cannot be read \(ENOENT\)/],
    ] as const) {
      const stranger = await startPointsman(config({ url, tls }));
      const line = await stranger.waitForLog(({ msg }) => /Redis is away/.test(msg));
      assert.match(String(line['reason']), reason);
      await backendsOf(stranger, 5);
      await stranger.stop();
    }
  });
});
