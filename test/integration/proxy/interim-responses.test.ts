/** 1xx responses: the client gets them, within bounds that protect the memory of the proxy. */

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { MemoryWatch, MIB } from '../../support/process-usage.ts';
import { RawClient, type RawResponse } from '../../support/raw-client.ts';
import { OK, startRawUpstream } from '../../support/raw-upstream.ts';
import { send } from '../../support/request.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

const hint = (value: string) => `HTTP/1.1 103 Early Hints\r\nLink: ${value}\r\n\r\n`;

/** More than any buffer between an upstream and a client holds. */
const MOST_SENT = 64 * MIB;
/** If the proxy takes no byte during this many requests of another client, it is paused. */
const ENOUGH_ROUNDS = 100;

/** An upstream that sends hints to `/endless` for as long as they are taken, and 200 to all others. */
async function startEndlessUpstream() {
  const block = Buffer.from(hint('</style.css>; rel=preload').repeat(1_000));
  const state = { sent: 0, closed: false };
  const pour = (socket: Socket) => {
    while (state.sent < MOST_SENT && !socket.destroyed) {
      state.sent += block.length;
      if (!socket.write(block)) return;
    }
  };
  const upstream = await startRawUpstream(({ target }) => {
    if (target !== '/endless') return OK;
    return (socket) => {
      socket.on('drain', () => pour(socket));
      socket.on('close', () => {
        state.closed = true;
      });
      pour(socket);
    };
  });
  return { url: upstream.url, state };
}

suite('an upstream that sends an endless series of interim responses', () => {
  test('is paused or cut if the client does not read, while other clients are served', async () => {
    const { url, state } = await startEndlessUpstream();
    const proxy = await startPointsman(oneBackend(url, unchecked));
    for (let i = 0; i < 300; i++) assert.equal((await send(proxy.trafficPort)).status, 200);
    const memory = new MemoryWatch(proxy.pid);
    const client = await RawClient.connect(proxy.trafficPort);
    client.socket.pause();
    client.send('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
    await proxy.waitFor('the first hints', () => state.sent > 0);
    let sent = -1;
    for (let rounds = 0; rounds < ENOUGH_ROUNDS && !state.closed && state.sent < MOST_SENT; rounds++) {
      assert.equal((await send(proxy.trafficPort)).status, 200);
      memory.sample();
      if (state.sent !== sent) rounds = 0;
      sent = state.sent;
    }
    client.destroy();
    assert.ok(memory.growth < 30 * MIB, `grew by ${memory.text}`);
    assert.ok(state.sent < MOST_SENT, 'the proxy took whatever the upstream sent');
  });

  test('is cut if the client reads them all, and the client gets 502', async () => {
    const { url, state } = await startEndlessUpstream();
    const proxy = await startPointsman(oneBackend(url, unchecked));
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n').read({ timeoutMs: 30_000 });
    client.destroy();
    assertBadResponse(answer);
    await proxy.waitFor('the upstream to be cut', () => state.closed);
    assert.equal((await send(proxy.trafficPort)).status, 200);
  });
});

function assertBadResponse(answer: RawResponse): void {
  assert.equal(answer.status, 502);
  assert.equal(answer.value('x-pointsman-reason'), 'bad_response');
}

suite('interim responses', async () => {
  /** `/COUNT/LENGTH`: so many hints with a value of that length, and 200. */
  const upstream = await startRawUpstream(({ target }) => {
    const [, count, length] = target.split('/');
    let text = '';
    for (let i = 0; i < Number(count); i++) text += hint(`<${i}>${'x'.repeat(Number(length))}`);
    return text + OK;
  });
  const proxy = await startPointsman(oneBackend(upstream.url, { ...unchecked, retries: { attempts: 0 } }));

  const ask = async (count: number, length: number, version = '1.1') => {
    const client = await RawClient.connect(proxy.trafficPort);
    const answer = await client.send(`GET /${count}/${length} HTTP/${version}\r\nHost: a\r\n\r\n`).read();
    client.destroy();
    return answer;
  };

  for (const count of [0, 1, 50, 100]) {
    test(`come through in order if there are ${count}`, async () => {
      const answer = await ask(count, 10);
      assert.equal(answer.status, 200);
      assert.deepEqual(
        answer.interim.map(({ fields }) => fields.find(([name]) => name === 'Link')?.[1]),
        Array.from({ length: count }, (_, i) => `<${i}>${'x'.repeat(10)}`),
      );
    });
  }

  test('end the request with 502 if there are more than 100', async () => {
    const answer = await ask(101, 10);
    assertBadResponse(answer);
    const line = await proxy.accessLine(answer.value('x-request-id'));
    assert.equal(line['reason'], 'bad_response');
    assert.equal(line['status'], 502);
  });

  test('end the request with 502 if they are larger than 64 KiB together', async () => {
    assert.equal((await ask(12, 4_000)).status, 200);
    assertBadResponse(await ask(20, 4_000));
  });

  test('are counted also if the client speaks HTTP/1.0 and does not get them', async () => {
    const few = await ask(50, 10, '1.0');
    assert.equal(few.status, 200);
    assert.deepEqual(few.interim, []);
    assertBadResponse(await ask(101, 10, '1.0'));
  });

  test('are counted per request, not per connection', async () => {
    const client = await RawClient.connect(proxy.trafficPort);
    for (let i = 0; i < 4; i++) {
      const answer = await client.send('GET /90/10 HTTP/1.1\r\nHost: a\r\n\r\n').read();
      assert.equal(answer.status, 200);
      assert.equal(answer.interim.length, 90);
    }
    client.destroy();
    assert.deepEqual(upstream.violations, []);
  });
});
