/** HTTP checks of endpoints that misbehave: each is bounded in time and in what is read, and leaves a reason. */

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { probe } from '../../src/backends/probe.ts';
import type { HttpProbe } from '../../src/backends/probe-target.ts';
import { oneBackend } from '../support/design-table.ts';
import { startPointsman } from '../support/pointsman-process.ts';
import { type RawAnswer, type RawUpstream, startRawUpstream } from '../support/raw-upstream.ts';
import { send } from '../support/request.ts';
import { inTime, waitFor } from '../support/wait-for.ts';

/** Enough to fill every buffer of the kernel many times over. */
const MUCH = 64 * 1024 ** 2;
/** What may have been sent before the other side hung up: buffers of both sides of a connection. */
const LITTLE = 16 * 1024 ** 2;

const listen = (answer: RawAnswer) => startRawUpstream({ early: () => answer });

async function check(upstream: RawUpstream, changes: Partial<HttpProbe> = {}): Promise<string> {
  const target: HttpProbe = {
    kind: 'http',
    scheme: 'http',
    address: '127.0.0.1',
    port: upstream.port,
    timeout: 5_000,
    method: 'GET',
    path: '/healthz',
    host: 'shop',
    serverName: 'shop',
    status: ['2xx'],
    headers: {},
    body: undefined,
    ...changes,
  };
  const { ok, detail, local } = await inTime('the verdict', probe(target), 10_000);
  assert.equal(local, false);
  await waitFor('the connection to be closed', () => upstream.openConnections === 0);
  return `${ok ? 'good' : 'bad'}: ${detail}`;
}

/** Sends `chunk` again and again until the other side has had enough; tells how much it took. */
function pour(head: string, chunk: string) {
  const sent = { bytes: 0 };
  const answer = (socket: Socket) => {
    const bytes = Buffer.from(chunk.repeat(Math.ceil(65_536 / chunk.length)), 'latin1');
    const send = () => {
      while (!socket.destroyed && sent.bytes < MUCH) {
        sent.bytes += bytes.length;
        if (!socket.write(bytes)) return;
      }
    };
    socket.on('drain', send);
    socket.write(head, 'latin1');
    send();
  };
  return { sent, answer };
}

/** One byte after the other, for as long as anybody listens. */
const drip = (text: string) => (socket: Socket) => {
  let next = 0;
  const timer = setInterval(() => {
    if (next < text.length) socket.write(text[next++]!, 'latin1');
  }, 5);
  socket.on('close', () => clearInterval(timer));
};

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n';
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;

describe('a check by status', () => {
  test('of a body that streams without end goes by the head, and hangs up', async () => {
    const { answer, sent } = pour(CHUNKED, '4\r\nmore\r\n');
    assert.equal(await check(await listen(answer)), 'good: HTTP 200');
    assert.ok(sent.bytes < LITTLE, `${sent.bytes} bytes were taken`);
  });

  test('of a head of 1 MiB, or without end, or of interim responses without end, fails early', async () => {
    const large = `${HEAD}X: ${'x'.repeat(1024 ** 2)}\r\n\r\n`;
    assert.equal(await check(await listen(large)), 'bad: response head is too large');
    for (const chunk of ['X-More: more\r\n', 'x', '\r']) {
      const { answer, sent } = pour(HEAD, chunk);
      assert.equal(await check(await listen(answer)), 'bad: response head is too large');
      assert.ok(sent.bytes < LITTLE, `${sent.bytes} bytes were taken`);
    }
    const { answer, sent } = pour('', 'HTTP/1.1 102 Processing\r\n\r\n');
    assert.equal(await check(await listen(answer)), 'bad: response head is too large');
    assert.ok(sent.bytes < LITTLE, `${sent.bytes} bytes were taken`);
  });

  test('of a head that comes byte by byte is good when it is whole in time, and else timed out', async () => {
    assert.equal(await check(await listen(drip('HTTP/1.1 204 No\r\n\r\n'))), 'good: HTTP 204');
    const endless = drip(`${HEAD}X: ${'x'.repeat(100_000)}`);
    assert.equal(await check(await listen(endless), { timeout: 200 }), 'bad: timed out after 200ms');
  });

  test('of what is no HTTP/1 response fails at the first bytes that say so', async () => {
    const cases = [
      '\0\x01\x02\x03',
      'HTTP/2 200\r\n\r\n',
      'HTTP/1.2 200 OK\r\n\r\n',
      'HTTP/1.1 20 OK\r\n\r\n',
      'HTTP/1.1 2000 OK\r\n\r\n',
      'HTTP/1.1 099 OK\r\n\r\n',
      'HTTP/1.1 2000',
      'http/1.1 200 OK\r\n\r\n',
      '<html>200</html>',
      ' HTTP/1.1 200 OK\r\n\r\n',
    ];
    for (const text of cases) {
      assert.equal(await check(await listen(text)), 'bad: response is not HTTP/1', JSON.stringify(text));
    }
    const { answer, sent } = pour('', 'garbage');
    assert.equal(await check(await listen(answer)), 'bad: response is not HTTP/1');
    assert.ok(sent.bytes < LITTLE, `${sent.bytes} bytes were taken`);
  });

  test('of a connection that ends says how far it came', async () => {
    const ending = (text: string) => listen((socket: Socket) => socket.end(text));
    assert.equal(await check(await ending('')), 'bad: connection closed without a response');
    assert.equal(await check(await ending('HTT')), 'bad: connection closed within the response head');
    assert.equal(await check(await ending(HEAD)), 'bad: connection closed within the response head');
    assert.equal(await check(await ending('HTTP/1.0 200\r\n\r\n')), 'good: HTTP 200');
  });

  test('fails if traffic rejects the response', async () => {
    const lineFeed = 'bad: invalid HTTP/1 response: a line ends with LF instead of CRLF';
    let text = '';
    const upstream = await startRawUpstream({ early: () => text });
    const proxy = await startPointsman(
      oneBackend(`http://127.0.0.1:${upstream.port}`, {
        health: { enabled: false },
        retries: { attempts: 0 },
      }),
    );
    for (const [response, verdict] of [
      ['HTTP/1.1 200 OK\n\n', lineFeed],
      ['HTTP/1.1 200\n\r\n', lineFeed],
      ['HTTP/1.1 200 OK\r\nA: b\n\r\n', lineFeed],
      ['HTTP/1.1 200 OK\r\nA: b\r\n\n', lineFeed],
      ['HTTP/1.1 103 Early\n\nHTTP/1.1 200 OK\r\n\r\n', lineFeed],
      ['HTTP/1.1 200 O\x01K\r\n\r\n', 'bad: invalid HTTP/1 response: a control character in the status line'],
      ['HTTP/1.1 200 OK\r\nA : b\r\n\r\n', 'bad: invalid HTTP/1 response: malformed header line'],
      ['HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n', 'bad: invalid HTTP/1 response: malformed header line'],
      [
        `${HEAD}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`,
        'bad: invalid HTTP/1 response: two Content-Length headers',
      ],
    ] as const) {
      text = response;
      assert.equal(await check(upstream), verdict, JSON.stringify(text));
      assert.equal((await send(proxy.trafficPort)).status, 502, JSON.stringify(text));
    }
    await proxy.stop();
  });

  test('finds the same however the response is cut into packets', async () => {
    const whole = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 No\r\nA: b\r\n\r\nbody';
    for (let at = 1; at < whole.length; at += 3) {
      const upstream = await listen((socket: Socket) => {
        socket.write(whole.slice(0, at));
        setTimeout(() => socket.write(whole.slice(at)), 2);
      });
      assert.equal(await check(upstream), 'bad: HTTP 503', `cut at ${at}`);
      await upstream.close();
    }
  });

  test('sends the fields that it is told to, its own where none replaces them', async () => {
    const upstream = await listen('HTTP/1.1 200 OK\r\n\r\n');
    await check(upstream, { headers: { 'X-Probe': 'yes', 'User-Agent': 'kube-probe' } });
    await check(upstream, { headers: {}, body: 'x', timeout: 100 });
    const [byStatus, byBody] = upstream.received.map((bytes) => bytes.toString('latin1').split('\r\n'));
    assert.deepEqual(byStatus!.toSorted(), [
      '',
      '',
      'GET /healthz HTTP/1.1',
      'User-Agent: kube-probe',
      'X-Probe: yes',
      'accept: */*',
      'connection: close',
      'host: shop',
    ]);
    assert.ok(byBody!.includes('host: shop') && byBody!.includes('user-agent: pointsman-check'));
  });
});

describe('a check by body', () => {
  const body = 'status: ready';

  test('is good when the text is there, wherever packets and chunks cut it', async () => {
    const length = `${HEAD}Content-Length: 22\r\n\r\nall of status: ready!!`;
    assert.equal(await check(await listen(length), { body }), 'good: HTTP 200, with the text in its body');
    const chunks = [...'all of status: ready'].map((letter) => `1\r\n${letter}\r\n`).join('');
    assert.equal(
      await check(await listen(drip(`${CHUNKED}${chunks}0\r\n\r\n`)), { body }),
      'good: HTTP 200, with the text in its body',
    );
    assert.equal(
      await check(await listen(`${HEAD}Content-Length: 7\r\n\r\nbereit…`.replace('…', '!')), {
        body: 'bereit',
      }),
      'good: HTTP 200, with the text in its body',
    );
  });

  test('fails without the text, and for a bad status even with it', async () => {
    const without = `${HEAD}Content-Length: 4\r\n\r\nbusy`;
    assert.equal(await check(await listen(without), { body }), 'bad: HTTP 200, without the text in its body');
    const bad = 'HTTP/1.1 503 No\r\nContent-Length: 13\r\n\r\nstatus: ready';
    assert.equal(await check(await listen(bad), { body }), 'bad: HTTP 503');
    const moved = 'HTTP/1.1 302 Found\r\nLocation: /ready\r\nContent-Length: 13\r\n\r\nstatus: ready';
    const upstream = await listen(moved);
    assert.equal(await check(upstream, { body }), 'bad: HTTP 302');
    assert.equal(upstream.received.length, 1, 'redirects are not followed');
  });

  test('of a body that streams without end reads 64 KiB of it', async () => {
    const { answer, sent } = pour(CHUNKED, '4\r\nmore\r\n');
    assert.equal(
      await check(await listen(answer), { body }),
      'bad: HTTP 200, without the text in the first 64 KiB of its body',
    );
    assert.ok(sent.bytes < LITTLE, `${sent.bytes} bytes were taken`);
  });

  test('of a body that stops half way, or comes byte by byte, is timed out', async () => {
    const half = `${HEAD}Content-Length: 1000\r\n\r\nstatus:`;
    assert.equal(await check(await listen(half), { body, timeout: 200 }), 'bad: timed out after 200ms');
    const slow = drip(`${CHUNKED}${'1\r\nx\r\n'.repeat(10_000)}`);
    assert.equal(await check(await listen(slow), { body, timeout: 200 }), 'bad: timed out after 200ms');
  });

  test('of a head of 1 MiB, or of garbage, fails early', async () => {
    const large = `${HEAD}X: ${'x'.repeat(1024 ** 2)}\r\n\r\n`;
    assert.equal(await check(await listen(large), { body }), 'bad: response head is too large');
    assert.equal(await check(await listen('SSH-2.0-x\r\n'), { body }), 'bad: response is not HTTP/1');
    const twice = `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`;
    assert.match(await check(await listen(twice), { body }), /^bad: /);
  });

  test('of a response that undici accepts and traffic rejects fails', async () => {
    const rest = 'Content-Length: 13\r\n\r\nstatus: ready';
    for (const [response, verdict] of [
      [
        `HTTP/1.1 200 O\x01K\r\n${rest}`,
        'bad: invalid HTTP/1 response: a control character in the status line',
      ],
      [
        `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\nd\r\nstatus: ready\r\n0\r\n\r\n`,
        'bad: invalid HTTP/1 response: Transfer-Encoding is not chunked',
      ],
      [`HTTP/1.1 200 Fine \xe4\r\nA: \xff\r\n${rest}`, 'good: HTTP 200, with the text in its body'],
      [`HTTP/1.1 103 \r\nA: b\r\n\r\n${HEAD}${rest}`, 'good: HTTP 200, with the text in its body'],
    ] as const) {
      assert.equal(await check(await listen(response), { body }), verdict, JSON.stringify(response));
    }
  });
});
