/** The whole process over dnsmasq. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { POD_SEARCH, QUICK } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';

describe('the proxy over a real DNS server', () => {
  /** Answers with its own address, so that a test sees where a request went. */
  async function listen(host: string, port = 0): Promise<number> {
    const server = createServer((_, response) => response.end(host));
    cleanUp(() => {
      server.close();
      server.closeAllConnections();
    });
    server.listen(port, host);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  const over = (nameserver: string): Pick<TestConfig, 'resolver'> => ({
    resolver: { ...QUICK, nameservers: [nameserver], search: POD_SEARCH, ndots: 5 },
  });

  const resolutionOf = async (proxy: PointsmanProcess) => (await proxy.status()).backends[0]!.resolution;

  /** Sends requests without pause; stopping it gives every answer that was not a 200. */
  function traffic(proxy: PointsmanProcess): { stop(): Promise<{ sent: number; failed: string[] }> } {
    let running = true;
    let sent = 0;
    const failed: string[] = [];
    const done = (async () => {
      while (running) {
        sent++;
        try {
          const { status, text } = await send(proxy.trafficPort);
          if (status !== 200) failed.push(`${status} ${text}`);
        } catch (error) {
          failed.push((error as Error).message);
        }
      }
    })();
    return {
      stop: async () => {
        running = false;
        await done;
        return { sent, failed };
      },
    };
  }

  for (const name of ['web', 'web.shop', 'web.shop.svc.cluster.local', 'web.shop.svc.cluster.local.']) {
    test(`a request reaches http://${name} as it would from the pod`, async () => {
      const server = await startDnsServer({ 'web.shop.svc.cluster.local': ['127.0.0.1'] }, { ttl: 0 });
      const port = await listen('127.0.0.1');
      const proxy = await startPointsman(oneBackend(`http://${name}:${port}`, over(server.address)));
      const answer = await send(proxy.trafficPort);
      assert.deepEqual([answer.status, answer.text], [200, '127.0.0.1']);
    });
  }

  test('traffic follows an address that changes, and no request is lost on the way', async () => {
    const name = 'web.shop.svc.cluster.local';
    const server = await startDnsServer({ [name]: ['127.0.0.1'] }, { ttl: 0 });
    const port = await listen('127.0.0.1');
    await listen('127.0.0.2', port);
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, over(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, '127.0.0.1');
    const load = traffic(proxy);
    await server.serve({ [name]: ['127.0.0.1', '127.0.0.2'] });
    await proxy.waitFor('both addresses', async () => {
      const { endpoints } = (await proxy.status()).backends[0]!;
      return endpoints.length === 2 && endpoints.every(({ health }) => health === 'up');
    });
    await server.serve({ [name]: ['127.0.0.2'] });
    await proxy.waitFor('the new address alone', async () => {
      const { endpoints } = (await proxy.status()).backends[0]!;
      return endpoints.map(({ endpoint }) => endpoint).join() === `127.0.0.2:${port}`;
    });
    const { sent, failed } = await load.stop();
    assert.ok(sent > 0);
    assert.deepEqual(failed, []);
    for (let i = 0; i < 4; i++) assert.equal((await send(proxy.trafficPort)).text, '127.0.0.2');
  });

  for (const [how, stop, resume] of [
    ['hangs', 'stop', 'resume'],
    ['is killed', 'kill', 'start'],
  ] as const) {
    test(`no request is lost while DNS ${how}, and the status says that the addresses are stale`, async () => {
      const server = await startDnsServer({ 'web.shop.svc.cluster.local': ['127.0.0.1'] }, { ttl: 0 });
      const port = await listen('127.0.0.1');
      const proxy = await startPointsman(oneBackend(`http://web:${port}`, over(server.address)));
      const load = traffic(proxy);
      await server[stop]();
      await proxy.waitFor('stale', async () => (await resolutionOf(proxy)).state === 'stale');
      assert.equal((await send(proxy.trafficPort)).status, 200);
      await server[resume]();
      await proxy.waitFor('resolved', async () => (await resolutionOf(proxy)).state === 'resolved');
      const { sent, failed } = await load.stop();
      assert.ok(sent > 0);
      assert.deepEqual(failed, []);
    });
  }

  test('a name that is nowhere does not stop the start, says where it was looked for, and comes up by itself', async () => {
    const server = await startDnsServer({}, { ttl: 0 });
    const port = await listen('127.0.0.1');
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, over(server.address)));
    const { state, reason } = await resolutionOf(proxy);
    assert.equal(state, 'failed');
    for (const domain of POD_SEARCH) assert.ok(reason.includes(`web.${domain}`), reason);
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'no_endpoint');
    await server.serve({ 'web.shop.svc.cluster.local': ['127.0.0.1'] });
    await proxy.waitFor('an answer', async () => (await send(proxy.trafficPort)).status === 200);
    assert.equal((await resolutionOf(proxy)).state, 'resolved');
  });

  test('a reload to another name while DNS is gone loses no request, and takes effect when DNS is back', async () => {
    const zone = { 'old.shop.svc.cluster.local': ['127.0.0.1'], 'new.shop.svc.cluster.local': ['127.0.0.2'] };
    const server = await startDnsServer(zone, { ttl: 0 });
    const port = await listen('127.0.0.1');
    await listen('127.0.0.2', port);
    const proxy = await startPointsman(oneBackend(`http://old:${port}`, over(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, '127.0.0.1');
    await server.kill();
    const load = traffic(proxy);
    await proxy.reload(oneBackend(`http://new:${port}`, over(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, '127.0.0.1');
    assert.match((await resolutionOf(proxy)).reason, /until new:\d+ is ready: .*no DNS server listens/);
    await server.start();
    await proxy.waitFor('the new name', async () => (await send(proxy.trafficPort)).text === '127.0.0.2');
    assert.deepEqual((await load.stop()).failed, []);
  });
});
