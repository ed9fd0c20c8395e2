/** Acting at the admin port: who may, what each action does, and that it is told wherever it matters. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { ACTION_NAMES } from '../../../src/admin/actions.ts';
import { designTable, startTracks } from '../../support/design-table.ts';
import { act, TOKEN } from '../../support/operator.ts';
import {
  MAIN,
  startPointsman,
  type TestConfig,
  temporaryDirectory,
} from '../../support/pointsman-process.ts';
import { startRedis } from '../../support/redis-server.ts';
import { inParallel, send } from '../../support/request.ts';

const tracks = await startTracks();
const table = (more: Partial<TestConfig> = {}): TestConfig => ({
  ...designTable(tracks),
  acting: { token: '${POINTSMAN_TEST_TOKEN}' },
  ...more,
});
const env = { POINTSMAN_TEST_TOKEN: TOKEN };
const proxy = await startPointsman(table(), { env });
const admin = proxy.adminPort;

/** What each action needs, so that nothing but the missing token stands in its way. */
const BODIES: Readonly<Record<string, unknown>> = {
  split: { route: 'free', weights: { canary: 0 }, for: '1m', reason: 'test' },
  drain: { backend: 'canary', for: '1m', reason: 'test' },
  undrain: { backend: 'canary' },
  end: { override: 'free' },
  'forget-pin': { user: '4711' },
  check: {},
  reload: {},
  dump: {},
};

const shares = async (port: number) => {
  const answers = await inParallel(40, 4, () => send(port, { headers: ['X-Traffic-Group', 'FREE'] }));
  const canary = answers.filter((answer) => answer.echo().upstream === 'canary').length;
  return { canary, production: answers.length - canary };
};

suite('without the right', () => {
  test('every action is in this test', () => {
    assert.deepEqual(Object.keys(BODIES).sort(), [...ACTION_NAMES].sort());
  });

  for (const action of ACTION_NAMES) {
    test(`${action} is refused without the token, with a wrong one, and from another site, and changes nothing`, async () => {
      const body = BODIES[action];
      const before = JSON.stringify((await proxy.status()).overrides);
      const refused: [number, Parameters<typeof act>[3]][] = [
        [401, { token: null }],
        [403, { token: 'wrong' }],
        [403, { token: null, headers: ['Authorization', `Basic ${btoa(`a:${TOKEN}`)}`] }],
        [401, { token: null, headers: ['Cookie', `token=${TOKEN}; authorization=Bearer ${TOKEN}`] }],
        [403, { headers: ['Sec-Fetch-Site', 'cross-site'] }],
        [403, { headers: ['Sec-Fetch-Site', 'same-site'] }],
        [403, { headers: ['Sec-Fetch-Site', 'none'] }],
        [403, { headers: ['Origin', 'http://evil.example'] }],
        [403, { headers: ['Origin', 'null'] }],
        // What a form of another site can send without asking first.
        [415, { contentType: 'application/x-www-form-urlencoded' }],
        [415, { contentType: 'text/plain' }],
        [415, { contentType: 'multipart/form-data; boundary=x' }],
      ];
      for (const [status, options] of refused) {
        const answer = await act(admin, action, body, options);
        assert.equal(answer.status, status, JSON.stringify(options));
        assert.equal((answer.json() as { ok: boolean }).ok, false);
        assert.equal(answer.headers['access-control-allow-origin'], undefined);
      }
      for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
        const headers = ['Authorization', `Bearer ${TOKEN}`];
        assert.equal((await send(admin, { method, path: `/actions/${action}`, headers })).status, 405);
      }
      assert.equal(JSON.stringify((await proxy.status()).overrides), before);
    });
  }

  test('nothing else acts: all other paths only answer, whatever is sent to them with the token', async () => {
    const before = JSON.stringify((await proxy.status()).overrides);
    const headers = ['Authorization', `Bearer ${TOKEN}`, 'Content-Type', 'application/json'];
    const answer = async (method: string, where: string) =>
      (await send(admin, { method, path: where, headers, body: '{}' })).status;
    for (const where of ['/', '/livez', '/readyz', '/metrics', '/status', '/events']) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        assert.equal(await answer(method, where), 405, `${method} ${where}`);
      }
    }
    for (const where of [
      '/actions',
      '/actions/',
      '/actions/none',
      '/actions/split/',
      '/overrides',
      '/Actions/split',
    ]) {
      assert.equal(await answer('POST', where), 404, where);
    }
    assert.equal(await answer('PUT', '/explain'), 405);
    const elsewhere = [...headers, 'Sec-Fetch-Site', 'cross-site'];
    const asked = await send(admin, { method: 'POST', path: '/explain', headers: elsewhere, body: '{}' });
    assert.equal(asked.status, 403);
    assert.equal(JSON.stringify((await proxy.status()).overrides), before);
  });

  test('the token is in no log, status, dump or page, and the proxy says so when there is none', async () => {
    const dump = await act(admin, 'dump');
    assert.equal(dump.status, 200);
    const page = await send(admin, { path: '/', headers: ['Accept', 'text/html'] });
    for (const text of [
      dump.text,
      page.text,
      JSON.stringify(await proxy.status()),
      JSON.stringify(proxy.log()),
    ]) {
      assert.ok(text.length > 100);
      assert.ok(!text.includes(TOKEN));
    }
    const closed = await startPointsman(designTable(tracks));
    const answer = await act(closed.adminPort, 'check');
    assert.equal(answer.status, 403);
    assert.match(answer.text, /acting\.token/);
  });

  test('who guesses is held off after a while', async () => {
    const own = await startPointsman(table(), { env });
    const statuses = await inParallel(
      30,
      1,
      async (i) => (await act(own.adminPort, 'check', {}, { token: i === 0 ? '' : `${TOKEN}${i}` })).status,
    );
    assert.deepEqual([...new Set(statuses)], [403, 429]);
    assert.equal((await act(own.adminPort, 'check')).status, 429);
    assert.equal((await send(own.adminPort, { path: '/livez' })).status, 200);
  });

  test('a token in a file counts as it is now', async () => {
    const file = path.join(temporaryDirectory(), 'token');
    writeFileSync(file, `${TOKEN}\n`);
    const own = await startPointsman(table({ acting: { tokenFile: file } }));
    assert.equal((await act(own.adminPort, 'check')).status, 200);
    writeFileSync(file, 'another-token-entirely\n');
    assert.equal((await act(own.adminPort, 'check')).status, 403);
    assert.equal((await act(own.adminPort, 'check', {}, { token: 'another-token-entirely' })).status, 200);
    writeFileSync(file, '\n');
    const empty = await act(own.adminPort, 'check', {}, { token: '' });
    assert.equal(empty.status, 503);
    assert.match(empty.text, /tokenFile holds no token/);
  });

  test('what is not understood is refused with the reason', async () => {
    const messages = await Promise.all(
      [
        ['split', { ...(BODIES['split'] as object), for: 'soon' }, /^for is not a time/],
        ['split', { ...(BODIES['split'] as object), for: '400d' }, /^for is not a time/],
        ['split', { ...(BODIES['split'] as object), reason: ' ' }, /say why/],
        ['split', { ...(BODIES['split'] as object), weights: { canary: 1.5 } }, /weights\.canary/],
        ['split', { ...(BODIES['split'] as object), surprise: 1 }, /surprise/],
        ['drain', { backend: 'none', for: '1m', reason: 'x' }, /no backend none/],
        ['check', 'no json', /no JSON/],
        ['check', [], /expected object/],
      ].map(async ([action, body, expected]) => {
        const answer = await act(admin, action as string, body);
        assert.ok(answer.status >= 400 && answer.status < 500);
        assert.match((answer.json() as { message: string }).message, expected as RegExp);
      }),
    );
    assert.equal(messages.length, 8);
    assert.equal((await act(admin, 'check', 'x'.repeat(20_000))).status, 413);
    assert.equal((await act(admin, 'nothing')).status, 404);
  });
});

suite('a split set by hand', () => {
  test('brakes the canary, is told wherever it matters, survives a reload, and ends when it is ended', async () => {
    const own = await startPointsman(table(), { env });
    assert.ok((await shares(own.trafficPort)).canary > 0);
    const answer = await act(own.adminPort, 'split', {
      ...(BODIES['split'] as object),
      by: 'ann',
      reason: '500s at 14:05',
    });
    assert.equal(answer.status, 200);
    const { override, shared } = answer.json() as { override: { id: string }; shared: string };
    assert.match(shared, /this replica alone/);
    assert.equal((await shares(own.trafficPort)).canary, 0);

    const status = await own.status();
    assert.deepEqual(
      status.overrides.map(({ id, reason, by, state }) => ({ id, reason, by, state })),
      [{ id: override.id, reason: '500s at 14:05', by: 'ann', state: 'holds' }],
    );
    const free = status.routes.find(({ name }) => name === 'free')!;
    assert.deepEqual(free.split, { canary: 5, production: 95 }, 'as the file says');
    assert.deepEqual(free.sharesNow, { canary: 0, production: 100 });
    assert.equal(free.override!.reason, '500s at 14:05');
    assert.equal(await own.metric('pointsman_override_active', { kind: 'split', target: 'free' }), 1);
    assert.ok((await own.metric('pointsman_override_end_timestamp_seconds')) > Date.now() / 1_000);
    assert.equal(await own.metric('pointsman_admin_actions_total', { action: 'split', result: 'done' }), 1);
    const told = await own.waitForLog((line) => line['audit'] === true);
    assert.deepEqual(
      [told['by'], told['reason'], told['override'], told['from']],
      ['ann', '500s at 14:05', override.id, '127.0.0.1'],
    );
    const explained = await send(own.adminPort, {
      method: 'POST',
      path: '/explain',
      headers: ['Content-Type', 'application/json'],
      body: JSON.stringify({ group: 'free' }),
    });
    assert.match(
      (explained.json() as { text: string }).text,
      /▸ 3 override {2}canary 0, production 95 until .*ann: 500s at 14:05/,
    );

    await own.reload(
      table({
        routes: designTable(tracks).routes.map((route) =>
          route.name === 'free' ? { ...route, split: { canary: 50, production: 50 } } : route,
        ),
      }),
    );
    assert.equal((await shares(own.trafficPort)).canary, 0);
    assert.equal((await act(own.adminPort, 'end', { override: override.id })).status, 200);
    assert.deepEqual(await shares(own.trafficPort), { canary: 20, production: 20 });
    assert.deepEqual((await own.status()).overrides, []);
    assert.equal(await own.metric('pointsman_override_active'), 0);
  });

  for (const store of ['memory', 'redis'] as const) {
    test(`leaves no pins behind: when it is over, users are where they were (store: ${store})`, async () => {
      const redis = store === 'redis' ? await startRedis() : undefined;
      const own = await startPointsman(
        table({
          pins: { user: { by: [{ header: 'X-User-Id' }], store } },
          routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
          ...(redis === undefined
            ? {}
            : { redis: { url: redis.url, commandTimeout: '2s', cacheTtl: '100ms' } }),
        }),
        { env },
      );
      if (redis !== undefined) {
        await own.waitFor('Redis', async () => (await own.status()).workers[0]!.pinStore?.state === 'closed');
      }
      const who = (from: number) =>
        inParallel(40, 4, async (i) => {
          const { echo } = await send(own.trafficPort, { headers: ['X-User-Id', `u${from + i}`] });
          return echo().upstream;
        });
      const before = await who(0);
      assert.deepEqual(new Set(before), new Set(['canary', 'production']));
      const brake = { route: 'all', weights: { canary: 0 }, for: '5m', reason: 'x' };
      assert.equal((await act(own.adminPort, 'split', brake)).status, 200);
      for (const from of [0, 100]) assert.deepEqual(new Set(await who(from)), new Set(['production']));
      assert.equal((await act(own.adminPort, 'end', { override: 'all' })).status, 200);
      assert.deepEqual(await who(0), before);
      // Who came first while it held is no prisoner of it either.
      await own.waitFor('new users to be drawn', async () => (await who(100)).includes('canary'));
    });
  }

  test('ends by itself', async () => {
    const own = await startPointsman(table(), { env });
    const { override } = (
      await act(own.adminPort, 'split', { ...(BODIES['split'] as object), for: '1s' })
    ).json() as {
      override: { until: string };
    };
    assert.equal((await shares(own.trafficPort)).canary, 0);
    await own.waitFor('its end', async () => (await own.status()).overrides.length === 0);
    assert.ok(Date.now() >= Date.parse(override.until), 'not before its time');
    assert.ok((await shares(own.trafficPort)).canary > 0);
    await own.waitForLog(({ msg }) => msg === 'override holds no more');
  });

  test('reaches every worker, also one that is started while it holds', async () => {
    const own = await startPointsman(table(), { env, workers: 2 });
    assert.equal((await act(own.adminPort, 'split', BODIES['split'])).status, 200);
    assert.equal((await shares(own.trafficPort)).canary, 0);
    const [victim] = (await own.status()).workers;
    process.kill(victim!.pid, 'SIGKILL');
    await own.waitFor('the new worker', async () => {
      const { workers } = await own.status();
      return workers.every(({ state, pid }) => state === 'online' && pid !== victim!.pid);
    });
    assert.equal((await shares(own.trafficPort)).canary, 0);
  });
});

suite('other actions', () => {
  test('drain takes an endpoint or a backend out, undrain puts it back', async () => {
    const own = await startPointsman(table(), { env });
    const endpoint = (await own.status()).backends.find(({ name }) => name === 'canary')!.endpoints[0]!
      .endpoint;
    for (const target of [{ backend: 'canary' }, { backend: 'canary', endpoint }]) {
      const set = await act(own.adminPort, 'drain', { ...target, for: '1m', reason: 'node goes' });
      assert.equal(set.status, 200);
      await own.waitFor('the drain', async () => {
        const canary = (await own.status()).backends.find(({ name }) => name === 'canary')!;
        return canary.endpoints.every(({ admin: { state } }) => state === 'drain');
      });
      assert.equal((await shares(own.trafficPort)).canary, 0);
      assert.equal((await act(own.adminPort, 'undrain', target)).status, 200);
      await own.waitFor('traffic', async () => (await shares(own.trafficPort)).canary > 0);
    }
    const last = await act(own.adminPort, 'drain', { backend: 'production', for: '1m', reason: 'x' });
    assert.equal(last.status, 409);
    assert.match(last.text, /force/);
  });

  test('reload takes the file over at once, or says why not', async () => {
    const own = await startPointsman(table(), { env });
    own.writeConfig(table({ accessLog: { mode: 'errors' } }));
    const good = await act(own.adminPort, 'reload');
    assert.equal(good.status, 200, good.text);
    own.writeConfig('backends: {}\n');
    const bad = await act(own.adminPort, 'reload');
    assert.equal(bad.status, 409);
    assert.match(bad.text, /routes/);
    const { history } = await own.status();
    assert.deepEqual(history.reloads.at(-1)!.result, 'rejected');
    assert.ok(
      history.reloads.some(
        ({ result, changes }) => result === 'ok' && changes.join().includes('accessLog.mode all → errors'),
      ),
    );
  });

  test('forget-pin makes the next request of a user a new one, and no log has the id', async () => {
    const own = await startPointsman(
      table({
        pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
        routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
        accessLog: { mode: 'off' },
      }),
      { env },
    );
    const ask = () => send(own.trafficPort, { headers: ['X-User-Id', 'user-geheim'] });
    const first = (await ask()).echo().upstream;
    const other = first === 'canary' ? 'production' : 'canary';
    await own.reload(
      table({
        pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
        routes: [{ name: 'all', split: { [first]: 1, [other]: 999_999 }, pin: 'user' }],
        accessLog: { mode: 'off' },
      }),
    );
    assert.equal((await ask()).echo().upstream, first, 'remembered');
    assert.equal((await act(own.adminPort, 'forget-pin', { user: 'user-geheim' })).status, 200);
    await own.waitFor('the other backend', async () => (await ask()).echo().upstream === other);
    assert.ok(!JSON.stringify(own.log()).includes('user-geheim'));
  });

  test('failed requests are listed without anything that names a user', async () => {
    const own = await startPointsman(table({ accessLog: { mode: 'off' } }), { env });
    await send(own.trafficPort, {
      path: '/status/503',
      headers: ['X-Traffic-Group', 'INTERNAL', 'X-User-Id', 'user-geheim'],
    });
    await send(own.trafficPort, {
      path: '/status/500?user=geheim-1',
      headers: ['X-Traffic-Group', 'INTERNAL'],
    });
    const failures = await own.waitFor('the failures', async () => {
      const found = (await own.status()).history.failures;
      return found.length >= 2 ? found : undefined;
    });
    assert.deepEqual(
      failures.map(({ route, backend, status, path: shown }) => ({ route, backend, status, shown })),
      [
        { route: 'internal', backend: 'internal', status: 503, shown: '/status/…' },
        { route: 'internal', backend: 'internal', status: 500, shown: '/status/…' },
      ],
    );
    assert.doesNotMatch(JSON.stringify(failures), /geheim|127\.0\.0\.1:\d+.*client/);
  });
});

suite('pointsman ctl', () => {
  const ctl = async (args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'ctl', ...args], {
        env: {
          ...process.env,
          NODE_OPTIONS: '',
          POINTSMAN_ADMIN: `http://127.0.0.1:${admin}`,
          POINTSMAN_ADMIN_TOKEN: TOKEN,
          ...more,
        },
      });
      return { code: 0, stdout, stderr: '' };
    } catch (error) {
      return error as unknown as { code: number; stdout: string; stderr: string };
    }
  };

  test('brakes, shows and ends', async () => {
    const set = await ctl(['split', 'FREE', 'canary=0', '--for', '30m', '--reason', 'bad build']);
    assert.match(
      set.stdout,
      /^split of free: canary 0, until .*\noverride [0-9a-f]+\nreaches this replica alone/,
    );
    const status = await ctl(['status']);
    assert.match(status.stdout, /split of free: canary 0 {2}30 min left\n.*: bad build/);
    assert.match((await ctl(['explain', '--group', 'free'])).stdout, /▸ 3 override/);
    assert.match((await ctl(['end', 'free'])).stdout, /^ended: split of free/);
    assert.equal(
      (JSON.parse((await ctl(['dump'])).stdout) as { status: { overrides: unknown[] } }).status.overrides
        .length,
      0,
    );
  });

  test('says what is wrong, with exit code 2 for usage and 1 for what was refused', async () => {
    for (const [args, code, says] of [
      [['split', 'free'], 2, /needs a route and weights/],
      [['split', 'free', 'canary=many', '--reason', 'x'], 2, /BACKEND=WEIGHT/],
      [['split', 'free', 'canary=0'], 2, /--reason/],
      [['split', 'free', 'canary=0', '--reason', 'x', '--for', 'ever'], 2, /--for is a time/],
      [['dance'], 2, /no verb "dance"/],
      [['drain', 'nothing', '--reason', 'x'], 1, /no backend nothing/],
      [['check', '--admin', 'http://127.0.0.1:1'], 1, /does not answer: ECONNREFUSED/],
    ] as const) {
      const { code: ended, stderr } = await ctl(args);
      assert.equal(ended, code, args.join(' '));
      assert.match(stderr, says);
    }
    assert.match((await ctl(['check'], { POINTSMAN_ADMIN_TOKEN: '' })).stderr, /POINTSMAN_ADMIN_TOKEN/);
  });
});
