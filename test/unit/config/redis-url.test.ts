import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseRedisUrl, type RedisAddress } from '../../../src/config/redis-url.ts';

function good(url: string): RedisAddress {
  const address = parseRedisUrl(url);
  assert.ok(typeof address !== 'string', `${url}: ${String(address)}`);
  return address;
}

describe('the URL of Redis', () => {
  it('names one server', () => {
    assert.deepEqual(good('redis://redis'), {
      kind: 'single',
      tls: false,
      nodes: [{ host: 'redis', port: 6379 }],
      master: '',
      db: 0,
      username: undefined,
      password: undefined,
    });
    const address = good('rediss://me:p%40ss%2F@[::1]:7000/3');
    assert.deepEqual([address.tls, address.db, address.username, address.password], [true, 3, 'me', 'p@ss/']);
    assert.deepEqual(address.nodes, [{ host: '::1', port: 7000 }]);
    assert.deepEqual([good('redis://:x@r/').username, good('redis://:x@r/').password], [undefined, 'x']);
  });

  it('names Sentinels and their master, or the nodes of a Cluster', () => {
    const sentinel = good('rediss+sentinel://:pw@a,b:7,10.0.0.1/main/2');
    assert.deepEqual(
      [sentinel.kind, sentinel.tls, sentinel.master, sentinel.db],
      ['sentinel', true, 'main', 2],
    );
    assert.deepEqual(
      sentinel.nodes.map(({ host, port }) => `${host}:${port}`),
      ['a:26379', 'b:7', '10.0.0.1:26379'],
    );
    assert.deepEqual(
      [good('redis+cluster://a,b').kind, good('redis+cluster://a,b').nodes.length],
      ['cluster', 2],
    );
  });

  it('is refused with a reason that shows nothing of it', () => {
    for (const url of [
      'redis://',
      'redis://geheim@',
      'redis://a,b',
      'redis://u:geheim@b@c',
      'redis://u:geheim/x@c',
      'redis://a:0',
      'redis://a:99999',
      'redis://a/x',
      'redis://a/1/2',
      'redis://a?password=geheim',
      'redis://:%zz@a',
      'redis+sentinel://a',
      'redis+sentinel://a/ma ster',
      'redis+cluster://a/1',
      'redis://ge heim',
      `redis+cluster://${'a,'.repeat(99)}a`,
    ]) {
      const problem = parseRedisUrl(url);
      assert.ok(typeof problem === 'string', url);
      assert.ok(!problem.includes('geheim') && !problem.includes('heim'), problem);
    }
  });

  it('brings any password through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (password) => {
        assert.equal(good(`redis://:${encodeURIComponent(password)}@r`).password, password);
      }),
    );
  });
});
