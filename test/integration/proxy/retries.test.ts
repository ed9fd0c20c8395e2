/** A request is sent again only when that cannot repeat an effect. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { oneBackend } from '../../support/design-table.ts';
import { patternBytes, startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';

/** Half of the requests go to `first`; without checks, so that it stays in use whatever it does. */
function half(first: string, second: string, more: Partial<TestConfig> = {}): TestConfig {
  return {
    backends: { first: { url: first }, second: { url: second } },
    routes: [{ name: 'all', split: { first: 1, second: 1 } }],
    health: { enabled: false },
    ...more,
  };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const healthy = await startHttpUpstream('healthy');

suite('nothing listens on one of two backends', async () => {
  const proxy = await startPointsman(half(`http://127.0.0.1:${await reserveClosedPort()}`, healthy.url));

  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    test(`every ${method} is answered by the other`, async () => {
      await inParallel(20, 4, async () => {
        const answer = await send(proxy.trafficPort, { method });
        assert.equal(answer.status, 200);
      });
    });
  }

  test('bodies arrive whole, also those larger than what is kept for another attempt', async () => {
    for (const length of [10, 70_000, 2_000_000]) {
      const body = patternBytes(length);
      await inParallel(8, 4, async () => {
        const answer = await send(proxy.trafficPort, { method: 'POST', body });
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.echo().body, { length, sha256: sha256(body) });
      });
    }
  });

  test('log and metrics say that it was sent again, elsewhere', async () => {
    const before = await proxy.metric('pointsman_retries_total', {
      backend: 'first',
      reason: 'connect_failed',
    });
    const answers = await inParallel(4, 1, () => send(proxy.trafficPort));
    const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
    const again = lines.filter((line) => line['retries'] === 1);
    assert.equal(again.length, 2);
    for (const line of again) {
      assert.equal(line['redispatched'], true);
      assert.equal(line['backend'], 'second');
      assert.equal(line['status'], 200);
      assert.equal(line['termination'], '--');
    }
    assert.equal(
      await proxy.metric('pointsman_retries_total', { backend: 'first', reason: 'connect_failed' }),
      before + 2,
    );
    assert.ok((await proxy.metric('pointsman_redispatches_total', { backend: 'first' })) >= 2);
  });
});

suite('one of two backends resets every connection instead of answering', async () => {
  const resetting = await startRawUpstream(() => (socket) => socket.resetAndDestroy());
  // Half of all requests are sent twice, which is more than a budget that protects the upstreams would allow.
  const proxy = await startPointsman(
    half(resetting.url, healthy.url, { retries: { budget: { percent: 100 } } }),
  );
  const statuses = async (method: string, body?: Buffer) =>
    (
      await inParallel(10, 2, () =>
        send(proxy.trafficPort, { method, ...(body === undefined ? {} : { body }) }),
      )
    ).map((answer) => answer.status);

  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']) {
    test(`${method} is idempotent and goes to the other`, async () => {
      assert.deepEqual(await statuses(method), new Array(10).fill(200));
    });
  }

  for (const method of ['POST', 'PATCH']) {
    test(`${method} may have had an effect and is answered 502`, async () => {
      const before = resetting.requests.length;
      assert.deepEqual((await statuses(method)).sort(), [200, 200, 200, 200, 200, 502, 502, 502, 502, 502]);
      assert.equal(resetting.requests.length, before + 5, 'each was sent once');
    });
  }

  test('PUT is sent again with its body, if that was kept', async () => {
    const body = patternBytes(60_000);
    const answers = await inParallel(6, 2, () => send(proxy.trafficPort, { method: 'PUT', body }));
    for (const answer of answers) {
      assert.deepEqual(answer.echo().body, { length: body.length, sha256: sha256(body) });
    }
  });

  test('PUT with a body larger than retries.bufferSize is answered 502', async () => {
    assert.deepEqual(
      (await statuses('PUT', patternBytes(200_000))).sort(),
      [200, 200, 200, 200, 200, 502, 502, 502, 502, 502],
    );
  });
});

test('a chunked body that was kept is sent again in chunks, and one of known length with its length', async () => {
  const resetting = await startRawUpstream(() => (socket) => socket.resetAndDestroy());
  const second = await startRawUpstream();
  const proxy = await startPointsman(
    half(resetting.url, second.url, { retries: { budget: { percent: 100 } } }),
  );
  const cases = [
    ['Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', undefined, 'chunked'],
    ['Content-Length: 5\r\n\r\nhello', '5', undefined],
  ] as const;
  for (const [rest, length, coding] of cases) {
    const { length: before } = second.requests;
    // One of the two was tried elsewhere before.
    for (let i = 0; i < 2; i++) {
      const client = await RawClient.connect(proxy.trafficPort);
      assert.equal((await client.send(`PUT / HTTP/1.1\r\nHost: a\r\n${rest}`).read()).status, 200);
      client.destroy();
    }
    const arrived = second.requests.slice(before);
    assert.equal(arrived.length, 2);
    for (const request of arrived) {
      assert.equal(request.body.toString(), 'hello');
      assert.equal(request.value('content-length'), length);
      assert.equal(request.value('transfer-encoding'), coding);
    }
  }
  assert.equal(resetting.received.length, 2);
});

suite('how often', () => {
  test('not more often than retries.attempts', async () => {
    const broken = await startRawUpstream(() => (socket) => socket.destroy());
    const proxy = await startPointsman(
      oneBackend(broken.url, { health: { enabled: false }, retries: { attempts: 3 } }),
    );
    const answer = await send(proxy.trafficPort);
    assert.equal(answer.status, 502);
    assert.equal(answer.failure().reason, 'upstream_reset');
    assert.equal(broken.requests.length, 4);
    assert.equal((await proxy.accessLine(answer.requestId))['retries'], 3);
  });

  test('not at all with retries.attempts: 0', async () => {
    const proxy = await startPointsman(
      half(`http://127.0.0.1:${await reserveClosedPort()}`, healthy.url, { retries: { attempts: 0 } }),
    );
    const statuses = (await inParallel(4, 1, () => send(proxy.trafficPort))).map(({ status }) => status);
    assert.deepEqual(statuses.sort(), [200, 200, 503, 503]);
  });

  test('not once a byte of the response has come', async () => {
    const breaking = await startRawUpstream(() => (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-Half: ', () => socket.destroySoon());
    });
    const proxy = await startPointsman(half(breaking.url, healthy.url));
    const statuses = (await inParallel(4, 1, () => send(proxy.trafficPort))).map(({ status }) => status);
    assert.deepEqual(statuses.sort(), [200, 200, 502, 502]);
    assert.equal(breaking.requests.length, 2);
  });

  test('not to a backend outside of the split', async () => {
    const other = await startHttpUpstream('other');
    const proxy = await startPointsman({
      backends: { dead: { url: `http://127.0.0.1:${await reserveClosedPort()}` }, other: { url: other.url } },
      routes: [
        { name: 'dead', match: { path: '/dead' }, split: { dead: 1 } },
        { name: 'all', split: { dead: 1, other: 0 } },
      ],
      health: { enabled: false },
    });
    for (const path of ['/dead', '/']) {
      assert.equal((await send(proxy.trafficPort, { path })).failure().reason, 'connect_failed');
    }
    assert.equal(other.requests.length, 0);
  });
});

suite('an upstream that closes idle connections in the very moment they are used again', () => {
  test('is not noticed by 500 GETs', async () => {
    // The first request of a connection is answered; with the second in its hands the upstream closes.
    const racing = await startRawUpstream(({ index }) => (index === 0 ? OK : (socket) => socket.destroy()));
    const proxy = await startPointsman(oneBackend(racing.url, { health: { enabled: false } }));
    const answers = await inParallel(500, 8, () => send(proxy.trafficPort));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.ok((await proxy.metric('pointsman_retries_total', { reason: 'upstream_reset' })) > 50);
  });

  test('is not noticed by 500 GETs when it closes a moment after its answer', async () => {
    const racing = await startRawUpstream(() => (socket) => {
      socket.write(OK, () => setTimeout(() => socket.destroy(), Math.random() * 3));
    });
    const proxy = await startPointsman(oneBackend(racing.url, { health: { enabled: false } }));
    const answers = await inParallel(500, 4, () => send(proxy.trafficPort));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  });
});
