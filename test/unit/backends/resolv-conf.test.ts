import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  candidates,
  parseNameServer,
  parseResolvConf,
  serverLabel,
} from '../../../src/backends/resolv-conf.ts';

describe('parseResolvConf', () => {
  test('reads what Kubernetes writes into a pod', () => {
    const conf = parseResolvConf(
      'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n',
    );
    assert.deepEqual(conf, {
      nameservers: [{ address: '10.96.0.10', port: 53, scope: undefined }],
      search: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
      ndots: 5,
      timeoutMs: 5_000,
      attempts: 2,
      rotate: false,
      useTcp: false,
    });
  });

  test('an empty or missing file asks this host, as glibc does', () => {
    assert.deepEqual(parseResolvConf(''), {
      nameservers: [{ address: '127.0.0.1', port: 53, scope: undefined }],
      search: [],
      ndots: 1,
      timeoutMs: 5_000,
      attempts: 2,
      rotate: false,
      useTcp: false,
    });
  });

  test('takes at most three servers, IPv6 with a scope among them, and leaves out what is no address', () => {
    const { nameservers } = parseResolvConf(
      'nameserver dns.example\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n',
    );
    assert.deepEqual(nameservers, [
      { address: 'fe80::1', port: 53, scope: 'eth0' },
      { address: '2001:db8::53', port: 53, scope: undefined },
      { address: '1.1.1.1', port: 53, scope: undefined },
    ]);
  });

  test('of several search and domain lines the last one counts', () => {
    assert.deepEqual(parseResolvConf('search a.example b.example\ndomain c.example\n').search, ['c.example']);
    assert.deepEqual(parseResolvConf('domain c.example\nsearch a.example. b.example\n').search, [
      'a.example',
      'b.example',
    ]);
  });

  test('skips comments, blank lines and unknown words; tabs and CRLF separate as blanks do', () => {
    const conf = parseResolvConf(
      '# search wrong.example\r\n;nameserver 9.9.9.9\r\n\r\nsortlist 1.2.3.4\r\nnameserver\t10.0.0.1 # cluster\r\nsearch a.example ; old\r\n',
    );
    assert.deepEqual(
      conf.nameservers.map(({ address }) => address),
      ['10.0.0.1'],
    );
    assert.deepEqual(conf.search, ['a.example']);
  });

  test('options add up over lines, and stay within the caps of glibc', () => {
    const conf = parseResolvConf('options ndots:2 timeout:1\noptions attempts:3 rotate use-vc\n');
    assert.deepEqual([conf.ndots, conf.timeoutMs, conf.attempts], [2, 1_000, 3]);
    assert.deepEqual([conf.rotate, conf.useTcp], [true, true]);
    const wild = parseResolvConf('options ndots:99 timeout:600 attempts:77');
    assert.deepEqual([wild.ndots, wild.timeoutMs, wild.attempts], [15, 30_000, 5]);
    const none = parseResolvConf('options ndots:0 timeout:0 attempts:0');
    assert.deepEqual([none.ndots, none.timeoutMs, none.attempts], [0, 1_000, 1]);
    const broken = parseResolvConf('options ndots: timeout:x attempts:-1');
    assert.deepEqual([broken.ndots, broken.timeoutMs, broken.attempts], [1, 5_000, 2]);
  });

  test('survives any text within its bounds', () => {
    const line = fc.oneof(
      fc.string(),
      fc
        .tuple(fc.constantFrom('nameserver', 'search', 'options', 'domain'), fc.array(fc.string()))
        .map(([a, b]) => `${a} ${b.join(' ')}`),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const conf = parseResolvConf(lines.join('\n'));
        assert.ok(conf.nameservers.length >= 1 && conf.nameservers.length <= 3);
        assert.ok(conf.search.length <= 32);
        assert.ok(conf.ndots >= 0 && conf.ndots <= 15);
        assert.ok(conf.timeoutMs >= 1_000 && conf.timeoutMs <= 30_000);
        assert.ok(conf.attempts >= 1 && conf.attempts <= 5);
      }),
    );
  });
});

describe('parseNameServer', () => {
  test('takes addresses with and without port', () => {
    const of = (text: string) => {
      const server = parseNameServer(text);
      return server && `${server.address} ${server.port} ${server.scope}`;
    };
    assert.equal(of('10.0.0.10'), '10.0.0.10 53 undefined');
    assert.equal(of('10.0.0.10:5353'), '10.0.0.10 5353 undefined');
    assert.equal(of('fd00::a'), 'fd00::a 53 undefined');
    assert.equal(of('[fd00::a]'), 'fd00::a 53 undefined');
    assert.equal(of('[fd00::a]:5353'), 'fd00::a 5353 undefined');
    assert.equal(of('::ffff:10.0.0.1'), '::ffff:10.0.0.1 53 undefined');
  });

  test('refuses what is no address', () => {
    for (const text of ['', '1.2', '10.0.0.10:0', '10.0.0.10:65536', '[10.0.0.1', 'dns', ':53', '[::1]:x']) {
      assert.equal(parseNameServer(text), undefined, text);
    }
  });
});

test('a server is shown as it was written', () => {
  for (const text of ['10.0.0.10', '10.0.0.10:5353', 'fd00::a', '[fd00::a]:5353', 'fe80::1%eth0']) {
    assert.equal(serverLabel(parseNameServer(text)!), text);
  }
});

describe('candidates', () => {
  const pod = { search: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'], ndots: 5 };

  test('a short name goes through the search domains first', () => {
    assert.deepEqual(candidates('account-service-canary', pod), [
      'account-service-canary.shop.svc.cluster.local',
      'account-service-canary.svc.cluster.local',
      'account-service-canary.cluster.local',
      'account-service-canary',
    ]);
  });

  test('a trailing dot makes a name absolute', () => {
    assert.deepEqual(candidates('api.example.com.', pod), ['api.example.com']);
  });

  test('from ndots dots on a name is tried as it stands first', () => {
    assert.deepEqual(candidates('a.b', { search: ['x'], ndots: 1 }), ['a.b', 'a.b.x']);
    assert.deepEqual(candidates('a.b', { search: ['x'], ndots: 2 }), ['a.b.x', 'a.b']);
    assert.deepEqual(candidates('a', { search: ['x'], ndots: 0 }), ['a', 'a.x']);
  });

  test('names that are too long to exist are left out', () => {
    const long = `${'a'.repeat(60)}.`.repeat(4).slice(0, -1);
    assert.deepEqual(candidates(long, { search: ['shop.svc.cluster.local'], ndots: 5 }), [long]);
    assert.deepEqual(candidates('.', pod), []);
  });

  test('a search domain may end in a dot, and a dot alone is the root', () => {
    assert.deepEqual(candidates('web', { search: ['.'], ndots: 5 }), ['web']);
    assert.deepEqual(candidates('web', { search: ['shop.test.', '.', 'shop.test'], ndots: 5 }), [
      'web.shop.test',
      'web',
    ]);
  });

  test('agree with res_nsearch of glibc on any name and search list', () => {
    const label = fc.constantFrom('a', 'b', 'svc', 'cluster');
    const name = fc.array(label, { minLength: 1, maxLength: 7 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(
        name,
        fc.boolean(),
        fc.array(fc.oneof(name, fc.constant('')), { maxLength: 6 }),
        fc.integer({ min: 0, max: 15 }),
        (host, absolute, search, ndots) => {
          const asked = absolute ? `${host}.` : host;
          assert.deepEqual(candidates(asked, { search, ndots }), glibc(asked, search, ndots));
        },
      ),
    );
  });
});

/** res_nsearch of glibc 2.36 in its own order of steps, except that no name is asked for twice. */
function glibc(name: string, search: readonly string[], ndots: number): string[] {
  const queries: string[] = [];
  const query = (asked: string) => {
    if (!queries.includes(asked)) queries.push(asked);
  };
  let dots = 0;
  for (const character of name) if (character === '.') dots++;
  const trailingDot = name.at(-1) === '.';
  if (dots >= ndots || trailingDot) query(trailingDot ? name.slice(0, -1) : name);
  if (!trailingDot) {
    for (const domain of search) query(domain === '' ? name : `${name}.${domain}`);
    query(name);
  }
  return queries;
}
