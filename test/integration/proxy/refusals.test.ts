/** What is refused before it reaches an upstream: with a status, a reason and an id, and a closed connection where the
 * end of the message is not known. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { singleValue } from '../../support/http-wire.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { exchange, RawClient, type RawResponse } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { inTime, pause } from '../../support/wait-for.ts';

const upstream = await startRawUpstream();
const proxy = await startPointsman(
  oneBackend(upstream.url, {
    health: { enabled: false },
    // Smaller than the defaults, so that it is these that count.
    limits: { requestBody: '64KiB', headSize: '8KiB', headers: 64 },
    timeouts: { requestHead: '400ms' },
  }),
);

interface Failure {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  readonly requestId: string;
}

/** That the answer, the log and the metric say the same of a refusal. */
async function assertRefused(answer: RawResponse, status: number, reason: string): Promise<void> {
  assert.equal(answer.status, status, answer.body.toString());
  const { error } = answer.json() as { error: Failure };
  assert.equal(error.status, status);
  assert.equal(error.reason, reason);
  assert.ok(error.message.length > 0);
  assert.equal(answer.value('x-pointsman-reason'), reason);
  assert.equal(answer.value('x-request-id'), error.requestId);
  assert.equal(answer.value('content-type'), 'application/json');
  if (status === 405) assert.match(answer.value('allow')!, /^GET, HEAD, POST, .*PURGE/);
  const line = await proxy.accessLine(error.requestId);
  assert.equal(line['reason'], reason);
  assert.equal(line['status'], status);
  assert.ok((await proxy.metric('pointsman_failures_total', { reason })) > 0);
}

interface Case {
  readonly what: string;
  readonly bytes: string;
  readonly status: number;
  readonly reason: string;
  /** The connection may go on, since the end of the request is known. */
  readonly open?: boolean;
}

const GET = 'GET /x HTTP/1.1\r\n';
const bad = { status: 400, reason: 'bad_request' } as const;
const unknown = { status: 501, reason: 'method_not_implemented' } as const;
const mismatch = { status: 400, reason: 'host_mismatch' } as const;

const fields = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => `X-${i}: ${'v'.repeat(length)}\r\n`).join('');

const cases: readonly Case[] = [
  { what: 'HTTP/0.9', bytes: 'GET /x\r\n\r\n', ...bad },
  { what: 'HTTP/1.1 without Host', bytes: `${GET}X-A: 1\r\n\r\n`, ...bad },
  { what: 'two Host fields that differ', bytes: `${GET}Host: a\r\nHost: b\r\n\r\n`, ...mismatch },
  {
    what: 'Content-Length and Transfer-Encoding together',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ...bad,
  },
  {
    what: 'Transfer-Encoding and Content-Length together',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
    ...bad,
  },
  {
    what: 'two Content-Length fields that differ',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
    ...bad,
  },
  {
    what: 'Content-Length: +4',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd`,
    ...bad,
  },
  {
    what: 'Content-Length: 4, 4',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd`,
    ...bad,
  },
  {
    what: 'Transfer-Encoding: gzip, chunked',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    status: 501,
    reason: 'unsupported_encoding',
  },
  {
    what: 'Transfer-Encoding: chunked, chunked',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
    ...bad,
  },
  {
    what: 'Transfer-Encoding: xchunked',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    status: 501,
    reason: 'unsupported_encoding',
  },
  {
    what: 'Transfer-Encoding in HTTP/1.0',
    bytes: `POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ...bad,
  },
  { what: 'a folded field', bytes: `${GET}Host: a\r\nX-A: 1\r\n 2\r\n\r\n`, ...bad },
  { what: 'a space before the colon', bytes: `${GET}Host: a\r\nX-A : 1\r\n\r\n`, ...bad },
  { what: 'a space before the first field', bytes: `${GET} Host: a\r\n\r\n`, ...bad },
  { what: 'a bare LF after the request line', bytes: `GET /x HTTP/1.1\nHost: a\r\n\r\n`, ...bad },
  { what: 'a bare LF after a field', bytes: `${GET}Host: a\nX-A: 1\r\n\r\n`, ...bad },
  { what: 'a bare CR in a value', bytes: `${GET}Host: a\r\nX-A: 1\r2\r\n\r\n`, ...bad },
  { what: 'a NUL in a value', bytes: `${GET}Host: a\r\nX-A: 1\x002\r\n\r\n`, ...bad },
  { what: 'an empty field name', bytes: `${GET}Host: a\r\n: 1\r\n\r\n`, ...bad },
  { what: 'a field name with a blank', bytes: `${GET}Host: a\r\nX A: 1\r\n\r\n`, ...bad },
  { what: 'a fragment in the target', bytes: 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', ...bad },
  { what: 'a blank in the target', bytes: 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', ...bad },
  // Only ASCII may stand there (RFC 3986); a client has to write %C3%A9.
  {
    what: 'bytes outside of ASCII in the target',
    bytes: 'GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n',
    ...bad,
  },
  { what: 'a target that is no path', bytes: 'GET admin HTTP/1.1\r\nHost: a\r\n\r\n', ...bad },
  { what: 'a target that is a broken URL', bytes: 'GET http://[/ HTTP/1.1\r\nHost: a\r\n\r\n', ...mismatch },
  { what: 'GET *', bytes: 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', ...bad },
  { what: 'another host in the target', bytes: 'GET http://evil/x HTTP/1.1\r\nHost: a\r\n\r\n', ...mismatch },
  { what: 'another port in the target', bytes: 'GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n', ...mismatch },
  {
    what: 'user information in the target',
    bytes: 'GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n',
    ...mismatch,
  },
  { what: 'an unknown version', bytes: 'GET /x HTTP/1.2\r\nHost: a\r\n\r\n', ...bad },
  { what: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', ...bad },
  { what: 'a method in small letters', bytes: 'get /x HTTP/1.1\r\nHost: a\r\n\r\n', ...unknown },
  { what: 'an unknown method', bytes: 'BREW /x HTTP/1.1\r\nHost: a\r\n\r\n', ...unknown },
  { what: 'a method of RTSP', bytes: 'DESCRIBE /x HTTP/1.1\r\nHost: a\r\n\r\n', ...unknown },
  {
    what: 'the PROXY protocol',
    bytes: `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${GET}Host: a\r\n\r\n`,
    ...bad,
  },
  { what: 'TLS on the plain port', bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', ...bad },
  {
    what: 'CONNECT',
    bytes: 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
    status: 405,
    reason: 'method_not_allowed',
  },
  {
    what: 'TRACE',
    bytes: 'TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n',
    status: 405,
    reason: 'method_not_allowed',
    open: true,
  },
  {
    what: 'a head of more than limits.headSize',
    bytes: `${GET}Host: a\r\n${fields(20, 500)}\r\n`,
    status: 431,
    reason: 'head_too_large',
  },
  {
    what: 'a field of 64 KiB',
    bytes: `${GET}Host: a\r\nX-A: ${'v'.repeat(65_536)}\r\n\r\n`,
    status: 431,
    reason: 'head_too_large',
  },
  {
    what: 'a target of 64 KiB',
    bytes: `GET /${'x'.repeat(65_536)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    status: 431,
    reason: 'head_too_large',
  },
  {
    what: 'more fields than limits.headers',
    bytes: `${GET}Host: a\r\n${fields(64, 1)}\r\n`,
    status: 431,
    reason: 'head_too_large',
  },
  {
    what: 'a body over limits.requestBody, by its Content-Length',
    bytes: `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n`,
    status: 413,
    reason: 'body_too_large',
  },
];

suite('refused, and not passed on:', () => {
  for (const { what, bytes, status, reason, open = false } of cases) {
    test(what, async () => {
      const before = upstream.requests.length;
      const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
      const answer = await client.send(bytes).read();
      await assertRefused(answer, status, reason);
      if (open) {
        assert.equal((await client.send('GET /y HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
        client.destroy();
        assert.equal(upstream.requests.length, before + 1);
      } else {
        assert.equal(answer.value('connection'), 'close');
        client.send('GET /after-a-refusal HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.deepEqual((await client.readToEnd().catch(() => Buffer.alloc(0))).toString(), '');
        client.destroy();
        assert.equal(upstream.requests.length, before);
      }
    });
  }

  test('a chunked body over limits.requestBody, when it gets there', async () => {
    const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
    client.send('POST /too-large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    client.send(`${(70_000).toString(16)}\r\n${'x'.repeat(70_000)}\r\n`);
    const answer = await client.read();
    await assertRefused(answer, 413, 'body_too_large');
    assert.equal(answer.value('connection'), 'close');
    client.send('0\r\n\r\n');
    await inTime(
      'the end of the connection',
      client.readToEnd().catch(() => undefined),
    );
    client.destroy();
    assert.ok(!upstream.requests.some(({ target }) => target === '/too-large'));
  });

  test('a broken chunk in the middle of a body ends the connection and the upstream request', async () => {
    const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
    await client.sendParts(
      'POST /broken-chunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
      'zz\r\nabc\r\n0\r\n\r\n',
    );
    const rest = await client.readToEnd().catch(() => Buffer.alloc(0));
    client.destroy();
    assert.ok(rest.length === 0 || /^HTTP\/1\.1 400 /.test(rest.toString('latin1')));
    assert.ok(!upstream.requests.some(({ target }) => target === '/broken-chunk'));
  });

  test('a head that does not come in time, with 408', async () => {
    const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
    client.send('GET /slow HTTP/1.1\r\nHost: a\r\n');
    const trickle = setInterval(() => client.send('X-A: 1\r\n'), 50);
    try {
      const answer = await client.read();
      await assertRefused(answer, 408, 'request_timeout');
      assert.equal(answer.value('connection'), 'close');
    } finally {
      clearInterval(trickle);
      client.destroy();
    }
  });

  test('a connection on which nothing is ever asked ends without a word', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    assert.equal((await client.readToEnd()).length, 0);
  });
});

suite('not refused:', () => {
  test('a head just below limits.headSize, and one of limits.headers fields', async () => {
    for (const bytes of [fields(15, 500), fields(63, 1)]) {
      const answer = await exchange(proxy.trafficPort, `${GET}Host: a\r\n${bytes}\r\n`);
      assert.equal(answer.status, 200);
    }
  });

  test('a body of exactly limits.requestBody', async () => {
    const body = 'x'.repeat(65_536);
    const answer = await exchange(
      proxy.trafficPort,
      `POST /just-fits HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assert.equal(answer.status, 200);
  });

  test('the absolute form of the same host, which goes on in origin form', async () => {
    for (const [target, sent] of [
      ['http://a/abs?x=1', '/abs?x=1'],
      ['HTTP://A:80/abs-2', '/abs-2'],
      ['http://a', '/'],
      ['http://a?q', '/?q'],
    ] as const) {
      const answer = await exchange(proxy.trafficPort, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 200, target);
      assert.equal(upstream.requests.at(-1)!.target, sent);
    }
  });

  test('OPTIONS *, which the proxy answers itself', async () => {
    const before = upstream.requests.length;
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n').read();
    assert.equal(answer.status, 200);
    assert.match(answer.value('allow')!, /\bGET\b/);
    assert.equal(upstream.requests.length, before);
    // One such request used to disable a client of undici's Pool for ever.
    assert.equal((await client.send('GET /still-there HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    client.destroy();
  });

  test('methods of WebDAV and the like', async () => {
    for (const method of ['PROPFIND', 'REPORT', 'PURGE', 'MKCOL', 'QUERY', 'M-SEARCH', 'SUBSCRIBE']) {
      const answer = await exchange(proxy.trafficPort, `${method} /dav HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 200, method);
      assert.equal(upstream.requests.at(-1)!.method, method);
    }
  });

  test('two equal Host fields count as one', async () => {
    const answer = await exchange(
      proxy.trafficPort,
      `GET /equal-hosts HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n`,
    );
    if (answer.status === 200) {
      assert.equal(singleValue(upstream.requests.at(-1)!.fields, 'host'), 'a');
    } else {
      assert.equal(answer.status, 400);
    }
  });
});

test('a client that goes on sending what was refused is not reset under the answer', async () => {
  const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
  client.send(`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(20_000)}`);
  assert.equal((await client.read()).status, 431);
  for (let i = 0; i < 5; i++) {
    client.send('a'.repeat(1_000));
    await pause(20);
  }
  client.socket.end();
  assert.equal(await inTime('the end', client.closed), 'end');
});

test('a thousand malformed requests leave the proxy in order', async () => {
  const shapes = cases.filter(({ bytes }) => bytes.length < 1000);
  for (let i = 0; i < 1000; i += 20) {
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(proxy.trafficPort)));
    for (const [k, client] of clients.entries()) client.send(shapes[(i + k) % shapes.length]!.bytes);
    await Promise.all(clients.map((client) => client.read().catch(() => undefined)));
    for (const client of clients) client.destroy();
  }
  assert.equal((await exchange(proxy.trafficPort, 'GET /fine HTTP/1.1\r\nHost: a\r\n\r\n')).status, 200);
  await proxy.waitFor(
    'the connections to be gone',
    async () => (await proxy.status()).connections.client <= 1,
  );
  assert.deepEqual(upstream.violations, []);
});

test('forwards only the methods of forwarding.methods, and lists them in Allow', async () => {
  const config = { health: { enabled: false } };
  const few = await startPointsman(
    oneBackend(upstream.url, { ...config, forwarding: { methods: ['GET', 'MKCOL'] } }),
  );
  try {
    for (const method of ['GET', 'MKCOL']) {
      const answer = await exchange(few.trafficPort, `${method} /few HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 200, method);
      assert.equal(upstream.requests.at(-1)!.method, method);
    }
    const before = upstream.requests.length;
    for (const head of [
      'POST /few',
      'DELETE /few',
      'PURGE /few',
      'TRACE /few',
      'CONNECT a:443',
      'OPTIONS *',
    ]) {
      const answer = await exchange(few.trafficPort, `${head} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 405, head);
      assert.equal(answer.value('x-pointsman-reason'), 'method_not_allowed');
      assert.equal(answer.value('allow'), 'GET, MKCOL');
    }
    assert.equal(upstream.requests.length, before);
    await few.reload(oneBackend(upstream.url, { ...config, forwarding: { methods: ['POST'] } }));
    assert.equal((await exchange(few.trafficPort, 'POST /few HTTP/1.1\r\nHost: a\r\n\r\n')).status, 200);
    const answer = await exchange(few.trafficPort, 'GET /few HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.status, 405);
    assert.equal(answer.value('allow'), 'POST');
  } finally {
    await few.stop();
  }
});
