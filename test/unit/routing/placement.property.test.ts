/** What a change of weights does to users, over random tables. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BUCKETS, type BucketLayout, backendOfUser, bucketOf, layOut } from '../../../src/routing/bucket.ts';
import { decide } from '../../../src/routing/decide.ts';
import { everyBackend } from '../../../src/routing/split.ts';
import { designTable } from './table.ts';

const SALT = 'shop';
const USERS = Array.from({ length: 4_000 }, (_, i) => `user-${i}`);

type Split = Readonly<Record<string, number>>;

/** The backend of every bucket, by name; of ranges, that is all there is to know. */
function ofBuckets(split: Split, main: string): string[] {
  const names = Object.keys(split);
  const layout = layOut(names, Object.values(split), names.indexOf(main));
  assert.equal(layout.kind, 'ranges');
  const buckets = new Array<string>(BUCKETS);
  for (const { index, from, to } of (layout as Extract<BucketLayout, { kind: 'ranges' }>).ranges) {
    for (let bucket = from; bucket < to; bucket++) {
      assert.equal(buckets[bucket], undefined, `bucket ${bucket} is in two ranges`);
      buckets[bucket] = names[index]!;
    }
  }
  for (let bucket = 0; bucket < BUCKETS; bucket++) assert.ok(buckets[bucket] !== undefined);
  return buckets;
}

function ofUsers(split: Split, main: string): string[] {
  const names = Object.keys(split);
  const weights = Object.values(split);
  const layout = layOut(names, weights, names.indexOf(main));
  return USERS.map((user) => {
    const index = backendOfUser(layout, bucketOf(SALT, user), SALT, user, names, weights, everyBackend);
    return names[index]!;
  });
}

function countOf(placed: readonly string[], name: string): number {
  return placed.filter((one) => one === name).length;
}

function moves(before: readonly string[], after: readonly string[]): string[] {
  return before.flatMap((from, i) => (from === after[i] ? [] : [`${from}>${after[i]}`]));
}

const weight = fc.integer({ min: 0, max: 1_000 });
const some = fc.integer({ min: 1, max: 1_000 });

/** A table with a main backend that has a weight, and so many canaries. */
const splitOf = (canaries: readonly string[]) =>
  fc.tuple(some, ...canaries.map(() => weight)).map(
    ([main, ...rest]): Split => ({
      ...Object.fromEntries(canaries.map((name, i) => [name, rest[i]!])),
      main,
    }),
  );

describe('buckets of random tables with up to two canaries', () => {
  const split = fc.constantFrom([], ['a'], ['a', 'b']).chain(splitOf);

  it('cover 0–9999 once, give each backend its share to one bucket, and nothing to a weight of 0', () => {
    fc.assert(
      fc.property(split, (table) => {
        const placed = ofBuckets(table, 'main');
        const total = Object.values(table).reduce((sum, one) => sum + one, 0);
        for (const [name, one] of Object.entries(table)) {
          const buckets = countOf(placed, name);
          if (one === 0) assert.equal(buckets, 0, `${name} has no weight`);
          assert.ok(Math.abs(buckets - (one / total) * BUCKETS) <= 1, `${name}: ${buckets}`);
        }
      }),
    );
  });

  it('are the same whatever the order in the file and the scale of the weights', () => {
    fc.assert(
      fc.property(split, fc.integer({ min: 2, max: 50 }), (table, factor) => {
        const placed = ofBuckets(table, 'main');
        const scaled = Object.fromEntries(Object.entries(table).map(([name, one]) => [name, one * factor]));
        assert.deepEqual(ofBuckets(scaled, 'main'), placed);
        assert.deepEqual(ofBuckets(Object.fromEntries(Object.entries(table).reverse()), 'main'), placed);
      }),
    );
  });

  it('move by just the buckets by which shares change, and never from canary to canary, also when the sum changes', () => {
    fc.assert(
      fc.property(splitOf(['a', 'b']), splitOf(['a', 'b']), (first, second) => {
        const before = ofBuckets(first, 'main');
        const after = ofBuckets(second, 'main');
        const moved = moves(before, after);
        const total = (table: Split) => Object.values(table).reduce((sum, one) => sum + one, 0);
        // Where one canary takes over the very ground of the other there is no way around.
        const apart =
          first['a']! / total(first) + second['b']! / total(second) <= 1 &&
          second['a']! / total(second) + first['b']! / total(first) <= 1;
        if (!apart) return;
        assert.ok(!moved.includes('a>b') && !moved.includes('b>a'));
        let least = 0;
        for (const name of ['a', 'b']) least += Math.abs(countOf(before, name) - countOf(after, name));
        assert.equal(moved.length, least);
      }),
    );
  });

  it('only gain users for a canary whose weight is raised, and lose none of them', () => {
    fc.assert(
      fc.property(splitOf(['a', 'b']), some, fc.constantFrom('a', 'b'), (table, more, raised) => {
        const before = ofBuckets(table, 'main');
        const after = ofBuckets({ ...table, [raised]: table[raised]! + more }, 'main');
        for (let bucket = 0; bucket < BUCKETS; bucket++) {
          if (before[bucket] === raised)
            assert.equal(after[bucket], raised, `bucket ${bucket} left ${raised}`);
        }
      }),
    );
  });

  it('leave the other canary alone while its own share stays', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 20 }),
        (a, b, more) => {
          const before = ofBuckets({ a, b, main: 100 - a - b }, 'main');
          const moved = moves(before, ofBuckets({ a: a + more, b, main: 100 - a - b - more }, 'main'));
          assert.deepEqual(new Set(moved), new Set(['main>a']));
          assert.equal(moved.length, more * 100);
        },
      ),
    );
  });

  it('move users to and from the changed backend alone when there is one canary, whatever the sum', () => {
    fc.assert(
      fc.property(some, some, some, (a, main, next) => {
        const before = ofBuckets({ a, main }, 'main');
        const moved = moves(before, ofBuckets({ a: next, main }, 'main'));
        for (const move of moved) assert.equal(move, next > a ? 'main>a' : 'a>main');
      }),
    );
  });
});

describe('weighted rendezvous beyond three backends', () => {
  const split = fc.constantFrom(['a', 'b', 'c'], ['a', 'b', 'c', 'd', 'e']).chain(splitOf);
  const runs = { numRuns: 25 };

  it('moves users to a raised backend alone, and from a lowered one alone, whatever the sum', () => {
    fc.assert(
      fc.property(split, some, fc.nat(5), (table, more, which) => {
        const name = Object.keys(table)[which % Object.keys(table).length]!;
        const before = ofUsers(table, 'main');
        const after = ofUsers({ ...table, [name]: table[name]! + more }, 'main');
        for (const move of moves(before, after)) assert.ok(move.endsWith(`>${name}`), move);
      }),
      runs,
    );
  });

  it('is the same whatever order and scale, follows the weights, and gives nothing to a weight of 0', () => {
    fc.assert(
      fc.property(split, fc.integer({ min: 2, max: 50 }), (table, factor) => {
        const placed = ofUsers(table, 'main');
        const scaled = Object.fromEntries(Object.entries(table).map(([name, one]) => [name, one * factor]));
        assert.deepEqual(ofUsers(scaled, 'main'), placed);
        assert.deepEqual(ofUsers(Object.fromEntries(Object.entries(table).reverse()), 'main'), placed);
        const total = Object.values(table).reduce((sum, one) => sum + one, 0);
        for (const [name, one] of Object.entries(table)) {
          const share = countOf(placed, name) / USERS.length;
          if (one === 0) assert.equal(share, 0);
          // Five standard deviations of the draw of these users.
          const spread = 5 * Math.sqrt(((one / total) * (1 - one / total)) / USERS.length);
          assert.ok(Math.abs(share - one / total) <= spread + 1e-9, `${name}: ${share} of ${one / total}`);
        }
      }),
      runs,
    );
  });
});

describe('the hash of users', () => {
  const IDS = 200_000;
  let seed = 1;
  const hex = (digits: number) => {
    let text = '';
    while (text.length < digits) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      text += seed.toString(16).padStart(8, '0');
    }
    return text.slice(0, digits);
  };
  const kinds: Readonly<Record<string, (i: number) => string>> = {
    'consecutive numbers': (i) => String(i),
    'numbers with zeros in front': (i) => String(i).padStart(12, '0'),
    UUIDs: () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    'addresses of mail': (i) => `first.last${i}@mail${i % 7}.example`,
    'names that differ in their last letter': (i) =>
      `tenant-${Math.floor(i / 26)}-${String.fromCharCode(97 + (i % 26))}`,
  };

  for (const [kind, idOf] of Object.entries(kinds)) {
    it(`spreads ${kind} evenly over the buckets`, () => {
      const counts = new Float64Array(1_000);
      for (let i = 0; i < IDS; i++) counts[Math.floor(bucketOf(SALT, idOf(i)) / 10)]!++;
      const expected = IDS / counts.length;
      const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      // 999 degrees of freedom: above 1 143 once in a thousand for a uniform hash. Ids are fixed, so this is no gamble.
      assert.ok(chi2 < 1_143, `chi² ${chi2}`);
    });
  }

  it('is independent between salts: the canaries of two services share the users that chance gives them', () => {
    const of = (salt: string) => Array.from({ length: IDS }, (_, i) => bucketOf(salt, `user-${i}`) < 500);
    const services = ['account', 'billing', 'billinh', 'account2'].map(of);
    for (const [i, one] of services.entries()) {
      for (const other of services.slice(i + 1)) {
        const both = one.filter((canary, user) => canary && other[user]).length / IDS;
        assert.ok(Math.abs(both - 0.0025) < 0.0006, `${both}`);
      }
    }
  });

  it('chooses the same users wherever the salt is the same', () => {
    for (const user of USERS.slice(0, 200))
      assert.equal(bucketOf('one release', user), bucketOf('one release', user));
    assert.notDeepEqual(
      USERS.map((user) => bucketOf('one release', user)),
      USERS.map((user) => bucketOf('another', user)),
    );
  });
});

describe('a rollout from 0 to 100 %', () => {
  for (const names of [
    ['canary', 'production'],
    ['stable', 'v2'],
  ] as const) {
    it(`moves users from ${names.join(' and ')} to the new one alone, step by step, past half and to the end`, () => {
      const [first, second] = names;
      const fresh = first === 'canary' ? first : second;
      const placed = [0, 5, 10, 25, 50, 75, 99, 100].map((percent) => {
        const table = designTable({
          backends: { [first]: { url: 'http://127.0.0.1:1' }, [second]: { url: 'http://127.0.0.1:2' } },
          routes: [
            {
              name: 'all',
              split: Object.fromEntries(
                names.map((name) => [name, name === fresh ? percent : 100 - percent]),
              ),
              pin: 'user',
            },
          ],
        });
        return USERS.map((user) => {
          const route = table.routes[0]!;
          return route.split.names[decide(route, user, undefined, everyBackend, undefined).index]!;
        });
      });
      assert.equal(countOf(placed[0]!, fresh), 0);
      assert.equal(countOf(placed.at(-1)!, fresh), USERS.length);
      for (const [step, before] of placed.slice(0, -1).entries()) {
        for (const move of moves(before, placed[step + 1]!)) assert.ok(move.endsWith(`>${fresh}`), move);
      }
    });
  }
});

describe('the order of canaries', () => {
  it('is by name, so that a second one sorted behind leaves the first where it is, and one sorted before swaps ends', () => {
    const alone = ofBuckets({ m: 5, main: 95 }, 'main');
    const behind = ofBuckets({ m: 5, z: 5, main: 90 }, 'main');
    assert.deepEqual(new Set(moves(alone, behind)), new Set(['main>z']));
    const before = ofBuckets({ a: 5, m: 5, main: 90 }, 'main');
    assert.deepEqual(new Set(moves(alone, before)), new Set(['m>a', 'main>m']));
  });

  it('counts canaries without a weight, so that giving them one moves nobody between the others', () => {
    const parked = ofBuckets({ a: 0, m: 5, main: 95 }, 'main');
    const raised = ofBuckets({ a: 5, m: 5, main: 90 }, 'main');
    assert.deepEqual(new Set(moves(parked, raised)), new Set(['main>a']));
  });
});
