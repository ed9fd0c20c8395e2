/** What happens to the fields of requests and responses, and to the request target, byte by byte. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { type RawRequest, startRawUpstream } from '../../support/raw-upstream.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Extra lines of the response, by the target that asks for them. */
const responses = new Map<string, string>();
const upstream = await startRawUpstream(
  ({ target }) => `HTTP/1.1 200 OK\r\n${responses.get(target) ?? ''}Content-Length: 2\r\n\r\nok`,
);
const unchecked: Partial<TestConfig> = { health: { enabled: false } };
const proxy = await startPointsman(oneBackend(upstream.url, unchecked));

let asked = 0;

/** Sends these field lines and gives what the upstream got and the client was answered. */
async function pass(
  lines: string,
  options: { port?: number; localAddress?: string; target?: string; version?: string } = {},
) {
  const target = options.target ?? `/request/${asked++}`;
  const client = await RawClient.connect(
    options.port ?? proxy.trafficPort,
    options.localAddress === undefined ? {} : { localAddress: options.localAddress },
  );
  const answer = await client.send(`GET ${target} HTTP/${options.version ?? '1.1'}\r\n${lines}\r\n`).read();
  client.destroy();
  assert.equal(answer.status, 200, answer.body.toString());
  const request = upstream.requests.findLast((candidate) => candidate.target === target);
  assert.ok(request !== undefined, 'the upstream got the request under its own target');
  return { request, answer };
}

/** Names that the client did not send. */
function names(request: RawRequest): string[] {
  return request.fields.map(([name]) => name);
}

suite('fields of one connection', () => {
  test('end at the proxy on the way to the upstream, those that Connection names included', async () => {
    const { request } = await pass(
      'Host: a\r\nConnection: keep-alive, X-Hop ,x-other\r\nKeep-Alive: timeout=5\r\n' +
        'Proxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-T\r\nProxy-Authorization: Basic eA==\r\n' +
        'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Hop: 1\r\nX-Other: 2\r\nX-Stays: 3\r\n',
    );
    for (const name of [
      'keep-alive',
      'proxy-connection',
      'te',
      'trailer',
      'proxy-authorization',
      'upgrade',
      'http2-settings',
      'x-hop',
      'x-other',
    ]) {
      assert.deepEqual(request.values(name), [], name);
    }
    assert.deepEqual(
      request.values('connection').map((value) => value.toLowerCase()),
      ['keep-alive'],
    );
    assert.equal(request.value('x-stays'), '3');
  });

  test('end at the proxy on the way to the client as well', async () => {
    responses.set(
      '/hop-by-hop',
      'Connection: X-Secret-Hop\r\nKeep-Alive: timeout=1\r\nProxy-Connection: close\r\nX-Secret-Hop: 1\r\n' +
        'Upgrade: h2c\r\nX-Stays: 2\r\n',
    );
    const { answer } = await pass('Host: a\r\n', { target: '/hop-by-hop' });
    assert.deepEqual(answer.values('x-secret-hop'), []);
    assert.deepEqual(answer.values('proxy-connection'), []);
    assert.deepEqual(answer.values('upgrade'), []);
    assert.ok(!answer.values('connection').some((value) => /x-secret-hop/i.test(value)));
    assert.ok(!answer.values('keep-alive').includes('timeout=1'));
    assert.equal(answer.value('x-stays'), '2');
  });

  test('a client cannot have its group, Host, cookies or forwarding fields dropped through Connection', async () => {
    const { request } = await pass(
      'Host: kept.example\r\nConnection: close, X-Traffic-Group, Host, X-Forwarded-For, X-Forwarded-Proto, ' +
        'X-Request-Id, Via, Content-Length, Cookie, Authorization\r\nX-Traffic-Group: ENTERPRISE\r\n' +
        'Cookie: a=b\r\nAuthorization: Bearer x\r\n',
    );
    assert.equal(request.value('x-traffic-group'), 'ENTERPRISE');
    assert.equal(request.value('host'), 'kept.example');
    assert.equal(request.value('x-forwarded-for'), '127.0.0.1');
    assert.equal(request.value('x-forwarded-proto'), 'http');
    assert.equal(request.value('cookie'), 'a=b');
    assert.equal(request.value('authorization'), 'Bearer x');
    assert.match(request.value('x-request-id')!, UUID);
    assert.ok(request.values('via').length > 0);
  });

  test("a client's Connection: close ends its own connection and not the one to the upstream", async () => {
    const first = await pass('Host: a\r\nConnection: close\r\n');
    assert.equal(first.answer.value('connection'), 'close');
    const second = await pass('Host: a\r\n');
    assert.equal(second.request.connection, first.request.connection);
  });

  test("an upstream's Connection: close ends its own connection and not the client's", async () => {
    responses.set('/closes', 'Connection: close\r\n');
    const client = await RawClient.connect(proxy.trafficPort);
    for (const target of ['/closes', '/after']) {
      const answer = await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).read();
      assert.equal(answer.status, 200);
      assert.notEqual(answer.value('connection'), 'close');
    }
    client.destroy();
  });
});

suite('where a request came from', () => {
  test('X-Forwarded-For, -Proto and -Host name the peer and what it asked for', async () => {
    const { request } = await pass('Host: shop.example:8080\r\n');
    assert.equal(request.value('x-forwarded-for'), '127.0.0.1');
    assert.equal(request.value('x-forwarded-proto'), 'http');
    assert.equal(request.value('x-forwarded-host'), 'shop.example:8080');
  });

  test('an untrusted peer cannot say where its request came from', async () => {
    const { request } = await pass(
      'Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n' +
        'X-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.2.3.4\r\n',
    );
    assert.deepEqual(request.values('x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(request.values('x-forwarded-proto'), ['http']);
    assert.deepEqual(request.values('x-forwarded-host'), ['a']);
    assert.deepEqual(request.values('x-forwarded-port'), []);
    assert.deepEqual(request.values('forwarded'), []);
  });

  suite('behind a trusted peer', async () => {
    const trusting = await startPointsman(
      oneBackend(upstream.url, { ...unchecked, trust: { cidrs: ['127.0.0.0/30'] } }),
    );
    const lines =
      'Host: a\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n' +
      'X-Forwarded-Port: 443\r\nForwarded: for=1.2.3.4\r\nX-Request-Id: given-by-gateway\r\n';

    test('what it says is kept, and it is added to the list', async () => {
      const { request, answer } = await pass(lines, { port: trusting.trafficPort });
      assert.equal(request.value('x-forwarded-for'), '1.2.3.4, 5.6.7.8, 127.0.0.1');
      assert.equal(request.value('x-forwarded-proto'), 'https');
      assert.equal(request.value('x-forwarded-host'), 'shop');
      assert.equal(request.value('x-forwarded-port'), '443');
      assert.equal(request.value('forwarded'), 'for=1.2.3.4');
      assert.equal(request.value('x-request-id'), 'given-by-gateway');
      assert.equal(answer.value('x-request-id'), 'given-by-gateway');
    });

    test('what another peer says is replaced', async () => {
      const { request } = await pass(lines, { port: trusting.trafficPort, localAddress: '127.0.0.9' });
      assert.equal(request.value('x-forwarded-for'), '127.0.0.9');
      assert.equal(request.value('x-forwarded-proto'), 'http');
      assert.match(request.value('x-request-id')!, UUID);
    });

    for (const id of ['', 'a b', 'x'.repeat(129), 'é']) {
      test(`a request id of the form ${JSON.stringify(id.slice(0, 8))} is replaced even so`, async () => {
        const { request } = await pass(`Host: a\r\nX-Request-Id: ${id}\r\n`, { port: trusting.trafficPort });
        assert.match(request.value('x-request-id')!, UUID);
      });
    }
  });

  test('Via says that a request passed Pointsman, after what it passed before; responses keep their own', async () => {
    responses.set('/via', 'Via: 1.0 inner\r\n');
    const { request, answer } = await pass('Host: a\r\nVia: 1.0 gateway, 1.1 other\r\n', { target: '/via' });
    assert.equal(request.values('via').join(', '), '1.0 gateway, 1.1 other, 1.1 pointsman');
    // RFC 9110, 7.6.3: a gateway may leave it out of responses.
    assert.equal(answer.values('via')[0], '1.0 inner');
  });

  test('every request gets an id of its own, the same for upstream, client and log', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const { request, answer } = await pass('Host: a\r\nX-Request-Id: chosen-by-a-stranger\r\n');
      const id = request.value('x-request-id')!;
      assert.match(id, UUID);
      assert.equal(answer.value('x-request-id'), id);
      assert.equal((await proxy.accessLine(id))['path'], request.target);
      ids.add(id);
    }
    assert.equal(ids.size, 3);
  });

  test("an upstream's own request id does not become a second one", async () => {
    responses.set('/own-id', 'x-request-id: of-the-upstream\r\n');
    const { request, answer } = await pass('Host: a\r\n', { target: '/own-id' });
    assert.deepEqual(answer.values('x-request-id'), [request.value('x-request-id')]);
  });

  test('all of it can be switched off or renamed', async () => {
    const bare = await startPointsman(
      oneBackend(upstream.url, {
        ...unchecked,
        forwarding: { xForwarded: false, forwarded: true, via: '', requestId: 'X-Correlation-Id' },
      }),
    );
    const { request, answer } = await pass('Host: shop.example\r\n', { port: bare.trafficPort });
    assert.ok(!names(request).some((name) => /^x-forwarded-/i.test(name)));
    assert.deepEqual(request.values('via'), []);
    assert.match(request.value('forwarded')!, /^for=127\.0\.0\.1;host="shop\.example";proto=http$/);
    assert.match(request.value('x-correlation-id')!, UUID);
    assert.deepEqual(request.values('x-request-id'), []);
    assert.equal(answer.value('x-correlation-id'), request.value('x-correlation-id'));
  });

  test('Host is kept as the client wrote it', async () => {
    const { request } = await pass('hOsT: SHOP.Example:443\r\n');
    assert.equal(request.value('host'), 'SHOP.Example:443');
  });

  test('a request of HTTP/1.0 without Host gets that of the backend', async () => {
    const { request } = await pass('X-A: 1\r\n', { version: '1.0' });
    assert.equal(request.value('host'), `127.0.0.1:${upstream.port}`);
    assert.equal(request.version, '1.1');
  });
});

suite('all other fields', () => {
  test('keep order, repetitions and the case of their names on the way to the upstream', async () => {
    const own = [
      ['aCCept', '*/*'],
      ['X-dup', '1'],
      ['x-between', 'b'],
      ['X-Dup', '2'],
      ['X-DUP', ''],
      ['COOKIE', 'a=1; b=2'],
      ['cookie', 'c=3'],
      ['x-blank', 'two  blanks\tand a tab'],
    ] as const;
    const { request } = await pass(
      `Host: a\r\n${own.map(([name, value]) => `${name}: ${value}\r\n`).join('')}`,
    );
    const sent = new Set<string>(own.map(([name]) => name));
    assert.deepEqual(
      request.fields.filter(([name]) => sent.has(name)),
      own,
    );
  });

  test('keep order, repetitions and the case of their names on the way to the client', async () => {
    const own = [
      ['Set-Cookie', 'a=1; Path=/, odd'],
      ['X-first', '1'],
      ['set-cookie', 'b=2'],
      ['SET-COOKIE', 'c=3; Expires=Wed, 21 Oct 2026 07:28:00 GMT'],
      ['x-FIRST', '2'],
      ['Vary', 'accept'],
      ['vary', 'origin'],
      ['WWW-Authenticate', 'Basic realm="x", Bearer'],
    ] as const;
    responses.set('/cased', own.map(([name, value]) => `${name}: ${value}\r\n`).join(''));
    const { answer } = await pass('Host: a\r\n', { target: '/cased' });
    const sent = new Set<string>(own.map(([name]) => name));
    assert.deepEqual(
      answer.fields.filter(([name]) => sent.has(name)),
      own,
    );
  });

  test('the Date of the upstream is the only one', async () => {
    responses.set('/dated', 'Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n');
    const { answer } = await pass('Host: a\r\n', { target: '/dated' });
    assert.deepEqual(answer.values('date'), ['Tue, 15 Nov 1994 08:12:31 GMT']);
  });

  test('the status text is the upstream’s own', async () => {
    const odd = await startRawUpstream(() => 'HTTP/1.1 299 Mostly Fine\r\nContent-Length: 0\r\n\r\n');
    const own = await startPointsman(oneBackend(odd.url, unchecked));
    const answer = await exchange(own.trafficPort, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.head.startLine, 'HTTP/1.1 299 Mostly Fine');
  });

  const latin1 = 'caf\xe9 \x80\xff';
  const utf8 = Buffer.from('名前é.txt').toString('latin1');

  for (const [what, value] of [
    ['Latin-1', latin1],
    ['UTF-8', utf8],
  ] as const) {
    test(`${what} bytes in a value pass unchanged to the upstream`, async () => {
      const { request } = await pass(`Host: a\r\nX-Name: ${value}\r\n`);
      assert.equal(request.value('x-name'), value);
    });

    // Node takes the bytes of this field for UTF-8 when Content-Length stands before it (nodejs/node#58240).
    test(`${what} bytes in Content-Disposition pass unchanged to the client`, async () => {
      const disposition = `attachment; filename="${value}"`;
      const target = `/disposition-${what}`;
      const raw = await startRawUpstream(
        () =>
          `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: ${value}\r\nContent-Disposition: ${disposition}\r\n\r\nok`,
      );
      const own = await startPointsman(oneBackend(raw.url, unchecked));
      const answer = await exchange(own.trafficPort, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 200);
      assert.equal(answer.value('content-disposition'), disposition);
      assert.equal(answer.value('x-a'), value);
      assert.equal(answer.body.toString(), 'ok');
    });
  }

  test('a head of many fields passes whole', async () => {
    const lines = Array.from({ length: 100 }, (_, i) => `X-Field-${i}: ${'v'.repeat(50)}${i}\r\n`).join('');
    const { request } = await pass(`Host: a\r\n${lines}`);
    for (let i = 0; i < 100; i++) assert.equal(request.value(`x-field-${i}`), `${'v'.repeat(50)}${i}`);
  });
});

suite('the request target', () => {
  for (const target of [
    '/',
    '//x',
    '//evil.example/path',
    '/a/../b/%2e%2e/d{x}\\y?q={1}',
    '/a/./b//c/',
    '/?',
    '/?a=b&a=c&%00=%ff',
    '/%E4%BD%A0?x=%zz',
    '/a;b=c,d:e@f!$&\'()*+"<>^`|~[]',
    '/?http://other/',
    `/${'x'.repeat(8000)}`,
  ]) {
    const shown = target.length > 60 ? `${target.slice(0, 20)}… (${target.length})` : target;
    test(`${JSON.stringify(shown)} reaches the upstream byte for byte`, async () => {
      const { request } = await pass('Host: a\r\n', { target });
      assert.equal(request.target, target);
    });
  }
});

test('nothing that the upstream got was malformed', () => {
  assert.deepEqual(upstream.violations, []);
});
