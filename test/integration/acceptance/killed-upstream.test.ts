/** An upstream killed with SIGKILL under load. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { startUpstreamProcess } from '../../support/upstream-process.ts';

const INTERVAL_MS = 200;

const canary = await startUpstreamProcess('canary');
const production = await startUpstreamProcess('production');
const proxy = await startPointsman({
  backends: { canary: { url: canary.url }, production: { url: production.url } },
  routes: [{ name: 'all', split: { canary: 50, production: 50 } }],
  health: { interval: `${INTERVAL_MS}ms`, timeout: '150ms', jitter: 0, rise: 2, fall: 3 },
});

/** Sends idempotent requests without pause until told to stop; every answer must be a 200. */
function load(): { stop(): Promise<{ sent: number; failed: string[] }> } {
  let running = true;
  let sent = 0;
  const failed: string[] = [];
  const lanes = Array.from({ length: 16 }, async (_, lane) => {
    while (running) {
      sent++;
      const method = lane % 4 === 0 ? 'PUT' : 'GET';
      try {
        const options = method === 'PUT' ? { method, body: 'x'.repeat(2_000) } : { method };
        const { status, text } = await send(proxy.trafficPort, options);
        if (status !== 200) failed.push(`${method} ${status} ${text}`);
      } catch (error) {
        failed.push(`${method} ${(error as Error).message}`);
      }
    }
  });
  return {
    stop: async () => {
      running = false;
      await Promise.all(lanes);
      return { sent, failed };
    },
  };
}

async function checksOf(backend: string) {
  const found = (await proxy.status()).backends.find(({ name }) => name === backend);
  return found?.endpoints[0]?.checks ?? [];
}

suite('an upstream killed under load', () => {
  test('fails no idempotent request, is down after 3 checks, and up again after 2', async () => {
    const traffic = load();
    await proxy.waitFor('some traffic', async () => (await proxy.metric('pointsman_requests_total')) > 200);
    await canary.kill();
    await proxy.waitForHealth('canary', 'down');
    const failures = (await checksOf('canary')).toReversed().findIndex(({ ok }) => ok);
    assert.ok(failures >= 1 && failures <= 4, `down after ${failures} failed checks`);
    const down = await proxy.waitForLog(
      (line) => line.level !== 'debug' && /down/.test(JSON.stringify(line)),
    );
    assert.ok(down);

    await canary.restart();
    await proxy.waitForHealth('canary', 'up');
    const successes = (await checksOf('canary')).toReversed().findIndex(({ ok }) => !ok);
    assert.ok(successes >= 2 && successes <= 3, `up after ${successes} good checks`);

    const before = await proxy.metric('pointsman_requests_total', { backend: 'canary' });
    await proxy.waitFor(
      'traffic on the canary again',
      async () => (await proxy.metric('pointsman_requests_total', { backend: 'canary' })) > before + 50,
    );
    const { sent, failed } = await traffic.stop();
    assert.deepEqual(failed, []);
    assert.ok(sent > 500, `${sent} requests`);
    assert.ok((await proxy.metric('pointsman_retries_total')) > 0, 'something was retried');
  });
});
