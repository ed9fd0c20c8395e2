/** Upgrades: treated as any other request until the 101, and carried to the last byte after it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes } from '../../support/http-upstream.ts';
import { valuesOf } from '../../support/http-wire.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { MIB } from '../../support/process-usage.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { send } from '../../support/request.ts';
import { acceptUpgrade, echoBytes, switching, upgradeRequest } from '../../support/upgrade.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';
import { askWebSocket, openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

/** Opens a tunnel whose client stays open when the other side ends. */
async function openTunnel(proxy: PointsmanProcess, target = '/', lines = ''): Promise<RawClient> {
  const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
  client.send(upgradeRequest(target, lines));
  assert.equal((await client.readHead()).status, 101);
  return client;
}

async function waitForNothingOpen(proxy: PointsmanProcess): Promise<void> {
  await proxy.waitFor('nothing to be open', async () => {
    const { connections } = await proxy.status();
    return connections.tunnels === 0 && connections.client === 0;
  });
}

suite('a half-closed tunnel', () => {
  /** An upstream that accepts every upgrade; resolves to its end of the first tunnel. */
  async function startTunnelUpstream() {
    let take = (_: Socket) => {};
    const socket = new Promise<Socket>((resolve) => {
      take = resolve;
    });
    const upstream = await startRawUpstream(() => acceptUpgrade((own) => take(own)));
    return { url: upstream.url, socket };
  }

  test('carries all that the upstream sends after the client has ended', async () => {
    const upstream = await startTunnelUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await openTunnel(proxy, '/client-ends');
    const socket = await upstream.socket;
    let question = '';
    socket.on('data', (bytes: Buffer) => {
      question += bytes.toString('latin1');
    });
    const ended = once(socket, 'end');
    client.send('question').end();
    await inTime('the end at the upstream', ended);
    assert.equal(question, 'question');
    const bytes = patternBytes(MIB);
    socket.write(bytes.subarray(0, 1_000));
    await waitFor('the first bytes', () => client.unread.length === 1_000);
    socket.end(bytes.subarray(1_000));
    assert.ok((await client.readToEnd()).equals(bytes));
    await waitForNothingOpen(proxy);
    const line = await proxy.waitForLog(({ path }) => path === '/client-ends');
    assert.equal(line['status'], 101);
    assert.equal(line['termination'], '--');
  });

  test('carries all that the client sends after the upstream has ended', async () => {
    const upstream = await startTunnelUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await openTunnel(proxy, '/upstream-ends');
    const socket = await upstream.socket;
    socket.end('greeting');
    assert.equal((await client.readToEnd()).toString(), 'greeting');
    const received: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    const ended = once(socket, 'end');
    const bytes = patternBytes(MIB);
    client.send(bytes.subarray(0, 1_000));
    await waitFor('the first bytes', () => Buffer.concat(received).length === 1_000);
    client.send(bytes.subarray(1_000)).end();
    await inTime('the end at the upstream', ended);
    assert.ok(Buffer.concat(received).equals(bytes));
    await waitForNothingOpen(proxy);
    const line = await proxy.waitForLog(({ path }) => path === '/upstream-ends');
    assert.equal(line['termination'], '--');
  });

  // The side that has ended sees a close as soon as the proxy ends the other direction as well.
  test('ends after timeouts.tunnel without a byte if the client has ended', async () => {
    const upstream = await startTunnelUpstream();
    const proxy = await startPointsman(
      oneBackend(upstream.url, { ...unchecked, timeouts: { tunnel: '300ms' } }),
    );
    const client = await openTunnel(proxy);
    const socket = await upstream.socket;
    const ended = once(socket.resume(), 'end');
    client.end();
    await inTime('the end at the upstream', ended);
    await inTime('the close at the client', client.closed);
    await waitForNothingOpen(proxy);
    socket.destroy();
  });

  test('ends after timeouts.tunnel without a byte if the upstream has ended', async () => {
    const upstream = await startTunnelUpstream();
    const proxy = await startPointsman(
      oneBackend(upstream.url, { ...unchecked, timeouts: { tunnel: '300ms' } }),
    );
    const client = await openTunnel(proxy);
    const socket = await upstream.socket;
    const closed = once(socket.resume(), 'close');
    socket.end();
    await client.readToEnd();
    await inTime('the close at the upstream', closed);
    await waitForNothingOpen(proxy);
    client.destroy();
  });
});

suite('the head of a 101', () => {
  const TOKEN = 'let-me-see-please';
  const HEAD =
    'HTTP/1.1 101 Changing Over\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade, X-Hop\r\n' +
    'SEC-WebSocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-MiXed: 1\r\nX-Dup: one\r\nx-dup: two\r\n' +
    'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Name: caf\xe9 na\xefve\r\nKeep-Alive: timeout=5\r\n' +
    'Proxy-Connection: keep-alive\r\nX-Hop: 1\r\nX-Secret: s\r\nX-Request-Id: not-this-one\r\n\r\n';

  async function startBehindRules() {
    const upstream = await startRawUpstream(() => acceptUpgrade(echoBytes, HEAD));
    const proxy = await startPointsman(
      {
        backends: { main: { url: upstream.url } },
        routes: [
          {
            name: 'sockets',
            split: { main: 1 },
            pin: 'user',
            response: {
              set: { 'X-Set': '%{route}', 'X-Dup': 'three' },
              add: { 'X-Add': ['a', 'b'] },
              remove: ['X-Secret'],
            },
          },
        ],
        pins: { user: { by: [{ header: 'X-User' }], issueCookie: { keys: ['${PIN_KEY}'], name: 'seat' } } },
        debug: { token: TOKEN },
        ...unchecked,
      },
      { env: { PIN_KEY: 'a key from the environment, long enough' } },
    );
    return { upstream, proxy };
  }

  test('arrives unchanged, without the hop-by-hop headers', async () => {
    const upstream = await startRawUpstream(() => acceptUpgrade(echoBytes, HEAD));
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await RawClient.connect(proxy.trafficPort);
    const { status, statusText, head } = await client.send(upgradeRequest()).readHead();
    client.destroy();
    assert.equal(status, 101);
    assert.equal(statusText, 'Changing Over');
    const own = new Set(['upgrade', 'connection', 'x-request-id', 'date']);
    assert.deepEqual(
      head.fields.filter(([name]) => !own.has(name.toLowerCase())),
      [
        ['SEC-WebSocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
        ['X-MiXed', '1'],
        ['X-Dup', 'one'],
        ['x-dup', 'two'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['X-Name', 'caf\xe9 na\xefve'],
        ['X-Secret', 's'],
      ],
    );
    assert.match(valuesOf(head.fields, 'connection').join(), /^upgrade$/i);
    assert.deepEqual(valuesOf(head.fields, 'upgrade'), ['websocket']);
  });

  test('carries the id of the request', async () => {
    const upstream = await startRawUpstream(() => acceptUpgrade(echoBytes, HEAD));
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send(upgradeRequest('/with-id')).read();
    client.destroy();
    const id = answer.value('x-request-id');
    assert.equal(id, upstream.requests[0]!.value('x-request-id'));
    assert.equal((await proxy.accessLine(id))['path'], '/with-id');
  });

  test('is changed by the rules of its route', async () => {
    const { proxy } = await startBehindRules();
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send(upgradeRequest()).read();
    client.destroy();
    assert.equal(answer.status, 101);
    assert.deepEqual(answer.values('x-set'), ['sockets']);
    assert.deepEqual(answer.values('x-dup'), ['three']);
    assert.deepEqual(answer.values('x-add'), ['a', 'b']);
    assert.deepEqual(answer.values('x-secret'), []);
    assert.match(answer.value('connection')!, /^upgrade$/i);
  });

  test('carries the cookie that a pin issues, and the cookies of the upstream', async () => {
    const { proxy } = await startBehindRules();
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send(upgradeRequest()).read();
    client.destroy();
    const cookies = answer.values('set-cookie');
    assert.equal(cookies.length, 3);
    assert.ok(cookies.some((cookie) => /^seat=1\.[^;]+; Max-Age=/.test(cookie)));
    assert.ok(cookies.includes('a=1') && cookies.includes('b=2'));
  });

  test('says why it went there if the client may know', async () => {
    const { proxy, upstream } = await startBehindRules();
    const ask = async (lines: string) => {
      const client = await RawClient.connect(proxy.trafficPort);
      const answer = await client.send(upgradeRequest('/', lines)).read();
      client.destroy();
      assert.equal(answer.status, 101);
      return answer;
    };
    const told = await ask(`X-Pointsman-Debug: ${TOKEN}\r\n`);
    assert.equal(told.value('x-pointsman-route'), 'sockets');
    assert.equal(told.value('x-pointsman-backend'), 'main');
    assert.match(told.value('x-pointsman-endpoint')!, /^127\.0\.0\.1:\d+$/);
    assert.match(told.value('server-timing')!, /upstream;dur=[\d.]+/);
    assert.deepEqual(upstream.requests[0]!.values('x-pointsman-debug'), []);
    for (const lines of ['', 'X-Pointsman-Debug: a-wrong-token-indeed\r\n']) {
      assert.deepEqual((await ask(lines)).values('x-pointsman-route'), []);
    }
  });
});

suite('a handshake on a canary', () => {
  for (const [what, answer] of [
    ['is answered with 503', 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nbroken'],
    ['is answered with 502 that has no end', 'HTTP/1.1 502 Bad\r\nContent-Length: 99\r\n\r\nab'],
    ['is reset', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    test(`moves to the main backend if it ${what}`, async () => {
      const canary = await startRawUpstream(() => answer);
      const production = await startWebSocketUpstream('production');
      const proxy = await startPointsman({
        backends: { canary: { url: canary.url }, production: { url: production.url } },
        routes: [{ name: 'all', split: { canary: 50, production: 50 }, main: 'production' }],
        retries: { budget: { percent: 100, floor: 1_000 } },
        ...unchecked,
      });
      for (let i = 0; i < 10; i++) {
        const socket = await openWebSocket(proxy.trafficPort, { path: `/${i}` });
        assert.equal(String(await askWebSocket(socket, 'who')), 'production');
        socket.terminate();
      }
      assert.equal(canary.requests.length, 5, 'half of the handshakes went to the canary');
      assert.equal(await proxy.metric('pointsman_shielded_total', { backend: 'canary' }), 5);
      await proxy.waitFor('the lines of all', () => proxy.accessLog().length === 10);
      const shielded = proxy.accessLog().filter((line) => line['shielded_from'] === 'canary');
      assert.equal(shielded.length, 5);
      for (const line of shielded) {
        assert.equal(line['status'], 101);
        assert.equal(line['backend'], 'production');
        assert.equal(line['retries'], 1);
      }
    });
  }
});

suite('an upgrade', () => {
  test('counts as a request in flight while its tunnel is open', async () => {
    const upstream = await startRawUpstream(({ fields }) =>
      valuesOf(fields, 'upgrade').length === 0 ? OK : acceptUpgrade(echoBytes),
    );
    const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, limits: { inFlight: 1 } }));
    const client = await openTunnel(proxy);
    for (const request of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', upgradeRequest()]) {
      const refused = await exchange(proxy.trafficPort, request);
      assert.equal(refused.status, 503);
      assert.equal(refused.value('x-pointsman-reason'), 'overloaded');
    }
    client.destroy();
    await waitForNothingOpen(proxy);
    assert.equal((await send(proxy.trafficPort)).status, 200);
  });

  test('counts as a request in flight during its handshake', async () => {
    const upstream = await startRawUpstream(() => () => undefined);
    const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, limits: { inFlight: 1 } }));
    const first = await RawClient.connect(proxy.trafficPort);
    first.send(upgradeRequest());
    await waitFor('the handshake at the upstream', () => upstream.requests.length === 1);
    const refused = await exchange(proxy.trafficPort, upgradeRequest());
    assert.equal(refused.status, 503);
    assert.equal(refused.value('x-pointsman-reason'), 'overloaded');
    first.destroy();
    await waitForNothingOpen(proxy);
    const second = await RawClient.connect(proxy.trafficPort);
    second.send(upgradeRequest());
    await waitFor('the next handshake at the upstream', () => upstream.requests.length === 2);
    second.destroy();
  });

  test('is retried and counted if a connection is refused', async () => {
    const main = await startWebSocketUpstream('main');
    const proxy = await startPointsman({
      backends: {
        gone: { url: `http://127.0.0.1:${await reserveClosedPort()}` },
        main: { url: main.url },
      },
      routes: [{ name: 'all', split: { gone: 1, main: 1 }, shield: false }],
      ...unchecked,
    });
    for (let i = 0; i < 4; i++) {
      const socket = await openWebSocket(proxy.trafficPort);
      assert.equal(String(await askWebSocket(socket, 'who')), 'main');
      socket.terminate();
    }
    await proxy.waitFor('the lines of all', () => proxy.accessLog().length === 4);
    const again = proxy.accessLog().filter((line) => line['retries'] === 1);
    assert.equal(again.length, 2);
    for (const line of again) {
      assert.equal(line['redispatched'], true);
      assert.equal(line['backend'], 'main');
      assert.equal(line['status'], 101);
    }
    const labels = { backend: 'gone', reason: 'connect_failed' };
    assert.equal(await proxy.metric('pointsman_retries_total', labels), 2);
    assert.equal(await proxy.metric('pointsman_redispatches_total', { backend: 'gone' }), 2);
  });

  test('counts as an exposure of its user', async () => {
    const upstream = await startWebSocketUpstream('only');
    const proxy = await startPointsman({
      backends: { canary: { url: upstream.url } },
      routes: [{ name: 'pinned', split: { canary: 1 }, pin: 'user' }],
      pins: { user: { by: [{ header: 'X-User' }], store: 'none' } },
      ...unchecked,
    });
    for (let i = 0; i < 10; i++) {
      const socket = await openWebSocket(proxy.trafficPort, { headers: { 'X-User': `user-${i % 5}` } });
      socket.terminate();
    }
    await proxy.waitFor('five users to be counted', async () => {
      return (await proxy.metric('pointsman_users_exposed', { route: 'pinned', backend: 'canary' })) === 5;
    });
  });

  test('counts with its status among the requests of its route', async () => {
    const upstream = await startRawUpstream(() => acceptUpgrade(echoBytes, switching()));
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await openTunnel(proxy);
    client.destroy();
    await proxy.waitFor('it to be counted', async () => {
      return (await proxy.metric('pointsman_requests_total', { backend: 'main', code: '1xx' })) === 1;
    });
  });
});
