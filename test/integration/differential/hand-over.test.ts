/** Connections that change lanes, in two workers, and what becomes of both lanes' connections at the end. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

/** Connections per test, so that each worker gets some. */
const CONNECTIONS = 6;

const held: (() => void)[] = [];
const upstream = await startRawUpstream(({ target, body, value }) => {
  const text = `${target} ${body.toString('latin1')}`;
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  if (value('upgrade') === 'websocket') {
    return (socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.removeAllListeners('data');
      socket.on('data', (bytes: Buffer) => socket.write(bytes));
    };
  }
  if (!target.startsWith('/held')) return answer;
  return (socket) => {
    held.push(() => socket.write(answer));
  };
});

const start = (timeouts: Record<string, string> = {}) =>
  startPointsman(
    {
      health: { enabled: false },
      forwarding: { fastLane: true },
      timeouts,
      shutdown: { delay: '0ms', timeout: '20s' },
      backends: { main: { url: upstream.url } },
      routes: [{ name: 'all', split: { main: 1 } }],
    },
    { workers: 2 },
  );

const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
/** Outside of the fast lane's grammar: an absolute target. */
const foreign = (target: string) => `GET http://a${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

const connectAll = (port: number) =>
  Promise.all(Array.from({ length: CONNECTIONS }, () => RawClient.connect(port)));

suite('a connection to one of two workers', async () => {
  const proxy = await start();

  test('answers 20 requests of one packet in their order', async () => {
    for (const client of await connectAll(proxy.trafficPort)) {
      client.send(Array.from({ length: 20 }, (_, i) => get(`/many${i}`)).join(''));
      for (let i = 0; i < 20; i++) assert.equal((await client.read()).body.toString(), `/many${i} `);
      client.destroy();
    }
  });

  test('changes lanes in the middle of a pipeline, and the order holds', async () => {
    for (const client of await connectAll(proxy.trafficPort)) {
      const post = 'POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
      client.send(get('/a') + post + foreign('/c') + post + get('/d'));
      for (const text of ['/a ', '/b abc', '/c ', '/b abc', '/d ']) {
        const answer = await client.read();
        assert.equal(answer.status, 200);
        assert.equal(answer.body.toString(), text);
      }
      client.destroy();
    }
  });

  test('changes lanes behind a request that is still under way, and waits for it', async () => {
    const clients = await connectAll(proxy.trafficPort);
    for (const [i, client] of clients.entries()) client.send(get(`/held${i}`) + foreign('/behind'));
    await waitFor('the first requests', () => held.length === clients.length);
    for (const client of clients) assert.equal(client.unread.length, 0);
    for (const release of held.splice(0)) release();
    for (const [i, client] of clients.entries()) {
      assert.equal((await client.read()).body.toString(), `/held${i} `);
      assert.equal((await client.read()).body.toString(), '/behind ');
      client.destroy();
    }
  });

  test('changes lanes in whatever packets the request comes', async () => {
    const bytes = get('/first') + foreign('/second') + get('/third');
    for (let at = get('/first').length - 2; at < get('/first').length + 30; at += 3) {
      const client = await RawClient.connect(proxy.trafficPort);
      await client.sendParts(bytes.slice(0, at), bytes.slice(at));
      for (const target of ['/first', '/second', '/third']) {
        assert.equal((await client.read()).body.toString(), `${target} `);
      }
      client.destroy();
    }
  });

  test('becomes a WebSocket after plain requests, and bytes behind the upgrade come through', async () => {
    for (const client of await connectAll(proxy.trafficPort)) {
      assert.equal((await client.send(get('/plain')).read()).status, 200);
      client.send(
        get(
          '/socket',
          'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
        ),
      );
      assert.equal((await client.readHead()).status, 101);
      for (const text of ['ping', 'and again']) {
        client.send(text);
        await waitFor('the echo', () => client.unread.toString('latin1').endsWith(text));
      }
      client.destroy();
    }
  });
});

suite('what does not come in time', async () => {
  const proxy = await start({ requestHead: '300ms', keepAlive: '300ms' });

  test('a slow head is answered 408, on a new connection and on a used one', async () => {
    const clients = await connectAll(proxy.trafficPort);
    for (const [i, client] of clients.entries()) {
      if (i % 2 === 0) assert.equal((await client.send(get('/')).read()).status, 200);
      client.send('GET /slow HTTP/1.1\r\nHo');
    }
    for (const client of clients) {
      const answer = await client.read();
      assert.equal(answer.status, 408);
      assert.equal(answer.value('x-pointsman-reason'), 'request_timeout');
      assert.equal(await inTime('the end', client.closed), 'end');
    }
  });

  test('an idle connection ends, in either lane', async () => {
    const clients = await connectAll(proxy.trafficPort);
    for (const [i, client] of clients.entries()) {
      assert.equal((await client.send(i % 2 === 0 ? get('/') : foreign('/')).read()).status, 200);
    }
    for (const client of clients) {
      assert.equal((await client.readToEnd()).length, 0);
      assert.equal(await inTime('the end', client.closed), 'end');
    }
  });
});

test('a shutdown ends the connections of both lanes, and cuts no answer', async () => {
  const proxy = await start();
  const idle = await connectAll(proxy.trafficPort);
  for (const [i, client] of idle.entries()) {
    assert.equal((await client.send(i % 2 === 0 ? get('/') : foreign('/')).read()).status, 200);
  }
  const busy = await connectAll(proxy.trafficPort);
  for (const [i, client] of busy.entries()) {
    client.send(i % 2 === 0 ? get(`/held${i}`) : foreign(`/held${i}`));
  }
  await waitFor('the requests', () => held.length === busy.length);
  const stopped = proxy.stop(30_000);
  for (const client of idle) assert.equal(await inTime('the end of an idle one', client.closed), 'end');
  for (const release of held.splice(0)) release();
  for (const [i, client] of busy.entries()) {
    const answer = await client.read();
    assert.equal(answer.body.toString(), `/held${i} `);
    assert.equal(answer.value('connection'), 'close');
    assert.equal(await inTime('the end of a busy one', client.closed), 'end');
  }
  assert.equal(await stopped, 0);
});
