/** `pointsman pins` against pins that proxies have stored. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { pins } from '../../../src/commands/pins.ts';
import { freePort } from '../../support/free-port.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import {
  configText,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { type RedisServer, startCluster, startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const PASSWORD = 'geheim-geheim';
const canary = await startHttpUpstream('canary');
const production = await startHttpUpstream('production');

function config(url: string, generation = 1): TestConfig {
  return {
    service: 'shop',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
    pins: {
      user: { by: [{ header: 'X-User-Id' }], store: 'redis', generation },
      session: { by: [{ cookie: 'sid' }], store: 'redis' },
      local: { by: [{ cookie: 'x' }], store: 'memory' },
    },
    redis: { url, commandTimeout: '1s', keyPrefix: 'app[1]:*' },
  };
}

/** The command as the command line runs it; an error of usage is thrown as there. */
async function run(url: string, args: readonly string[], generation = 1) {
  const file = path.join(temporaryDirectory(), 'pointsman.yaml');
  writeFileSync(file, configText(config(url, generation)));
  let [stdout, stderr] = ['', ''];
  const code = await pins([...args, '--config', file], {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    environment: {},
    version: '0',
  });
  return { code, stdout, stderr };
}

const USERS = 120;

/** Users as proxies have pinned them, and keys of somebody else; gives the backend of each user. */
async function fill(url: string, server: RedisServer): Promise<string[]> {
  const proxy = await startPointsman(config(url));
  await proxy.waitFor('Redis', async () => (await proxy.status()).workers[0]!.pinStore?.state === 'closed');
  const backends = await inParallel(USERS, 8, async (index) => {
    const answer = await send(proxy.trafficPort, { headers: ['X-User-Id', `user-${index}`] });
    return answer.echo().upstream;
  });
  await proxy.stop();
  await server.client.set('{a}appX1]:zshop:pin:user:1:AAAAAAAAAAAAAAAAAAAAAAAA', 'p1:canary').catch(() => {});
  return backends;
}

const server = await startRedis({ lines: [`requirepass ${PASSWORD}`], client: { password: PASSWORD } });
const url = `redis://:${PASSWORD}@127.0.0.1:${server.port}`;
const backends = await fill(url, server);
const ofCanary = backends.filter((backend) => backend === 'canary').length;
await server.client.set('app[1]:*shop:pin:user:1:not-one-of-ours', 'p1:canary');
await server.client.rpush(`app[1]:*shop:pin:user:1:${'B'.repeat(24)}`, 'x');

suite('pointsman pins', () => {
  test('counts by pin, generation and backend, and leaves out what is no pin', async () => {
    const { code, stdout } = await run(url, ['count', '-o', 'json']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), [
      { pin: 'user', generation: 1, current: true, backend: null, users: 1 },
      { pin: 'user', generation: 1, current: true, backend: 'canary', users: ofCanary },
      { pin: 'user', generation: 1, current: true, backend: 'production', users: USERS - ofCanary },
    ]);
    const text = (await run(url, ['count'], 2)).stdout;
    assert.match(text, /^session: no pins$/m);
    assert.match(text, new RegExp(`^user {2}generation 1 \\(void\\) {2}canary {2}${ofCanary}$`, 'm'));
  });

  test('exports hashes, backends and ends, and no id', async () => {
    const { code, stdout } = await run(url, ['export', '--pin', 'user']);
    assert.equal(code, 0);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(rows.length, USERS);
    assert.equal(new Set(rows.map(({ user }) => user)).size, USERS);
    for (const { expiresAt } of rows) assert.ok(Date.parse(String(expiresAt)) > Date.now() + 29 * 86_400_000);
    assert.doesNotMatch(stdout, /user-\d/);
  });

  test('forgets one user, all of a backend, all of a generation, and nothing else', async () => {
    const before = await server.client.dbsize();
    assert.equal((await run(url, ['forget', 'user-7'])).stdout, 'forgot 1 pin\n');
    assert.equal((await run(url, ['forget', 'user-7'])).stdout, 'forgot 0 pins\n');
    const canaries = ofCanary - (backends[7] === 'canary' ? 1 : 0);
    const { code, stdout } = await run(url, ['forget', '--backend', 'canary']);
    assert.deepEqual([code, stdout], [0, `forgot ${canaries} pins\n`]);
    const unknown = await run(url, ['forget', '--backend', 'kanary']);
    assert.equal(unknown.code, 0);
    assert.match(unknown.stderr, /no backend "kanary"/);
    assert.equal((await run(url, ['forget', '--generation', '2'])).stdout, 'forgot 0 pins\n');
    await run(url, ['forget', '--generation', '1']);
    assert.equal(before - (await server.client.dbsize()), USERS);
    assert.match((await run(url, ['count', '--pin', 'session'])).stdout, /^session: no pins\n$/);
  });

  test('works on all nodes of a Cluster', async () => {
    const cluster = await startCluster();
    const pinned = await fill(cluster.url, cluster.nodes[0]!);
    const count = pinned.filter((backend) => backend === 'canary').length;
    assert.match((await run(cluster.url, ['count'])).stdout, new RegExp(` canary {2}${count}\n`));
    assert.equal(
      (await run(cluster.url, ['forget', '--backend', 'canary'])).stdout,
      `forgot ${count} pins\n`,
    );
  });

  test('says why it could not, without passwords', async () => {
    for (const [bad, reason] of [
      [`redis://127.0.0.1:${await freePort()}`, /ECONNREFUSED/],
      [`redis://:falsch-falsch@127.0.0.1:${server.port}`, /refuses the user or the password/],
      [`redis://127.0.0.1:${server.port}`, /wants a password/],
      [`redis+cluster://127.0.0.1:${await freePort()}`, /no node of the Cluster/],
      [`redis+sentinel://127.0.0.1:${await freePort()}/main`, /Sentinel/],
    ] as const) {
      const { code, stdout, stderr } = await run(bad, ['count']);
      assert.deepEqual([code, stdout], [1, ''], stderr);
      assert.match(stderr, reason);
      assert.doesNotMatch(stderr, /falsch|geheim/);
    }
  });

  test('refuses what it does not understand', async () => {
    for (const [args, message] of [
      [[], /say count, export or forget/],
      [['list'], /no verb "list"/],
      [['forget'], /say what to forget/],
      [['forget', 'a', 'b'], /give one USER/],
      [['forget', 'a', '--backend', 'canary'], /give USER, or --backend/],
      [['forget', '--generation', '0'], /--generation is a number/],
      [['forget', 'x'.repeat(300)], /longer than 256 bytes/],
      [['count', 'x'], /takes neither/],
      [['count', '--pin', 'other'], /there is no pin "other"/],
      [['count', '--pin', 'local'], /store: redis/],
      [['count', '-o', 'xml'], /text or json/],
    ] as const) {
      await assert.rejects(run(url, args), message, args.join(' '));
    }
  });
});
