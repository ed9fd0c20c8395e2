/** Methods that Pointsman forwards, and refusals of all others. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { exchange, RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

suite('a method that Pointsman does not know', async () => {
  const upstream = await startRawUpstream();
  const proxy = await startPointsman(oneBackend(upstream.url, unchecked));

  for (const method of ['FOO', 'BREW', 'GETT', 'X-OWN']) {
    test(`is refused with 501: ${method}`, async () => {
      const answer = await exchange(proxy.trafficPort, `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(answer.status, 501);
      assert.equal(answer.value('x-pointsman-reason'), 'method_not_implemented');
      const line = await proxy.accessLine(answer.value('x-request-id'));
      assert.equal(line['reason'], 'method_not_implemented');
      assert.equal(line['status'], 501);
      assert.equal(upstream.requests.length, 0);
    });
  }

  test('is refused with 501 behind another request', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    assert.equal((await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').read()).status, 200);
    const answer = await client.send('FOO / HTTP/1.1\r\nHost: a\r\n\r\n').read();
    client.destroy();
    assert.equal(answer.status, 501);
  });

  for (const [what, bytes] of [
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['bytes that no method has', 'F@O / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a line without a method', '/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const) {
    test(`differs from ${what}, refused with 400`, async () => {
      const answer = await exchange(proxy.trafficPort, bytes);
      assert.equal(answer.status, 400);
      assert.equal(answer.value('x-pointsman-reason'), 'bad_request');
    });
  }
});

suite('forwarding.methods', async () => {
  const methods: ('GET' | 'POST')[] = ['GET', 'POST'];
  const upstream = await startRawUpstream();
  const proxy = await startPointsman(
    oneBackend(upstream.url, { ...unchecked, forwarding: { xForwarded: true, ...{ methods } } }),
  );

  for (const method of methods) {
    test(`lets ${method} through`, async () => {
      const answer = await exchange(
        proxy.trafficPort,
        `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
      );
      assert.equal(answer.status, 200);
      assert.equal(upstream.requests.at(-1)!.method, method);
    });
  }

  for (const method of ['PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND', 'TRACE']) {
    test(`refuses ${method} with 405, and names those it lets through`, async () => {
      const before = upstream.requests.length;
      const answer = await exchange(
        proxy.trafficPort,
        `${method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
        { head: method === 'HEAD' },
      );
      assert.equal(answer.status, 405);
      assert.equal(answer.value('x-pointsman-reason'), 'method_not_allowed');
      assert.equal(answer.value('allow'), 'GET, POST');
      assert.equal(upstream.requests.length, before);
    });
  }
});
