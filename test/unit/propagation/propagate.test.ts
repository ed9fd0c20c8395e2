import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compilePropagation, givenBucket, propagatedFields } from '../../../src/propagation/propagate.ts';
import { peerAt, policyOf } from '../../support/forward-policy.ts';
import { HEAD_READERS, type HeadReader } from '../../support/head-readers.ts';

const standardPolicy = policyOf({ propagate: {} });
const plainPolicy = policyOf({ propagate: { baggage: false, bucket: 'X-Canary-Bucket' } });
const standard = standardPolicy.propagation!;
const plain = plainPolicy.propagation!;

const withBaggage =
  (read: HeadReader) =>
  (headers: readonly string[], policy = standardPolicy) => {
    const { passed, request } = read(headers, policy, peerAt(true));
    return { passed, baggage: request.baggage };
  };
const READERS = { fast: withBaggage(HEAD_READERS.fast), full: withBaggage(HEAD_READERS.full) };

describe('a decision in the fields of a request', () => {
  it('is nothing unless it is asked for', () => {
    assert.equal(compilePropagation(undefined), undefined);
    const sent = ['X-Pointsman-Bucket', '3', 'baggage', 'a=b'];
    for (const read of Object.values(READERS)) {
      const { passed, baggage } = read(sent, policyOf());
      assert.ok(passed.join().includes(sent.join()));
      assert.equal(baggage, undefined);
    }
  });

  it('names the route, the bucket and both as baggage', () => {
    assert.deepEqual(propagatedFields(standard, undefined, 'free', 431), [
      ...['X-Pointsman-Route', 'free', 'X-Pointsman-Bucket', '431'],
      ...['baggage', 'pointsman.route=free,pointsman.bucket=431'],
    ]);
  });

  it('has no bucket where the request has none, and no baggage where none is wanted', () => {
    assert.deepEqual(propagatedFields(plain, undefined, 'free', -1), ['X-Pointsman-Route', 'free']);
    assert.deepEqual(propagatedFields(standard, undefined, 'free', -1).slice(-2), [
      'baggage',
      'pointsman.route=free',
    ]);
  });

  for (const [lane, read] of Object.entries(READERS)) {
    it(`replaces what came in, in any case of the names, and keeps the baggage of others in order (${lane} lane)`, () => {
      const { passed, baggage } = read([
        ...['x-pointsman-bucket', '1', 'X-POINTSMAN-ROUTE', 'internal', 'Baggage', 'user=4711;secret , a=b'],
        ...['Accept', '*/*', 'baggage', 'pointsman.bucket=7;x, pointsman.route = internal,z=1'],
      ]);
      assert.deepEqual(passed.slice(0, 4), ['Host', 'a', 'Accept', '*/*']);
      assert.doesNotMatch(passed.join(), /pointsman-|baggage/i);
      assert.equal(
        propagatedFields(standard, baggage, 'free', 431).at(-1),
        'pointsman.route=free,pointsman.bucket=431,user=4711;secret,a=b,z=1',
      );
    });

    it(`leaves baggage alone where it is not used (${lane} lane)`, () => {
      const { passed, baggage } = read(['baggage', 'pointsman.bucket=7'], plainPolicy);
      assert.deepEqual(passed.slice(2, 4), ['baggage', 'pointsman.bucket=7']);
      assert.equal(baggage, undefined);
    });
  }

  it('bounds baggage to 64 members and 8192 bytes, and never loses its own', () => {
    const many = Array.from({ length: 5_000 }, (_, i) => `k${i}=v`).join(',');
    const list = propagatedFields(standard, many, 'free', 1).at(-1)!;
    assert.equal(list.split(',').length, 64);
    const long = propagatedFields(standard, `a=${'x'.repeat(9_000)},b=1`, 'free', 1).at(-1)!;
    assert.equal(long, 'pointsman.route=free,pointsman.bucket=1,b=1');
  });

  it('never passes on what came in of these fields, whatever else does', () => {
    const key = fc.constantFrom(
      'pointsman.bucket',
      'pointsman.route',
      'a',
      ' pointsman.bucket ',
      'pointsman',
    );
    const member = fc
      .tuple(key, fc.constantFrom('=666', '=666;p=1', ' = 666', '', '='))
      .map((parts) => parts.join(''));
    const field = fc.oneof(
      fc.tuple(
        fc.constantFrom('X-Pointsman-Bucket', 'x-pointsman-ROUTE', 'X-Other'),
        fc.constantFrom('666', '1'),
      ),
      fc.tuple(
        fc.constantFrom('baggage', 'BAGGAGE'),
        fc.array(member).map((list) => list.join(',')),
      ),
    );
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), fc.constantFrom('fast', 'full'), (list, lane) => {
        const { passed, baggage } = READERS[lane as keyof typeof READERS](list.flat());
        const fields = [...passed, ...propagatedFields(standard, baggage, 'free', 431)];
        const pairs = fields.flatMap((name, i) =>
          i % 2 === 0 ? [[name.toLowerCase(), fields[i + 1]!]] : [],
        );
        const of = (name: string) => pairs.filter(([one]) => one === name).map(([, value]) => value!);
        assert.deepEqual(of('x-pointsman-bucket'), ['431']);
        assert.deepEqual(of('x-pointsman-route'), ['free']);
        assert.equal(of('baggage').length, 1);
        const ours = of('baggage')[0]!
          .split(',')
          .filter((one) => /^\s*pointsman\.(bucket|route)\s*(=|;|$)/.test(one));
        assert.deepEqual(ours, ['pointsman.route=free', 'pointsman.bucket=431']);
      }),
    );
  });
});

describe('the bucket that a trusted peer gives', () => {
  it('is read from the field, else from baggage', () => {
    assert.equal(givenBucket(standard, ['Host', 'a', 'X-POINTSMAN-bucket', ' 431 ']), 431);
    assert.equal(givenBucket(standard, ['baggage', 'a=1, pointsman.bucket = 9999 ;p']), 9_999);
    assert.equal(givenBucket(standard, ['baggage', 'pointsman.bucket=7', 'X-Pointsman-Bucket', '0']), 0);
    assert.equal(givenBucket(plain, ['baggage', 'pointsman.bucket=7']), -1);
    assert.equal(givenBucket(plain, ['x-canary-bucket', '12']), 12);
    assert.equal(givenBucket(standard, ['Host', 'a']), -1);
  });

  it('is none when two differ or one is no bucket', () => {
    for (const value of ['', '10000', '-1', '+1', '1.0', '01', '1e3', ' ', '４', '1,1', '99999999999']) {
      assert.equal(givenBucket(standard, ['X-Pointsman-Bucket', value]), -1, JSON.stringify(value));
    }
    assert.equal(givenBucket(standard, ['X-Pointsman-Bucket', '1', 'x-pointsman-bucket', '2']), -1);
    assert.equal(givenBucket(standard, ['X-Pointsman-Bucket', '1', 'x-pointsman-bucket', '1']), 1);
  });

  it('is what was propagated, for every bucket, by field and by baggage', () => {
    for (let bucket = 0; bucket < 10_000; bucket++) {
      const fields = propagatedFields(standard, undefined, 'free', bucket);
      assert.equal(givenBucket(standard, fields), bucket);
      assert.equal(givenBucket(standard, fields.slice(-2)), bucket);
    }
  });
});
