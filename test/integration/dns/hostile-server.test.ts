/** Answers that are wrong on purpose: each is bounded in time and memory, and leaves a reason. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { describe, test } from 'node:test';
import { systemClock } from '../../../src/backends/clock.ts';
import { DnsClient } from '../../../src/backends/dns/client.ts';
import { MAX_TARGETS } from '../../../src/backends/resolver.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { type DnsRecord, type DnsReply, startDnsDouble } from '../../support/dns-double.ts';
import {
  addressesOf,
  against,
  failureOf,
  hasIpv6,
  makeResolver,
  plain,
  QUICK,
  service,
  targetsOf,
  ttlOf,
} from '../../support/dns-resolver.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const good: DnsReply = { answers: [{ a: '10.0.0.1', ttl: 5 }] };
const X = plain('x.test');

describe('what does not answer the question', () => {
  const forged: readonly (readonly [what: string, reply: DnsReply])[] = [
    ['the id of another question', { ...good, id: 0, answers: [{ a: '10.6.6.6', ttl: 5 }] }],
    ['another question', { question: 'evil.test', answers: [{ a: '10.6.6.6', ttl: 5 }] }],
    ['a datagram of 3 bytes', { bytes: Buffer.from([0, 1, 2]) }],
    ['an empty datagram', { bytes: Buffer.alloc(0) }],
  ];

  for (const [what, reply] of forged) {
    test(`${what} is ignored; the answer behind it counts`, async () => {
      const { resolver } = await against(({ id }) => [
        'id' in (reply as object) ? { ...(reply as object), id: (id + 1) & 0xffff } : reply,
        good,
      ]);
      assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
    });
  }

  test('is counted in the reason when nothing else comes', async () => {
    const { resolver } = await against(() => [
      { ...good, question: 'evil.test' },
      { ...good, question: 'evil.test' },
    ]);
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'timeout');
    assert.match(
      detail,
      /^no answer for x\.test \(A\), only 2 to other questions \(asked 127\.0\.0\.1:\d+\)$/,
    );
  });

  test('in a flood ends the wait for that server', async () => {
    const flood = Array.from({ length: 120 }, (): DnsReply => ({ ...good, question: 'evil.test' }));
    const { resolver } = await against(() => flood, { timeout: '30s' });
    const { reason, detail } = failureOf(await inTime('the end of the flood', resolver.resolve(X)));
    assert.equal(reason, 'serverFailure');
    assert.match(detail, /sent 100 answers to other questions for x\.test \(A\)/);
  });

  test('from another port than that of the server is never seen', async () => {
    const stranger = createSocket('udp4');
    cleanUp(() => stranger.close());
    await new Promise<void>((resolve) => stranger.bind(0, '127.0.0.1', resolve));
    let strange = 0;
    const { resolver, double } = await against(async ({ from, id }) => {
      const forgery = await forgedAnswer(id);
      await new Promise((resolve) => stranger.send(forgery, from, '127.0.0.1', resolve));
      strange++;
      return 'silence' as const;
    });
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'timeout');
    assert.doesNotMatch(detail, /other questions/);
    assert.equal(strange, double.questions.length);
  });

  async function forgedAnswer(id: number): Promise<Buffer> {
    const { encode } = await import('dns-packet');
    return encode({
      type: 'response',
      id,
      questions: [{ name: 'x.test', type: 'A' }],
      answers: [{ name: 'x.test', type: 'A', ttl: 5, data: '10.6.6.6' }],
    });
  }
});

describe('records that do not belong to the name', () => {
  test("another name's addresses beside its own are left out", async () => {
    const { resolver } = await against(() => ({
      answers: [
        { name: 'evil.test', a: '10.6.6.6', ttl: 5 },
        { a: '10.0.0.1', ttl: 5 },
      ],
    }));
    assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
  });

  test("another name's addresses alone are a failure that names it", async () => {
    const { resolver } = await against(() => ({ answers: [{ name: 'evil.test', a: '10.6.6.6', ttl: 5 }] }));
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'serverFailure');
    assert.match(detail, /^the DNS server answered for evil\.test when asked for x\.test \(A\) \(asked 127/);
  });

  test('an address that a SRV answer brings along for a host elsewhere is asked for instead', async () => {
    const { resolver, double } = await against(({ type }) =>
      type === 'SRV'
        ? {
            answers: [{ srv: { port: 80, target: 'host.elsewhere.test' }, ttl: 5 }],
            additionals: [{ name: 'host.elsewhere.test', a: '10.6.6.6', ttl: 5 }],
          }
        : good,
    );
    const resolution = await resolver.resolve(service('_http._tcp.x.test'));
    assert.deepEqual(targetsOf(resolution), ['10.0.0.1:80 0/0 host.elsewhere.test']);
    assert.deepEqual(
      double.questions.map(({ name, type }) => `${name} ${type}`),
      ['_http._tcp.x.test SRV', 'host.elsewhere.test A'],
    );
  });

  test('a SRV record whose host is the service itself, or whose hosts run in a circle, ends', async () => {
    const { resolver } = await against(({ type, name }) =>
      type === 'SRV'
        ? { answers: [{ srv: { port: 80, target: 'a.x.test' }, ttl: 5 }] }
        : {
            answers: [
              { cname: name === 'a.x.test' ? 'b.x.test' : 'a.x.test', ttl: 5 },
              { name: 'b.x.test', cname: 'a.x.test', ttl: 5 },
            ],
          },
    );
    const { reason, detail } = failureOf(await resolver.resolve(service('_http._tcp.x.test')));
    assert.equal(reason, 'serverFailure');
    assert.match(
      detail,
      /none of the 1 host of _http\._tcp\.x\.test has an address: the aliases of a\.x\.test run/,
    );
  });
});

describe('answers beyond all measure', () => {
  const thousand: DnsRecord[] = Array.from({ length: 1_000 }, (_, i) => ({
    a: `10.1.${i >> 8}.${i & 255}`,
    ttl: 5,
  }));

  test(`1,000 addresses in one datagram are cut to ${MAX_TARGETS}, and it is said how many are left out`, async () => {
    const { resolver } = await against(() => ({ answers: thousand }));
    const resolution = await resolver.resolve(X);
    assert.equal(addressesOf(resolution).length, MAX_TARGETS);
    assert.equal(resolution.kind === 'answer' && resolution.omitted, 1_000 - MAX_TARGETS);
  });

  test(`1,000 SRV records are cut to ${MAX_TARGETS} before their hosts are asked for`, async () => {
    const { resolver, double } = await against(({ type, transport }) => {
      if (type !== 'SRV') return good;
      if (transport === 'udp') return { truncated: true };
      const srv = (i: number) => ({ port: 1_000 + i, target: `h${i}.x.test` });
      return { answers: Array.from({ length: 1_000 }, (_, i) => ({ srv: srv(i), ttl: 5 })) };
    });
    const resolution = await resolver.resolve(service('_http._tcp.x.test'));
    assert.equal(targetsOf(resolution).length, MAX_TARGETS);
    assert.equal(resolution.kind === 'answer' && resolution.omitted, 1_000 - MAX_TARGETS);
    assert.equal(double.questions.filter(({ type }) => type === 'A').length, MAX_TARGETS);
  });

  test('a message of 64 KiB whose names lead through thousands of pointers is nonsense, and said to be', async () => {
    const name = Buffer.from('\u0001x\u0004test\u0000', 'latin1');
    const question = Buffer.concat([name, Buffer.from([0, 1, 0, 1])]);
    const pointers: number[] = [];
    let [at, target] = [12 + question.length + 12, 12];
    for (let i = 0; i < 8_000; i++, at += 2) {
      pointers.push(0xc0 | (target >> 8), target & 0xff);
      target = at;
    }
    const chain = Buffer.concat([
      Buffer.from([0xc0, 12, 0xff, 0, 0, 1, 0, 0, 0, 5, 0x3e, 0x80]),
      Buffer.from(pointers),
    ]);
    const record = Buffer.from([
      0xc0 | (target >> 8),
      target & 0xff,
      0,
      1,
      0,
      1,
      0,
      0,
      0,
      5,
      0,
      4,
      10,
      0,
      0,
      1,
    ]);
    const records = Array.from({ length: 3_000 }, () => record);
    const counts = Buffer.from([0x80, 0, 0, 1, 3_001 >> 8, 3_001 & 0xff, 0, 0, 0, 0]);
    const garbage = Buffer.concat([counts, question, chain, ...records]);
    assert.ok(garbage.length < 65_533);
    const { resolver } = await against(({ transport }) =>
      transport === 'udp' ? { truncated: true } : { garbage },
    );
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'serverFailure');
    assert.match(detail, /over TCP the DNS server sent no DNS message/);
  });

  test('a TTL of 0, of 2^31 or of a day stays between minTtl and maxTtl, also along aliases and hosts of SRV records', async () => {
    let ttl = 0;
    const { resolver } = await against(({ type, name }) => {
      if (type === 'SRV') return { answers: [{ srv: { port: 80, target: 'a.x.test' }, ttl: 86_400 }] };
      if (name === 'alias.test') {
        return {
          answers: [
            { cname: 'x.test', ttl },
            { name: 'x.test', a: '10.0.0.1', ttl: 86_400 },
          ],
        };
      }
      return { answers: [{ a: '10.0.0.1', ttl }] };
    });
    for (ttl of [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 86_400]) {
      for (const name of [X, plain('alias.test'), service('_http._tcp.x.test')]) {
        assert.equal(ttlOf(await resolver.resolve(name)), ttl === 0 ? 50 : 500);
      }
    }
  });
});

describe('TCP', () => {
  test('repeats what does not fit a datagram, of which 1232 bytes are asked for', async () => {
    const { resolver, double } = await against(({ transport }) =>
      transport === 'udp' ? { truncated: true } : good,
    );
    assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
    assert.deepEqual(
      double.questions.map(({ transport, payload }) => `${transport} ${payload}`),
      ['udp 1232', 'tcp 1232'],
    );
    assert.notEqual(double.questions[0]!.id, undefined);
  });

  test('takes an answer in single bytes', async () => {
    const { resolver } = await against(
      ({ transport }) => (transport === 'udp' ? { truncated: true } : { ...good, drip: 1 }),
      { timeout: '5s' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
  });

  test('does not wait for ever for an answer in single bytes: the timeout is for all of it', async () => {
    const { resolver } = await against(
      ({ transport }) => (transport === 'udp' ? { truncated: true } : { ...good, drip: 100 }),
      { timeout: '400ms' },
    );
    const { reason, detail } = failureOf(await inTime('the failure', resolver.resolve(X), 3_000));
    assert.equal(reason, 'timeout');
    assert.match(
      detail,
      /^the answer for x\.test \(A\) does not fit a datagram, and over TCP it does not come; is TCP to port 53 allowed\?/,
    );
  });

  const broken: readonly (readonly [what: string, reply: DnsReply, reason: string, detail: RegExp])[] = [
    ['that hangs up', 'hang up', 'serverFailure', /over TCP the DNS server closed the TCP connection before/],
    [
      'with another question',
      { ...good, question: 'evil.test' },
      'serverFailure',
      /answered another question over TCP/,
    ],
    [
      'with an answer that is truncated again',
      { truncated: true },
      'serverFailure',
      /is truncated even over TCP/,
    ],
    ['with garbage', { garbage: Buffer.from('nonsense') }, 'serverFailure', /sent no DNS message over TCP/],
    ['with SERVFAIL', { rcode: 'SERVFAIL' }, 'serverFailure', /SERVFAIL/],
  ];
  for (const [what, reply, expected, text] of broken) {
    test(`${what} is said to`, async () => {
      const { resolver } = await against(({ transport }) =>
        transport === 'udp' ? { truncated: true } : reply,
      );
      const { reason, detail } = failureOf(await resolver.resolve(X));
      assert.equal(reason, expected);
      assert.match(detail, text);
    });
  }

  test('that nobody listens on is said to be what is missing', async () => {
    const double = await startDnsDouble(() => ({ truncated: true }), { tcp: false });
    const { resolver } = makeResolver({ ...QUICK, nameservers: [double.address] });
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'other');
    assert.match(
      detail,
      /does not fit a datagram, and over TCP the DNS server cannot be reached: connection refused/,
    );
  });

  test('is used from the start with `options use-vc`', async () => {
    const double = await startDnsDouble(() => good);
    const { resolver } = makeResolver(
      { ...QUICK, nameservers: [double.address] },
      { resolvConf: 'options use-vc\n' },
    );
    assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
    assert.deepEqual(
      double.questions.map(({ transport }) => transport),
      ['tcp'],
    );
  });
});

describe('servers that fail', () => {
  test('that does not know EDNS is asked again without it', async () => {
    for (const rcode of ['FORMERR', 'NOTIMP'] as const) {
      const { resolver, double } = await against(({ payload }) => (payload === undefined ? good : { rcode }));
      assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
      assert.deepEqual(
        double.questions.map(({ payload }) => payload),
        [1232, undefined],
      );
    }
  });

  for (const [what, reply] of [
    ['SERVFAIL', { rcode: 'SERVFAIL' }],
    ['REFUSED', { rcode: 'REFUSED' }],
    ['garbage', { garbage: Buffer.from('nonsense') }],
    ['silence', 'silence'],
  ] as const) {
    test(`${what} of the first makes the second one answer`, async () => {
      const first = await startDnsDouble(() => reply);
      const second = await startDnsDouble(() => good);
      const { resolver } = makeResolver({ ...QUICK, nameservers: [first.address, second.address] });
      assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
      assert.equal(first.questions.length, 1);
    });
  }

  test('NXDOMAIN of the first is final, as with glibc', async () => {
    const first = await startDnsDouble(() => ({ rcode: 'NXDOMAIN' }));
    const second = await startDnsDouble(() => good);
    const { resolver } = makeResolver({ ...QUICK, nameservers: [first.address, second.address] });
    assert.equal(failureOf(await resolver.resolve(X)).reason, 'notFound');
    assert.equal(second.questions.length, 0);
  });

  test('the reason says what each of them said, and the worst of it counts', async () => {
    const first = await startDnsDouble(() => ({ rcode: 'REFUSED' }));
    const second = await startDnsDouble(() => 'silence');
    const { resolver } = makeResolver({
      ...QUICK,
      nameservers: [first.address, second.address],
      attempts: 2,
    });
    const { reason, detail } = failureOf(await resolver.resolve(X));
    assert.equal(reason, 'timeout');
    assert.equal(
      detail,
      `${first.address}: the DNS server refused to answer for x.test (A); ` +
        `${second.address}: no answer for x.test (A) (asked ${first.address}, ${second.address})`,
    );
    // Who refuses is asked once, who is silent as often as there are attempts.
    assert.deepEqual([first.questions.length, second.questions.length], [1, 2]);
  });

  test('a lost datagram is sent again, with another id and from another port', async () => {
    let seen = 0;
    const { resolver, double } = await against(() => (seen++ === 0 ? 'silence' : good), { attempts: 2 });
    assert.deepEqual(addressesOf(await resolver.resolve(X)), ['10.0.0.1']);
    const [first, second] = double.questions;
    assert.notEqual(first!.from, second!.from);
  });

  test('a dead first server slows the first question down, not every one', async () => {
    const dead = await startDnsDouble(() => 'silence');
    const alive = await startDnsDouble(() => good);
    const { resolver } = makeResolver({ ...QUICK, nameservers: [dead.address, alive.address] });
    for (const host of ['a.test', 'b.test', 'c.test']) await resolver.resolve(plain(host));
    assert.deepEqual([dead.questions.length, alive.questions.length], [1, 3]);
  });

  test('`options rotate` spreads the questions', async () => {
    const servers = await Promise.all([0, 1, 2].map(() => startDnsDouble(() => good)));
    const { resolver } = makeResolver(
      { ...QUICK, nameservers: servers.map(({ address }) => address) },
      { resolvConf: 'options rotate\n' },
    );
    for (let i = 0; i < 6; i++) await resolver.resolve(plain(`n${i}.test`));
    assert.deepEqual(
      servers.map(({ questions }) => questions.length),
      [2, 2, 2],
    );
  });

  test('ids are not in sequence, and ports differ', async () => {
    const { resolver, double } = await against(() => good);
    for (let i = 0; i < 40; i++) await resolver.resolve(plain(`n${i}.test`));
    const ids = double.questions.map(({ id }) => id);
    const steps = new Set(ids.slice(1).map((id, i) => (id - ids[i]! + 65_536) % 65_536));
    assert.ok(steps.size > 30, `${steps.size} distances`);
    assert.ok(new Set(double.questions.map(({ from }) => from)).size > 30);
  });

  test('a thousand names at once are all asked for, and share what they have in common', async () => {
    const { resolver, double } = await against(() => good, { timeout: '5s' });
    const names = Array.from({ length: 1_000 }, (_, i) => plain(`n${i}.test`));
    const all = await Promise.all([...names, ...names].map((name) => resolver.resolve(name)));
    assert.ok(all.every(({ kind }) => kind === 'answer'));
    assert.equal(double.questions.length, 1_000);
  });

  test('two services with the same host ask for it once at a time', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { resolver, double } = await against(
      async ({ type }) => {
        if (type === 'SRV') return { answers: [{ srv: { port: 80, target: 'host.test' }, ttl: 5 }] };
        await held;
        return good;
      },
      { timeout: '5s' },
    );
    const both = ['_a._tcp.x.test', '_b._tcp.x.test'].map((host) => resolver.resolve(service(host)));
    await waitFor('both SRV questions and the host', () => double.questions.length >= 3);
    release();
    for (const resolution of await Promise.all(both)) assert.equal(targetsOf(resolution).length, 1);
    assert.deepEqual(double.questions.map(({ name }) => name).toSorted(), [
      '_a._tcp.x.test',
      '_b._tcp.x.test',
      'host.test',
    ]);
  });

  test('a link-local server is asked in its scope, and one of a scope that is not here is said to be out of reach', {
    skip: hasIpv6() ? false : 'this host has no ::1',
  }, async () => {
    const double = await startDnsDouble(() => good, { host: '::1' });
    const client = new DnsClient(systemClock);
    cleanUp(() => client.close());
    const asked = async (address: string, scope: string) => {
      const port = Number(double.address.split(':').at(-1));
      const servers = [{ address, port, scope }];
      const plan = { servers, timeoutMs: 300, attempts: 1, rotate: false, tcp: false };
      return await client.ask({ name: 'x.test', type: 'A' }, plan);
    };
    assert.equal((await asked('::1', 'lo')).kind, 'records');
    const unknown = await asked('fe80::1', 'nosuch0');
    assert.equal(unknown.kind === 'failure' && unknown.reason, 'other');
    assert.match(
      unknown.kind === 'failure' ? unknown.detail : '',
      /x\.test \(A\) could not be asked for: .*\(asked \[fe80::1%nosuch0\]/,
    );
  });

  test('closing the resolver ends what is under way', async () => {
    const { resolver, double } = await against(() => 'silence', { timeout: '60s', attempts: 3 });
    const pending = resolver.resolve(X);
    await waitFor('the question', () => double.questions.length === 1);
    resolver.close();
    assert.equal((await inTime('the end', pending)).kind, 'failure');
    assert.equal(double.questions.length, 1);
  });
});
