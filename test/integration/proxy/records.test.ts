/** Bytes in the access log and in metrics: payload of bodies and tunnels, without heads. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes } from '../../support/http-upstream.ts';
import { valuesOf } from '../../support/http-wire.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { acceptUpgrade, switching, upgradeRequest } from '../../support/upgrade.ts';
import { waitFor } from '../../support/wait-for.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

interface Bytes {
  readonly in: number;
  readonly out: number;
}

async function bytesTotal(proxy: PointsmanProcess): Promise<Bytes> {
  return {
    in: await proxy.metric('pointsman_bytes_total', { direction: 'in' }),
    out: await proxy.metric('pointsman_bytes_total', { direction: 'out' }),
  };
}

/** Asserts that the log line of a request and the growth of the metric show these bytes. */
async function assertCounted(
  proxy: PointsmanProcess,
  requestId: string | undefined,
  before: Bytes,
  counted: Bytes,
): Promise<void> {
  const line = await proxy.accessLine(requestId);
  assert.deepEqual({ in: line['bytes_in'], out: line['bytes_out'] }, counted);
  const expected = { in: before.in + counted.in, out: before.out + counted.out };
  assert.deepEqual(await bytesTotal(proxy), expected);
}

suite('the record of a tunnel', () => {
  test('counts its payload, not heads and not what the connection carried before', async () => {
    const question = patternBytes(5_000);
    const reply = patternBytes(70_000);
    const upstream = await startRawUpstream(({ fields }) =>
      valuesOf(fields, 'upgrade').length === 0
        ? OK
        : acceptUpgrade((socket) => {
            let received = 0;
            socket.on('data', (bytes: Buffer) => {
              received += bytes.length;
              if (received === question.length) socket.end(reply);
            });
          }),
    );
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const client = await RawClient.connect(proxy.trafficPort, { allowHalfOpen: true });
    const first = await client
      .send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(1_000)}`)
      .read();
    assert.equal((await proxy.accessLine(first.value('x-request-id')))['bytes_in'], 1_000);
    const before = await bytesTotal(proxy);
    await client.send(upgradeRequest('/tunnel')).readHead();
    client.send(question);
    assert.ok((await client.readToEnd()).equals(reply));
    client.end();
    const { request_id: id } = await proxy.waitForLog(({ path }) => path === '/tunnel');
    await assertCounted(proxy, String(id), before, { in: question.length, out: reply.length });
  });

  test('counts payload that comes with the handshake, on either side', async () => {
    const upstream = await startRawUpstream(() =>
      acceptUpgrade((socket) => {
        let received = '';
        socket.on('data', (bytes: Buffer) => {
          received += bytes.toString('latin1');
          if (received === 'eager') socket.end();
        });
      }, `${switching()}early bytes`),
    );
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const before = await bytesTotal(proxy);
    const client = await RawClient.connect(proxy.trafficPort);
    await client.send(`${upgradeRequest('/eager')}eager`).readHead();
    assert.equal((await client.readToEnd()).toString(), 'early bytes');
    const { request_id: id } = await proxy.waitForLog(({ path }) => path === '/eager');
    await assertCounted(proxy, String(id), before, { in: 5, out: 11 });
  });

  test('counts only the body if the upstream refuses the upgrade', async () => {
    const upstream = await startRawUpstream(
      () => 'HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied',
    );
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const before = await bytesTotal(proxy);
    const answer = await exchange(proxy.trafficPort, upgradeRequest());
    assert.equal(answer.status, 403);
    await assertCounted(proxy, answer.value('x-request-id'), before, { in: 0, out: 6 });
  });

  test('counts only the body if Pointsman refuses the upgrade', async () => {
    const gone = `http://127.0.0.1:${await reserveClosedPort()}`;
    const proxy = await startPointsman(oneBackend(gone, unchecked));
    const before = await bytesTotal(proxy);
    const answer = await exchange(proxy.trafficPort, upgradeRequest());
    assert.equal(answer.status, 503);
    await assertCounted(proxy, answer.value('x-request-id'), before, { in: 0, out: answer.body.length });
  });
});

suite('the record of a refused connection counts only the body of the response', async () => {
  const upstream = await startRawUpstream();
  const proxy = await startPointsman(
    oneBackend(upstream.url, {
      ...unchecked,
      limits: { headSize: '8KiB' },
      timeouts: { requestHead: '300ms' },
    }),
  );
  for (const [what, bytes, status] of [
    ['bytes are not HTTP', 'nonsense\r\n\r\n', 400],
    ['a header is malformed', 'GET / HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n', 400],
    ['its head is too large', `GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(9_000)}\r\n\r\n`, 431],
    ['its head does not come', 'GET / HTTP/1.1\r\nHost: a\r\n', 408],
    ['it asks for a CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405],
  ] as const) {
    test(`if ${what}`, async () => {
      const before = await bytesTotal(proxy);
      const answer = await exchange(proxy.trafficPort, bytes);
      assert.equal(answer.status, status);
      assert.ok(answer.body.length > 0);
      await assertCounted(proxy, answer.value('x-request-id'), before, { in: 0, out: answer.body.length });
    });
  }
});

test('a request and its response count the bytes of their bodies', async () => {
  const upstream = await startRawUpstream(
    () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  );
  const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
  const before = await bytesTotal(proxy);
  const answer = await exchange(
    proxy.trafficPort,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n',
  );
  assert.equal(answer.body.toString(), 'hello');
  await waitFor('the request to be counted', async () => (await bytesTotal(proxy)).out > before.out);
  await assertCounted(proxy, answer.value('x-request-id'), before, { in: 4, out: 5 });
});
