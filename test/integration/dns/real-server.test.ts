/** The resolver against dnsmasq. */

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { startDnsDouble } from '../../support/dns-double.ts';
import { addressesOf, makeResolver, POD_SEARCH, plain, QUICK, reasonOf } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';

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

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
}
