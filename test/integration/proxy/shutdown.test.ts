/** The orderly end: nobody who was served is cut, and it does end. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { fieldValues, send } from '../../support/request.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';
import { askWebSocket, openWebSocket, startWebSocketUpstream } from '../../support/websocket-upstream.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

async function start(shutdown: TestConfig['shutdown'], workers?: number) {
  const upstream = await startHttpUpstream('main');
  const proxy = await startPointsman(
    oneBackend(upstream.url, shutdown === undefined ? {} : { shutdown }),
    workers === undefined ? {} : { workers },
  );
  return { upstream, proxy };
}

/** A connection, or the code of the error with which it was refused. */
function tryConnect(port: number): Promise<RawClient | string> {
  return RawClient.connect(port).catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
}

/** Resolves when the traffic port takes no connections any more. */
async function untilClosed(proxy: PointsmanProcess): Promise<void> {
  await waitFor('the traffic port to be closed', async () => {
    const client = await tryConnect(proxy.trafficPort);
    if (typeof client === 'string') return client === 'ECONNREFUSED';
    client.destroy();
    return false;
  });
}

const ended = async (proxy: PointsmanProcess) => (await inTime('the end', proxy.exited)).code;

for (const workers of [1, 2]) {
  suite(`SIGTERM with ${workers} worker${workers === 1 ? '' : 's'}`, () => {
    test('is not ready at once, and still serves until shutdown.delay is over', async () => {
      const { proxy } = await start({ delay: '1s', timeout: '2s' }, workers);
      proxy.signal('SIGTERM');
      const reasons = await waitFor('readiness to fail', async () => {
        const answer = await send(proxy.adminPort, { path: '/readyz' });
        return answer.status === 503 ? (answer.json() as { reasons: string[] }).reasons : undefined;
      });
      assert.match(reasons.join(), /shutting down/);
      assert.equal((await send(proxy.adminPort, { path: '/livez' })).status, 200);
      const client = await RawClient.connect(proxy.trafficPort);
      assert.equal((await client.send(GET).read()).status, 200);
      client.destroy();
      assert.equal(await ended(proxy), 0);
    });

    test('lets a request that is under way finish, and exits with 0', async () => {
      const { proxy, upstream } = await start({ delay: '0ms', timeout: '60s' }, workers);
      const held = send(proxy.trafficPort, { path: '/hold' });
      const streamed = send(proxy.trafficPort, { path: '/trickle/20' });
      await waitFor('them at the upstream', () => upstream.open === 2);
      proxy.signal('SIGTERM');
      await untilClosed(proxy);
      assert.equal(proxy.hasExited, false);
      upstream.release();
      const answer = await held;
      assert.equal(answer.status, 200);
      assert.equal((await streamed).text.trim().split('\n').length, 20);
      assert.deepEqual(fieldValues(answer.message.rawHeaders, 'connection'), ['close']);
      // The head of the other response was out before the signal and promised to keep the connection.
      assert.equal(await ended(proxy), 0, 'without waiting for shutdown.timeout');
      assert.ok(proxy.log().some(({ msg }) => msg === 'stopped'));
      assert.equal(proxy.accessLog().length, 2, 'the log is written to its end');
    });

    test('closes idle connections, and ends a busy one with its next response', async () => {
      const { proxy, upstream } = await start({ delay: '0ms', timeout: '10s' }, workers);
      const idle = await RawClient.connect(proxy.trafficPort);
      assert.equal((await idle.send(GET).read()).status, 200);
      const unused = await RawClient.connect(proxy.trafficPort);
      const busy = await RawClient.connect(proxy.trafficPort);
      busy.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
      await waitFor('the request at the upstream', () => upstream.open === 1);
      proxy.signal('SIGTERM');
      assert.equal(await inTime('the end of the idle connection', idle.closed), 'end');
      await inTime('the end of the unused connection', unused.closed);
      upstream.release();
      const answer = await busy.read();
      assert.equal(answer.value('connection'), 'close');
      assert.equal(await inTime('the end of the busy connection', busy.closed), 'end');
      assert.equal(await ended(proxy), 0);
    });

    test('cuts what is still under way after shutdown.timeout, and exits with 0 all the same', async () => {
      const { proxy, upstream } = await start({ delay: '0ms', timeout: '300ms' }, workers);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
      await waitFor('the request at the upstream', () => upstream.open === 1);
      proxy.signal('SIGTERM');
      await inTime('the end of the connection', client.closed);
      assert.equal(await ended(proxy), 0);
      await waitFor('the upstream to be told', () => upstream.open === 0);
    });

    test('a second signal ends it at once, with 1', async () => {
      const { proxy, upstream } = await start({ delay: '60s', timeout: '60s' }, workers);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
      await waitFor('the request at the upstream', () => upstream.open === 1);
      proxy.signal('SIGTERM');
      await waitFor('readiness to fail', async () => (await proxy.readiness()) === 503);
      proxy.signal('SIGTERM');
      assert.equal(await ended(proxy), 1);
      client.destroy();
    });

    test('answers every request of a client that asks until the port is closed', async () => {
      const { proxy } = await start({ delay: '400ms', timeout: '5s' }, workers);
      const outcomes: string[] = [];
      const lanes = Array.from({ length: 4 }, async () => {
        for (;;) {
          const client = await tryConnect(proxy.trafficPort);
          if (typeof client === 'string') {
            outcomes.push(client);
            return;
          }
          const answer = await client
            .send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
            .read()
            .catch((error: Error) => error.message);
          outcomes.push(typeof answer === 'string' ? answer : String(answer.status));
          client.destroy();
        }
      });
      await proxy.waitFor('some requests', () => outcomes.length > 20);
      proxy.signal('SIGTERM');
      await Promise.all(lanes);
      assert.equal(await ended(proxy), 0);
      const failed = outcomes.filter((outcome) => outcome !== '200' && outcome !== 'ECONNREFUSED');
      // A connection that the kernel has accepted and the process has not, when the port closes, is reset: one of each
      // lane as each worker closes.
      assert.ok(failed.length <= 4 * workers, `${failed.length} of ${outcomes.length}: ${failed.join('; ')}`);
    });
  });
}

test('SIGINT is taken as SIGTERM', async () => {
  const { proxy } = await start({ delay: '0ms', timeout: '2s' });
  proxy.signal('SIGINT');
  assert.equal(await ended(proxy), 0);
});

test('WebSockets go on until shutdown.timeout, and are cut then', async () => {
  const upstream = await startWebSocketUpstream('main');
  const proxy = await startPointsman(
    oneBackend(upstream.url, { shutdown: { delay: '0ms', timeout: '700ms' } }),
  );
  const socket = await openWebSocket(proxy.trafficPort);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  proxy.signal('SIGTERM');
  await untilClosed(proxy);
  assert.equal(String(await askWebSocket(socket, 'who')), 'main');
  await inTime('the cut', closed);
  assert.equal(await ended(proxy), 0);
  await waitFor('the upstream’s end to be gone', () => upstream.open.size === 0);
});

test('a drain that has nothing to wait for does not wait for shutdown.timeout', async () => {
  const { proxy } = await start({ delay: '0ms', timeout: '60s' });
  await send(proxy.trafficPort);
  proxy.signal('SIGTERM');
  assert.equal((await inTime('the end', proxy.exited, 5_000)).code, 0);
});

test('a reload that comes during the shutdown is left alone', async () => {
  const { proxy, upstream } = await start({ delay: '0ms', timeout: '10s' });
  const held = send(proxy.trafficPort, { path: '/hold' });
  await waitFor('the request at the upstream', () => upstream.open === 1);
  proxy.signal('SIGTERM');
  await untilClosed(proxy);
  proxy.writeConfig('not: valid');
  proxy.signal('SIGHUP');
  upstream.release();
  assert.equal((await held).status, 200);
  assert.equal(await ended(proxy), 0);
});
