/** Requests that a client sends before it has the responses wait in the kernel, not in the proxy. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { MemoryWatch, MIB } from '../../support/process-usage.ts';
import { RawClient } from '../../support/raw-client.ts';
import { type RawUpstream, startRawUpstream } from '../../support/raw-upstream.ts';
import { send } from '../../support/request.ts';
import { inTime } from '../../support/wait-for.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };

interface StallingUpstream extends RawUpstream {
  /** Answers what waits for it. */
  release(): void;
}

/** Answers every request with its target as the body; `/stall` only after `release`. */
async function startStallingUpstream(): Promise<StallingUpstream> {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const upstream = await startRawUpstream(({ target }) => async (socket) => {
    if (target === '/stall') await released;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`);
  });
  return Object.assign(upstream, { release });
}

/** Requests that the upstream stalls. All but the first make the fast lane hand the connection over. */
const FIRST_REQUESTS = {
  'a plain request': 'GET /stall HTTP/1.1\r\nHost: a\r\n\r\n',
  'a request in absolute form': 'GET http://a/stall HTTP/1.1\r\nHost: a\r\n\r\n',
  'a request with Expect':
    'POST /stall HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
  'an HTTP/1.0 request with keep-alive': 'GET /stall HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n',
  'an upgrade that is not offered':
    'GET /stall HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
} as const;

function pipelined(count: number): string {
  let text = '';
  for (let i = 0; i < count; i++) text += `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`;
  return text;
}

/** Sends 200 requests on another connection: meanwhile the proxy reads all that it will ever read elsewhere. */
async function askBeside(proxy: PointsmanProcess, onAnswer: () => void = () => {}): Promise<void> {
  for (let i = 0; i < 200; i++) {
    assert.equal((await send(proxy.trafficPort, { path: '/beside' })).status, 200);
    onAnswer();
  }
}

/** Asserts that the stalled request is answered, and this many of those after it. */
async function assertInOrder(client: RawClient, count: number): Promise<void> {
  assert.equal((await client.read()).body.toString(), '/stall');
  for (let i = 0; i < count; i++) {
    assert.equal((await client.read({ timeoutMs: 60_000 })).body.toString(), `/${i}`);
  }
}

/** Code and buffers that any traffic needs once are not what waiting requests cost. */
async function warmUp(proxy: PointsmanProcess): Promise<void> {
  for (const first of Object.values(FIRST_REQUESTS)) {
    const client = await RawClient.connect(proxy.trafficPort);
    client.send(first.replace('/stall', '/warm') + pipelined(300));
    for (let i = 0; i < 301; i++) assert.equal((await client.read()).status, 200);
    client.destroy();
  }
  await askBeside(proxy);
}

suite('requests pipelined after a stalled one', () => {
  for (const [what, first] of Object.entries(FIRST_REQUESTS)) {
    test(`cost little memory and keep their order if the stalled one is ${what}`, async () => {
      const upstream = await startStallingUpstream();
      const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
      await warmUp(proxy);
      const memory = new MemoryWatch(proxy.pid);
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(first + pipelined(40_000));
      await askBeside(proxy, () => memory.sample());
      assert.ok(memory.growth < 16 * MIB, `grew by ${memory.text}`);
      upstream.release();
      await assertInOrder(client, 1_000);
      client.destroy();
    });
  }

  for (const what of ['a plain request', 'a request in absolute form'] as const) {
    test(`leave a process with a heap of 150 MB alive if the stalled one is ${what}`, async () => {
      const upstream = await startStallingUpstream();
      const proxy = await startPointsman(oneBackend(upstream.url, unchecked), {
        env: { NODE_OPTIONS: '--max-old-space-size=150' },
      });
      const clients = await Promise.all([0, 1].map(() => RawClient.connect(proxy.trafficPort)));
      for (const client of clients) client.send(FIRST_REQUESTS[what] + pipelined(40_000));
      await askBeside(proxy);
      assert.equal(proxy.hasExited, false);
      for (const client of clients) client.destroy();
    });
  }

  for (const what of ['a plain request', 'a request in absolute form'] as const) {
    test(`are all answered in order once ${what} is answered`, async () => {
      const upstream = await startStallingUpstream();
      const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
      const client = await RawClient.connect(proxy.trafficPort);
      client.send(FIRST_REQUESTS[what] + pipelined(5_000));
      await proxy.waitFor('the stalled one at the upstream', () => upstream.requests.length > 0);
      upstream.release();
      await assertInOrder(client, 5_000);
      client.destroy();
      assert.deepEqual(upstream.violations, []);
    });
  }
});

suite('fifty clients that send 3,000 requests each at once', () => {
  const CLIENTS = 50;
  const COUNT = 3_000;
  const STATUS_LINE = Buffer.from('HTTP/1.1 ');

  /** Sends them all; `answered` counts the responses that have come, over all connections. */
  async function flood(
    proxy: PointsmanProcess,
    requests: string,
  ): Promise<{ readonly answered: number; readonly begun: Promise<void>; end(): void }> {
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => RawClient.connect(proxy.trafficPort)),
    );
    let answered = 0;
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    for (const { socket } of clients) {
      socket.removeAllListeners('data');
      socket.on('data', (bytes: Buffer) => {
        for (let at = bytes.indexOf(STATUS_LINE); at !== -1; at = bytes.indexOf(STATUS_LINE, at + 1))
          answered++;
        begin();
      });
    }
    for (const client of clients) client.send(requests);
    return {
      get answered() {
        return answered;
      },
      begun,
      end() {
        for (const client of clients) client.destroy();
      },
    };
  }

  /** Returns the number of responses to the flood that come before the response to a later client. */
  async function answeredBefore(proxy: PointsmanProcess, requests: string): Promise<number> {
    const running = await flood(proxy, requests);
    await inTime('the first response', running.begun, 60_000);
    const late = await RawClient.connect(proxy.trafficPort);
    const answer = await late.send('GET /late HTTP/1.1\r\nHost: a\r\n\r\n').read({ timeoutMs: 60_000 });
    const { answered } = running;
    late.destroy();
    running.end();
    assert.equal(answer.status, 200);
    return answered;
  }

  const MOST = (CLIENTS * COUNT) / 5;

  for (const [what, first] of [
    ['plain ones', ''],
    ['ones after a request in absolute form', 'GET http://a/first HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const) {
    test(`let a later client be served before most of them: ${what}`, async () => {
      const upstream = await startStallingUpstream();
      const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
      const answered = await answeredBefore(proxy, first + pipelined(COUNT));
      assert.ok(answered < MOST, `${answered} of ${CLIENTS * COUNT} were answered before`);
    });

    test(`let a later client be served before most of them if Pointsman answers: ${what}`, async () => {
      const upstream = await startStallingUpstream();
      const proxy = await startPointsman({
        backends: { main: { url: upstream.url }, empty: { url: 'http://name.invalid' } },
        routes: [
          { name: 'late', match: { path: '/late' }, split: { main: 1 } },
          { name: 'all', split: { empty: 1 } },
        ],
        ...unchecked,
      });
      const answered = await answeredBefore(proxy, first + pipelined(COUNT));
      assert.ok(answered < MOST, `${answered} of ${CLIENTS * COUNT} were answered before`);
    });
  }
});
