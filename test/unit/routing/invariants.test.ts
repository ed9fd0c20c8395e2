/** Promises to groups hold for every decision, whatever pins, failures and weights set by hand say. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { decide } from '../../../src/routing/decide.ts';
import { requestFacts } from '../../../src/routing/described-request.ts';
import { guardedRoute, withWeights } from '../../../src/routing/guard.ts';
import { groupClassOf } from '../../../src/routing/invariants.ts';
import type { Route } from '../../../src/routing/route.ts';
import { routeRequest } from '../../../src/routing/route-request.ts';
import { drawAtRandom, everyBackend, newRotation } from '../../../src/routing/split.ts';
import { designTable, facts } from './table.ts';

const PROMISES: ConfigInput['invariants'] = [
  { never: { group: 'ENTERPRISE', backend: ['internal', 'canary', 'paid'] } },
  { maxShare: { group: 'FREE', backend: 'canary', percent: 10 } },
];

const table = designTable({ invariants: PROMISES });

function shareOf(
  route: Route,
  backend: string,
  requests: number,
  usable = everyBackend as (i: number) => boolean,
): number {
  const rotation = newRotation(route.split.shares, 0.5);
  let there = 0;
  for (let i = 0; i < requests; i++) {
    const { index } = decide(route, undefined, undefined, usable, rotation);
    if (route.split.names[index] === backend) there++;
  }
  return there / requests;
}

describe('a group that must never meet a backend', () => {
  it('does not, by pins, buckets, weights set by hand, spill or retries, whichever backends are down', () => {
    const all = designTable({
      invariants: PROMISES,
      routes: [
        {
          name: 'enterprise',
          match: { group: 'ENTERPRISE' },
          split: { canary: 0, paid: 0, internal: 0, production: 1 },
          pin: 'user',
          rollback: { canary: 'drain' },
        },
        { name: 'rest', split: { production: 1 } },
      ],
    });
    const classOf = groupClassOf(all.groups, { group: 'enterprise', groups: undefined });
    const weight = fc.nat(100);
    fc.assert(
      fc.property(
        fc.option(fc.record({ canary: weight, paid: weight, internal: weight, production: weight })),
        fc.option(fc.string({ minLength: 1 })),
        fc.option(fc.constantFrom('canary', 'paid', 'internal', 'production')),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (override, user, remembered, up, random) => {
          const plain = override === null ? all.routes[0]! : withWeights(all, all.routes[0]!, override);
          const route = guardedRoute(plain, classOf);
          const usable = (index: number) => up[index]!;
          const rotation = newRotation(route.split.shares, random);
          const { index } = decide(route, user ?? undefined, remembered ?? undefined, usable, rotation);
          assert.ok(index === -1 || route.split.names[index] === 'production');
          const retried = drawAtRandom(route.split.weights, random, usable);
          assert.ok(retried === -1 || route.split.names[retried] === 'production');
        },
      ),
    );
  });

  it('is known also among several groups of one request, with the promises of each', () => {
    const several = designTable({ invariants: PROMISES, ambiguousGroup: 'any' });
    const route = routeRequest(several, facts({ group: 'free', groups: ['free', 'enterprise'] }));
    assert.equal(route.name, 'free');
    for (let i = 0; i < 200; i++) {
      const { index } = decide(route, `user-${i}`, 'canary', everyBackend, undefined);
      assert.equal(route.split.names[index], 'production');
    }
    const internal = routeRequest(several, facts({ group: 'internal', groups: ['internal', 'enterprise'] }));
    assert.equal(decide(internal, undefined, undefined, everyBackend, newRotation([1], 0)).index, -1);
  });

  it('is known behind a quote that is not closed', () => {
    const any = designTable({ invariants: PROMISES, ambiguousGroup: 'any' });
    const lines = fc.stringMatching(/^[a-z ,]{0,6}$/);
    fc.assert(
      fc.property(lines, fc.constantFrom('"', '"x', '"x\\"', '"a,b","'), lines, (before, open, between) => {
        const value = `${before.replaceAll(' ', '')}${open}${between},ENTERPRISE`;
        const request = requestFacts(any, [`X-Traffic-Group: ${value}`], []);
        assert.ok(typeof request === 'object');
        const route = routeRequest(any, request);
        for (const user of [undefined, 'user-1']) {
          const { index } = decide(route, user, 'canary', everyBackend, newRotation(route.split.shares, 0.5));
          assert.ok(index === -1 || route.split.names[index] === 'production', value);
        }
        assert.match(String(requestFacts(table, [`X-Traffic-Group: ${value}`], [])), /several groups/);
      }),
    );
  });

  it('leaves the row of everybody else as it is', () => {
    assert.equal(routeRequest(table, facts({ group: 'internal' })), table.routes[0]);
    assert.equal(routeRequest(table, facts({ group: '' })), table.routes[3]);
  });
});

describe('a group of which a backend gets a bounded share', () => {
  const free = routeRequest(table, facts({ group: 'free' }));
  const index = (name: string) => free.split.names.indexOf(name);
  const users = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);
  const shareOfUsers = (
    route: Route,
    remembered: string | undefined,
    usable = everyBackend as (i: number) => boolean,
  ) =>
    users.filter((user) => {
      const decision = decide(route, user, remembered, usable, undefined);
      return route.split.names[decision.index] === 'canary';
    }).length / users.length;

  it('has the share of the weights while that is below', () => {
    assert.equal(shareOf(free, 'canary', 1_000), 0.05);
    assert.ok(Math.abs(shareOfUsers(free, undefined) - 0.05) < 0.005);
  });

  it('keeps as many remembered users there as are within the bound, those of the weights first', () => {
    const share = shareOfUsers(free, 'canary');
    assert.ok(Math.abs(share - 0.1) < 0.007, `${share}`);
    for (const user of users.slice(0, 2_000)) {
      const own = decide(free, user, undefined, everyBackend, undefined);
      const kept = decide(free, user, 'canary', everyBackend, undefined);
      if (own.index === index('canary')) assert.equal(kept.index, index('canary'));
    }
  });

  it('does not take over what others spill: the rest is refused rather than the promise broken', () => {
    const canaryOnly = (i: number) => i === index('canary');
    assert.equal(shareOf(free, 'canary', 1_000, canaryOnly), 0.05);
    assert.ok(Math.abs(shareOfUsers(free, undefined, canaryOnly) - 0.05) < 0.005);
    assert.ok(
      shareOfUsers(free, 'production', canaryOnly) < 0.055,
      'only those whose bucket is there anyway',
    );
    assert.equal(drawAtRandom(free.split.weights, 0.5, canaryOnly), -1);
  });

  it('cuts weights set by hand to the bound', () => {
    const classOf = groupClassOf(table.groups, { group: 'free', groups: undefined });
    fc.assert(
      fc.property(fc.nat(1_000), fc.integer({ min: 1, max: 1_000 }), (canary, production) => {
        const forced = guardedRoute(withWeights(table, table.routes[1]!, { canary, production }), classOf);
        const [a, b] = [forced.split.shares[index('canary')]!, forced.split.shares[index('production')]!];
        assert.ok(a / (a + b) <= 0.1 + 1e-9);
        if (canary / (canary + production) <= 0.1) assert.equal(a, canary);
      }),
    );
    const only = guardedRoute(withWeights(table, table.routes[1]!, { canary: 1 }), classOf);
    assert.equal(decide(only, 'u', undefined, everyBackend, undefined).index, -1);
  });

  it('holds for several bounded backends at once, whatever the weights', () => {
    const two = designTable({
      invariants: [
        { maxShare: { group: '*', backend: 'canary', percent: 10 } },
        { maxShare: { group: '*', backend: 'paid', percent: 20 } },
      ],
      routes: [{ name: 'all', split: { canary: 1, paid: 1, production: 8 } }],
    });
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(1_000), fc.nat(1_000), (canary, paid, production) => {
        const route = guardedRoute(
          withWeights(two, two.routes[0]!, { canary, paid, production }),
          two.groups.none,
        );
        const [a, b, c] = route.split.shares as [number, number, number];
        const total = a + b + c;
        if (total === 0) return;
        assert.ok(a / total <= 0.1 + 1e-9 && b / total <= 0.2 + 1e-9);
      }),
    );
  });
});

describe('weights that an operator sets', () => {
  const free = table.routes[1]!;
  it('come before the pin: a backend that gets nothing keeps nobody', () => {
    const off = withWeights(table, free, { production: 1 });
    for (const user of ['a', 'b', 'c']) {
      const { index, source } = decide(off, user, 'canary', everyBackend, undefined);
      assert.equal(off.split.names[index], 'production');
      assert.equal(source, 'bucket');
    }
  });

  it('leave a remembered user where both have a weight', () => {
    const half = withWeights(table, free, { canary: 50, production: 50 });
    assert.equal(decide(half, 'a', 'production', everyBackend, undefined).source, 'pin');
  });
});

describe('rolling back', () => {
  const rolled = (verb: 'drain' | 'evacuate', weight = 5) =>
    designTable({
      routes: [
        { name: 'all', split: { canary: weight, production: 95 }, pin: 'user', rollback: { canary: verb } },
      ],
    }).routes[0]!;

  it('lets nobody new in, by bucket or by weight, with either verb', () => {
    for (const verb of ['drain', 'evacuate'] as const) {
      const route = rolled(verb);
      assert.equal(shareOf(route, 'canary', 500), 0);
      for (let i = 0; i < 500; i++) {
        const { index } = decide(route, `user-${i}`, undefined, everyBackend, undefined);
        assert.equal(route.split.names[index], 'production');
      }
      assert.equal(
        drawAtRandom(route.split.weights, 0, (i) => i === 0),
        -1,
        'nor by spill',
      );
    }
  });

  it('keeps remembered users with drain, whatever the weight is now, and none with evacuate', () => {
    for (const weight of [5, 0]) {
      assert.equal(decide(rolled('drain', weight), 'u', 'canary', everyBackend, undefined).index, 0);
      assert.equal(decide(rolled('evacuate', weight), 'u', 'canary', everyBackend, undefined).index, 1);
    }
  });

  it('moves nobody but the users of that backend', () => {
    const before = designTable({
      routes: [{ name: 'all', split: { canary: 5, next: 5, production: 90 }, pin: 'user' }],
      backends: { canary: { url: 'http://a' }, next: { url: 'http://b' }, production: { url: 'http://c' } },
    }).routes[0]!;
    const after = designTable({
      routes: [
        {
          name: 'all',
          split: { canary: 5, next: 5, production: 90 },
          pin: 'user',
          rollback: { canary: 'evacuate' },
        },
      ],
      backends: { canary: { url: 'http://a' }, next: { url: 'http://b' }, production: { url: 'http://c' } },
    }).routes[0]!;
    for (let i = 0; i < 2_000; i++) {
      const from = before.split.names[decide(before, `u${i}`, undefined, everyBackend, undefined).index];
      const to = after.split.names[decide(after, `u${i}`, undefined, everyBackend, undefined).index];
      assert.equal(to, from === 'canary' ? 'production' : from);
    }
  });
});

describe('groups that no row names', () => {
  const unknown = designTable({ unknownGroup: 'enterprise' });

  it('go to the row for them; requests without a group and named groups do not', () => {
    const nameOf = (group: string, groups?: string[]) => routeRequest(unknown, facts({ group, groups })).name;
    assert.equal(nameOf('enterprise-eu'), 'enterprise');
    assert.equal(nameOf(''), 'paid');
    assert.equal(nameOf('free'), 'free');
    assert.equal(nameOf('what', ['what', 'ever']), 'enterprise');
    assert.equal(routeRequest(table, facts({ group: 'enterprise-eu' })).name, 'paid');
  });

  it('have the promises of the default group', () => {
    const promised = designTable({
      invariants: [{ never: { group: 'default', backend: 'canary' } }],
      routes: [
        { name: 'free', match: { group: 'FREE' }, split: { canary: 1 } },
        { name: 'rest', split: { canary: 0, production: 1 }, pin: 'user', rollback: { canary: 'drain' } },
      ],
    });
    for (const group of ['', 'typo']) {
      const route = routeRequest(promised, facts({ group }));
      assert.equal(
        route.split.names[decide(route, 'u', 'canary', everyBackend, undefined).index],
        'production',
      );
    }
    assert.equal(routeRequest(promised, facts({ group: 'free' })), promised.routes[0]);
  });
});
