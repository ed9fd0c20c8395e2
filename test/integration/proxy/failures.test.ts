/** What a client is told when an upstream fails: status, reason, and never a truncated answer that looks whole. */

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes, startHttpUpstream } from '../../support/http-upstream.ts';
import { LANE } from '../../support/lane.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { OK, type RawAnswer, startRawUpstream } from '../../support/raw-upstream.ts';
import { fieldValues, send } from '../../support/request.ts';
import { startStoppedListener } from '../../support/stopped-listener.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

const scripts = new Map<string, RawAnswer>();
const raw = await startRawUpstream(({ target }) => scripts.get(target) ?? OK);
const proxy = await startPointsman(
  oneBackend(raw.url, {
    ...unchecked,
    timeouts: { responseHead: '300ms', idle: '300ms', connect: '300ms' },
    retries: { attempts: 0 },
  }),
);
const upstream = await startHttpUpstream('main');
const toNode = await startPointsman(oneBackend(upstream.url, { timeouts: { idle: '300ms' } }));

/** That the answer, the log and the metric name the same reason. */
async function assertFailure(
  target: string,
  expected: { status: number; reason: string; method?: string; body?: string; from?: PointsmanProcess },
): Promise<void> {
  const { status, reason, method = 'GET', body, from = proxy } = expected;
  const before = await from.metric('pointsman_failures_total', { reason });
  const answer = await send(from.trafficPort, {
    path: target,
    method,
    ...(body === undefined ? {} : { body }),
  });
  assert.equal(answer.status, status, answer.text);
  const failure = answer.failure();
  assert.equal(failure.status, status);
  assert.equal(failure.reason, reason);
  assert.equal(failure.requestId, answer.requestId);
  assert.equal(answer.headers['x-pointsman-reason'], reason);
  assert.equal(answer.headers['cache-control'], 'no-store');
  const line = await from.accessLine(answer.requestId);
  assert.equal(line['reason'], reason);
  assert.equal(line['status'], status);
  assert.notEqual(line['termination'], '--');
  assert.equal(await from.metric('pointsman_failures_total', { reason }), before + 1);
}

suite('502', () => {
  for (const [what, bytes] of [
    ['is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['has a bad field', 'HTTP/1.1 200 OK\r\nBad Field: 1\r\nContent-Length: 0\r\n\r\n'],
    ['has a bad length', 'HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n'],
    ['has two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc'],
    [
      'has both Content-Length and Transfer-Encoding',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['has a head of more than 16 KiB', `HTTP/1.1 200 OK\r\nX-A: ${'v'.repeat(20_000)}\r\n\r\n`],
    [
      'switches protocols unasked',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    ],
  ] as const) {
    test(`bad_response when the answer ${what}`, async () => {
      scripts.set('/bad', bytes);
      await assertFailure('/bad', { status: 502, reason: 'bad_response' });
    });
  }

  for (const [what, script] of [
    ['closes the connection', (socket) => socket.end()],
    ['resets the connection', (socket) => socket.resetAndDestroy()],
    [
      'closes the connection in the middle of the head',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nX-A: half a va'),
    ],
  ] as const satisfies readonly (readonly [string, RawAnswer])[]) {
    test(`upstream_reset when the upstream ${what} instead of answering a POST`, async () => {
      scripts.set('/gone', script);
      await assertFailure('/gone', { status: 502, reason: 'upstream_reset', method: 'POST', body: 'x' });
    });
  }

  test('leaves the connection of the client usable', async () => {
    scripts.set('/gone', (socket) => socket.end());
    const client = await RawClient.connect(proxy.trafficPort);
    for (const [target, status] of [
      ['/gone', 502],
      ['/fine', 200],
      ['/gone', 502],
    ] as const) {
      const post = `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi`;
      assert.equal((await client.send(post).read()).status, status);
    }
    client.destroy();
  });

  test('a malformed answer does not spoil the next one', async () => {
    scripts.set(
      '/bad',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
    );
    for (let i = 0; i < 5; i++) {
      const answer = await send(proxy.trafficPort, { path: i % 2 === 0 ? '/bad' : '/good' });
      if (answer.status === 200) assert.equal(answer.text, 'ok');
      else assert.equal(answer.status, 502);
    }
  });
});

suite('503', () => {
  test('connect_failed when nothing listens', async () => {
    const port = await reserveClosedPort();
    const own = await startPointsman(oneBackend(`http://127.0.0.1:${port}`, unchecked));
    await assertFailure('/', { status: 503, reason: 'connect_failed', from: own });
    await assertFailure('/', { status: 503, reason: 'connect_failed', method: 'POST', body: 'x', from: own });
  });

  test('no_endpoint when every check has failed', async () => {
    const gone = await startHttpUpstream('gone');
    const own = await startPointsman({
      backends: { main: { url: gone.url, panicThreshold: 0 } },
      routes: [{ name: 'all', split: { main: 1 } }],
    });
    await gone.close();
    await own.waitForHealth('main', 'down');
    await assertFailure('/', { status: 503, reason: 'no_endpoint', from: own });
  });

  test('connect_timeout when the upstream does not accept', async () => {
    const stopped = await startStoppedListener();
    const own = await startPointsman(
      oneBackend(stopped.url, { ...unchecked, timeouts: { connect: '150ms' }, retries: { attempts: 1 } }),
    );
    await assertFailure('/', { status: 503, reason: 'connect_timeout', from: own });
  });

  test('queue_timeout and queue_full when the endpoint is at its limit', async () => {
    const busy = await startHttpUpstream('busy');
    const own = await startPointsman({
      backends: { main: { url: busy.url, maxConnections: 1, maxPending: 1 } },
      routes: [{ name: 'all', split: { main: 1 } }],
      timeouts: { queue: '300ms' },
    });
    const held = send(own.trafficPort, { path: '/hold' });
    await waitFor('the first request at the upstream', () => busy.open === 1);
    // One of them waits, the other finds no place to wait.
    const answers = await Promise.all([send(own.trafficPort), send(own.trafficPort)]);
    assert.deepEqual(answers.map((answer) => [answer.status, answer.failure().reason]).sort(), [
      [503, 'queue_full'],
      [503, 'queue_timeout'],
    ]);
    for (const answer of answers) {
      const line = await own.accessLine(answer.requestId);
      assert.equal(line['reason'], answer.failure().reason);
    }
    busy.release();
    assert.equal((await held).status, 200);
    assert.equal(busy.requests.length, 1);
  });

  test('a request in the queue is served when a connection comes free', async () => {
    const busy = await startHttpUpstream('busy');
    const own = await startPointsman({
      backends: { main: { url: busy.url, maxConnections: 2 } },
      routes: [{ name: 'all', split: { main: 1 } }],
    });
    const all = Array.from({ length: 12 }, (_, i) => send(own.trafficPort, { path: `/delay/20?${i}` }));
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200);
    assert.ok((await own.metric('pointsman_upstream_connects_total')) <= 2);
  });
});

suite('504', () => {
  test('response_timeout when no head comes, and the request is not sent again', async () => {
    scripts.set('/silent', () => undefined);
    const count = () => raw.requests.filter(({ target }) => target === '/silent').length;
    await assertFailure('/silent', { status: 504, reason: 'response_timeout' });
    assert.equal(count(), 1);
  });

  test('a route may wait longer or shorter than the rest', async () => {
    const own = await startPointsman({
      backends: { main: { url: upstream.url } },
      routes: [
        { name: 'quick', match: { path: '/delay' }, split: { main: 1 }, timeouts: { responseHead: '100ms' } },
        { name: 'all', split: { main: 1 } },
      ],
    });
    await assertFailure('/delay/2000', { status: 504, reason: 'response_timeout', from: own });
  });

  test('a response that goes on slowly is not cut', async () => {
    const answer = await send(toNode.trafficPort, { path: '/trickle/30' });
    assert.equal(answer.text.trim().split('\n').length, 30);
  });
});

suite('a response that does not come to its end', () => {
  for (const [what, target] of [
    ['with Content-Length', '/half/20000'],
    ['chunked', '/half-chunked'],
  ] as const) {
    test(`${what}: the connection of the client is cut, so that it cannot be taken for whole`, async () => {
      const client = await RawClient.connect(toNode.trafficPort);
      client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const { status, head } = await client.readHead();
      assert.equal(status, 200);
      const [, id] = head.fields.find(([name]) => name.toLowerCase() === 'x-request-id')!;
      const rest = await client.readToEnd().catch(() => Buffer.from('reset'));
      assert.ok(!rest.toString('latin1').endsWith('0\r\n\r\n'), 'no last chunk');
      assert.ok(rest.length < 20_000);
      const line = await toNode.accessLine(id);
      assert.equal(line['reason'], 'upstream_truncated');
      assert.equal(line['termination'], 'SD');
      await assert.rejects(send(toNode.trafficPort, { path: target }));
    });
  }

  test('because it stalls: it is cut after timeouts.idle', async () => {
    const client = await RawClient.connect(toNode.trafficPort);
    client.send('GET /stall HTTP/1.1\r\nHost: a\r\n\r\n');
    const { head } = await client.readHead();
    const [, id] = head.fields.find(([name]) => name.toLowerCase() === 'x-request-id')!;
    await inTime('the end of the connection', client.closed);
    const line = await toNode.accessLine(id);
    assert.equal(line['reason'], 'idle_timeout');
    await waitFor('the upstream to be told', () => upstream.open === 0);
  });

  test('because chunks are broken: it is cut, or never begun', async () => {
    scripts.set('/bad-chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n');
    const answer = send(proxy.trafficPort, { path: '/bad-chunk' });
    // The fast lane has looked at all that came in one packet before it passes any of it on.
    if (LANE === 'full') await assert.rejects(answer);
    else assert.equal((await answer).status, 502);
  });
});

suite('a client that does not come to its end', () => {
  test('because it stops sending its body: 408 after timeouts.idle', async () => {
    const client = await RawClient.connect(toNode.trafficPort, { allowHalfOpen: true });
    client.send('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this');
    const answer = await client.read();
    client.destroy();
    assert.equal(answer.status, 408);
    assert.equal((answer.json() as { error: { reason: string } }).error.reason, 'client_timeout');
    assert.equal(answer.value('connection'), 'close');
  });

  test('because its whole body takes longer than timeouts.requestBody: 408', async () => {
    const own = await startPointsman(oneBackend(upstream.url, { timeouts: { requestBody: '300ms' } }));
    const client = await RawClient.connect(own.trafficPort, { allowHalfOpen: true });
    client.send('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
    const trickle = setInterval(() => client.send('x'), 20);
    try {
      const answer = await client.read();
      assert.equal(answer.status, 408);
    } finally {
      clearInterval(trickle);
      client.destroy();
    }
  });

  test('because it stops reading: its connection is cut after timeouts.idle', async () => {
    const client = await RawClient.connect(toNode.trafficPort);
    client.send(`GET /bytes/${64 * 1024 ** 2}?stuck HTTP/1.1\r\nHost: a\r\n\r\n`);
    client.socket.pause();
    const line = await toNode.waitForLog(
      ({ path }) => String(path).endsWith('?stuck'),
      'the log of the stuck response',
      10_000,
    );
    assert.equal(line['reason'], 'client_timeout');
    client.destroy();
  });
});

suite('the form of an answer of our own', () => {
  const ask = (accept: string, method = 'POST') =>
    exchange(
      proxy.trafficPort,
      `${method} /gone HTTP/1.1\r\nHost: a\r\n${accept === '' ? '' : `Accept: ${accept}\r\n`}Content-Length: 1\r\n\r\nx`,
      { head: method === 'HEAD' },
    );
  scripts.set('/gone', (socket) => socket.end());

  for (const accept of [
    '',
    '*/*',
    'application/json',
    'text/html, application/json',
    'application/problem+json',
  ]) {
    test(`is JSON for Accept: ${accept || '(none)'}`, async () => {
      const answer = await ask(accept);
      assert.equal(answer.value('content-type'), 'application/json');
      assert.deepEqual(Object.keys((answer.json() as { error: object }).error).sort(), [
        'message',
        'reason',
        'requestId',
        'status',
      ]);
    });
  }

  for (const accept of ['text/plain', 'text/html,application/xhtml+xml,*/*;q=0.8']) {
    test(`is text for Accept: ${accept}`, async () => {
      const answer = await ask(accept);
      assert.equal(answer.value('content-type'), 'text/plain; charset=utf-8');
      assert.match(answer.body.toString(), /502 upstream_reset/);
      assert.ok(answer.body.includes(answer.value('x-request-id')!));
    });
  }

  test('has no body for HEAD', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('HEAD /gone HTTP/1.1\r\nHost: a\r\n\r\n').read({ head: true });
    assert.equal(answer.status, 502);
    assert.equal((await client.send('GET /fine HTTP/1.1\r\nHost: a\r\n\r\n').read()).body.toString(), 'ok');
    client.destroy();
  });

  test('says nothing of addresses or names behind the proxy', async () => {
    const answer = await ask('');
    assert.ok(!answer.head.bytes.includes(String(raw.port)));
    assert.ok(!answer.body.includes(String(raw.port)) && !answer.body.includes('127.0.0.1'));
  });
});

test('an upstream’s own failures pass as they are, and are not sent again', async () => {
  for (const status of [500, 502, 503, 504, 429, 404]) {
    const before = upstream.requests.length;
    const answer = await send(toNode.trafficPort, { path: `/status/${status}` });
    assert.equal(answer.status, status);
    assert.equal(answer.text, 'main');
    assert.deepEqual(fieldValues(answer.message.rawHeaders, 'x-pointsman-reason'), []);
    assert.equal(upstream.requests.length, before + 1);
  }
});

for (const [what, text] of [
  ['UTF-8', '\xe5\x90\x8d\xc3\xa9'],
  ['Latin-1', 'Caf\xe9'],
  ['a control character', 'O\x01K'],
  ['a DEL', 'O\x7fK'],
  ['nothing', ''],
] as const) {
  // Node refuses some of these in writeHead, and again in the answer that says so.
  test(`a status text of ${what} ends nobody's request but its own`, async () => {
    scripts.set('/odd-status', `HTTP/1.1 200 ${text}\r\nContent-Length: 2\r\n\r\nok`);
    const answer = await send(proxy.trafficPort, { path: '/odd-status' });
    if (answer.status === 200) assert.equal(answer.text, 'ok');
    else assert.equal(answer.failure().reason, 'bad_response');
    assert.equal((await send(proxy.trafficPort, { path: '/fine' })).status, 200);
    assert.ok(!proxy.log().some(({ level }) => level === 'fatal'));
  });
}

test('an upload to an upstream that goes away is answered 502', async () => {
  const dying = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => setTimeout(() => socket.resetAndDestroy(), 20));
  });
  await new Promise<void>((resolve) => dying.listen(0, '127.0.0.1', resolve));
  cleanUp(() => dying.close());
  const { port } = dying.address() as { port: number };
  const own = await startPointsman(oneBackend(`http://127.0.0.1:${port}`, unchecked));
  const client = await RawClient.connect(own.trafficPort, { allowHalfOpen: true });
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  client.send(patternBytes(10_000));
  const answer = await client.read();
  client.destroy();
  assert.equal(answer.status, 502);
});
