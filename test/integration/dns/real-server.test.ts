/** The resolver against dnsmasq. */

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { startDnsDouble } from '../../support/dns-double.ts';
import {
  addressesOf,
  failureOf,
  hasIpv6,
  makeResolver,
  POD_SEARCH,
  plain,
  QUICK,
  reasonOf,
  service,
  targetsOf,
  ttlOf,
} from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('a real DNS server', () => {
  test('short names go through the search domains, whichever of them holds the name', async () => {
    const server = await startDnsServer({
      'canary.shop.svc.cluster.local': ['10.0.0.1'],
      'redis.data.svc.cluster.local': ['10.0.0.2'],
      'api.example.com': ['10.0.0.3'],
      'canary.cluster.local': ['10.9.9.9'],
    });
    const { resolver } = makeResolver({
      ...QUICK,
      nameservers: [server.address],
      search: POD_SEARCH,
      ndots: 5,
    });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('canary'))), ['10.0.0.1']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('redis.data'))), ['10.0.0.2']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('api.example.com'))), ['10.0.0.3']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('API.Example.COM'))), ['10.0.0.3']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('api.example.com.'))), ['10.0.0.3']);
    const absolute = await resolver.resolve(plain('canary.'));
    assert.equal(reasonOf(absolute), 'notFound');
  });

  test('a name that is found nowhere says where it was looked for', async () => {
    const server = await startDnsServer({});
    const { resolver } = makeResolver({
      ...QUICK,
      nameservers: [server.address],
      search: ['a.test', 'b.test'],
    });
    assert.deepEqual(await resolver.resolve(plain('typo')), {
      kind: 'failure',
      reason: 'notFound',
      detail: 'no such name (NXDOMAIN): typo.a.test, typo.b.test, typo',
    });
  });

  test('ipv4 takes A, and AAAA where there is no A; ipv6 the reverse; both takes both', async () => {
    const server = await startDnsServer({
      'dual.test': ['10.0.0.1', 'fd00::1'],
      'four.test': ['10.0.0.4'],
      'six.test': ['fd00::6'],
    });
    const expected = {
      ipv4: { dual: ['10.0.0.1'], four: ['10.0.0.4'], six: ['fd00::6'] },
      ipv6: { dual: ['fd00::1'], four: ['10.0.0.4'], six: ['fd00::6'] },
      both: { dual: ['10.0.0.1', 'fd00::1'], four: ['10.0.0.4'], six: ['fd00::6'] },
    };
    for (const family of ['ipv4', 'ipv6', 'both'] as const) {
      const { resolver } = makeResolver({ ...QUICK, nameservers: [server.address], family });
      for (const [name, addresses] of Object.entries(expected[family])) {
        assert.deepEqual(
          addressesOf(await resolver.resolve(plain(`${name}.test`))),
          addresses,
          `${family} ${name}`,
        );
      }
    }
  });

  test('an answer too large for a datagram comes whole, over TCP, and in a stable order', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `10.0.7.${i}`);
    const server = await startDnsServer({ 'many.test': many });
    const { resolver } = makeResolver({ ...QUICK, nameservers: [server.address] });
    const first = addressesOf(await resolver.resolve(plain('many.test')));
    assert.deepEqual(first, many.toSorted());
    assert.deepEqual(addressesOf(await resolver.resolve(plain('many.test'))), first);
  });

  test('the TTL is obeyed between minTtl and maxTtl', async () => {
    const server = await startDnsServer({ 'a.test': ['10.0.0.1'] }, { ttl: 7 });
    const ttlWith = async (minTtl: string, maxTtl: string) => {
      const { resolver } = makeResolver({ nameservers: [server.address], minTtl, maxTtl });
      const resolution = await resolver.resolve(plain('a.test'));
      return resolution.kind === 'answer' ? resolution.ttlMs : -1;
    };
    assert.equal(await ttlWith('1s', '30s'), 7_000);
    assert.equal(await ttlWith('10s', '30s'), 10_000);
    assert.equal(await ttlWith('1s', '5s'), 5_000);
  });

  test('resolv.conf gives servers, search domains and ndots, and its changes take effect at the next question', async () => {
    const server = await startDnsServer({ 'svc.one.test': ['10.0.0.1'], 'svc.two.test': ['10.0.0.2'] });
    // resolv.conf knows no ports, so the servers come from the configuration here.
    const { resolver, resolvConf } = makeResolver(
      { ...QUICK, nameservers: [server.address] },
      { resolvConf: 'nameserver 127.0.0.53\nsearch one.test\noptions ndots:2\n' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(plain('svc'))), ['10.0.0.1']);
    writeFileSync(resolvConf, 'nameserver 127.0.0.53\nsearch two.test\noptions ndots:2\n');
    assert.deepEqual(addressesOf(await resolver.resolve(plain('svc'))), ['10.0.0.2']);
  });

  test('the hosts file comes before DNS, in any case, and its changes take effect', async () => {
    const server = await startDnsServer({ 'legacy.test': ['10.0.0.1'] });
    const { resolver, hosts } = makeResolver(
      { ...QUICK, nameservers: [server.address] },
      { hosts: '10.5.5.5 Legacy.Test legacy\nfd00::5 legacy.test\n' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(plain('LEGACY.test'))), ['10.5.5.5']);
    writeFileSync(hosts, '10.6.6.6 legacy.test\n');
    assert.deepEqual(addressesOf(await resolver.resolve(plain('legacy.test'))), ['10.6.6.6']);
    rmSync(hosts);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('legacy.test'))), ['10.0.0.1']);
  });

  test('localhost and addresses are never asked for', async () => {
    const double = await startDnsDouble(() => ({ rcode: 'NXDOMAIN' }));
    const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address], search: ['a.test'] });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('localhost'))), ['127.0.0.1']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('10.1.2.3'))), ['10.1.2.3']);
    assert.deepEqual(addressesOf(await resolver.resolve(plain('fd00::1'))), ['fd00::1']);
    assert.equal(double.questions.length, 0);
  });

  test('a second server answers while the first one is dead', async () => {
    const server = await startDnsServer({ 'a.test': ['10.0.0.1'] });
    const silent = await startDnsDouble(() => 'silence');
    const { resolver } = makeResolver({ ...QUICK, nameservers: [silent.address, server.address] });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('a.test'))), ['10.0.0.1']);
  });

  test('a server on IPv6 is asked', { skip: hasIpv6() ? false : 'this host has no ::1' }, async () => {
    const double = await startDnsDouble(() => ({ answers: [{ a: '10.0.0.1', ttl: 5 }] }), { host: '::1' });
    const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address] });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('a.test'))), ['10.0.0.1']);
  });
});

describe('services of a real DNS server', () => {
  const zone = {
    '10-1-0-1.web.shop.svc.cluster.local': ['10.1.0.1'],
    '10-1-0-2.web.shop.svc.cluster.local': ['10.1.0.2'],
    'old.shop.svc.cluster.local': ['10.1.0.9'],
  };
  const name = '_http._tcp.web.shop.svc.cluster.local';

  test('SRV records tell ports, weights and priorities, and go through the search domains', async () => {
    const server = await startDnsServer(zone, {
      ttl: 7,
      services: [
        { name, target: '10-1-0-1.web.shop.svc.cluster.local', port: 8080, weight: 33 },
        { name, target: '10-1-0-2.web.shop.svc.cluster.local', port: 8081, weight: 66 },
        { name, target: 'old.shop.svc.cluster.local', port: 80, priority: 1, weight: 1 },
      ],
    });
    const { resolver } = makeResolver({
      nameservers: [server.address],
      search: POD_SEARCH,
      ndots: 5,
    });
    for (const host of [name, `${name}.`, '_http._tcp.web', '_HTTP._TCP.Web.Shop']) {
      const resolution = await resolver.resolve(service(host));
      assert.deepEqual(targetsOf(resolution), [
        '10.1.0.1:8080 0/33 10-1-0-1.web.shop.svc.cluster.local',
        '10.1.0.2:8081 0/66 10-1-0-2.web.shop.svc.cluster.local',
        '10.1.0.9:80 1/1 old.shop.svc.cluster.local',
      ]);
      assert.equal(ttlOf(resolution), 7_000);
    }
  });

  test('SRV records that change are followed, and a name without any says so', async () => {
    const records = (...ports: number[]) => ({
      services: ports.map((port) => ({ name, target: 'old.shop.svc.cluster.local', port })),
    });
    const server = await startDnsServer(zone, records(80, 81));
    const { resolver } = makeResolver({ ...QUICK, nameservers: [server.address] });
    const ports = async () => {
      const resolution = await resolver.resolve(service(name));
      return resolution.kind === 'answer' ? resolution.targets.map(({ port }) => port) : resolution;
    };
    assert.deepEqual(await ports(), [80, 81]);
    await server.serve(zone, records(81, 82));
    await waitFor('the new ports', async () => JSON.stringify(await ports()) === '[81,82]');
    const none = await resolver.resolve(service('old.shop.svc.cluster.local'));
    assert.equal(reasonOf(none), 'noAddresses');
    assert.match(failureOf(none).detail, /exists but has no SRV record/);
  });

  test('the hosts file speaks for hosts of SRV records too', async () => {
    const server = await startDnsServer({}, { services: [{ name, target: 'vm.corp.test', port: 80 }] });
    const { resolver } = makeResolver(
      { ...QUICK, nameservers: [server.address] },
      { hosts: '10.5.5.5 vm.corp.test\n' },
    );
    assert.deepEqual(targetsOf(await resolver.resolve(service(name))), ['10.5.5.5:80 0/0 vm.corp.test']);
  });

  test('a hundred endpoints come over TCP, in a stable order', async () => {
    const hosts = Array.from({ length: 100 }, (_, i) => `10-1-1-${i}.web.shop.svc.cluster.local`);
    const server = await startDnsServer(Object.fromEntries(hosts.map((host, i) => [host, [`10.1.1.${i}`]])), {
      services: hosts.map((target) => ({ name, target, port: 8080, weight: 1 })),
    });
    const { resolver } = makeResolver({ ...QUICK, nameservers: [server.address] });
    const first = targetsOf(await resolver.resolve(service(name)));
    assert.equal(first.length, 100);
    assert.deepEqual(targetsOf(await resolver.resolve(service(name))), first);
  });
});

describe('aliases of a real DNS server', () => {
  test('a CNAME, as of an ExternalName, stands for the addresses of its name', async () => {
    const server = await startDnsServer(
      { 'db.corp.test': ['10.2.0.1'] },
      { aliases: { 'db.shop.svc.cluster.local': 'alias.corp.test', 'alias.corp.test': 'db.corp.test' } },
    );
    const { resolver } = makeResolver({
      ...QUICK,
      nameservers: [server.address],
      search: POD_SEARCH,
      ndots: 5,
    });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('db'))), ['10.2.0.1']);
    await server.serve({ 'db.corp.test': ['10.2.0.2'] });
    await waitFor('the new address', async () => {
      const resolution = await resolver.resolve(plain('db'));
      return resolution.kind === 'answer' && resolution.targets[0]!.address === '10.2.0.2';
    });
  });
});

describe('several real DNS servers', () => {
  test('each name goes to the server of its most specific domain', async () => {
    const everywhere = ['web.shop.svc.cluster.local', 'db.corp.test', 'x.lab.corp.test', 'example.test'];
    const start = async (address: string) =>
      await startDnsServer(Object.fromEntries(everywhere.map((each) => [each, [address]])));
    const [cluster, corp, lab, upstream] = await Promise.all(
      ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map(start),
    );
    const { resolver } = makeResolver({
      ...QUICK,
      nameservers: [cluster!.address],
      stubDomains: { 'corp.test': [corp!.address], 'Lab.Corp.Test.': [lab!.address] },
      upstreamNameservers: [upstream!.address],
      search: POD_SEARCH,
      ndots: 5,
    });
    const found = async (host: string) => addressesOf(await resolver.resolve(plain(host)));
    assert.deepEqual(await found('web'), ['10.0.0.1']);
    assert.deepEqual(await found('db.corp.test'), ['10.0.0.2']);
    assert.deepEqual(await found('x.lab.corp.test.'), ['10.0.0.3']);
    assert.deepEqual(await found('example.test'), ['10.0.0.4']);
    await corp!.kill();
    assert.equal(reasonOf(await resolver.resolve(plain('db.corp.test.'))), 'other');
    assert.deepEqual(await found('web'), ['10.0.0.1']);
  });

  test('the servers of resolv.conf are asked for the cluster domain, and its changes take effect', async () => {
    // resolv.conf knows no ports, so that its servers are addresses of this host on which nobody listens at 53.
    const upstream = await startDnsServer({ 'example.test': ['10.0.0.4'] });
    const { resolver, resolvConf } = makeResolver(
      { ...QUICK, upstreamNameservers: [upstream.address] },
      { resolvConf: 'nameserver 127.77.0.1\n' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(plain('example.test'))), ['10.0.0.4']);
    const asked = async () => failureOf(await resolver.resolve(plain('web.cluster.local.'))).detail;
    assert.match(await asked(), /asked 127\.77\.0\.1\)/);
    writeFileSync(resolvConf, 'nameserver 127.77.0.2\n');
    await waitFor('the new server', async () => /asked 127\.77\.0\.2\)/.test(await asked()));
  });
});
