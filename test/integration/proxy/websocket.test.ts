/** WebSockets and other upgrades. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { WebSocket } from 'ws';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { type RawAnswer, startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';
import { switching, upgradeRequest } from '../../support/upgrade.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';
import { askWebSocket, openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const MIB = 1024 ** 2;
const unchecked: Partial<TestConfig> = { health: { enabled: false } };

const upstream = await startWebSocketUpstream('main');
const proxy = await startPointsman(oneBackend(upstream.url));

const SWITCHING = switching('X-Own: 1\r\n');

suite('frames', () => {
  test('of 1 MiB come back byte for byte', async () => {
    const socket = await openWebSocket(proxy.trafficPort);
    const frame = patternBytes(MIB);
    for (let i = 0; i < 5; i++) {
      frame[0] = i;
      assert.ok((await askWebSocket(socket, frame)).equals(frame));
    }
    const text = 'ä'.repeat(MIB / 2);
    assert.equal(String(await askWebSocket(socket, text)), text);
    socket.close();
  });

  test('go both ways at once', async () => {
    const socket = await openWebSocket(proxy.trafficPort);
    const frames = Array.from({ length: 50 }, (_, i) => Buffer.alloc(64 * 1024, i));
    const received: Buffer[] = [];
    socket.on('message', (data) => received.push(data as Buffer));
    for (const frame of frames) socket.send(frame);
    await waitFor('all frames', () => received.length === frames.length);
    assert.ok(received.every((frame, i) => frame.equals(frames[i]!)));
    socket.close();
  });

  test('on 1,000 WebSockets open at once', async () => {
    const sockets = await inParallel(1000, 50, () => openWebSocket(proxy.trafficPort));
    const answers = await Promise.all(sockets.map((socket, i) => askWebSocket(socket, `frame ${i}`)));
    assert.ok(answers.every((answer, i) => String(answer) === `frame ${i}`));
    const { connections } = await proxy.status();
    assert.equal(connections.tunnels, 1000);
    assert.equal(await proxy.metric('pointsman_tunnels', { backend: 'main' }), 1000);
    for (const socket of sockets) socket.close();
    await proxy.waitFor('them to be gone', async () => (await proxy.status()).connections.tunnels === 0);
    await waitFor('the upstream’s ends to be gone', () => upstream.open.size === 0);
  });
});

suite('the upgrade request', () => {
  test('takes the row of its traffic group', async () => {
    const internal = await startWebSocketUpstream('internal');
    const own = await startPointsman({
      backends: { internal: { url: internal.url }, production: { url: upstream.url } },
      routes: [
        { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 1 } },
        { name: 'all', split: { production: 1 } },
      ],
    });
    const inside = await openWebSocket(own.trafficPort, { headers: { 'X-Traffic-Group': 'internal' } });
    assert.equal(String(await askWebSocket(inside, 'who')), 'internal');
    inside.close();
    const outside = await openWebSocket(own.trafficPort);
    assert.equal(String(await askWebSocket(outside, 'who')), 'main');
    outside.close();
    const ambiguous = await exchange(
      own.trafficPort,
      upgradeRequest('/', 'X-Traffic-Group: FREE, INTERNAL\r\n'),
    );
    assert.equal(ambiguous.status, 400);
  });

  test('reaches the upstream with its own target and fields, and those a proxy adds', async () => {
    const raw = await startRawUpstream(() => SWITCHING);
    const own = await startPointsman(oneBackend(raw.url, unchecked));
    const target = '//a/../ws/%2e%2e?x={1}&y=[2]';
    const client = await RawClient.connect(own.trafficPort);
    const answer = await client
      .send(
        upgradeRequest(
          target,
          'Sec-WebSocket-Protocol: chat, superchat\r\nX-Dup: 1\r\nx-dUP: 2\r\nCookie: a=b\r\n' +
            'X-Forwarded-For: 6.6.6.6\r\nX-Hop: 1\r\nX-Name: caf\xe9\r\n',
        ).replace('Connection: Upgrade', 'Connection: keep-alive, Upgrade, X-Hop'),
      )
      .read();
    assert.equal(answer.status, 101);
    assert.equal(answer.value('sec-websocket-accept'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    assert.equal(answer.value('x-own'), '1');
    assert.match(answer.value('connection')!, /^upgrade$/i);
    assert.match(answer.value('upgrade')!, /^websocket$/i);
    client.destroy();
    const request = raw.requests[0]!;
    assert.equal(request.target, target);
    assert.equal(request.value('host'), 'ws.example');
    assert.match(request.value('connection')!, /^upgrade$/i);
    assert.equal(request.value('upgrade'), 'websocket');
    assert.equal(request.value('sec-websocket-key'), 'dGhlIHNhbXBsZSBub25jZQ==');
    assert.equal(request.value('sec-websocket-protocol'), 'chat, superchat');
    assert.deepEqual(request.values('x-dup').join(', '), '1, 2');
    assert.equal(request.value('x-name'), 'caf\xe9');
    assert.equal(request.value('x-forwarded-for'), '127.0.0.1');
    assert.equal(request.value('x-forwarded-host'), 'ws.example');
    assert.equal(request.value('via'), '1.1 pointsman');
    assert.match(request.value('x-request-id')!, /^[0-9a-f-]{36}$/);
    assert.deepEqual(request.values('x-hop'), []);
  });

  test('may be followed at once by bytes, on either side', async () => {
    const raw = await startRawUpstream(() => (socket) => {
      socket.removeAllListeners('data');
      socket.on('data', (chunk: Buffer) => socket.write(`<${chunk.toString('latin1')}>`));
      socket.write(`${SWITCHING}early`);
    });
    const own = await startPointsman(oneBackend(raw.url, unchecked));
    const client = await RawClient.connect(own.trafficPort);
    client.send(`${upgradeRequest()}eager`);
    assert.equal((await client.readHead()).status, 101);
    await waitFor('both', () => {
      const bytes = client.unread.toString('latin1');
      return bytes.startsWith('early') && bytes.includes('eager');
    });
    client.destroy();
  });

  for (const [what, bytes] of [
    ['without Sec-WebSocket-Key', upgradeRequest().replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['with another method than GET', upgradeRequest().replace('GET', 'POST')],
    ['with a body', upgradeRequest('/', 'Content-Length: 4\r\n') + 'body'],
    // Node hands out another kind of stream while the body is not there yet.
    ['with a body that does not come', upgradeRequest('/', 'Content-Length: 50\r\n')],
    ['with half a body', upgradeRequest('/', 'Content-Length: 50\r\n') + 'half'],
    ['with a chunked body', upgradeRequest('/', 'Transfer-Encoding: chunked\r\n') + '3\r\nabc\r\n'],
    ['with a broken chunked body', upgradeRequest('/', 'Transfer-Encoding: chunked\r\n') + 'zz\r\n'],
    ['with two hosts', upgradeRequest('/', 'Host: other\r\n')],
    ['with a fragment', upgradeRequest('/a#b')],
    ['to another host', upgradeRequest('http://evil/')],
  ] as const) {
    test(`${what} is refused with 400`, async () => {
      const before = upstream.upgrades.length;
      const answer = await exchange(proxy.trafficPort, bytes);
      assert.equal(answer.status, 400);
      assert.match(
        (answer.json() as { error: { reason: string } }).error.reason,
        /^(bad_request|host_mismatch)$/,
      );
      assert.equal(upstream.upgrades.length, before);
    });
  }

  for (const [what, rest] of [
    ['without a body', '\r\n'],
    ['with half a body', 'Content-Length: 50\r\n\r\nhalf'],
    ['with half a chunk', 'Transfer-Encoding: chunked\r\n\r\n3\r\nab'],
    ['behind another request', `\r\n${upgradeRequest()}`],
  ] as const) {
    test(`${what} may be reset at any moment and harms nobody else`, async () => {
      const own = await startPointsman(oneBackend(upstream.url, unchecked));
      for (let i = 0; i < 20; i++) {
        const client = await RawClient.connect(own.trafficPort);
        client.socket.on('error', () => {});
        client.send(upgradeRequest().slice(0, -2) + rest);
        await pause(i);
        if (i % 3 === 0) client.send('more');
        client.reset();
      }
      assert.equal((await send(own.trafficPort)).status, 200);
      assert.deepEqual(
        own.log().filter(({ level }) => level === 'fatal'),
        [],
      );
    });
  }

  test('for a protocol that is not listed is an ordinary request, as curl --http2 wants it', async () => {
    const raw = await startRawUpstream();
    const own = await startPointsman(oneBackend(raw.url, unchecked));
    const answer = await exchange(
      own.trafficPort,
      'GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
    );
    assert.equal(answer.status, 200);
    assert.deepEqual(raw.requests[0]!.values('upgrade'), []);
    assert.deepEqual(raw.requests[0]!.values('http2-settings'), []);
  });

  test('for a protocol that is listed opens a tunnel for it', async () => {
    const raw = await startRawUpstream(() => (socket) => {
      socket.removeAllListeners('data');
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: Upgrade\r\n\r\n');
    });
    const own = await startPointsman(
      oneBackend(raw.url, { ...unchecked, forwarding: { upgrades: ['websocket', 'Echo/1'] } }),
    );
    const client = await RawClient.connect(own.trafficPort);
    client.send('GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n');
    assert.equal((await client.readHead()).status, 101);
    const bytes = patternBytes(300_000);
    client.send(bytes);
    await waitFor('the echo', () => client.unread.length === bytes.length);
    assert.ok(client.unread.equals(bytes));
    assert.equal(raw.requests[0]!.value('upgrade'), 'echo/1');
    client.destroy();
  });
});

suite('an upstream that does not upgrade', () => {
  test('has its answer passed on', async () => {
    const raw = await startRawUpstream(
      () =>
        'HTTP/1.1 403 Not Today\r\nContent-Type: text/plain\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\n' +
        'Set-Cookie: b=2\r\nContent-Length: 6\r\n\r\ndenied',
    );
    const own = await startPointsman(oneBackend(raw.url, unchecked));
    const answer = await exchange(own.trafficPort, upgradeRequest());
    assert.equal(answer.head.startLine, 'HTTP/1.1 403 Not Today');
    assert.equal(answer.body.toString(), 'denied');
    assert.deepEqual(answer.values('set-cookie'), ['a=1', 'b=2']);
    assert.deepEqual(answer.values('keep-alive'), []);
    const line = await own.accessLine(answer.value('x-request-id'));
    assert.equal(line['status'], 403);
  });

  test('has its chunked answer passed on', async () => {
    const raw = await startRawUpstream(
      () => 'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n',
    );
    const own = await startPointsman(oneBackend(raw.url, unchecked));
    const answer = await exchange(own.trafficPort, upgradeRequest());
    assert.equal(answer.status, 404);
    assert.equal(answer.body.toString(), 'nope');
  });

  for (const [what, script, whole] of [
    ['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', true],
    ['empty', 'HTTP/1.1 204 No Content\r\n\r\n', true],
    ['truncated', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf'), false],
    ['stalled', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf', false],
  ] as const) {
    for (const eager of ['', '\x81\x85aaaahello', 'x'.repeat(200_000)]) {
      test(`has its ${what} answer end the connection, though the client sent ${eager.length} bytes ahead`, async () => {
        const raw = await startRawUpstream(() => script as RawAnswer);
        const own = await startPointsman(oneBackend(raw.url, { ...unchecked, timeouts: { idle: '200ms' } }));
        const client = await RawClient.connect(own.trafficPort);
        client.send(upgradeRequest('/refused') + eager);
        // A reset is no answer, but an end as well.
        const answer = await client.read().catch((error: Error) => error);
        if (whole && eager.length < 1000) assert.ok(!(answer instanceof Error));
        await inTime('the end of the connection', client.closed, 3_000);
        await own.waitFor(
          'nothing to be left',
          async () => (await own.status()).connections.client === 0 && raw.openConnections === 0,
          3_000,
        );
        await own.waitForLog(({ path }) => path === '/refused');
      });
    }
  }

  for (const [what, script, status, reason] of [
    ['closes', (socket: { end(): unknown }) => socket.end(), 502, 'upstream_reset'],
    ['talks nonsense', 'nonsense\r\n\r\n', 502, 'bad_response'],
    ['is silent', () => undefined, 504, 'response_timeout'],
  ] as const) {
    test(`because it ${what}, is answered for with ${status}`, async () => {
      const raw = await startRawUpstream(() => script);
      const own = await startPointsman(
        oneBackend(raw.url, { ...unchecked, timeouts: { responseHead: '200ms' } }),
      );
      const client = await RawClient.connect(own.trafficPort);
      const answer = await client.send(upgradeRequest()).read();
      assert.equal(answer.status, status);
      assert.equal((answer.json() as { error: { reason: string } }).error.reason, reason);
      await inTime('the end of the connection', client.closed);
      assert.equal((await own.accessLine(answer.value('x-request-id')))['reason'], reason);
    });
  }

  test('because it is not there, is answered for with 503', async () => {
    const gone = `http://127.0.0.1:${await reserveClosedPort()}`;
    const own = await startPointsman(oneBackend(gone, unchecked));
    const answer = await exchange(own.trafficPort, upgradeRequest());
    assert.equal(answer.status, 503);
    assert.equal((answer.json() as { error: { reason: string } }).error.reason, 'connect_failed');
    const checked = await startPointsman({
      backends: { main: { url: gone, panicThreshold: 0 } },
      routes: [{ name: 'all', split: { main: 1 } }],
    });
    const unhealthy = await exchange(checked.trafficPort, upgradeRequest());
    assert.equal(unhealthy.status, 503);
    assert.equal((unhealthy.json() as { error: { reason: string } }).error.reason, 'no_endpoint');
  });

  test('because nothing listens, is passed over for another one of the split', async () => {
    const gone = `http://127.0.0.1:${await reserveClosedPort()}`;
    const own = await startPointsman({
      backends: { gone: { url: gone }, main: { url: upstream.url } },
      routes: [{ name: 'all', split: { gone: 1, main: 1 } }],
      ...unchecked,
    });
    for (let i = 0; i < 4; i++) {
      const socket = await openWebSocket(own.trafficPort);
      assert.equal(String(await askWebSocket(socket, 'who')), 'main');
      socket.close();
    }
  });
});

suite('the end of a tunnel', () => {
  test('by the client ends it for the upstream', async () => {
    const socket = await openWebSocket(proxy.trafficPort);
    await waitFor('the upstream’s end', () => upstream.open.size === 1);
    socket.terminate();
    await waitFor('the upstream to be told', () => upstream.open.size === 0);
  });

  test('by a close frame of the upstream reaches the client with its code', async () => {
    const socket = await openWebSocket(proxy.trafficPort);
    socket.send('bye');
    const [code, reason] = (await inTime('the close', once(socket, 'close'))) as [number, Buffer];
    assert.equal(code, 4001);
    assert.equal(String(reason), 'as you wish');
  });

  test('by an upstream that dies reaches the client', async () => {
    const dying = await startWebSocketUpstream('dying');
    const own = await startPointsman(oneBackend(dying.url, unchecked));
    const socket = await openWebSocket(own.trafficPort);
    const closed = once(socket, 'close');
    for (const end of dying.open) end.terminate();
    await inTime('the close', closed);
    await own.waitFor('the tunnel to be gone', async () => (await own.status()).connections.tunnels === 0);
  });

  test('comes after timeouts.tunnel without a byte, and not before', async () => {
    const own = await startPointsman(oneBackend(upstream.url, { timeouts: { tunnel: '400ms' } }));
    const busy = await openWebSocket(own.trafficPort);
    const idle = await openWebSocket(own.trafficPort);
    const closed = once(idle, 'close');
    const chatter = setInterval(() => busy.send('still here'), 50);
    try {
      await inTime('the end of the idle one', closed);
      assert.equal(busy.readyState, WebSocket.OPEN);
    } finally {
      clearInterval(chatter);
      busy.terminate();
    }
  });

  test('is logged once, with status 101 and what was carried', async () => {
    const socket = await openWebSocket(proxy.trafficPort, { path: '/logged' });
    await askWebSocket(socket, Buffer.alloc(5000));
    socket.close();
    const line = await proxy.waitForLog(({ path }) => path === '/logged');
    assert.equal(line['status'], 101);
    assert.equal(line['termination'], '--');
    assert.ok(Number(line['bytes_in']) > 5000 && Number(line['bytes_out']) > 5000);
    await pause(50);
    assert.equal(proxy.accessLog().filter(({ path }) => path === '/logged').length, 1);
  });
});

test('a tunnel survives reloads, also one that takes its backend away', async () => {
  const other = await startWebSocketUpstream('other');
  const config = oneBackend(upstream.url);
  const own = await startPointsman(config);
  const socket = await openWebSocket(own.trafficPort);
  await own.reload({ ...config, timeouts: { connect: '3s' } });
  assert.equal(String(await askWebSocket(socket, 'who')), 'main');
  await own.reload({
    backends: { other: { url: other.url } },
    routes: [{ name: 'all', split: { other: 1 } }],
  });
  assert.equal(String(await askWebSocket(socket, 'who')), 'main');
  const second = await openWebSocket(own.trafficPort);
  assert.equal(String(await askWebSocket(second, 'who')), 'other');
  socket.close();
  second.close();
});

test('tunnels and ordinary requests live side by side', async () => {
  const socket = await openWebSocket(proxy.trafficPort);
  const answers = await inParallel(50, 10, () => send(proxy.trafficPort));
  assert.ok(answers.every(({ status, text }) => status === 200 && text === 'main'));
  assert.equal(String(await askWebSocket(socket, 'who')), 'main');
  socket.close();
});

test('a client that leaves during the handshake leaves nothing behind', async () => {
  const slow = await startRawUpstream(() => () => undefined);
  const own = await startPointsman(oneBackend(slow.url, unchecked));
  const client = await RawClient.connect(own.trafficPort);
  client.send(upgradeRequest());
  await waitFor('the upgrade at the upstream', () => slow.requests.length === 1);
  client.destroy();
  await waitFor('the upstream to be told', () => slow.openConnections === 0);
  await own.waitFor('the connection to be gone', async () => (await own.status()).connections.client === 0);
});
