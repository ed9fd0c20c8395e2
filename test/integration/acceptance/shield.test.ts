/** Failures of a canary that its users do not see, and that it is charged with all the same. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { patternBytes, startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { OK, type RawAnswer, startRawUpstream } from '../../support/raw-upstream.ts';
import { inParallel, send } from '../../support/request.ts';

const production = await startHttpUpstream('production');
const BROKEN = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nbroken';

/** A fifth of the requests go to the canary, which stays in use whatever it does. */
function split(canary: string, more: Partial<ConfigInput> = {}, shield?: boolean) {
  return startPointsman({
    backends: { canary: { url: canary }, production: { url: production.url } },
    routes: [
      { name: 'all', split: { canary: 20, production: 80 }, ...(shield === undefined ? {} : { shield }) },
    ],
    health: { enabled: false },
    retries: { budget: { percent: 100, floor: 1_000 } },
    ...more,
  });
}

async function statuses(proxy: PointsmanProcess, method: string, count = 20): Promise<number[]> {
  const answers = await inParallel(count, 2, () => send(proxy.trafficPort, { method, path: '/x' }));
  return answers.map(({ status }) => status);
}

const failures: readonly (readonly [what: string, reason: string, code: string, answer: RawAnswer])[] = [
  ['503', 'answered_503', '5xx', BROKEN],
  [
    '502 without an end of its body',
    'answered_502',
    '5xx',
    'HTTP/1.1 502 Bad\r\nContent-Length: 99\r\n\r\nab',
  ],
  [
    '504 in chunks',
    'answered_504',
    '5xx',
    'HTTP/1.1 504 Late\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
  ],
  ['resets', 'upstream_reset', '5xx', (socket) => socket.resetAndDestroy()],
];

suite('a canary that answers', () => {
  for (const [what, reason, code, answer] of failures) {
    test(`${what}: the main backend answers, and the canary is charged`, async () => {
      const canary = await startRawUpstream(() => answer);
      const proxy = await split(canary.url);
      const answers = await inParallel(20, 2, () => send(proxy.trafficPort, { path: '/x' }));
      for (const { status, echo } of answers) {
        assert.equal(status, 200);
        assert.equal(echo().upstream, 'production');
      }
      assert.equal(canary.requests.length, 4, 'each of its requests was sent to it once');
      const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
      const shielded = lines.filter((line) => line['shielded_from'] === 'canary');
      assert.equal(shielded.length, 4);
      for (const line of shielded) {
        assert.equal(line['backend'], 'production');
        assert.equal(line['retries'], 1);
        assert.equal(line['redispatched'], true);
        assert.equal(line['status'], 200);
      }
      assert.equal(await proxy.metric('pointsman_shielded_total', { backend: 'canary', reason }), 4);
      assert.equal(await proxy.metric('pointsman_requests_total', { backend: 'canary', code }), 4);
      assert.equal(
        await proxy.metric('pointsman_requests_total', { backend: 'production', code: '2xx' }),
        20,
      );
      assert.equal(await proxy.metric('pointsman_endpoint_errors_total', { backend: 'canary' }), 4);
      const inFlight = await proxy.metric('pointsman_requests_in_flight');
      assert.equal(inFlight, 0);
    });
  }

  test('not at all: the main backend answers, whatever the method', async () => {
    const proxy = await split(`http://127.0.0.1:${await reserveClosedPort()}`);
    for (const method of ['GET', 'POST']) {
      assert.deepEqual(new Set(await statuses(proxy, method)), new Set([200]));
    }
    const reason = 'connect_failed';
    assert.equal(await proxy.metric('pointsman_shielded_total', { backend: 'canary', reason }), 8);
  });

  test('503, to a request whose body was kept: the main backend gets all of it', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const proxy = await split(canary.url);
    const body = patternBytes(50_000);
    const answers = await inParallel(10, 2, () => send(proxy.trafficPort, { method: 'PUT', body }));
    const sha256 = createHash('sha256').update(body).digest('hex');
    for (const answer of answers) assert.deepEqual(answer.echo().body, { length: body.length, sha256 });
    assert.equal(await proxy.metric('pointsman_shielded_total'), 2);
  });

  test('503 before the body has come in full: the main backend gets all of it', async () => {
    const canary = await startRawUpstream({ early: () => BROKEN });
    const proxy = await split(canary.url);
    const body = patternBytes(60_000);
    const answers = await inParallel(10, 2, () => send(proxy.trafficPort, { method: 'PUT', body }));
    const sha256 = createHash('sha256').update(body).digest('hex');
    for (const answer of answers) assert.deepEqual(answer.echo().body, { length: body.length, sha256 });
  });
});

suite('the failure is passed on', () => {
  test('of a POST, which may have had an effect', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const proxy = await split(canary.url);
    const counts = await statuses(proxy, 'POST');
    assert.equal(counts.filter((status) => status === 503).length, 4);
    assert.equal(canary.requests.length, 4);
  });

  test('of a body too large to be kept', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const proxy = await split(canary.url, { retries: { bufferSize: '1KiB', budget: { percent: 100 } } });
    const answers = await inParallel(10, 1, () =>
      send(proxy.trafficPort, { method: 'PUT', body: patternBytes(100_000) }),
    );
    assert.equal(answers.filter(({ status }) => status === 503).length, 2);
  });

  test('of a canary whose row has shield: false, connect errors included', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const seen = await split(canary.url, {}, false);
    assert.equal((await statuses(seen, 'GET')).filter((status) => status === 503).length, 4);
    const dead = await split(`http://127.0.0.1:${await reserveClosedPort()}`, {}, false);
    assert.equal((await statuses(dead, 'GET')).filter((status) => status === 503).length, 4);
    assert.equal(await seen.metric('pointsman_shielded_total'), 0);
  });

  test('of the main backend itself', async () => {
    const broken = await startRawUpstream(() => BROKEN);
    const proxy = await startPointsman({
      backends: { canary: { url: production.url }, main: { url: broken.url } },
      routes: [{ name: 'all', split: { canary: 20, main: 80 } }],
      health: { enabled: false },
    });
    assert.equal((await statuses(proxy, 'GET')).filter((status) => status === 503).length, 16);
    assert.equal(broken.requests.length, 16);
  });

  test('of statuses that say nothing of a gateway', async () => {
    const canary = await startRawUpstream(() => 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n');
    const proxy = await split(canary.url);
    assert.equal((await statuses(proxy, 'GET')).filter((status) => status === 500).length, 4);
  });

  test('when the retry budget is used up, and the log says so', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const proxy = await split(canary.url, { retries: { budget: { percent: 0, floor: 1 } } });
    const answers = await inParallel(20, 1, () => send(proxy.trafficPort));
    assert.equal(answers.filter(({ status }) => status === 503).length, 3);
    const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
    assert.equal(lines.filter((line) => line['retry_denied'] === 'retry_budget').length, 3);
    const labels = { backend: 'canary', reason: 'answered_503' };
    assert.equal(await proxy.metric('pointsman_retries_denied_total', labels), 3);
  });
});

suite('pinned users', () => {
  test('stay with the canary that failed them once', async () => {
    let broken = true;
    const canary = await startRawUpstream(() => (broken ? BROKEN : OK));
    const proxy = await startPointsman({
      backends: { canary: { url: canary.url }, production: { url: production.url } },
      pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
      routes: [{ name: 'all', split: { canary: 50, production: 50 }, main: 'production', pin: 'user' }],
      health: { enabled: false },
      outlier: { enabled: false },
      retries: { budget: { percent: 100, floor: 1_000 } },
    });
    const placed = async () => {
      const users = Array.from({ length: 20 }, (_, i) => `user-${i}`);
      const answers = await inParallel(users.length, 2, (i) =>
        send(proxy.trafficPort, { headers: ['X-User-Id', users[i]!] }),
      );
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      const lines = await Promise.all(answers.map(({ requestId }) => proxy.accessLine(requestId)));
      return lines.map((line) => line['shielded_from'] ?? line['backend']);
    };
    const during = await placed();
    assert.ok(during.includes('canary') && during.includes('production'));
    broken = false;
    assert.deepEqual(await placed(), during);
    assert.equal(await proxy.metric('pointsman_shielded_total'), during.filter((b) => b === 'canary').length);
  });

  test('who must not be served elsewhere see the failure', async () => {
    const canary = await startRawUpstream(() => BROKEN);
    const proxy = await startPointsman({
      backends: { canary: { url: canary.url }, production: { url: production.url } },
      pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory', onUnavailable: 'fail' } },
      routes: [{ name: 'all', split: { canary: 50, production: 50 }, main: 'production', pin: 'user' }],
      health: { enabled: false },
    });
    const answers = await inParallel(20, 2, (i) =>
      send(proxy.trafficPort, { headers: ['X-User-Id', `user-${i}`] }),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200, 503]));
    assert.equal(await proxy.metric('pointsman_shielded_total'), 0);
  });
});
