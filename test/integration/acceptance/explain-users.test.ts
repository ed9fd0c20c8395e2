/** What `explain --user` says of 10,000 users is what traffic does, whatever remembers them. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { parseConfig } from '../../../src/config/load.ts';
import { userOfText } from '../../../src/pinning/user-id.ts';
import { requestFacts } from '../../../src/routing/described-request.ts';
import { type Explanation, explainRequest } from '../../../src/routing/explain.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { startTracks } from '../../support/design-table.ts';
import {
  MAIN,
  type PointsmanProcess,
  startPointsman,
  type TestConfig,
} from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const USERS = 10_000;

const tracks = await startTracks();
const redis = await startRedis();

/** Ids as they come: numbers, UUID-like, mail, letters beyond ASCII. */
function userId(i: number): string {
  switch (i % 4) {
    case 0:
      return String(100_000 + i);
    case 1:
      return `${i.toString(16).padStart(8, '0')}-7c1e-4d2a-9f00-${(i * 7919).toString(16).padStart(12, '0')}`;
    case 2:
      return `user.${i}@mail.example`;
    default:
      return `jürgen ${i}`;
  }
}

function config(store: 'none' | 'memory' | 'redis', canary: number): TestConfig {
  return {
    service: 'account-service',
    backends: {
      internal: { url: tracks.internal.url },
      canary: { url: tracks.canary.url },
      paid: { url: tracks.paid.url },
      production: { url: tracks.production.url },
    },
    routes: [
      { name: 'free', match: { group: 'FREE' }, split: { canary, production: 100 - canary }, pin: 'user' },
      {
        name: 'many',
        match: { group: 'MANY' },
        split: { canary, paid: 10, internal: 10, production: 80 - canary },
        pin: 'user',
      },
      { name: 'two', split: { canary, paid: 10, production: 90 - canary }, pin: 'user' },
    ],
    pins: { user: { by: [{ header: 'X-User-Id' }], store, salt: store } },
    ...(store === 'redis' ? { redis: { url: `redis://127.0.0.1:${redis.port}`, commandTimeout: '5s' } } : {}),
    accessLog: { mode: 'off' },
  };
}

const GROUPS = ['FREE', 'MANY', undefined];
const groupOf = (i: number) => GROUPS[i % GROUPS.length];

async function traffic(proxy: PointsmanProcess): Promise<string[]> {
  return await inParallel(USERS, 16, async (i) => {
    const group = groupOf(i);
    const id = Buffer.from(userId(i), 'utf8').toString('latin1');
    const headers = ['X-User-Id', id, ...(group === undefined ? [] : ['X-Traffic-Group', group])];
    const answer = await send(proxy.trafficPort, { headers });
    assert.equal(answer.status, 200);
    return answer.echo().upstream;
  });
}

function explained(proxy: PointsmanProcess, remembered?: readonly string[]): Explanation[] {
  const parsed = parseConfig(readFileSync(proxy.configPath, 'utf8'), { file: 'test', environment: {} });
  assert.ok(parsed.config !== undefined);
  const table = compileTable(parsed.config);
  return Array.from({ length: USERS }, (_, i) => {
    const group = groupOf(i);
    const facts = requestFacts(table, group === undefined ? [] : [`X-Traffic-Group: ${group}`], []);
    assert.ok(typeof facts !== 'string');
    return explainRequest(table, facts, userOfText(userId(i))!, { remembered: remembered?.[i] });
  });
}

const backends = (explanations: readonly Explanation[]) => explanations.map(({ backend }) => backend);

suite('explain --user', () => {
  for (const store of ['none', 'memory', 'redis'] as const) {
    test(`agrees with the traffic of ${USERS} users with store: ${store}, new, known, and after the weights change`, async () => {
      const proxy = await startPointsman(config(store, 5));
      const first = explained(proxy);
      const seen = await traffic(proxy);
      assert.deepEqual(seen, backends(first));
      assert.ok(new Set(seen).size === 4, 'all backends have users');
      await proxy.reload(config(store, 20));
      const remembered = store === 'none' ? undefined : seen;
      const second = explained(proxy, remembered);
      const after = await traffic(proxy);
      assert.deepEqual(after, backends(second));
      const moved = seen.filter((name, i) => name !== after[i]);
      if (store === 'none') {
        assert.ok(moved.length > USERS * 0.1, `${moved.length} users moved`);
        const strayed = after.filter(
          (name, i) => name !== seen[i] && name !== 'canary' && seen[i] !== 'production',
        );
        assert.equal(strayed.length, 0, 'between the backends whose weights change alone');
      } else assert.equal(moved.length, 0, 'who is remembered stays');
      await proxy.stop();
    });
  }

  test('on the command line says the same, with the order of precedence', async () => {
    const proxy = await startPointsman(config('none', 5));
    const run = promisify(execFile);
    const seen = await traffic(proxy);
    for (const i of [0, 1, 2, 3, 4, 5]) {
      const group = groupOf(i);
      const args = [MAIN, 'explain', '-c', proxy.configPath, '--user', userId(i), '-o', 'json'];
      const { stdout } = await run(process.execPath, [
        ...args,
        ...(group === undefined ? [] : ['--group', group]),
      ]);
      const explanation = JSON.parse(stdout) as Explanation;
      assert.equal(explanation.backend, seen[i]);
      assert.deepEqual(
        explanation.precedence.map(({ step }) => step),
        ['invariant', 'health', 'override', 'pin', 'bucket', 'weights'],
      );
    }
    const args = [MAIN, 'explain', '-c', proxy.configPath, '--group', 'free', '--user', userId(0)];
    const down = await run(process.execPath, [...args, '--down', 'production']);
    assert.match(down.stdout, /backend {2}canary, spilled from production/);
    const pinned = await run(process.execPath, [...args, '--pinned', 'canary']);
    assert.match(pinned.stdout, /▸ 4 pin +canary is remembered/);
    await proxy.stop();
  });
});
