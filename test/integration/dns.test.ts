/** Names of backends against a real DNS server, and against one that misbehaves. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/backends/clock.ts';
import type { Resolution } from '../../src/backends/resolution.ts';
import { DnsResolver, MAX_TARGETS } from '../../src/backends/resolver.ts';
import { BackendSupervisor } from '../../src/backends/supervisor.ts';
import { type ConfigInput, configSchema, type ResolverConfig } from '../../src/config/schema.ts';
import { cleanUp } from '../support/clean-up.ts';
import { oneBackend } from '../support/design-table.ts';
import { type DnsDouble, type DnsReply, startDnsDouble } from '../support/dns-double.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../support/pointsman-process.ts';
import { send } from '../support/request.ts';
import { inTime, pause, waitFor } from '../support/wait-for.ts';

const QUICK = { timeout: '300ms', attempts: 1, minTtl: '50ms', maxTtl: '500ms' } as const;

function resolverConfig(changes: NonNullable<ConfigInput['resolver']>): ResolverConfig {
  return configSchema.parse({ backends: {}, routes: [{ name: 'all', split: {} }], resolver: changes })
    .resolver;
}

/** A resolver over files of its own, so that this host's settings play no part. */
function makeResolver(
  changes: NonNullable<ConfigInput['resolver']>,
  files: { resolvConf?: string; hosts?: string } = {},
) {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-resolver-'));
  const resolvConf = path.join(directory, 'resolv.conf');
  const hosts = path.join(directory, 'hosts');
  writeFileSync(resolvConf, files.resolvConf ?? '');
  writeFileSync(hosts, files.hosts ?? '');
  const resolver = new DnsResolver({
    config: resolverConfig(changes),
    clock: systemClock,
    resolvConf,
    hosts,
  });
  cleanUp(() => {
    resolver.close();
    rmSync(directory, { recursive: true });
  });
  return { resolver, resolvConf, hosts };
}

const plain = (host: string) => ({ host, srv: false });

function addressesOf(resolution: Resolution): readonly string[] {
  assert.equal(resolution.kind, 'answer', JSON.stringify(resolution));
  return resolution.kind === 'answer' ? resolution.targets.map(({ address }) => address) : [];
}

function reasonOf(resolution: Resolution): string {
  assert.equal(resolution.kind, 'failure', JSON.stringify(resolution));
  return resolution.kind === 'failure' ? resolution.reason : '';
}

const POD_SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];

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
    const double = await startDnsDouble(() => ({ answers: [{ a: '10.0.0.1', ttl: 5 }] }), '::1');
    const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address] });
    assert.deepEqual(addressesOf(await resolver.resolve(plain('a.test'))), ['10.0.0.1']);
  });
});

describe('a DNS server that misbehaves', () => {
  /** A resolver whose only server answers by `answer`. */
  async function against(
    answer: DnsDouble['answer'],
    changes: NonNullable<ConfigInput['resolver']> = {},
  ): Promise<{ resolver: DnsResolver; double: DnsDouble }> {
    const double = await startDnsDouble(answer);
    const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address], ...changes });
    return { resolver, double };
  }

  test('every kind of failure has its reason, and names the server', async () => {
    const { resolver, double } = await against(() => 'silence', { minTtl: '1ms' });
    const replies: [DnsReply, string, RegExp][] = [
      [{ rcode: 'NXDOMAIN' }, 'notFound', /no such name \(NXDOMAIN\): x\.test/],
      [{}, 'noAddresses', /x\.test exists but has no address/],
      [{ rcode: 'SERVFAIL' }, 'serverFailure', /SERVFAIL.*asked 127\.0\.0\.1:/],
      [{ rcode: 'REFUSED' }, 'refused', /refused to answer.*asked 127\.0\.0\.1:/],
      [{ rcode: 'FORMERR' }, 'serverFailure', /FORMERR.*asked 127\.0\.0\.1:/],
      [
        { garbage: Buffer.from('this is not DNS at all') },
        'serverFailure',
        /sent no DNS message for x\.test.*asked/,
      ],
      ['silence', 'timeout', /no answer.*asked 127\.0\.0\.1:/],
    ];
    for (const [reply, reason, detail] of replies) {
      double.answer = () => reply;
      await waitFor(`${reason} for ${JSON.stringify(reply)}`, async () => {
        const resolution = await resolver.resolve(plain('x.test'));
        return (
          resolution.kind === 'failure' && resolution.reason === reason && detail.test(resolution.detail)
        );
      });
    }
  });

  test('a server that never answers costs attempts times timeout, however many search domains there are', async () => {
    const { resolver, double } = await against(() => 'silence', {
      timeout: '100ms',
      attempts: 2,
      search: Array.from({ length: 30 }, (_, i) => `d${i}.test`),
    });
    assert.equal(reasonOf(await inTime('the failure', resolver.resolve(plain('x')), 2_000)), 'timeout');
    assert.equal(new Set(double.questions.map(({ name }) => name)).size, 1);
  });

  test('a server that is slow for every candidate is cut off as a whole', async () => {
    const { resolver, double } = await against(
      async () => {
        await pause(80);
        return { rcode: 'NXDOMAIN' };
      },
      { timeout: '100ms', attempts: 1, search: Array.from({ length: 30 }, (_, i) => `d${i}.test`) },
    );
    const resolution = await inTime('the failure', resolver.resolve(plain('x')), 2_000);
    assert.equal(reasonOf(resolution), 'timeout');
    assert.ok(double.questions.length < 15, `${double.questions.length} questions`);
  });

  test('a truncated answer that never comes over TCP is a timeout', async () => {
    const { resolver } = await against(({ transport }) =>
      transport === 'udp' ? { truncated: true } : 'silence',
    );
    assert.equal(reasonOf(await inTime('the failure', resolver.resolve(plain('x.test')), 2_000)), 'timeout');
  });

  test('nobody at the port is said as such', async () => {
    const server = await startDnsServer({});
    await server.kill();
    const { resolver } = makeResolver({ ...QUICK, nameservers: [server.address] });
    const resolution = await resolver.resolve(plain('x.test'));
    assert.equal(reasonOf(resolution), 'other');
    assert.match(
      resolution.kind === 'failure' ? resolution.detail : '',
      /no DNS server listens.*asked 127\.0\.0\.1:/,
    );
  });

  test('of more addresses than can be used, always the same ones are', async () => {
    const addresses = Array.from({ length: 1_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    let turn = 0;
    const { resolver } = await against(({ transport }) => {
      if (transport === 'udp') return { truncated: true };
      turn += 333;
      const shuffled = [...addresses.slice(turn % 1_000), ...addresses.slice(0, turn % 1_000)];
      return { answers: shuffled.map((a) => ({ a, ttl: 5 })) };
    });
    const first = await resolver.resolve(plain('x.test'));
    assert.equal(addressesOf(first).length, MAX_TARGETS);
    assert.equal(first.kind === 'answer' && first.omitted, 1_000 - MAX_TARGETS);
    assert.deepEqual(await resolver.resolve(plain('x.test')), first);
  });

  test('a TTL of 0 or of 2^31 and more stays within the bounds', async () => {
    let ttl = 0;
    const { resolver } = await against(() => ({ answers: [{ a: '10.0.0.1', ttl }] }));
    for (ttl of [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      const resolution = await resolver.resolve(plain('x.test'));
      assert.equal(resolution.kind === 'answer' && resolution.ttlMs, ttl === 0 ? 50 : 500);
    }
  });

  test('CNAMEs are followed within the answer, and a loop of them ends', async () => {
    const { resolver, double } = await against(() => ({
      answers: [
        { cname: 'y.test', ttl: 5 },
        { name: 'y.test', a: '10.0.0.7', ttl: 5 },
      ],
    }));
    assert.deepEqual(addressesOf(await resolver.resolve(plain('x.test'))), ['10.0.0.7']);
    double.answer = () => ({
      answers: [
        { cname: 'y.test', ttl: 5 },
        { name: 'y.test', cname: 'x.test', ttl: 5 },
      ],
    });
    const loop = await resolver.resolve(plain('x.test'));
    assert.equal(reasonOf(loop), 'serverFailure');
    assert.match(JSON.stringify(loop), /the aliases of x\.test run in a circle: x\.test → y\.test → x\.test/);
  });

  test('0.0.0.0, which would be this very host, is no address', async () => {
    const { resolver } = await against(({ type }) =>
      type === 'A' ? { answers: [{ a: '0.0.0.0', ttl: 5 }] } : { answers: [{ aaaa: '::', ttl: 5 }] },
    );
    assert.equal(reasonOf(await resolver.resolve(plain('x.test'))), 'noAddresses');
  });

  test('one question is under way per name, and its answer is shared', async () => {
    const { resolver, double } = await against(() => ({ answers: [{ a: '10.0.0.1', ttl: 5 }] }));
    const all = await Promise.all(
      ['x.test', 'X.test', 'x.TEST'].map((name) => resolver.resolve(plain(name))),
    );
    assert.deepEqual(all.map(addressesOf), [['10.0.0.1'], ['10.0.0.1'], ['10.0.0.1']]);
    assert.equal(double.questions.length, 1);
  });

  test('a failure is kept briefly, and forgotten when resolv.conf changes', async () => {
    const double = await startDnsDouble(() => ({ rcode: 'NXDOMAIN' }));
    const { resolver, resolvConf } = makeResolver({
      ...QUICK,
      nameservers: [double.address],
      minTtl: '1h',
      maxTtl: '1h',
    });
    for (let i = 0; i < 5; i++) assert.equal(reasonOf(await resolver.resolve(plain('x.test'))), 'notFound');
    assert.equal(double.questions.length, 1);
    writeFileSync(resolvConf, 'search a.test\n');
    assert.equal(reasonOf(await resolver.resolve(plain('x.test'))), 'notFound');
    assert.equal(double.questions.length, 3);
  });

  test('each question leaves from a port of its own', async () => {
    // haproxy#2654: one socket for ever is cut off for ever when the server behind a ClusterIP is replaced.
    const ports = new Set<number>();
    const socket = createSocket('udp4');
    socket.on('message', (query, { port, address }) => {
      ports.add(port);
      const reply = Buffer.from(query);
      reply[2] = 0x85;
      reply[3] = 0x80;
      socket.send(reply, port, address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    cleanUp(() => socket.close());
    const { resolver } = makeResolver({ ...QUICK, nameservers: [`127.0.0.1:${socket.address().port}`] });
    for (const name of ['a.test', 'b.test', 'c.test', 'd.test']) await resolver.resolve(plain(name));
    assert.ok(ports.size >= 4, `${ports.size} ports`);
  });

  test('a search domain that fails does not hide the name behind it, nor move a name that was there', async () => {
    let first: DnsReply = { rcode: 'SERVFAIL' };
    const { resolver } = await against(
      ({ name }) => (name === 'x.one.test' ? first : { answers: [{ a: '10.0.0.2', ttl: 5 }] }),
      { search: ['one.test', 'two.test'], minTtl: '1ms' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(plain('x'))), ['10.0.0.2']);
    first = { answers: [{ a: '10.0.0.1', ttl: 5 }] };
    assert.deepEqual(addressesOf(await resolver.resolve(plain('x'))), ['10.0.0.1']);
    first = { rcode: 'SERVFAIL' };
    assert.equal(reasonOf(await resolver.resolve(plain('x'))), 'serverFailure');
    first = { rcode: 'NXDOMAIN' };
    await waitFor('the next candidate', async () => {
      const resolution = await resolver.resolve(plain('x'));
      return resolution.kind === 'answer' && resolution.targets[0]?.address === '10.0.0.2';
    });
  });

  test('with both families, one that fails keeps the addresses it had', async () => {
    let six: DnsReply = { answers: [{ aaaa: 'fd00::1', ttl: 5 }] };
    const { resolver } = await against(
      ({ type }) => (type === 'A' ? { answers: [{ a: '10.0.0.1', ttl: 5 }] } : six),
      { family: 'both' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(plain('x.test'))), ['10.0.0.1', 'fd00::1']);
    for (six of [{ rcode: 'SERVFAIL' }, 'silence'] satisfies DnsReply[]) {
      assert.deepEqual(addressesOf(await resolver.resolve(plain('x.test'))), ['10.0.0.1', 'fd00::1']);
    }
    six = {};
    assert.deepEqual(addressesOf(await resolver.resolve(plain('x.test'))), ['10.0.0.1']);
  });

  test('a server that fails for A does not turn a name over to AAAA', async () => {
    const { resolver } = await against(({ type }) =>
      type === 'A' ? { rcode: 'SERVFAIL' } : { answers: [{ aaaa: 'fd00::1', ttl: 5 }] },
    );
    assert.equal(reasonOf(await resolver.resolve(plain('x.test'))), 'serverFailure');
  });
});

describe('backends over a real DNS server', () => {
  function supervise(nameserver: string, backends: ConfigInput['backends']) {
    const lines: { message: string; [field: string]: unknown }[] = [];
    const write = (fields: object, message: string) => {
      lines.push({ message, ...fields });
    };
    const supervisor = new BackendSupervisor({
      log: { info: write, warn: write } as never,
      onEndpoints: () => {},
    });
    cleanUp(() => supervisor.close());
    supervisor.apply(
      configSchema.parse({
        backends,
        routes: [{ name: 'all', split: {} }],
        health: { enabled: false },
        resolver: { ...QUICK, nameservers: [nameserver], search: ['shop.test'] },
      }),
    );
    const addresses = () => supervisor.endpoints()[0]!.endpoints.map(({ address }) => address);
    const resolution = () => supervisor.status()[0]!.resolution;
    return { supervisor, lines, addresses, resolution };
  }

  test('addresses that change in DNS change here', async () => {
    const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2', '127.0.0.3'] }, { ttl: 0 });
    const { supervisor, addresses, lines } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    assert.deepEqual(addresses(), ['127.0.0.2', '127.0.0.3']);
    await server.serve({ 'web.shop.test': ['127.0.0.3', '127.0.0.4'] });
    await waitFor('the new addresses', () => addresses().join() === '127.0.0.3,127.0.0.4');
    assert.ok(lines.some(({ message }) => message === 'addresses changed'));
  });

  for (const [how, stop, resume] of [
    ['hangs', 'stop', 'resume'],
    ['is gone', 'kill', 'start'],
  ] as const) {
    test(`a server that ${how} takes no address away, and the next good answer counts again`, async () => {
      const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2'] }, { ttl: 0 });
      const { supervisor, addresses, resolution, lines } = supervise(server.address, {
        web: { url: 'http://web' },
      });
      await supervisor.whenSettled();
      await server[stop]();
      await waitFor('the name to be stale', () => resolution().state === 'stale');
      assert.deepEqual(addresses(), ['127.0.0.2']);
      assert.match(resolution().reason, how === 'hangs' ? /no answer/ : /no DNS server listens/);
      await server[resume]();
      await waitFor('the name to resolve', () => resolution().state === 'resolved');
      assert.deepEqual(addresses(), ['127.0.0.2']);
      const states = lines
        .filter(({ message }) => message.startsWith('name '))
        .map(({ from, to }) => `${from} ${to}`);
      assert.deepEqual(states, ['pending resolved', 'resolved stale', 'stale resolved']);
    });
  }

  test('a name that is deleted keeps its addresses, since health decides on them', async () => {
    const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2'] }, { ttl: 0 });
    const { supervisor, addresses, resolution } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    await server.serve({});
    await waitFor('the name to be stale', () => resolution().state === 'stale');
    assert.deepEqual(addresses(), ['127.0.0.2']);
    assert.match(resolution().reason, /NXDOMAIN/);
  });

  test('a name that appears later comes up', async () => {
    const server = await startDnsServer({}, { ttl: 0 });
    const { supervisor, addresses, resolution } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    assert.equal(resolution().state, 'failed');
    assert.deepEqual(addresses(), []);
    await server.serve({ 'web.shop.test': ['127.0.0.2'] });
    await waitFor('the name to resolve', () => resolution().state === 'resolved');
    assert.deepEqual(addresses(), ['127.0.0.2']);
  });
});

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

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
}
