/** The resolver against servers that no real one can be told to be. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { MAX_TARGETS } from '../../../src/backends/resolver.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { type DnsReply, startDnsDouble } from '../../support/dns-double.ts';
import { addressesOf, against, makeResolver, plain, QUICK, reasonOf } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { inTime, pause, waitFor } from '../../support/wait-for.ts';

describe('a DNS server that misbehaves', () => {
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
