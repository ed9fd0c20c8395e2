/**
 * A rolling update of the proxies themselves, as the Deployment in deploy/kustomize asks for it (one more, then one
 * less), with real processes under load. Not one request fails: not of those that are on their way, not of those that
 * still go to a proxy that was told to end, and not one that a client sends on a connection it had kept.
 */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { ServiceAddress } from '../../support/service-address.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';

const PROXIES = 4;
/** A tenth of what the manifests say; the delay is less than a third of theirs. */
const LATENESS = { periodMs: 200, failures: 2, propagationMs: 200 };
const SHUTDOWN = { delay: '1500ms', timeout: '20s' };

/** Clients that send one request after the other, some with pauses, so that connections are idle, too. */
function load(service: ServiceAddress) {
  const agent = service.agent({ maxSockets: 64 });
  const failed: string[] = [];
  let sent = 0;
  let running = true;
  const client = async (lane: number) => {
    while (running) {
      const i = sent++;
      const options =
        i % 3 === 0
          ? { method: 'POST', body: 'x'.repeat(2_000) }
          : { path: i % 50 === 1 ? '/trickle/5' : '/' };
      try {
        const { status, text } = await send(0, { ...options, agent });
        if (status !== 200) failed.push(`${status} ${text}`);
      } catch (error) {
        failed.push(`${options.method ?? 'GET'}: ${(error as Error).message}`);
      }
      if (lane % 2 === 1) await pause(lane * 3);
    }
  };
  const clients = Promise.all(Array.from({ length: 12 }, (_, lane) => client(lane)));
  return async () => {
    running = false;
    await clients;
    agent.destroy();
    return { sent, failed };
  };
}

suite('a rolling update of the proxies', () => {
  for (const workers of process.env['TEST_LONG'] === '1' ? [1, 2] : [1]) {
    test(`of ${PROXIES}, with ${workers} worker${workers === 1 ? '' : 's'} each, fails not one request`, async () => {
      const upstream = await startHttpUpstream('main');
      const config: TestConfig = {
        backends: { main: { url: upstream.url } },
        routes: [{ name: 'all', split: { main: 1 } }],
        shutdown: SHUTDOWN,
        accessLog: { mode: 'errors' },
      };
      const start = () => startPointsman(config, { workers });
      const service = new ServiceAddress(LATENESS);
      const old: PointsmanProcess[] = [];
      for (let i = 0; i < PROXIES; i++) {
        const proxy = await start();
        old.push(proxy);
        service.add(proxy);
      }
      const stop = load(service);
      cleanUp(stop);
      cleanUp(() => service.close());
      for (const proxy of old) {
        service.add(await start());
        assert.equal(await proxy.metric('pointsman_requests_total', { code: '5xx' }), 0);
        proxy.signal('SIGTERM');
        const { code } = await inTime('the end of a proxy', proxy.exited, 30_000);
        assert.equal(code, 0);
        assert.ok(!service.endpoints.includes(proxy), 'it listened for longer than it was an endpoint');
      }
      await waitFor('the new ones to serve', async () =>
        (await Promise.all(service.endpoints.map((proxy) => proxy.metric('pointsman_requests_total')))).every(
          (requests) => requests > 20,
        ),
      );
      const { sent, failed } = await stop();
      await service.close();
      assert.deepEqual(failed, []);
      assert.ok(sent > 500, `${sent} requests`);
      for (const proxy of old) {
        assert.deepEqual(
          proxy.log().filter(({ msg }) => msg.startsWith('requests were still under way')),
          [],
          'nothing was cut',
        );
      }
    });
  }
});
