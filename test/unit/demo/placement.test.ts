import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mixAt, UserCrowd } from '../../../src/demo/mix.ts';
import { ExpectedPins, expectedShares, placeUser } from '../../../src/demo/placement.ts';
import { bucketOf } from '../../../src/routing/bucket.ts';

const NONE = new Set<string>();
const SALT = 'account-service';
const BASE = { canary: 5, production: 95 };

/** Some user whose bucket lies in the range. */
function userIn(from: number, to: number): string {
  for (let i = 0; ; i++) {
    const bucket = bucketOf(SALT, `user-${i}`);
    if (bucket >= from && bucket < to) return `user-${i}`;
  }
}

describe('expected shares', () => {
  it('are the weights in proportion', () => {
    assert.deepEqual(expectedShares(BASE, NONE), { canary: 0.05, production: 0.95 });
    assert.deepEqual(expectedShares({ a: 1, b: 1, c: 2 }, NONE), { a: 0.25, b: 0.25, c: 0.5 });
  });

  it('go to the others of the split when a backend is down', () => {
    assert.deepEqual(expectedShares(BASE, new Set(['canary'])), { canary: 0, production: 1 });
    assert.deepEqual(expectedShares({ a: 1, b: 1, c: 2 }, new Set(['c'])), { a: 0.5, b: 0.5, c: 0 });
    assert.deepEqual(expectedShares(BASE, new Set(['canary', 'production'])), { canary: 0, production: 0 });
  });
});

describe('expected places of users', () => {
  it('are those of their buckets', () => {
    assert.equal(placeUser(SALT, userIn(0, 500), BASE, NONE), 'canary');
    assert.equal(placeUser(SALT, userIn(500, 10_000), BASE, NONE), 'production');
    assert.equal(placeUser(SALT, userIn(0, 500), BASE, new Set(['canary'])), 'production');
    assert.equal(placeUser(SALT, userIn(0, 500), BASE, new Set(['canary', 'production'])), undefined);
  });

  it('stay where the user was first seen when weights change, while new users follow the new ones', () => {
    const pins = new ExpectedPins(SALT);
    const user = userIn(500, 2_500);
    assert.equal(pins.expect(user, BASE, NONE), 'production');
    assert.equal(pins.expect(user, { canary: 25, production: 75 }, NONE), 'production');
    assert.equal(
      new ExpectedPins(SALT).expect(user, { canary: 25, production: 75 }, NONE),
      'canary',
      'as a new user',
    );
  });

  it('move away while the backend is down, and back, also for a user first seen then', () => {
    const pins = new ExpectedPins(SALT);
    const user = userIn(0, 500);
    assert.equal(pins.expect(user, BASE, new Set(['canary'])), 'production');
    assert.equal(pins.expect(user, BASE, NONE), 'canary');
    assert.deepEqual(pins.counts(), { canary: 1 });
  });

  it('are found anew when the remembered backend has no weight any more', () => {
    const pins = new ExpectedPins(SALT);
    const user = userIn(0, 500);
    assert.equal(pins.expect(user, BASE, NONE), 'canary');
    assert.equal(pins.expect(user, { canary: 0, production: 100 }, NONE), 'production');
    assert.equal(pins.expect(user, BASE, NONE), 'production', 'rewritten');
  });
});

describe('the traffic mix', () => {
  it('has all four groups, in any case, with and without users', () => {
    const cycle = Array.from({ length: 10 }, (_, n) => mixAt(n));
    assert.deepEqual(new Set(cycle.map(({ route }) => route)).size, 4);
    assert.ok(new Set(cycle.filter(({ route }) => route === 'free').map(({ group }) => group)).size > 1);
    for (const route of ['free', 'paid']) {
      const own = cycle.filter((entry) => entry.route === route);
      assert.equal(own.filter(({ withUser }) => withUser).length * 2, own.length);
    }
    assert.ok(cycle.every(({ route, group }) => (group === undefined) === (route === 'paid')));
  });

  it('brings no new user while it must not', () => {
    const crowd = new UserCrowd('free');
    assert.equal(crowd.next(false), undefined);
    const first = crowd.next(true);
    assert.equal(crowd.next(false), first);
    assert.equal(crowd.size, 1);
  });

  it('brings back every user in turn while new ones come, and others after a renewal', () => {
    const crowd = new UserCrowd('free');
    const seen = new Map<string, number>();
    for (let n = 0; n < 1_000; n++) {
      const user = crowd.next(true)!;
      seen.set(user, (seen.get(user) ?? 0) + 1);
    }
    assert.equal(seen.size, crowd.size);
    assert.ok(crowd.size > 300 && crowd.size < 500);
    assert.ok([...seen.values()].filter((times) => times > 1).length > 200);
    crowd.renew();
    for (let n = 0; n < 300; n++) assert.ok(!seen.has(crowd.next(true)!));
  });
});
