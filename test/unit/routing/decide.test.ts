import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bucketOf } from '../../../src/routing/bucket.ts';
import { decide } from '../../../src/routing/decide.ts';
import { explainRequest } from '../../../src/routing/explain.ts';
import { matchRoute } from '../../../src/routing/match.ts';
import { everyBackend, newRotation } from '../../../src/routing/split.ts';
import { designTable, facts } from './table.ts';

const table = designTable();
const routeOf = (group: string) => matchRoute(table, facts({ group }));
const nameOf = (group: string, index: number) => routeOf(group).split.names[index];

function userWith(test: (bucket: number) => boolean): string {
  for (let i = 0; ; i++) if (test(bucketOf('account-service', `u${i}`))) return `u${i}`;
}
const canaryUser = userWith((bucket) => bucket < 500);
const productionUser = userWith((bucket) => bucket >= 500);

describe('the decision', () => {
  it('never sends enterprise anywhere but to production, whoever asks', () => {
    const route = routeOf('enterprise');
    fc.assert(
      fc.property(fc.option(fc.string()), fc.option(fc.string()), (user, remembered) => {
        const rotation = newRotation(route.split.weights, 0);
        const { index } = decide(route, user ?? undefined, remembered ?? undefined, everyBackend, rotation);
        assert.equal(route.split.names[index], 'production');
      }),
    );
  });

  it('keeps a user on the backend of the bucket', () => {
    const free = routeOf('free');
    const first = decide(free, canaryUser, undefined, everyBackend, undefined);
    assert.equal(nameOf('free', first.index), 'canary');
    assert.equal(first.source, 'bucket');
    const second = decide(free, productionUser, undefined, everyBackend, undefined);
    assert.equal(nameOf('free', second.index), 'production');
  });

  it('honours a remembered backend against the bucket, while it is in the split with a weight', () => {
    const free = routeOf('free');
    const kept = decide(free, canaryUser, 'production', everyBackend, undefined);
    assert.equal(nameOf('free', kept.index), 'production');
    assert.equal(kept.source, 'pin');
    const gone = decide(free, canaryUser, 'paid', everyBackend, undefined);
    assert.equal(nameOf('free', gone.index), 'canary');
    assert.equal(gone.source, 'bucket');
  });

  it('passes over a backend without usable endpoints, and says which was wanted', () => {
    const free = routeOf('free');
    const canary = free.split.names.indexOf('canary');
    const spilled = decide(free, canaryUser, undefined, (i) => i !== canary, undefined);
    assert.equal(nameOf('free', spilled.index), 'production');
    assert.equal(spilled.wanted, canary);
    const pinned = decide(free, productionUser, 'canary', (i) => i !== canary, undefined);
    assert.equal(nameOf('free', pinned.index), 'production');
    assert.equal(pinned.wanted, canary);
    assert.equal(decide(free, canaryUser, undefined, () => false, undefined).index, -1);
  });

  it('counts where a draw would have gone, keeps the shares of the others exact, and resumes without a jump', () => {
    const paid = routeOf('paid');
    const { names, shares } = paid.split;
    const canary = names.indexOf('paid');
    const rotation = newRotation(shares, 0.3);
    const draw = (usable: (index: number) => boolean) => decide(paid, undefined, undefined, usable, rotation);
    const spilled = Array.from({ length: 200 }, () => draw((i) => i !== canary));
    assert.equal(spilled.filter(({ wanted }) => wanted === canary).length, 10);
    assert.ok(spilled.every(({ index }) => index !== canary));
    const back = Array.from({ length: 100 }, () => draw(everyBackend));
    assert.equal(back.filter(({ index }) => index === canary).length, 5);
    assert.ok(back.every(({ index, wanted }) => index === wanted));
  });

  it('gives the share of one backend to several others in proportion', () => {
    const { routes } = designTable({
      routes: [{ name: 'all', split: { internal: 20, canary: 50, production: 30 } }],
    });
    const { names, shares } = routes[0]!.split;
    const rotation = newRotation(shares, 0);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 500; i++) {
      const { index } = decide(routes[0]!, undefined, undefined, (at) => names[at] !== 'canary', rotation);
      counts[names[index]!] = (counts[names[index]!] ?? 0) + 1;
    }
    assert.deepEqual(counts, { internal: 200, production: 300 });
  });

  it('gives a backup backend nothing, neither by weight nor by bucket, until it alone is usable', () => {
    const { routes } = designTable({
      backends: {
        canary: { url: 'http://127.0.0.1:2' },
        production: { url: 'http://127.0.0.1:4' },
        standby: { url: 'http://127.0.0.1:5', backup: true },
      },
      routes: [{ name: 'all', split: { canary: 5, production: 45, standby: 950 }, pin: 'user' }],
    });
    const route = routes[0]!;
    const standby = route.split.names.indexOf('standby');
    const rotation = newRotation(route.split.shares, 0);
    for (let i = 0; i < 300; i++) {
      const user = i % 2 === 0 ? undefined : `u${i}`;
      const normal = decide(route, user, undefined, (at) => at !== standby, rotation);
      assert.ok(normal.wanted !== standby && normal.index === normal.wanted);
      assert.equal(decide(route, user, undefined, (at) => at === standby, rotation).index, standby);
    }
  });

  it('is the same in explain, for any group and user', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('internal', 'free', 'enterprise', 'paid', ''),
        fc.option(fc.string({ minLength: 1, maxLength: 40 }).filter((id) => id.trim() !== '')),
        (group, user) => {
          const request = facts({ group, rawHeaders: user === null ? [] : ['X-User-Id', user] });
          const explanation = explainRequest(table, request);
          const route = matchRoute(table, request);
          assert.equal(explanation.route, route.name);
          const decision = decide(route, user?.trim(), undefined, everyBackend, undefined);
          assert.equal(explanation.backend, decision.index === -1 ? null : route.split.names[decision.index]);
        },
      ),
    );
  });

  it('is explained with every row that did not match, the bucket and the ranges', () => {
    const explanation = explainRequest(table, facts({ group: 'free' }), canaryUser);
    assert.equal(explanation.backend, 'canary');
    assert.deepEqual(explanation.pin?.buckets, { canary: '0–499', production: '500–9999' });
    assert.ok(explanation.reasons.some((reason) => reason.startsWith('route internal does not match')));
    assert.ok(explanation.reasons.some((reason) => reason.includes(`bucket ${explanation.pin?.bucket}`)));
    assert.equal(explainRequest(table, facts({ group: 'free' })).backend, null);
  });
});
