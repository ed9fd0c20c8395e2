/** The whole process over dnsmasq. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { POD_SEARCH } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { endlessTraffic, endpointsUp, listenOn, overDns, resolutionOf } from '../../support/dns-traffic.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';

describe('the proxy over a real DNS server', () => {
  for (const name of ['web', 'web.shop', 'web.shop.svc.cluster.local', 'web.shop.svc.cluster.local.']) {
    test(`a request reaches http://${name} as it would from the pod`, async () => {
      const server = await startDnsServer({ 'web.shop.svc.cluster.local': ['127.0.0.1'] }, { ttl: 0 });
      const { port } = await listenOn('127.0.0.1');
      const proxy = await startPointsman(oneBackend(`http://${name}:${port}`, overDns(server.address)));
      const answer = await send(proxy.trafficPort);
      assert.deepEqual([answer.status, answer.text], [200, `127.0.0.1:${port}`]);
    });
  }

  test('traffic follows an address that changes, and no request is lost on the way', async () => {
    const name = 'web.shop.svc.cluster.local';
    const server = await startDnsServer({ [name]: ['127.0.0.1'] }, { ttl: 0 });
    const { port } = await listenOn('127.0.0.1');
    await listenOn('127.0.0.2', port);
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, `127.0.0.1:${port}`);
    const load = endlessTraffic(proxy);
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
    for (let i = 0; i < 4; i++) assert.equal((await send(proxy.trafficPort)).text, `127.0.0.2:${port}`);
  });

  for (const [how, stop, resume] of [
    ['hangs', 'stop', 'resume'],
    ['is killed', 'kill', 'start'],
  ] as const) {
    test(`no request is lost while DNS ${how}, and the status says that the addresses are stale`, async () => {
      const server = await startDnsServer({ 'web.shop.svc.cluster.local': ['127.0.0.1'] }, { ttl: 0 });
      const { port } = await listenOn('127.0.0.1');
      const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address)));
      const load = endlessTraffic(proxy);
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
    const { port } = await listenOn('127.0.0.1');
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address)));
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
    const { port } = await listenOn('127.0.0.1');
    await listenOn('127.0.0.2', port);
    const proxy = await startPointsman(oneBackend(`http://old:${port}`, overDns(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, `127.0.0.1:${port}`);
    await server.kill();
    const load = endlessTraffic(proxy);
    await proxy.reload(oneBackend(`http://new:${port}`, overDns(server.address)));
    assert.equal((await send(proxy.trafficPort)).text, `127.0.0.1:${port}`);
    assert.match((await resolutionOf(proxy)).reason, /until new:\d+ is ready: .*no DNS server listens/);
    await server.start();
    await proxy.waitFor(
      'the new name',
      async () => (await send(proxy.trafficPort)).text === `127.0.0.2:${port}`,
    );
    assert.deepEqual((await load.stop()).failed, []);
  });

  test('SRV records tell where requests go: by weight, and to a lower priority only when nothing else is up', async () => {
    const [one, three, spare] = await Promise.all(
      ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((host) => listenOn(host)),
    );
    const name = '_http._tcp.web.shop.svc.cluster.local';
    const service = (
      target: string,
      { port }: { port: number },
      facts: { priority?: number; weight: number },
    ) => ({
      name,
      target: `${target}.web.shop.svc.cluster.local`,
      port,
      ...facts,
    });
    const server = await startDnsServer(
      {
        'one.web.shop.svc.cluster.local': ['127.0.0.1'],
        'three.web.shop.svc.cluster.local': ['127.0.0.2'],
        'spare.web.shop.svc.cluster.local': ['127.0.0.3'],
      },
      {
        ttl: 0,
        services: [
          service('one', one!, { weight: 1 }),
          service('three', three!, { weight: 3 }),
          service('spare', spare!, { weight: 5, priority: 1 }),
        ],
      },
    );
    const proxy = await startPointsman(oneBackend('dns+srv://_http._tcp.web', overDns(server.address)));
    const hits = async (requests: number) => {
      const count: Record<string, number> = {};
      for (let i = 0; i < requests; i++) {
        const { text } = await send(proxy.trafficPort);
        count[text] = (count[text] ?? 0) + 1;
      }
      return count;
    };
    const where = [`127.0.0.1:${one!.port}`, `127.0.0.2:${three!.port}`, `127.0.0.3:${spare!.port}`] as const;
    assert.deepEqual(await hits(40), { [where[0]]: 10, [where[1]]: 30 });
    one!.close();
    three!.close();
    await proxy.waitFor('the spare alone', async () => (await endpointsUp(proxy)).join() === where[2]);
    assert.deepEqual(await hits(5), { [where[2]]: 5 });
  });

  test('ports that change in SRV records are followed without losing a request', async () => {
    const [old, next] = await Promise.all(['127.0.0.1', '127.0.0.1'].map((host) => listenOn(host)));
    const name = '_http._tcp.web.shop.svc.cluster.local';
    const host = 'pod.web.shop.svc.cluster.local';
    const records = (...upstreams: { port: number }[]) => ({
      services: upstreams.map(({ port }) => ({ name, target: host, port })),
    });
    const server = await startDnsServer({ [host]: ['127.0.0.1'] }, { ttl: 0, ...records(old!) });
    const proxy = await startPointsman(oneBackend(`dns+srv://${name}.`, overDns(server.address)));
    const load = endlessTraffic(proxy);
    await server.serve({ [host]: ['127.0.0.1'] }, records(next!));
    await proxy.waitFor(
      'the new port',
      async () => (await endpointsUp(proxy)).join() === `127.0.0.1:${next!.port}`,
    );
    const { sent, failed } = await load.stop();
    assert.ok(sent > 0);
    assert.deepEqual(failed, []);
    assert.equal((await send(proxy.trafficPort)).text, `127.0.0.1:${next!.port}`);
  });
});
