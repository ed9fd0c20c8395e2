/** A connection on which a part of a request arrives is neither idle nor forgotten. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { type RawRequest, startRawUpstream } from '../../support/raw-upstream.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';

const KEEP_ALIVE_MS = 500;
const unchecked: Partial<TestConfig> = { health: { enabled: false } };

/** Answers each request with its target. */
const echo = ({ target }: RawRequest): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`;

suite('a head that arrives in two parts', () => {
  test('is served although the connection was idle for longer than timeouts.keepAlive between them', async () => {
    const upstream = await startRawUpstream(echo);
    const timeouts = { keepAlive: `${KEEP_ALIVE_MS}ms`, requestHead: '30s' };
    const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, timeouts }));
    const client = await RawClient.connect(proxy.trafficPort);
    assert.equal((await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    client.send('GET /2 HTTP/1.1\r\nHo');
    await pause(2 * KEEP_ALIVE_MS);
    assert.equal((await client.send('st: a\r\n\r\n').read()).body.toString(), '/2');
    client.destroy();
  });

  test('is served although the process drains between them', async () => {
    const upstream = await startRawUpstream(echo);
    const proxy = await startPointsman(
      oneBackend(upstream.url, { ...unchecked, shutdown: { delay: '0ms', timeout: '30s' } }),
    );
    const client = await RawClient.connect(proxy.trafficPort);
    assert.equal((await client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    client.send('POST /2 HTTP/1.1\r\nHo');
    // The proxy has read the part above once it serves what is sent after it elsewhere.
    const other = await RawClient.connect(proxy.trafficPort);
    assert.equal((await other.send('GET /3 HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    proxy.signal('SIGTERM');
    assert.equal(await inTime('the end of an idle connection', other.closed), 'end');
    client.send('st: a\r\nContent-Length: 0\r\n\r\n');
    assert.equal((await client.read()).body.toString(), '/2');
    await inTime('the end', proxy.exited);
  });

  test('is cut with 408 if it came with a request that was served', async () => {
    const upstream = await startRawUpstream(echo);
    const timeouts = { keepAlive: '60s', requestHead: '500ms' };
    const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, timeouts }));
    const client = await RawClient.connect(proxy.trafficPort);
    client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo');
    assert.equal((await client.read()).body.toString(), '/1');
    const answer = await client.read({ timeoutMs: 20_000 });
    assert.equal(answer.status, 408);
    assert.equal(answer.value('x-pointsman-reason'), 'request_timeout');
  });
});

suite('a connection on which nothing follows', () => {
  const cases = {
    'a request without a body': '\r\n',
    'a body of one byte': 'Content-Length: 1\r\n\r\nx',
    'a body of known length': 'Content-Length: 5\r\n\r\nhello',
    'a body in several pieces': `Content-Length: 20000\r\n\r\n${'x'.repeat(20_000)}`,
    'a chunked body': 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    'a chunked body with a trailer': 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
  };
  test('is idle after each kind of request, so timeouts.requestHead does not apply', async () => {
    const upstream = await startRawUpstream(echo);
    const timeouts = { keepAlive: '60s', requestHead: '200ms' };
    const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, timeouts }));
    const clients = await Promise.all(
      Object.entries(cases).map(async ([name, rest]) => {
        const client = await RawClient.connect(proxy.trafficPort);
        const method = rest === '\r\n' ? 'GET' : 'POST';
        client.send(`${method} /1 HTTP/1.1\r\nHost: a\r\n${rest}`);
        assert.equal((await client.read()).body.toString(), '/1', name);
        return { name, client };
      }),
    );
    await pause(1_000);
    for (const { name, client } of clients) {
      assert.equal(
        (await client.send('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n').read()).body.toString(),
        '/2',
        name,
      );
      client.destroy();
    }
  });
});

test('a body is read although its head filled what the connection may hold', async () => {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const upstream = await startRawUpstream((request) => async (socket) => {
    if (request.target === '/held') await released;
    socket.write(echo(request));
  });
  const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
  const client = await RawClient.connect(proxy.trafficPort);
  const fillers = Array.from({ length: 30 }, (_, i) => `/${i}`);
  const filling = fillers.map(
    (target) => `GET ${target} HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(1_000)}\r\n\r\n`,
  );
  client.send(
    `GET /held HTTP/1.1\r\nHost: a\r\n\r\n${filling.join('')}` +
      'POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n',
  );
  await waitFor('the first request', () => upstream.requests.length > 0);
  release();
  for (const target of ['/held', ...fillers]) {
    assert.equal((await client.read()).body.toString(), target);
  }
  client.send('hello');
  assert.equal((await client.read()).body.toString(), '/post');
  client.destroy();
});
