/** `timeouts.requestHead` bounds the whole head, in however many pieces it comes. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startRawUpstream } from '../../support/raw-upstream.ts';
import { pause } from '../../support/wait-for.ts';

const REQUEST_HEAD_MS = 2_000;
/** The proxy checks connections every quarter of the time; the rest is for a busy machine. */
const LATEST_MS = 1.6 * REQUEST_HEAD_MS;
/** Time between two pieces: a lane gets more than eight of them, spread over the whole time. */
const PIECE_MS = REQUEST_HEAD_MS / 9.5;

const upstream = await startRawUpstream();
const proxy = await startPointsman(
  oneBackend(upstream.url, {
    health: { enabled: false },
    timeouts: { requestHead: `${REQUEST_HEAD_MS}ms`, keepAlive: '60s' },
  }),
);

/** Sends pieces until an answer comes or it is too late; resolves to the answer and its time. */
async function drip(client: RawClient, pieces: readonly string[]) {
  const began = performance.now();
  client.send(pieces[0]!);
  let next = 1;
  const timer = setInterval(() => {
    if (next < pieces.length) client.send(pieces[next++]!);
  }, PIECE_MS);
  try {
    const late = pause(LATEST_MS).then(() => 'late' as const);
    const answer = await Promise.race([client.read(), late]);
    return { answer, elapsed: performance.now() - began };
  } finally {
    clearInterval(timer);
    client.destroy();
  }
}

const bytes = (text: string) => [...text];
const HEAD = 'GET /slow HTTP/1.1\r\nHost: a\r\nX-Long: ';
const endless = 'x'.repeat(200);

suite('a request head that comes slowly is answered with 408 in time', { concurrency: true }, () => {
  for (const [what, before, pieces] of [
    ['byte by byte', '', bytes(`${HEAD}${endless}`)],
    ['byte by byte from within a header', '', [HEAD, ...bytes(endless)]],
    ['line by line', '', ['GET /slow HTTP/1.1\r\nHost: a\r\n', ...new Array(50).fill('X-A: 1\r\n')]],
    ['byte by byte after another request', 'GET /first HTTP/1.1\r\nHost: a\r\n\r\n', bytes(HEAD + endless)],
    [
      'byte by byte after a request in absolute form',
      'GET http://a/first HTTP/1.1\r\nHost: a\r\n\r\n',
      bytes(HEAD + endless),
    ],
    ['in two pieces', '', ['GET /slow HTTP/1.1\r\n', 'Host: a\r\n']],
  ] as const) {
    test(what, async () => {
      const client = await RawClient.connect(proxy.trafficPort);
      if (before !== '') assert.equal((await client.send(before).read()).status, 200);
      const { answer, elapsed } = await drip(client, pieces as readonly string[]);
      assert.notEqual(answer, 'late', `no answer after ${LATEST_MS} ms`);
      if (answer === 'late') return;
      assert.equal(answer.status, 408);
      assert.equal(answer.value('x-pointsman-reason'), 'request_timeout');
      // The timers of two processes differ by a few milliseconds.
      assert.ok(elapsed > REQUEST_HEAD_MS - 50, `cut after ${Math.round(elapsed)} ms`);
    });
  }
});
