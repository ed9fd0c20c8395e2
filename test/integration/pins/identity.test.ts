/** Users by cookie, token and address over sockets, and what happens when their backend is down. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startRedis } from '../../support/redis-server.ts';
import { fieldValues, inParallel, send } from '../../support/request.ts';
import { startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const KEY = 'a key from the environment, long enough';
const canary = await startHttpUpstream('canary', {
  behaviours: {
    cookies: (_req, res) => {
      res.writeHead(200, ['Set-Cookie', 'own=1; Path=/', 'Set-Cookie', 'other=2']);
      res.end('canary');
    },
  },
});
const production = await startHttpUpstream('production');

type PinInput = NonNullable<TestConfig['pins']>[string];

function config(pin: PinInput, more: Partial<TestConfig> = {}): TestConfig {
  return {
    service: 'shop',
    backends: { canary: { url: canary.url }, production: { url: production.url } },
    routes: [{ name: 'all', split: { canary: 50, production: 50 }, pin: 'user' }],
    pins: { user: pin },
    ...more,
  };
}

const start = (pin: PinInput, more?: Partial<TestConfig>) =>
  startPointsman(config(pin, more), { env: { PIN_KEY: KEY, NEXT_KEY: `next ${KEY}` } });

const ask = (proxy: PointsmanProcess, headers: readonly string[] = [], path = '/') =>
  send(proxy.trafficPort, { headers, path });

const ISSUE: NonNullable<PinInput['issueCookie']> = { keys: ['${PIN_KEY}'], name: 'seat', secure: false };
const BY: PinInput['by'] = [{ header: 'X-User-Id' }];

/** The pair of the issued cookie; undefined when none was issued. */
function issued(answer: Awaited<ReturnType<typeof ask>>): string | undefined {
  const line = fieldValues(answer.message.rawHeaders, 'set-cookie').find((value) =>
    value.startsWith('seat='),
  );
  return line?.slice(0, line.indexOf(';'));
}

suite('an issued cookie', () => {
  test('keeps a user who has no id where he was, and 50 of 100 in the canary', async () => {
    const proxy = await start({ by: BY, issueCookie: ISSUE });
    const users = await inParallel(200, 8, async () => {
      const answer = await ask(proxy);
      const pair = issued(answer);
      assert.ok(pair !== undefined);
      return { pair, backend: answer.echo().upstream };
    });
    assert.equal(new Set(users.map(({ pair }) => pair)).size, 200);
    for (const { pair, backend } of users.slice(0, 50)) {
      const again = await ask(proxy, ['Cookie', `a=b; ${pair}`]);
      assert.equal(again.echo().upstream, backend);
      assert.equal(issued(again), undefined, 'issued once');
      // It is a cookie like any other: the upstream sees it.
      assert.deepEqual(fieldValues(again.echo().rawHeaders, 'cookie'), [`a=b; ${pair}`]);
    }
    const share = users.filter(({ backend }) => backend === 'canary').length;
    assert.ok(share > 60 && share < 140, `${share} of 200`);
    assert.equal(await proxy.metric('pointsman_pins_total', { result: 'issued' }), 200);
    await proxy.stop();
  });

  test("stands beside the upstream's own, and not where there is an id or no route was found", async () => {
    const proxy = await start(
      { by: BY, issueCookie: ISSUE },
      {
        routes: [{ name: 'all', split: { canary: 1 }, pin: 'user' }],
        backends: { canary: { url: canary.url } },
      },
    );
    const answer = await ask(proxy, [], '/cookies');
    const lines = fieldValues(answer.message.rawHeaders, 'set-cookie');
    assert.equal(lines.length, 3);
    assert.match(lines[0]!, /^seat=1\.[^;]+; Max-Age=31536000; Path=\/; SameSite=Lax; HttpOnly$/);
    assert.deepEqual(lines.slice(1), ['own=1; Path=/', 'other=2']);
    assert.equal(issued(await ask(proxy, ['X-User-Id', '7'])), undefined);
    const refused = await ask(proxy, ['X-Traffic-Group', 'a', 'X-Traffic-Group', 'b']);
    assert.equal(refused.status, 400);
    assert.equal(issued(refused), undefined);
    await proxy.stop();
  });

  test('that is forged, of another key or garbled is replaced; rotation of keys keeps users', async () => {
    const proxy = await start({ by: BY, issueCookie: ISSUE });
    const first = await ask(proxy);
    const pair = issued(first)!;
    for (const bad of [
      'seat=',
      'seat=1.x.y.z',
      pair.replace('seat=1.', 'seat=2.'),
      `${pair}x`,
      pair.slice(0, -2) + (pair.endsWith('AA') ? 'BB' : 'AA'),
      `seat=${'x'.repeat(9_000)}`,
    ]) {
      const answer = await ask(proxy, ['Cookie', bad]);
      assert.equal(answer.status, 200);
      assert.ok(issued(answer) !== undefined && issued(answer) !== pair, bad.slice(0, 40));
    }
    await proxy.reload(config({ by: BY, issueCookie: { ...ISSUE, keys: ['${NEXT_KEY}', '${PIN_KEY}'] } }));
    const rotated = await ask(proxy, ['Cookie', pair]);
    assert.equal(rotated.echo().upstream, first.echo().upstream);
    const renewed = issued(rotated)!;
    assert.equal(renewed.split('.')[1], pair.split('.')[1], 'the same id, signed by the new key');
    await proxy.reload(config({ by: BY, issueCookie: { ...ISSUE, keys: ['${NEXT_KEY}'] } }));
    assert.equal(issued(await ask(proxy, ['Cookie', renewed])), undefined);
    assert.ok(issued(await ask(proxy, ['Cookie', pair])) !== undefined);
    const said = `${JSON.stringify(proxy.log())}${JSON.stringify(await proxy.status())}`;
    assert.ok(!said.includes(KEY) && !said.includes(pair.split('.')[1]!));
    await proxy.stop();
  });

  test('comes with the answer to an upgrade too, whether it is done or refused', async () => {
    const sockets = await startWebSocketUpstream('sockets');
    for (const [url, status] of [
      [sockets.url, 101],
      [canary.url, 200],
    ] as const) {
      const proxy = await start(
        { by: BY, issueCookie: ISSUE },
        { routes: [{ name: 'all', split: { only: 1 }, pin: 'user' }], backends: { only: { url } } },
      );
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(
        'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      const answer = await client.readHead();
      assert.equal(answer.status, status);
      assert.ok(
        answer.head.fields.some(([name, value]) => /^set-cookie$/i.test(name) && /^seat=1\./.test(value)),
      );
      client.destroy();
      await proxy.stop();
    }
  });

  test('is remembered only when it comes back, so that clients without cookies fill no store', async () => {
    const server = await startRedis();
    const proxy = await start(
      { by: BY, issueCookie: ISSUE, store: 'redis' },
      { redis: { url: server.url, commandTimeout: '1s' } },
    );
    const stored = async () => (await server.client.keys('*:pin:*')).length;
    const answers = await inParallel(30, 8, () => ask(proxy));
    assert.equal(await stored(), 0);
    const again = await ask(proxy, ['Cookie', issued(answers[0]!)!]);
    assert.equal(again.echo().upstream, answers[0]!.echo().upstream);
    assert.equal(await stored(), 1);
    await proxy.stop();
  });
});

suite('who the user is', () => {
  test('is said by a token or an address, where nothing before says it', async () => {
    const proxy = await start(
      {
        by: [{ bearerClaim: 'sub' }, { clientAddress: { trustedHops: 1 } }],
        store: 'memory',
      },
      { trust: { cidrs: ['127.0.0.0/8'] } },
    );
    const token = (sub: string) =>
      `Bearer e30.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.`;
    const by = async (...headers: string[]) => (await ask(proxy, headers)).echo().upstream;
    const backends = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const first = await by('Authorization', token(`u${i}`), 'X-Forwarded-For', '9.9.9.9');
      backends.add(first);
      for (let turn = 0; turn < 3; turn++) {
        const other = `9.9.${i}.${turn}`;
        assert.equal(await by('X-Forwarded-For', other, 'Authorization', token(`u${i}`)), first);
        assert.equal(await by('X-Forwarded-For', `1.1.1.1, ${other}`), await by('X-Forwarded-For', other));
      }
    }
    assert.equal(backends.size, 2);
    await proxy.stop();
  });

  test('may be said by anything at all without harm', async () => {
    const proxy = await start({ by: [{ header: 'X-User-Id' }, { cookie: 'uid' }], store: 'memory' });
    for (const line of [
      `X-User-Id: ${'x'.repeat(8_000)}`,
      'X-User-Id:',
      'X-User-Id: \xff\xfe\x80',
      'Cookie: uid=\xff\x80; uid="; ;=; uid',
      `Cookie: uid=${'\xe9'.repeat(300)}`,
    ]) {
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`, 'latin1'));
      assert.equal((await client.readHead()).status, 200, line.slice(0, 30));
      client.destroy();
    }
    // A head of 64 KiB is refused before anybody looks for a user in it.
    const client = await RawClient.connect(proxy.trafficPort);
    client.send(`GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: ${'x'.repeat(65_536)}\r\n\r\n`);
    assert.equal((await client.readHead()).status, 431);
    client.destroy();
    await proxy.stop();
  });
});

suite("a user's backend that is down", () => {
  test('is replaced for the time, and the pin stays; or, when told so, nobody else serves', async () => {
    const dying = await startHttpUpstream('canary');
    const backends = { canary: { url: dying.url }, production: { url: production.url } };
    const fallback = await start({ by: BY, store: 'memory' }, { backends });
    const strict = await start({ by: BY, store: 'memory', onUnavailable: 'fail' }, { backends });
    const backendOf = async (proxy: PointsmanProcess, user: number) => {
      const answer = await ask(proxy, ['X-User-Id', String(user)]);
      return answer.status === 200 ? answer.echo().upstream : answer.failure().reason;
    };
    const visit = (proxy: PointsmanProcess) => inParallel(40, 8, (user) => backendOf(proxy, user));
    const before = await visit(fallback);
    assert.deepEqual(await visit(strict), before);
    assert.equal(new Set(before).size, 2);
    const { port } = dying;
    await dying.close();
    await Promise.all([fallback.waitForHealth('canary', 'down'), strict.waitForHealth('canary', 'down')]);
    assert.deepEqual(new Set(await visit(fallback)), new Set(['production']));
    assert.deepEqual(
      await visit(strict),
      before.map((backend) => (backend === 'canary' ? 'pinned_backend_down' : backend)),
    );
    await startHttpUpstream('canary', { port });
    await Promise.all([fallback.waitForHealth('canary', 'up'), strict.waitForHealth('canary', 'up')]);
    assert.deepEqual(await visit(fallback), before);
    assert.deepEqual(await visit(strict), before);
    await Promise.all([fallback.stop(), strict.stop()]);
  });
});
