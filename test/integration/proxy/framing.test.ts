/** Where messages begin and end: bodies of every kind, in both directions, and several requests on a connection. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { type Echo, patternBytes, patternHash, startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { OK, type RawAnswer, startRawUpstream } from '../../support/raw-upstream.ts';
import { send } from '../../support/request.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';

const MIB = 1024 ** 2;
const unchecked: Partial<TestConfig> = { health: { enabled: false } };

/** Answers by target. */
const scripts = new Map<string, RawAnswer>();
const raw = await startRawUpstream(({ target }) => scripts.get(target) ?? OK);
const proxy = await startPointsman(oneBackend(raw.url, unchecked));
const upstream = await startHttpUpstream('main');
const toNode = await startPointsman(oneBackend(upstream.url));

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const last = (target: string) => raw.requests.findLast((request) => request.target === target)!;

suite('request bodies', () => {
  test('with Content-Length keep their length', async () => {
    const answer = await exchange(
      proxy.trafficPort,
      'POST /with-length HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world',
    );
    assert.equal(answer.status, 200);
    assert.equal(last('/with-length').value('content-length'), '11');
    assert.equal(last('/with-length').body.toString(), 'hello world');
  });

  test('that are chunked stay chunked, whatever the chunks of the client were', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    await client.sendParts(
      'POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
      '5\r',
      '\nhel',
      'lo\r\n',
      '6;ext="x"\r\n world\r\n0',
      '\r\n\r',
      '\n',
    );
    assert.equal((await client.read()).status, 200);
    client.destroy();
    assert.equal(last('/chunked').value('transfer-encoding'), 'chunked');
    assert.equal(last('/chunked').value('content-length'), undefined);
    assert.equal(last('/chunked').body.toString(), 'hello world');
  });

  test('may come with trailers, which do no harm and are no fields of the head', async () => {
    const answer = await exchange(
      proxy.trafficPort,
      'POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Traffic-Group\r\n\r\n' +
        '3\r\nabc\r\n0\r\nX-Traffic-Group: INTERNAL\r\nX-Sum: 1\r\n\r\n',
    );
    assert.equal(answer.status, 200);
    assert.equal(last('/trailers').body.toString(), 'abc');
    assert.deepEqual(last('/trailers').values('x-traffic-group'), []);
  });

  test('of 20 MiB arrive byte for byte, with Content-Length and chunked', async () => {
    const body = patternBytes(20 * MIB);
    for (const headers of [{ 'content-length': body.length }, { 'transfer-encoding': 'chunked' }]) {
      const echo = await new Promise<Echo>((resolve, reject) => {
        const request = httpRequest(
          {
            host: '127.0.0.1',
            port: toNode.trafficPort,
            method: 'PUT',
            path: '/upload',
            headers,
            agent: false,
          },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as Echo));
          },
        );
        request.once('error', reject);
        request.end(body);
      });
      assert.deepEqual(echo.body, { length: body.length, sha256: sha256(body) });
    }
  });

  test('may come with GET', async () => {
    await exchange(proxy.trafficPort, 'GET /get HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
    assert.equal(last('/get').body.toString(), 'body');
    assert.equal(last('/get').method, 'GET');
  });

  test('may be absent or empty with POST', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    for (const fields of ['', 'Content-Length: 0\r\n']) {
      const answer = await client.send(`POST /empty HTTP/1.1\r\nHost: a\r\n${fields}\r\n`).read();
      assert.equal(answer.status, 200);
      assert.equal(last('/empty').value('content-length'), '0');
    }
    client.destroy();
  });

  for (const method of ['DELETE', 'OPTIONS', 'GET', 'HEAD', 'PATCH']) {
    // http-proxy-3 let the bytes of such a body through as the beginning of the next request (CVE-2026-29057).
    test(`a chunked body of ${method} cannot become a request of its own`, async () => {
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n';
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(
        `${method} /outer-${method} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
          `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n` +
          `GET /second-${method} HTTP/1.1\r\nHost: a\r\n\r\n`,
      );
      assert.equal((await client.read({ head: method === 'HEAD' })).status, 200);
      assert.equal((await client.read()).status, 200);
      client.destroy();
      assert.equal(last(`/outer-${method}`).body.toString(), smuggled);
      assert.equal(last(`/second-${method}`).method, 'GET');
      assert.ok(!raw.requests.some(({ target }) => target === '/smuggled'));
    });
  }

  test('come to the upstream while the client still sends', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    client.send('POST /streamed HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst');
    await waitFor('the first half at the upstream', () =>
      raw.received.some((bytes) => bytes.includes('/streamed') && bytes.toString('latin1').endsWith('first')),
    );
    assert.equal((await client.send('-last').read()).status, 200);
    client.destroy();
    assert.equal(last('/streamed').body.toString(), 'first-last');
  });
});

suite('response bodies', () => {
  test('with Content-Length keep their length, chunked ones stay chunked', async () => {
    scripts.set(
      '/chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    );
    const chunked = await exchange(proxy.trafficPort, 'GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(chunked.chunked, true);
    assert.equal(chunked.body.toString(), 'abcde');
    const plain = await exchange(proxy.trafficPort, 'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(plain.value('content-length'), '2');
    assert.equal(plain.body.toString(), 'ok');
  });

  test('of 20 MiB arrive byte for byte, with Content-Length and chunked', async () => {
    for (const kind of ['bytes', 'chunked']) {
      const answer = await send(toNode.trafficPort, { path: `/${kind}/${20 * MIB}` });
      assert.equal(answer.body.length, 20 * MIB);
      assert.equal(sha256(answer.body), patternHash(20 * MIB));
    }
  });

  test('that end with the connection of the upstream end in order for the client', async () => {
    scripts.set('/to-the-end', (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nuntil ');
      setTimeout(() => socket.end('the end'), 20);
    });
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('GET /to-the-end HTTP/1.1\r\nHost: a\r\n\r\n').read();
    assert.equal(answer.body.toString(), 'until the end');
    assert.equal(answer.chunked, true, 'the client can tell that it is whole');
    assert.equal((await client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    client.destroy();
  });

  test('reach the client while the upstream still sends', async () => {
    const client = await RawClient.connect(toNode.trafficPort);
    client.send('GET /stall HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await client.readHead()).status, 200);
    await waitFor('the first chunk', () => client.unread.includes('then nothing'));
    client.destroy();
  });

  test('trailers pass, and the field that announces them', async () => {
    const answer = await exchange(
      toNode.trafficPort,
      'GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n',
    );
    assert.equal(answer.body.toString(), 'body');
    assert.equal(answer.value('trailer'), 'X-Checksum, X-Rows');
    assert.deepEqual(answer.trailers, [
      ['X-Checksum', 'abc'],
      ['X-Rows', '7'],
    ]);
  });

  test('HEAD has no body and keeps the length of the one that GET would have', async () => {
    scripts.set('/head', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "x"\r\n\r\n');
    const client = await RawClient.connect(proxy.trafficPort);
    for (let i = 0; i < 2; i++) {
      const answer = await client.send('HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n').read({ head: true });
      assert.equal(answer.status, 200);
      assert.equal(answer.value('content-length'), '1000');
    }
    assert.equal(
      (await client.send('GET /after-head HTTP/1.1\r\nHost: a\r\n\r\n').read()).body.toString(),
      'ok',
    );
    client.destroy();
    const [first, second] = raw.requests.filter(({ target }) => target === '/head');
    assert.equal(first!.connection, second!.connection, 'the upstream connection is kept after HEAD');
  });

  test('204 and 304 have no body, whatever their fields say', async () => {
    scripts.set('/204', 'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n');
    scripts.set('/304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n');
    const client = await RawClient.connect(proxy.trafficPort);
    const empty = await client.send('GET /204 HTTP/1.1\r\nHost: a\r\n\r\n').read();
    assert.equal(empty.status, 204);
    assert.deepEqual(empty.values('content-length'), []);
    assert.deepEqual(empty.values('transfer-encoding'), []);
    const unmodified = await client.send('GET /304 HTTP/1.1\r\nHost: a\r\n\r\n').read();
    assert.equal(unmodified.status, 304);
    assert.equal(unmodified.value('content-length'), '500');
    assert.deepEqual(unmodified.values('transfer-encoding'), []);
    assert.equal((await client.send('GET /after HTTP/1.1\r\nHost: a\r\n\r\n').read()).body.toString(), 'ok');
    client.destroy();
  });

  test('an empty body with Content-Length: 0 is an empty body', async () => {
    scripts.set('/nothing', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const answer = await exchange(proxy.trafficPort, 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.value('content-length'), '0');
    assert.equal(answer.body.length, 0);
  });

  test('103 Early Hints pass before the answer', async () => {
    const answer = await exchange(toNode.trafficPort, 'GET /early-hints HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.status, 200);
    assert.deepEqual(
      answer.interim.map(({ status, fields }) => [
        status,
        fields.filter(([name]) => name.toLowerCase() === 'link').map(([, value]) => value),
      ]),
      [
        [103, ['</a.css>; rel=preload', '</b.js>; rel=preload']],
        [103, ['</c.css>; rel=preload']],
      ],
    );
  });

  test('103 Early Hints do not go to a client of HTTP/1.0', async () => {
    const client = await RawClient.connect(toNode.trafficPort);
    const bytes = await client.send('GET /early-hints HTTP/1.0\r\nHost: a\r\n\r\n').readToEnd();
    assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 200 /);
    assert.ok(!bytes.includes(' 103 '));
  });
});

suite('Expect: 100-continue', () => {
  const head = (target: string) =>
    `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`;

  test('is answered once there is an upstream to send to, and is not passed on', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    client.send(head('/continue'));
    assert.equal((await client.readHead()).status, 100);
    assert.equal((await client.send('body').read()).status, 200);
    client.destroy();
    assert.equal(last('/continue').body.toString(), 'body');
    assert.deepEqual(last('/continue').values('expect'), []);
  });

  test('is answered 503 at once, without the body being asked for, when there is no upstream', async () => {
    const gone = await startHttpUpstream('gone');
    const empty = await startPointsman(oneBackend(gone.url));
    await gone.close();
    await empty.waitForHealth('main', 'down');
    const client = await RawClient.connect(empty.trafficPort);
    const answer = await client.send(head('/')).read();
    client.destroy();
    assert.equal(answer.status, 503);
    assert.deepEqual(answer.interim, []);
  });

  test('of anything else is refused with 417', async () => {
    const answer = await exchange(
      proxy.trafficPort,
      'POST /expects HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n',
    );
    assert.equal(answer.status, 417);
    assert.equal(answer.value('x-pointsman-reason'), 'expectation_failed');
    assert.equal(last('/expects'), undefined);
  });

  test('a client that does not wait for the 100 is served as well', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send(`${head('/impatient')}body`).read();
    client.destroy();
    assert.equal(answer.status, 200);
    assert.equal(last('/impatient').body.toString(), 'body');
  });
});

suite('an upstream that answers before the request has ended', () => {
  test('413 reaches the client, whose next request on the connection is answered', async () => {
    const client = await RawClient.connect(toNode.trafficPort);
    client.send('POST /early-413 HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n');
    client.send(patternBytes(10_000));
    const answer = await client.read();
    assert.equal(answer.status, 413);
    assert.equal(answer.body.toString(), 'too large');
    client.send(patternBytes(10_000));
    client.send('GET /after-413 HTTP/1.1\r\nHost: a\r\n\r\n');
    const second = await client.read();
    assert.equal(second.status, 200);
    assert.equal((second.json() as Echo).url, '/after-413');
    client.destroy();
  });

  test('413 reaches a client that goes on sending 20 MiB', async () => {
    const answer = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        {
          host: '127.0.0.1',
          port: toNode.trafficPort,
          method: 'POST',
          path: '/early-413',
          headers: { 'content-length': 20 * MIB },
          agent: false,
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      request.once('error', reject);
      request.write(patternBytes(MIB));
      const more = setInterval(() => {
        if (request.destroyed || !request.writable) clearInterval(more);
        else request.write(patternBytes(64 * 1024));
      }, 5);
      request.once('close', () => clearInterval(more));
    });
    assert.equal(answer, 413);
  });
});

suite('connections of clients', () => {
  test('HTTP/1.0 without keep-alive ends after the answer', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('GET /1.0 HTTP/1.0\r\nHost: a\r\n\r\n').read();
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), 'ok');
    assert.equal(await inTime('the end', client.closed), 'end');
  });

  test('HTTP/1.0 with keep-alive serves another request', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    for (let i = 0; i < 2; i++) {
      const answer = await client
        .send('GET /1.0 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
        .read();
      assert.equal(answer.body.toString(), 'ok');
      assert.equal(answer.value('connection')?.toLowerCase(), 'keep-alive');
    }
    client.destroy();
  });

  test('a client of HTTP/1.0 gets a body of unknown length without chunks, ended by the connection', async () => {
    scripts.set('/unknown', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('GET /unknown HTTP/1.0\r\nHost: a\r\n\r\n').read();
    assert.deepEqual(answer.values('transfer-encoding'), []);
    assert.equal(answer.body.toString(), 'abc');
  });

  test('pipelined requests are answered in order', async () => {
    scripts.set('/slow', async (socket) => {
      await pause(60);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow');
    });
    const client = await RawClient.connect(proxy.trafficPort);
    client.send(
      'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n' +
        'POST /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' +
        'GET /fast-2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    );
    const bodies: string[] = [];
    for (let i = 0; i < 3; i++) bodies.push((await client.read()).body.toString());
    assert.deepEqual(bodies, ['slow', 'ok', 'ok']);
    assert.equal(last('/fast').body.toString(), 'abc');
    assert.equal(await inTime('the end', client.closed), 'end');
  });

  test('a head may come byte by byte', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    for (const byte of 'GET /bytewise HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n') {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await client.read()).status, 200);
    client.destroy();
    assert.equal(last('/bytewise').value('x-a'), 'b');
  });

  test('empty lines before a request are passed over', async () => {
    const answer = await exchange(proxy.trafficPort, '\r\n\r\nGET /late HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.status, 200);
  });
});

test('nothing that the upstream got was malformed', () => {
  assert.deepEqual(raw.violations, []);
});
