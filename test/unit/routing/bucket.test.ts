import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BUCKETS, backendOfUser, bucketOf, layOut, murmur3 } from '../../../src/routing/bucket.ts';
import { everyBackend } from '../../../src/routing/split.ts';

const USERS = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);

function placeAll(split: Readonly<Record<string, number>>, main?: string): string[] {
  const names = Object.keys(split);
  const weights = Object.values(split);
  const mainIndex = main === undefined ? weights.indexOf(Math.max(...weights)) : names.indexOf(main);
  const layout = layOut(names, weights, mainIndex);
  return USERS.map((user) => {
    const bucket = bucketOf('svc', user);
    return names[backendOfUser(layout, bucket, 'svc', user, names, weights, everyBackend)]!;
  });
}

function moved(before: readonly string[], after: readonly string[]): Map<string, number> {
  const moves = new Map<string, number>();
  before.forEach((from, i) => {
    if (from !== after[i]) moves.set(`${from}>${after[i]}`, (moves.get(`${from}>${after[i]}`) ?? 0) + 1);
  });
  return moves;
}

describe('the hash', () => {
  it('is MurmurHash3 x86 32: the published vectors', () => {
    assert.equal(murmur3('', 0), 0);
    assert.equal(murmur3('', 1), 0x514e28b7);
    assert.equal(murmur3('test', 0), 0xba6bd213);
    assert.equal(murmur3('test', 0x9747b28c), 0x704b81dc);
    assert.equal(murmur3('Hello, world!', 0), 0xc0363e43);
    assert.equal(murmur3('Hello, world!', 0x9747b28c), 0x24884cba);
    assert.equal(murmur3('The quick brown fox jumps over the lazy dog', 0x9747b28c), 0x2fa826cd);
    assert.equal(murmur3('ππππππππ', 0x9747b28c), 0xd58063c1);
  });

  it('spreads consecutive ids evenly over the buckets', () => {
    const counts = new Array<number>(100).fill(0);
    for (const user of USERS) counts[Math.floor(bucketOf('svc', user) / 100)]!++;
    const expected = USERS.length / 100;
    const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 99 degrees of freedom: above 148.2 only once in a thousand for a uniform hash.
    assert.ok(chi2 < 148.2, `chi² ${chi2}`);
  });

  it('chooses other users for another salt', () => {
    const canary = (salt: string) => new Set(USERS.filter((user) => bucketOf(salt, user) < 500));
    const a = canary('account');
    const both = [...canary('billing')].filter((user) => a.has(user)).length;
    assert.ok(both < USERS.length * 0.006, `${both} users are canaries of both`);
  });
});

describe('buckets of a split', () => {
  it('treats 5/95 and 50/950 as the same table, and the order of the backends as nothing', () => {
    const reference = placeAll({ canary: 5, production: 95 });
    assert.deepEqual(placeAll({ canary: 50, production: 950 }), reference);
    assert.deepEqual(placeAll({ production: 95, canary: 5 }), reference);
  });

  it('puts about 5 % of the users on a canary of 5', () => {
    const share =
      placeAll({ canary: 5, production: 95 }).filter((name) => name === 'canary').length / USERS.length;
    assert.ok(Math.abs(share - 0.05) < 0.005, `share ${share}`);
  });

  it('moves only users into the canary when its weight grows, exactly the share that it grows by', () => {
    const moves = moved(placeAll({ canary: 5, production: 95 }), placeAll({ canary: 10, production: 90 }));
    assert.deepEqual([...moves.keys()], ['production>canary']);
    assert.ok(Math.abs(moves.get('production>canary')! / USERS.length - 0.05) < 0.005);
  });

  it('leaves the second canary alone when the first grows', () => {
    const before = placeAll({ a: 5, b: 5, production: 90 });
    const after = placeAll({ a: 10, b: 5, production: 85 });
    assert.deepEqual([...moved(before, after).keys()], ['production>a']);
  });

  it('moves users to and from the changed backend alone, with any number of backends', () => {
    const before = placeAll({ a: 10, b: 10, c: 10, production: 70 });
    const after = placeAll({ a: 20, b: 10, c: 10, production: 70 });
    for (const move of moved(before, after).keys()) assert.match(move, />a$/);
  });

  it('covers all buckets without gap or overlap', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), fc.integer({ min: 1, max: 1000 }), (a, b, main) => {
        const layout = layOut(['a', 'b', 'm'], [a, b, main], 2);
        assert.equal(layout.kind, 'ranges');
        if (layout.kind !== 'ranges') return;
        let end = 0;
        for (const range of layout.ranges) {
          assert.equal(range.from, end);
          assert.ok(range.to >= range.from);
          end = range.to;
        }
        assert.equal(end, BUCKETS);
      }),
    );
  });

  it('sends the users of an unusable backend to usable ones, each always to the same', () => {
    const names = ['a', 'b', 'production'];
    const weights = [30, 30, 40];
    const layout = layOut(names, weights, 2);
    for (const user of USERS.slice(0, 500)) {
      const bucket = bucketOf('svc', user);
      const first = backendOfUser(layout, bucket, 'svc', user, names, weights, (i) => i !== 0);
      assert.notEqual(first, 0);
      assert.equal(
        backendOfUser(layout, bucket, 'svc', user, names, weights, (i) => i !== 0),
        first,
      );
      const own = backendOfUser(layout, bucket, 'svc', user, names, weights, everyBackend);
      if (own !== 0) assert.equal(first, own);
    }
  });
});
