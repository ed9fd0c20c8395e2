/** The admin port by itself, over real sockets: what it refuses, and how it behaves when what is behind it fails. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { AdminServer, type AdminServerOptions } from '../../src/admin/server.ts';
import type { StatusDocument } from '../../src/admin/status.ts';
import { waitFor } from '../support/wait-for.ts';

const STATUS = { version: '1.2.3', ready: { ok: true, reasons: [] } } as unknown as StatusDocument;

async function start(t: TestContext, overrides: Partial<AdminServerOptions> = {}) {
  const errors: unknown[] = [];
  const server = new AdminServer({
    probes: { ready: () => ({ ok: true, reasons: [] }) },
    metrics: () => Promise.resolve({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' }),
    status: () => STATUS,
    log: { error: (...args: unknown[]) => errors.push(args) } as unknown as AdminServerOptions['log'],
    ...overrides,
  });
  const { host, port } = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  return { server, host, port, errors };
}

async function ask(port: number, path: string, options: http.RequestOptions = {}, body = '') {
  const request = http.request({ host: '127.0.0.1', port, path, agent: false, ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

/** Sends bytes and returns all that comes back until the connection ends. */
async function sendBytes(port: number, bytes: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let text = '';
  socket.setEncoding('latin1').on('data', (data) => {
    text += data;
  });
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

test('each path answers with its type, uncached and unsniffed', async (t) => {
  const { port, host } = await start(t);
  assert.equal(host, '127.0.0.1');
  for (const [path, type, text] of [
    ['/livez', 'text/plain; charset=utf-8', 'ok\n'],
    ['/readyz', 'text/plain; charset=utf-8', 'ready\n'],
    ['/metrics', 'text/plain; version=0.0.4', 'up 1\n'],
    ['/livez?verbose=1', 'text/plain; charset=utf-8', 'ok\n'],
  ] as const) {
    const answer = await ask(port, path);
    assert.equal(answer.status, 200, path);
    assert.equal(answer.text, text);
    assert.equal(answer.headers['content-type'], type);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    assert.equal(answer.headers['cache-control'], 'no-store');
  }
  const status = await ask(port, '/status');
  assert.equal(status.headers['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(status.text), STATUS);
  const index = await ask(port, '/');
  for (const path of ['/livez', '/readyz', '/metrics', '/status']) assert.ok(index.text.includes(path));
});

test('readiness that fails says why as JSON, and follows what it is told', async (t) => {
  let reasons: string[] = ['no table', 'first checks pending'];
  const { port } = await start(t, { probes: { ready: () => ({ ok: reasons.length === 0, reasons }) } });
  const failing = await ask(port, '/readyz');
  assert.equal(failing.status, 503);
  assert.deepEqual(JSON.parse(failing.text), { ready: false, reasons: ['no table', 'first checks pending'] });
  reasons = [];
  assert.equal((await ask(port, '/readyz')).status, 200);
});

test('HEAD has the fields of GET and no body', async (t) => {
  const { port } = await start(t);
  const get = await ask(port, '/status');
  const head = await ask(port, '/status', { method: 'HEAD' });
  assert.equal(head.text, '');
  assert.equal(head.headers['content-length'], get.headers['content-length']);
});

test('any other method is 405 with Allow, and its body is not waited for', async (t) => {
  const { port } = await start(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await ask(port, '/status', { method });
    assert.equal(answer.status, 405, method);
    assert.equal(answer.headers.allow, 'GET, HEAD');
  }
  const answer = await sendBytes(port, 'POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 405 /);
  assert.match(answer, /connection: close/i);
});

test('an unknown path is 404 and lists those that exist', async (t) => {
  const { port } = await start(t);
  for (const path of ['/nothing', '/statusx', '/status/', '/__proto__', '/../livez']) {
    const answer = await ask(port, path);
    assert.equal(answer.status, 404, path);
    assert.match(answer.text, /\/livez .*\n.*\n\/metrics /);
  }
});

test('heads that are too large or not HTTP are refused and closed', async (t) => {
  const { port } = await start(t);
  const large = `GET /livez HTTP/1.1\r\nHost: a\r\nX-Large: ${'x'.repeat(10_000)}\r\n\r\n`;
  assert.match(await sendBytes(port, large), /^HTTP\/1\.1 431 /);
  assert.match(await sendBytes(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.equal(await sendBytes(port, 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'), '');
  assert.equal((await ask(port, '/livez')).status, 200);
});

test('a head that never ends is given up, and probes answer meanwhile', { timeout: 30_000 }, async (t) => {
  const { port } = await start(t);
  const slow = sendBytes(port, 'GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ');
  assert.equal((await ask(port, '/livez')).status, 200);
  assert.match(await slow, /^HTTP\/1\.1 408 /);
});

test('metrics or a status that fail are 500 in the answer and an error in the log, and probes go on', async (t) => {
  const { port, errors } = await start(t, {
    metrics: () => Promise.reject(new Error('worker does not answer')),
    status: () => {
      throw new Error('secret detail');
    },
  });
  for (const path of ['/metrics', '/status']) {
    const answer = await ask(port, path);
    assert.equal(answer.status, 500);
    assert.doesNotMatch(answer.text, /worker|secret/);
  }
  assert.equal(errors.length, 2);
  assert.match(JSON.stringify(errors), /"path":"\/metrics"/);
  assert.equal((await ask(port, '/livez')).status, 200);
});

test('scrapes at the same time share one rendering, later ones get a new one', async (t) => {
  let renderings = 0;
  let release: () => void = () => {};
  const { port } = await start(t, {
    metrics: async () => {
      const n = ++renderings;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return { contentType: 'text/plain', body: String(n) };
    },
  });
  let arrived = 0;
  const scrapes = Array.from({ length: 10 }, () => {
    const socket = net.connect(port, '127.0.0.1');
    const answer = new Promise<string>((resolve) => {
      let text = '';
      socket.setEncoding('latin1').on('data', (data) => {
        text += data;
      });
      socket.on('close', () => resolve(text));
    });
    // The answer to /livez on the same connection shows that the scrape after it is being read too.
    socket.once('data', () => {
      arrived++;
    });
    socket.write(
      'GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    );
    return answer;
  });
  const deadline = Date.now() + 5_000;
  while (arrived < 10 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(arrived, 10);
  release();
  for (const answer of await Promise.all(scrapes)) assert.ok(answer.endsWith('\r\n\r\n1'), answer);
  const next = ask(port, '/metrics');
  while (renderings < 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  assert.equal((await next).text, '2');
});

test('who opens connections without end keeps nobody else out, nor himself once he lets go of them', async (t) => {
  const { port } = await start(t);
  const open = (localAddress: string) =>
    new Promise<net.Socket>((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => {}).resume();
      // Closed at once, or answered.
      socket.once('close', () => resolve(socket)).once('data', () => resolve(socket));
      socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
    });
  const flood = async (localAddress: string) => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open(localAddress)));
    return sockets.filter(({ destroyed }) => !destroyed);
  };
  const first = await flood('127.0.0.2');
  assert.equal(first.length, 64);
  assert.equal((await ask(port, '/livez')).status, 200);
  // Many of them take all there is: the idle ones give way.
  const all = [...first];
  for (const one of ['127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.6']) all.push(...(await flood(one)));
  await waitFor('room for a probe', async () => (await ask(port, '/livez')).status === 200);
  for (const socket of all) socket.destroy();
  await waitFor('room for the first', async () => {
    const socket = await open('127.0.0.2');
    const served = !socket.destroyed;
    socket.destroy();
    return served;
  });
});

test('a port that is taken rejects with who has it, and the next try may succeed', async (t) => {
  const { port, server } = await start(t);
  const second = new AdminServer({
    probes: { ready: () => ({ ok: true, reasons: [] }) },
    metrics: () => Promise.reject(new Error('unused')),
    status: () => STATUS,
    log: { error() {} } as unknown as AdminServerOptions['log'],
  });
  await assert.rejects(second.listen({ host: '127.0.0.1', port }), {
    message: `cannot open the admin port: port ${port} on 127.0.0.1 is in use by this process (pid ${process.pid})`,
  });
  await second.close();
  await server.close();
  await second.listen({ host: '127.0.0.1', port });
  assert.equal((await ask(port, '/livez')).status, 200);
  await second.close();
});

test('closing ends idle and hanging connections alike and refuses new ones', async (t) => {
  let asked: () => void = () => {};
  const hangs = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const { server, port } = await start(t, {
    status: () => {
      asked();
      return new Promise(() => {});
    },
  });
  const idle = net.connect(port, '127.0.0.1');
  const hanging = net.connect(port, '127.0.0.1');
  for (const socket of [idle, hanging]) socket.on('error', () => {}).resume();
  await Promise.all([once(idle, 'connect'), once(hanging, 'connect')]);
  const livez = once(idle, 'data');
  idle.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
  hanging.write('GET /status HTTP/1.1\r\nHost: a\r\n\r\n');
  await Promise.all([livez, hangs]);
  const closed = [idle, hanging].map((socket) => new Promise((resolve) => socket.on('close', resolve)));
  await Promise.all([...closed, server.close()]);
  await assert.rejects(ask(port, '/livez'), { code: 'ECONNREFUSED' });
  await server.close();
});
