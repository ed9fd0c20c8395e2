/** When one side goes, the other is told at once; and whoever is slow costs the proxy little memory. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes, patternHash, startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { MIB, residentBytes } from '../../support/process-usage.ts';
import { RawClient } from '../../support/raw-client.ts';
import { send } from '../../support/request.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const upstream = await startHttpUpstream('main');
const proxy = await startPointsman(oneBackend(upstream.url));

/** Sends a request, waits until the upstream has it, and leaves. */
async function leaveDuring(bytes: string | Buffer, leave: (client: RawClient) => void): Promise<void> {
  const before = upstream.requests.length;
  const aborted = upstream.aborted;
  const client = await RawClient.connect(proxy.trafficPort);
  client.send(bytes);
  await waitFor('the request at the upstream', () => upstream.requests.length > before);
  leave(client);
  await waitFor('the upstream to be told', () => upstream.aborted === aborted + 1 && upstream.open === 0);
}

suite('a client that goes away', () => {
  test('while the upstream works: the upstream request is cancelled', async () => {
    const aborts = await proxy.metric('pointsman_client_aborts_total');
    await leaveDuring('GET /hold?working HTTP/1.1\r\nHost: a\r\n\r\n', (client) => client.destroy());
    const line = await proxy.waitForLog(({ path }) => path === '/hold?working');
    assert.equal(line['reason'], 'client_aborted');
    assert.equal(line['termination'], 'CH');
    assert.equal(await proxy.metric('pointsman_client_aborts_total'), aborts + 1);
  });

  test('with a reset: the same', async () => {
    await leaveDuring('GET /hold?reset HTTP/1.1\r\nHost: a\r\n\r\n', (client) => client.reset());
  });

  // As with nginx, and HAProxy's `option abortonclose`: half a connection cannot be told from none.
  test('by ending its side alone: the same', async () => {
    await leaveDuring('GET /hold?end HTTP/1.1\r\nHost: a\r\n\r\n', (client) => client.end());
  });

  test('in the middle of a response: the upstream request is cancelled', async () => {
    await leaveDuring(`GET /chunked/${512 * MIB}?leave HTTP/1.1\r\nHost: a\r\n\r\n`, (client) =>
      client.destroy(),
    );
    const line = await proxy.waitForLog(({ path }) => String(path).endsWith('?leave'));
    assert.equal(line['termination'], 'CD');
  });

  test('in the middle of its own body: the upstream request is cancelled', async () => {
    await leaveDuring('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nonly this', (client) =>
      client.destroy(),
    );
    await leaveDuring(
      'POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
      (client) => client.destroy(),
    );
  });

  test('while it waits for a connection: its request is never sent', async () => {
    const busy = await startHttpUpstream('busy');
    const own = await startPointsman({
      backends: { main: { url: busy.url, maxConnections: 1 } },
      routes: [{ name: 'all', split: { main: 1 } }],
      timeouts: { queue: '10s' },
    });
    const held = send(own.trafficPort, { path: '/hold' });
    await waitFor('the first request at the upstream', () => busy.open === 1);
    const client = await RawClient.connect(own.trafficPort);
    client.send('GET /queued HTTP/1.1\r\nHost: a\r\n\r\n');
    await own.waitFor('two connections', async () => (await own.status()).connections.client === 2);
    client.destroy();
    const line = await own.waitForLog(({ path }) => path === '/queued');
    assert.equal(line['termination'], 'CQ');
    busy.release();
    assert.equal((await held).status, 200);
    assert.equal((await send(own.trafficPort, { path: '/next' })).status, 200);
    assert.ok(!busy.requests.some(({ url }) => url === '/queued'));
  });

  test('300 of them leave nothing behind', async () => {
    for (let round = 0; round < 6; round++) {
      const clients = await Promise.all(
        Array.from({ length: 50 }, () => RawClient.connect(proxy.trafficPort)),
      );
      const before = upstream.requests.length;
      for (const client of clients) client.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
      await waitFor('them at the upstream', () => upstream.requests.length === before + 50);
      for (const [i, client] of clients.entries()) i % 2 === 0 ? client.destroy() : client.reset();
    }
    await waitFor('the upstream to be told', () => upstream.open === 0);
    await proxy.waitFor('nothing in flight', async () => {
      const status = await proxy.status();
      return status.connections.client === 0 && status.backends[0]!.inFlight === 0;
    });
    assert.equal(await proxy.metric('pointsman_requests_in_flight'), 0);
    assert.equal((await send(proxy.trafficPort)).status, 200);
  });
});

suite('memory', () => {
  const LENGTH = 256 * MIB;

  /** The most that the process grew while `condition` was awaited. */
  async function growthUntil(
    process: PointsmanProcess,
    before: number,
    what: string,
    condition: () => boolean,
  ): Promise<number> {
    let most = 0;
    await waitFor(
      what,
      () => {
        most = Math.max(most, residentBytes(process.pid) - before);
        return condition();
      },
      30_000,
    );
    return most;
  }

  test('a client that hardly reads a response of 256 MiB costs less than 64 MiB, and gets every byte', async () => {
    // Warm: buffers and code that any transfer needs once are not what a slow reader costs.
    await send(proxy.trafficPort, { path: `/bytes/${32 * MIB}` });
    const before = residentBytes(proxy.pid);
    const socket = connect({ host: '127.0.0.1', port: proxy.trafficPort });
    cleanUp(() => socket.destroy());
    socket.write(`GET /bytes/${LENGTH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const hash = createHash('sha256');
    let received = 0;
    let head: Buffer | undefined = Buffer.alloc(0);
    let ended = false;
    socket.on('data', (chunk: Buffer) => {
      let body = chunk;
      if (head !== undefined) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end === -1) return;
        body = head.subarray(end + 4);
        head = undefined;
      }
      received += body.length;
      hash.update(body);
      // 64 KiB every 4 ms for a while: far slower than the upstream.
      if (received < 8 * MIB) {
        socket.pause();
        setTimeout(() => socket.resume(), 4);
      }
    });
    socket.once('end', () => {
      ended = true;
    });
    const growth = await growthUntil(proxy, before, 'the whole response', () => ended);
    assert.equal(received, LENGTH);
    assert.equal(hash.digest('hex'), patternHash(LENGTH));
    assert.ok(growth < 64 * MIB, `grew by ${Math.round(growth / MIB)} MiB`);
  });

  test('an upstream that hardly reads a request of 256 MiB costs less than 64 MiB, and gets every byte', async () => {
    let received = 0;
    let slowly = false;
    let length = 0;
    const slow = createServer((socket) => {
      let own = 0;
      let head: Buffer | undefined = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        let body = chunk;
        if (head !== undefined) {
          head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          if (end === -1) return;
          body = head.subarray(end + 4);
          head = undefined;
        }
        own += body.length;
        received = own;
        if (slowly && own < 8 * MIB) {
          socket.pause();
          setTimeout(() => socket.resume(), 4);
        }
        if (own === length) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    cleanUp(() => slow.close());
    const { port } = slow.address() as { port: number };
    const own = await startPointsman(oneBackend(`http://127.0.0.1:${port}`, { health: { enabled: false } }));

    async function upload(bytes: number): Promise<number> {
      length = bytes;
      received = 0;
      const client = await RawClient.connect(own.trafficPort);
      const before = residentBytes(own.pid);
      client.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
      const chunk = patternBytes(MIB);
      let sent = 0;
      const pump = () => {
        while (sent < length) {
          sent += MIB;
          if (!client.socket.write(chunk)) {
            client.socket.once('drain', pump);
            return;
          }
        }
      };
      pump();
      const growth = await growthUntil(own, before, 'the whole request', () => received === length);
      assert.equal((await client.read()).status, 200);
      client.destroy();
      return growth;
    }
    await upload(128 * MIB);
    slowly = true;
    const growth = await upload(LENGTH);
    assert.ok(growth < 64 * MIB, `grew by ${Math.round(growth / MIB)} MiB`);
  });
});

test('an upstream that goes away in the middle of a response takes the client’s connection with it', async () => {
  const own = await startHttpUpstream('dying');
  const to = await startPointsman(oneBackend(own.url));
  const client = await RawClient.connect(to.trafficPort);
  client.send('GET /trickle/10000 HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal((await client.readHead()).status, 200);
  await own.close();
  await inTime('the end of the connection', client.closed);
  assert.ok(!client.unread.toString('latin1').endsWith('0\r\n\r\n'));
});
