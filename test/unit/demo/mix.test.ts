import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.ts';
import { anonymousShare, MAX_USERS, mixAt, UserCrowd } from '../../../src/demo/mix.ts';
import { demoConfigText, ROUTES } from '../../../src/demo/table.ts';
import { requestFacts } from '../../../src/routing/described-request.ts';
import { matchRoute } from '../../../src/routing/match.ts';
import { compileTable } from '../../../src/routing/table.ts';

const CYCLE = Array.from({ length: 100 }, (_, n) => mixAt(n));

describe('the mix of requests', () => {
  it('has requests for every row, and each matches the row that it is counted under', () => {
    const text = demoConfigText({ internal: 1, canary: 2, paid: 3, production: 4 });
    const { config, problems } = parseConfig(text, { file: 'demo', environment: {} });
    assert.ok(config !== undefined, JSON.stringify(problems));
    const table = compileTable(config);
    for (const { route, group } of CYCLE) {
      const facts = requestFacts(table, group === undefined ? [] : [`X-Traffic-Group: ${group}`], []);
      assert.ok(typeof facts !== 'string');
      assert.equal(matchRoute(table, facts).name, route);
    }
    assert.deepEqual(new Set(CYCLE.map(({ route }) => route)), new Set(ROUTES));
  });

  it('names users in a part of the free and paid requests, and nowhere else', () => {
    for (const route of ROUTES) {
      const requests = CYCLE.filter((entry) => entry.route === route);
      const share = requests.filter(({ withUser }) => withUser).length / requests.length;
      if (route === 'free' || route === 'paid') assert.ok(share > 0 && share < 1, `${route}: ${share}`);
      else assert.equal(share, 0, route);
      const anonymous = requests.filter(({ withUser }) => !withUser).length / CYCLE.length;
      assert.equal(anonymousShare(route), anonymous);
    }
  });
});

describe('a crowd of users', () => {
  it('has nobody before it may grow', () => {
    const crowd = new UserCrowd('free');
    assert.equal(crowd.next(false), undefined);
    assert.notEqual(crowd.next(true), undefined);
  });

  it('brings only known users while it may not grow, each of them in turn', () => {
    const crowd = new UserCrowd('free');
    const known = new Set(Array.from({ length: 50 }, () => crowd.next(true)));
    const again = Array.from({ length: known.size }, () => crowd.next(false));
    assert.deepEqual(new Set(again), known);
  });

  it('mixes new users with known ones, up to its limit', () => {
    const crowd = new UserCrowd('paid');
    let known = 0;
    const seen = new Set<string>();
    for (let i = 0; i < 4 * MAX_USERS; i++) {
      const user = crowd.next(true)!;
      if (seen.has(user)) known++;
      seen.add(user);
    }
    assert.equal(seen.size, MAX_USERS);
    assert.equal(crowd.size, MAX_USERS);
    assert.equal(known, 3 * MAX_USERS);
  });

  it('brings others once it was renewed', () => {
    const crowd = new UserCrowd('free');
    const first = new Set(Array.from({ length: 20 }, () => crowd.next(true)));
    crowd.renew();
    for (let i = 0; i < 20; i++) assert.ok(!first.has(crowd.next(true)));
  });
});
