/** Header rules of rows on the wire, and rows that match by the address of the client. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { suite, test } from 'node:test';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { fieldValues, send } from '../../support/request.ts';
import { askWebSocket, openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const upstream = await startHttpUpstream('one', {
  behaviours: {
    answer: (_req, res) => {
      res.writeHead(200, ['Server', 'secret/1.0', 'X-Twice', 'a', 'X-Twice', 'b', 'Content-Length', '2']);
      res.end('ok');
    },
    hints: (_req, res) => {
      res.writeInformation(103, ['Link', '</a.css>; rel=preload', 'Server', 'hint']);
      res.writeHead(200, { 'content-length': '0' });
      res.end();
    },
  },
});
const sockets = await startWebSocketUpstream('sockets');
const proxy = await startPointsman({
  health: { enabled: false },
  trust: { cidrs: ['127.0.0.9'] },
  groupHeader: 'X-Group',
  backends: {
    sockets: { url: sockets.url },
    one: { url: upstream.url },
    dead: { url: `http://127.0.0.1:${await reserveClosedPort()}` },
  },
  routes: [
    {
      name: 'ruled',
      match: [{ path: ['/ruled', '/answer', '/hints'] }, { path: '/dead' }],
      split: { one: 1 },
      request: {
        remove: ['X-Secret'],
        set: {
          'X-Route': '%{route} %{backend}',
          'X-Client': '%{client.address}',
          'X-Forwarded-Proto': 'https',
          Host: 'inner.example',
        },
        add: { 'X-Passed': ['one', 'two'], 'X-Agent': '%{header:User-Agent}' },
      },
      response: {
        remove: ['Server'],
        set: { 'X-Twice': 'once' },
        add: { 'Set-Cookie': ['route=%{route}', 'asked=%{request.path}'] },
      },
    },
    {
      name: 'socket',
      match: { path: '/socket' },
      split: { sockets: 1 },
      request: { remove: ['X-Secret'], set: { 'X-Route': '%{route}', Host: 'sockets.example' } },
    },
    {
      name: 'office',
      match: { client: '198.51.100.0/24' },
      split: { one: 1 },
      response: { set: { 'X-Row': 'office' } },
    },
    {
      name: 'broken',
      match: { path: '/broken' },
      split: { dead: 1 },
      response: { set: { 'X-Row': 'broken' } },
    },
    { name: 'rest', split: { one: 1 }, response: { set: { 'X-Row': 'rest' } } },
  ],
});

const port = () => proxy.trafficPort;

suite('header rules', () => {
  test('change what the upstream gets, and nothing else', async () => {
    const answer = await send(port(), {
      path: '/ruled/x?y',
      headers: [
        'X-Secret',
        's',
        'x-secret',
        't',
        'X-Client',
        'forged',
        'X-Passed',
        'client',
        'User-Agent',
        'curl/8',
        'X-Other',
        'kept',
      ],
    });
    const { rawHeaders, url } = answer.echo();
    assert.equal(url, '/ruled/x?y');
    assert.deepEqual(fieldValues(rawHeaders, 'X-Secret'), []);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Route'), ['ruled one']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Client'), ['127.0.0.1']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Passed'), ['client', 'one', 'two']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Agent'), ['curl/8']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Forwarded-Proto'), ['https']);
    assert.deepEqual(fieldValues(rawHeaders, 'Host'), ['inner.example']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Other'), ['kept']);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Request-Id'), [answer.requestId]);
  });

  test('change what the client gets, with the body as it was', async () => {
    const { message, text } = await send(port(), { path: '/answer' });
    assert.equal(text, 'ok');
    assert.deepEqual(fieldValues(message.rawHeaders, 'Server'), []);
    assert.deepEqual(fieldValues(message.rawHeaders, 'X-Twice'), ['once']);
    assert.deepEqual(fieldValues(message.rawHeaders, 'Set-Cookie'), ['route=ruled', 'asked=/answer']);
    assert.deepEqual(fieldValues(message.rawHeaders, 'Content-Length'), ['2']);
  });

  test('hold for each request of a connection, and for bodies', async () => {
    for (let i = 0; i < 3; i++) {
      const { body, rawHeaders } = (
        await send(port(), { method: 'POST', path: `/ruled/${i}`, body: 'x'.repeat(100_000) })
      ).echo();
      assert.equal(body.length, 100_000);
      assert.deepEqual(fieldValues(rawHeaders, 'X-Passed'), ['one', 'two']);
    }
  });

  test('leave interim responses alone', async () => {
    const client = await RawClient.connect(port());
    const answer = await client.send('GET /hints HTTP/1.1\r\nHost: h\r\n\r\n').read();
    client.destroy();
    assert.equal(answer.interim[0]?.status, 103);
    assert.ok(answer.interim[0]!.fields.some(([name, value]) => name === 'Server' && value === 'hint'));
    assert.deepEqual(answer.values('Set-Cookie'), ['route=ruled', 'asked=/hints']);
  });

  test('change the request of an upgrade', async () => {
    const socket = await openWebSocket(port(), { path: '/socket', headers: { 'X-Secret': 's' } });
    assert.equal(String(await askWebSocket(socket, 'who')), 'sockets');
    const { rawHeaders } = sockets.upgrades[0]!;
    assert.deepEqual(fieldValues(rawHeaders, 'X-Secret'), []);
    assert.deepEqual(fieldValues(rawHeaders, 'X-Route'), ['socket']);
    assert.deepEqual(fieldValues(rawHeaders, 'Host'), ['sockets.example']);
    socket.terminate();
  });

  test('leave answers of Pointsman itself alone', async () => {
    const broken = await send(port(), { path: '/broken' });
    assert.equal(broken.status, 503);
    assert.equal(broken.headers['x-row'], undefined);
  });
});

suite('a row that matches by the client', () => {
  test('takes the peer, and X-Forwarded-For from trusted peers alone', async () => {
    const row = async (from: string, forwarded?: string) => {
      const headers = forwarded === undefined ? [] : ['X-Forwarded-For', forwarded];
      const agent = new Agent({ localAddress: from } as object);
      const answer = await send(port(), { path: '/', headers, agent });
      agent.destroy();
      return answer.headers['x-row'];
    };
    assert.equal(await row('127.0.0.1'), 'rest');
    assert.equal(await row('127.0.0.1', '198.51.100.7'), 'rest');
    assert.equal(await row('127.0.0.9', '198.51.100.7'), 'office');
    assert.equal(await row('127.0.0.9', '198.51.100.7, 203.0.113.1'), 'rest');
    assert.equal(await row('127.0.0.9', '203.0.113.1, 198.51.100.7, 127.0.0.9'), 'office');
  });
});
