/** The fixtures themselves: what the other tests believe of them. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { suite, test } from 'node:test';
import { ConfigMap } from '../../support/config-map.ts';
import { parseExposition } from '../../support/exposition.ts';
import { patternBytes, patternHash, startHttpUpstream } from '../../support/http-upstream.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { fieldValues, send } from '../../support/request.ts';
import { startUpstreamProcess } from '../../support/upstream-process.ts';
import { waitFor } from '../../support/wait-for.ts';

suite('the raw client', () => {
  for (const [what, bytes] of [
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
    ['a field without a colon', 'HTTP/1.1 200 OK\r\nNonsense\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a chunk that is too long',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n',
    ],
    ['a body that ends early', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc'],
    ['chunks without the last one', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
  ] as const) {
    test(`refuses ${what}`, async () => {
      const upstream = await startRawUpstream(() => (socket) => socket.end(bytes));
      await assert.rejects(exchange(upstream.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
    });
  }

  test('reads interim responses, chunks and trailers', async () => {
    const upstream = await startRawUpstream(
      () =>
        'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
        '3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
    );
    const answer = await exchange(upstream.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.deepEqual(answer.interim, [{ status: 103, fields: [['Link', 'x']] }]);
    assert.equal(answer.body.toString(), 'abc');
    assert.deepEqual(answer.trailers, [['X-T', '1']]);
  });

  test('tells an end from a reset', async () => {
    const upstream = await startRawUpstream(({ target }) =>
      target === '/reset' ? (socket) => socket.resetAndDestroy() : (socket) => socket.end(),
    );
    for (const [target, how] of [
      ['/reset', 'reset'],
      ['/end', 'end'],
    ] as const) {
      const client = await RawClient.connect(upstream.port);
      client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(await client.closed, how);
    }
  });
});

suite('the raw upstream', () => {
  test('splits pipelined requests and keeps every byte', async () => {
    const upstream = await startRawUpstream();
    const bytes =
      'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' +
      'PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n';
    const client = await RawClient.connect(upstream.port);
    client.send(bytes);
    await client.read();
    await client.read();
    client.destroy();
    assert.deepEqual(
      upstream.requests.map(({ method, target, body, index }) => [method, target, body.toString(), index]),
      [
        ['POST', '/a', 'abc', 0],
        ['PUT', '/b', 'de', 1],
      ],
    );
    assert.equal(upstream.received[0]!.toString('latin1'), bytes);
    assert.deepEqual(upstream.violations, []);
  });

  test('reports what is not HTTP', async () => {
    const upstream = await startRawUpstream();
    const client = await RawClient.connect(upstream.port);
    client.send('GET / HTTP/1.1\r\nHost : a\r\n\r\n');
    await client.closed;
    assert.equal(upstream.violations.length, 1);
  });

  test('takes no notice of connections without a byte', async () => {
    const upstream = await startRawUpstream();
    const probe = connect(upstream.port, '127.0.0.1');
    await new Promise((resolve) => probe.once('connect', resolve));
    probe.end();
    await waitFor('it to be gone', () => upstream.openConnections === 0);
    assert.deepEqual([upstream.received, upstream.requests], [[], []]);
  });
});

suite('the upstream on node:http', () => {
  test('says what it was asked', async () => {
    const upstream = await startHttpUpstream('me');
    const echo = (
      await send(upstream.port, {
        method: 'PUT',
        path: '/x?y',
        headers: ['X-A', '1', 'x-a', '2'],
        body: 'abc',
      })
    ).echo();
    assert.equal(echo.upstream, 'me');
    assert.equal(echo.method, 'PUT');
    assert.equal(echo.url, '/x?y');
    assert.deepEqual(fieldValues(echo.rawHeaders, 'x-a'), ['1', '2']);
    assert.equal(echo.body.length, 3);
  });

  test('sends patterns whose checksum is known', async () => {
    const upstream = await startHttpUpstream('me');
    const { body } = await send(upstream.port, { path: '/bytes/200000' });
    const { createHash } = await import('node:crypto');
    assert.equal(createHash('sha256').update(body).digest('hex'), patternHash(200_000));
    assert.ok(body.subarray(0, 100).equals(patternBytes(100)));
  });

  test('in a process of its own comes back on its port after it was killed', async () => {
    const upstream = await startUpstreamProcess('child');
    const { port } = upstream;
    assert.equal((await send(port)).echo().upstream, 'child');
    await upstream.kill();
    await assert.rejects(send(port));
    await upstream.restart();
    assert.equal(upstream.port, port);
    assert.equal((await send(port)).echo().upstream, 'child');
  });
});

test('the ConfigMap changes all of its files at once', () => {
  const mount = new ConfigMap(path.join(temporaryDirectory(), 'mount'), { a: '1', b: '1' });
  const read = () => ['a', 'b'].map((name) => readFileSync(mount.pathOf(name), 'utf8'));
  assert.deepEqual(read(), ['1', '1']);
  mount.swap({ a: '2', b: '2' });
  mount.swap({ a: '3', b: '3' });
  assert.deepEqual(read(), ['3', '3']);
});

suite('the reader of expositions', () => {
  for (const [what, text] of [
    ['a series that comes twice', '# TYPE a gauge\na{x="1"} 1\na{x="1"} 2\n'],
    ['a sample without a type', 'a 1\n'],
    ['a label without quotes', '# TYPE a gauge\na{x=1} 1\n'],
    ['a value that is no number', '# TYPE a gauge\na one\n'],
    ['a last line that does not end', '# TYPE a gauge\na 1'],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.throws(() => parseExposition(text));
    });
  }
});
