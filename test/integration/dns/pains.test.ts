/**
 * What users of HAProxy's resolvers complain about most, by the threads in which they do, and what is promised here
 * instead.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { BackendSupervisor } from '../../../src/backends/supervisor.ts';
import { type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { oneBackend } from '../../support/design-table.ts';
import { startDnsDouble } from '../../support/dns-double.ts';
import { addressesOf, makeResolver, plain, QUICK } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { endpointsUp, listenOn, overDns, resolutionOf } from '../../support/dns-traffic.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const NAME = 'web.shop.svc.cluster.local';

describe('a name that does not resolve (docker-flow-proxy#224, openshift/router#656, haproxy#2832)', () => {
  test('stops neither the start nor a reload, takes nothing from the others, and says why it is down', async () => {
    const server = await startDnsServer({ [NAME]: ['127.0.0.1'] }, { ttl: 0 });
    const { port } = await listenOn('127.0.0.1');
    const config = (...names: string[]) => ({
      backends: Object.fromEntries(
        ['web', ...names].map((name) => [name, { url: `http://${name}:${port}` }]),
      ),
      routes: [{ name: 'all', split: { web: 1 } }],
      ...overDns(server.address),
    });
    const proxy = await startPointsman(config('typo'));
    assert.equal(await proxy.readiness(), 200);
    assert.equal((await send(proxy.trafficPort)).status, 200);
    await proxy.reload(config('typo', 'later'));
    assert.equal((await send(proxy.trafficPort)).status, 200);
    for (const name of ['typo', 'later']) {
      await proxy.waitFor(
        `${name} to be failed`,
        async () => (await resolutionOf(proxy, name)).state === 'failed',
      );
      const { reason } = await resolutionOf(proxy, name);
      assert.ok(reason.startsWith(`no such name (NXDOMAIN): ${name}.shop.svc.cluster.local, `), reason);
    }
    await server.serve({ [NAME]: ['127.0.0.1'], 'later.shop.svc.cluster.local': ['127.0.0.1'] });
    await proxy.waitFor(
      'the name that appeared',
      async () => (await resolutionOf(proxy, 'later')).state === 'resolved',
    );
    assert.equal((await resolutionOf(proxy, 'typo')).state, 'failed');
  });
});

describe('an outage of DNS (haproxy#1286, #345, #2666, #3400)', () => {
  test('takes no endpoint of 300 names away, and every one of them follows changes when it is over', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `s${i}.shop.test`);
    const zone = (net: number) =>
      Object.fromEntries(names.map((name, i) => [name, [`10.${net}.${i >> 8}.${i & 255}`]]));
    const server = await startDnsServer(zone(1), { ttl: 0 });
    const supervisor = new BackendSupervisor({
      log: { info: () => {}, warn: () => {} } as never,
      onEndpoints: () => {},
    });
    cleanUp(() => supervisor.close());
    const backends: ConfigInput['backends'] = Object.fromEntries(
      names.map((name, i) => [`b${i}`, { url: `http://${name}` }]),
    );
    const input: ConfigInput = {
      backends,
      routes: [{ name: 'all', split: {} }],
      health: { enabled: false },
      resolver: { ...QUICK, maxTtl: '1s', nameservers: [server.address] },
    };
    supervisor.apply(configSchema.parse(input));
    const nets = () =>
      new Set(
        supervisor
          .endpoints()
          .map(({ endpoints }) => endpoints.map(({ address }) => address.split('.')[1]).join()),
      );
    const states = () => new Set(supervisor.status().map(({ resolution }) => resolution.state));
    await waitFor('all names', () => [...states()].join() === 'resolved');
    for (let round = 1; round <= 3; round++) {
      if (round === 2) server.stop();
      else await server.kill();
      await waitFor('all names to be stale', () => [...states()].join() === 'stale', 20_000);
      assert.deepEqual([...nets()], [String(round)]);
      if (round === 2) server.resume();
      else await server.start();
      await server.serve(zone(round + 1));
      await waitFor('all changes', () => [...nets()].join() === String(round + 1), 20_000);
      assert.deepEqual([...states()], ['resolved']);
    }
  });
});

describe('a DNS server that is replaced (haproxy#2654, #591)', () => {
  test('by another process at the same address is asked without a restart', async () => {
    const server = await startDnsServer({ [NAME]: ['127.0.0.1'] }, { ttl: 0 });
    const { port } = await listenOn('127.0.0.1');
    await listenOn('127.0.0.2', port);
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address)));
    await server.kill();
    await server.serve({ [NAME]: ['127.0.0.2'] });
    await server.start();
    await proxy.waitFor(
      'the other address',
      async () => (await endpointsUp(proxy)).join() === `127.0.0.2:${port}`,
    );
  });

  test('in resolv.conf is found there without a restart', async () => {
    const asked = async (conf: string, resolve: () => Promise<unknown>) => {
      const resolution = (await resolve()) as { detail?: string };
      return resolution.detail?.includes(`asked ${conf}`) ?? false;
    };
    const { resolver, resolvConf } = makeResolver(QUICK, { resolvConf: 'nameserver 127.77.0.3\n' });
    const resolve = () => resolver.resolve(plain('web.test'));
    assert.ok(await asked('127.77.0.3', resolve));
    writeFileSync(resolvConf, 'nameserver 127.77.0.4\n');
    await waitFor('the new server', () => asked('127.77.0.4', resolve));
  });
});

describe('an answer that does not fit a datagram (haproxy#1421, #185, #1305)', () => {
  const many = Array.from({ length: 120 }, (_, i) => `127.1.0.${i + 1}`);

  test('comes whole over TCP', async () => {
    const server = await startDnsServer({ [NAME]: many });
    const proxy = await startPointsman(
      oneBackend('http://web:9', { ...overDns(server.address), health: { enabled: false } }),
    );
    assert.equal((await resolutionOf(proxy)).reason, '120 addresses');
  });

  test('and cannot come over TCP is said in the status to lack TCP', async () => {
    const double = await startDnsDouble(({ transport }) => (transport === 'udp' ? { truncated: true } : {}), {
      tcp: false,
    });
    const proxy = await startPointsman(oneBackend('http://web.test.:9', overDns(double.address)));
    const { state, reason } = await resolutionOf(proxy);
    assert.equal(state, 'failed');
    assert.match(
      reason,
      /does not fit a datagram, and over TCP the DNS server cannot be reached: connection refused/,
    );
  });
});

describe('TTLs, hold and the number of questions (haproxy#239, #1694, #573, #2503, #1920)', () => {
  test('one name of four backends is asked for once per TTL, and for no family that is not needed', async () => {
    const double = await startDnsDouble(({ type, name }) =>
      type === 'A' && name === NAME ? { answers: [{ a: '127.0.0.1', ttl: 3_600 }] } : { rcode: 'NXDOMAIN' },
    );
    const { port } = await listenOn('127.0.0.1');
    const backends = Object.fromEntries(
      ['a', 'b', 'c', 'd'].map((name, i) => [name, { url: `http://web:${port}${i === 0 ? '/' : ''}` }]),
    );
    const proxy = await startPointsman({
      backends,
      routes: [{ name: 'all', split: { a: 1, b: 1, c: 1, d: 1 } }],
      ...overDns(double.address, { minTtl: '1s', maxTtl: '1h' }),
    });
    for (let i = 0; i < 20; i++) assert.equal((await send(proxy.trafficPort)).status, 200);
    await proxy.reload({
      backends: { ...backends, e: { url: `http://WEB:${port}` } },
      routes: [{ name: 'all', split: { a: 1, e: 1 } }],
      ...overDns(double.address, { minTtl: '1s', maxTtl: '1h' }),
    });
    assert.deepEqual(
      double.questions.map(({ name, type }) => `${name} ${type}`),
      [`${NAME} A`],
    );
    assert.equal((await resolutionOf(proxy)).ttlMs, 3_600_000);
  });

  test('hold gives addresses up after the time and the kind of failure that it names, and the status says so', async () => {
    const server = await startDnsServer({ [NAME]: ['127.0.0.1'] }, { ttl: 0 });
    const { port } = await listenOn('127.0.0.1');
    const proxy = await startPointsman(
      oneBackend(`http://web:${port}`, overDns(server.address, { hold: { notFound: '300ms' } })),
    );
    await server.kill();
    await proxy.waitFor('stale', async () => (await resolutionOf(proxy)).state === 'stale');
    // Another kind of failure, whose hold is forever.
    await proxy.waitFor('more than that time', async () => {
      const { since } = await resolutionOf(proxy);
      return Date.now() - Date.parse(since) > 600;
    });
    assert.equal((await send(proxy.trafficPort)).status, 200);
    await server.serve({});
    await server.start();
    await proxy.waitFor('failed', async () => (await resolutionOf(proxy)).state === 'failed');
    assert.match(
      (await resolutionOf(proxy)).reason,
      /^no such name .*; the last addresses were given up after 300ms \(resolver\.hold\.notFound\)$/,
    );
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'no_endpoint');
    await server.serve({ [NAME]: ['127.0.0.1'] });
    await proxy.waitFor('an answer', async () => (await send(proxy.trafficPort)).status === 200);
  });
});

describe('search domains and trailing dots (haproxy#1421, #1528, kind#1564)', () => {
  test('work as in the pod: the short names of the table that this replaces, and absolute ones', async () => {
    const service = 'user-resource-service-canary';
    const server = await startDnsServer({ [`${service}.shop.svc.cluster.local`]: ['127.0.0.1'] });
    const { resolver } = makeResolver(
      { ...QUICK, nameservers: [server.address] },
      {
        resolvConf:
          'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n',
      },
    );
    const spellings = [
      service,
      `${service}.shop`,
      `${service}.shop.svc`,
      `${service}.shop.svc.cluster.local`,
      `${service}.shop.svc.cluster.local.`,
    ];
    for (const host of spellings) {
      assert.deepEqual(addressesOf(await resolver.resolve(plain(host))), ['127.0.0.1'], host);
    }
  });
});

describe('states that say nothing (haproxy#486, #628, #791)', () => {
  test('DNS, checks and the operator are told apart, each with its reason and since when', async () => {
    const server = await startDnsServer({ [NAME]: ['127.0.0.1', '127.0.0.2', '127.0.0.3'] }, { ttl: 0 });
    const { port } = await listenOn('127.0.0.1');
    const second = await listenOn('127.0.0.2', port);
    await listenOn('127.0.0.3', port);
    const proxy = await startPointsman({
      backends: { web: { url: `http://web:${port}`, drain: ['127.0.0.3'] } },
      routes: [{ name: 'all', split: { web: 1 } }],
      ...overDns(server.address),
    });
    await server.kill();
    second.close();
    const endpoints = await proxy.waitFor('both to be seen', async () => {
      const [backend] = (await proxy.status()).backends;
      const isDown = backend!.endpoints.some(({ health }) => health === 'down');
      return isDown && backend!.resolution.state === 'stale' ? backend!.endpoints : undefined;
    });
    const told = endpoints.map(({ endpoint, health, admin, dns }) =>
      [endpoint.split(':')[0], health, admin.state, dns.state].join(' '),
    );
    assert.deepEqual(told, [
      '127.0.0.1 up ready stale',
      '127.0.0.2 down ready stale',
      '127.0.0.3 up drain stale',
    ]);
    for (const { reason, since, admin, dns } of endpoints) {
      assert.match(dns.reason, /no DNS server listens/);
      for (const at of [since, admin.since, dns.since]) assert.ok(Date.parse(at) <= Date.now());
      assert.ok(reason.length > 0 && admin.reason.length > 0);
    }
    assert.match(endpoints[1]!.reason, /connection refused/);
  });
});
