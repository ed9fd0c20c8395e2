/** What a change does to groups, users and logged requests. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Config, type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { linesOf, MAX_LINE } from '../../../src/plan/log-lines.ts';
import { LogReplay } from '../../../src/plan/log-replay.ts';
import { type Plan, planChange, type RowPlan } from '../../../src/plan/plan.ts';
import { planText } from '../../../src/plan/text.ts';
import { bucketOf } from '../../../src/routing/bucket.ts';

function configOf(more: Partial<ConfigInput> = {}): Config {
  return configSchema.parse({
    service: 'account-service',
    backends: {
      internal: { url: 'http://127.0.0.1:1' },
      canary: { url: 'http://127.0.0.1:2' },
      paid: { url: 'http://127.0.0.1:3' },
      production: { url: 'http://127.0.0.1:4' },
    },
    pins: { user: { by: [{ header: 'X-User-Id' }] } },
    routes: routesWith({ canary: 5, production: 95 }),
    ...more,
  });
}

function routesWith(free: Record<string, number>, more: object = {}): ConfigInput['routes'] {
  return [
    { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 100 } },
    { name: 'free', match: { group: 'FREE' }, split: free, pin: 'user', ...more },
    { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
    { name: 'paid', split: { paid: 5, production: 95 } },
  ];
}

const withFree = (free: Record<string, number>, more: object = {}, config: Partial<ConfigInput> = {}) =>
  configOf({ routes: routesWith(free, more), ...config });

function rowOf(plan: Plan, group: string): RowPlan {
  const found = plan.groups.find(({ groups }) => groups.includes(group));
  assert.ok(found !== undefined, group);
  assert.equal(found.rows.length, 1);
  return found.rows[0]!;
}

describe('a plan', () => {
  it('says that nothing changes when order, scale or spelling do', () => {
    const reversed = withFree({ production: 950, canary: 50 });
    const { plan } = planChange(configOf(), reversed);
    assert.equal(plan.changed, false);
    assert.deepEqual(plan.rules, []);
  });

  it('counts the buckets that move, exactly, and in which direction', () => {
    const { plan } = planChange(configOf(), withFree({ canary: 10, production: 90 }));
    const { users, backends } = rowOf(plan, 'FREE');
    assert.equal(users?.kind, 'exact');
    assert.deepEqual(users?.flows, [{ from: 'production', to: 'canary', buckets: 500, spans: [[500, 999]] }]);
    assert.deepEqual(backends, [
      { name: 'canary', before: 5, after: 10 },
      { name: 'production', before: 95, after: 90 },
    ]);
    assert.equal(plan.changed, true);
    assert.equal(rowOf(plan, 'ENTERPRISE').changed, false);
  });

  it('asks a sample where more than the bucket counts, and says so', () => {
    const before = withFree({ canary: 5, internal: 5, paid: 5, production: 85 });
    const after = withFree({ canary: 10, internal: 5, paid: 5, production: 80 });
    const users = rowOf(planChange(before, after).plan, 'FREE').users!;
    assert.equal(users.kind, 'sampled');
    assert.ok(users.flows.every(({ to }) => to === 'canary' || to !== 'production'));
    const into = users.flows
      .filter(({ to }) => to === 'canary')
      .reduce((sum, { buckets }) => sum + buckets, 0);
    assert.ok(Math.abs(into - 500) < 60, `${into}`);
    assert.match(
      planText(planChange(before, after).plan, undefined, { columns: 100, color: false }),
      /about .* buckets move \(from 100,000 users/,
    );
  });

  it('sees everybody drawn afresh by another salt or generation', () => {
    for (const pin of [{ salt: 'x' }, { generation: 2 }]) {
      const after = configOf({ pins: { user: { by: [{ header: 'X-User-Id' }], ...pin } } });
      const row = rowOf(planChange(configOf(), after).plan, 'FREE');
      assert.equal(row.pin?.void, true);
      // Independent of before: 5 % of those in production, and 95 % of those in the canary.
      assert.ok(Math.abs(row.users!.moved - 950) < 60, `${row.users!.moved}`);
    }
  });

  it('tells what stores keep and what a roll-back voids', () => {
    const redis = { pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' as const } } };
    const before = withFree({ canary: 5, production: 95 }, {}, redis);
    const drained = rowOf(
      planChange(before, withFree({ canary: 5, production: 95 }, { rollback: { canary: 'drain' } }, redis))
        .plan,
      'FREE',
    );
    assert.deepEqual(drained.pin?.voidBackends, []);
    assert.equal(drained.users?.moved, 500);
    const evacuated = rowOf(
      planChange(before, withFree({ canary: 5, production: 95 }, { rollback: { canary: 'evacuate' } }, redis))
        .plan,
      'FREE',
    );
    assert.deepEqual(evacuated.pin?.voidBackends, ['canary']);
  });

  it('counts requests where no pin decides', () => {
    const after = configOf({
      routes: routesWith({ canary: 5, production: 95 }).with(3, {
        name: 'paid',
        split: { paid: 20, production: 80 },
      }),
    });
    const row = rowOf(planChange(configOf(), after).plan, '(none)');
    assert.equal(row.requestsMoved, 15);
    assert.equal(row.users, undefined);
  });

  it('follows a group to another row, and unknown values to theirs', () => {
    const { plan } = planChange(configOf(), configOf({ unknownGroup: 'enterprise' }));
    const row = rowOf(plan, '(other)');
    assert.deepEqual([row.before, row.after, row.changed], ['paid', 'enterprise', true]);
    assert.equal(rowOf(plan, '(none)').changed, false);
  });

  it('counts other addresses, matches and ways to know users as changes, and timeouts not', () => {
    const url = configOf({ backends: { ...configInputBackends(), canary: { url: 'http://127.0.0.1:9' } } });
    assert.equal(planChange(configOf(), url).plan.changed, true);
    const by = configOf({ pins: { user: { by: [{ cookie: 'uid' }] } } });
    assert.equal(planChange(configOf(), by).plan.changed, true);
    const slow = planChange(configOf(), configOf({ timeouts: { connect: '9s' } })).plan;
    assert.equal(slow.changed, false);
    assert.equal(slow.otherChanges.length, 1);
  });

  it('judges invariants: kept, broken, forced, removed', () => {
    const step = (force?: string) => [
      { maxStep: 2, ...(force === undefined ? {} : { force }) },
      { never: { group: 'ENTERPRISE', backend: 'canary' } },
    ];
    const states = (from: Config, to: Config) =>
      planChange(from, to).plan.invariants.map(({ state }) => state);
    const before = configOf({ invariants: step() });
    const next = (force?: string) =>
      withFree({ canary: 10, production: 90 }, {}, { invariants: step(force) });
    assert.deepEqual(states(before, next()), ['broken', 'kept']);
    assert.equal(planChange(before, next()).plan.broken, true);
    assert.deepEqual(states(before, next('because')), ['forced', 'kept']);
    assert.deepEqual(states(before, configOf({ invariants: [] })), ['removed', 'removed']);
  });
});

function configInputBackends(): ConfigInput['backends'] {
  return {
    internal: { url: 'http://127.0.0.1:1' },
    canary: { url: 'http://127.0.0.1:2' },
    paid: { url: 'http://127.0.0.1:3' },
    production: { url: 'http://127.0.0.1:4' },
  };
}

describe('a plan as text', () => {
  it('fits into any width, with and without colours', () => {
    const before = configOf({ invariants: [{ maxStep: 2 }] });
    const after = withFree(
      { canary: 10, paid: 20, production: 70 },
      {},
      { invariants: [{ maxStep: 2 }], timeouts: { connect: '9s' } },
    );
    const { plan } = planChange(before, after);
    for (const columns of [40, 60, 80, 120, 200]) {
      const plain = planText(plan, undefined, { columns, color: false });
      for (const line of plain.split('\n'))
        assert.ok(line.length <= Math.max(columns, 48), `${columns}: ${line}`);
      const colored = planText(plan, undefined, { columns, color: true });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with it
      assert.equal(colored.replace(/\x1b\[\d+m/g, ''), plain);
    }
  });
});

describe('a log replayed', () => {
  const salt = 'account-service';
  const line = (fields: object) =>
    JSON.stringify({
      level: 'info',
      msg: 'request',
      method: 'GET',
      path: '/',
      client: '127.0.0.1:9',
      ...fields,
    });
  const pinned = (user: string, more: object = {}) => {
    const bucket = bucketOf(salt, user);
    return line({
      route: 'free',
      group: 'free',
      backend: bucket < 500 ? 'canary' : 'production',
      pinned: 'bucket',
      bucket,
      ...more,
    });
  };
  const replay = (from: Config, to: Config, lines: readonly string[]) => {
    const { before, after } = planChange(from, to);
    const log = new LogReplay(before, after);
    for (const one of lines) log.add(one);
    return log.result();
  };
  const users = Array.from({ length: 3_000 }, (_, i) => `user-${i}`);

  it('counts the requests and users that would have gone elsewhere', () => {
    const moved = users.filter((user) => {
      const b = bucketOf(salt, user);
      return b >= 500 && b < 1_000;
    }).length;
    const result = replay(
      configOf(),
      withFree({ canary: 10, production: 90 }),
      [...users, ...users].map((user) => pinned(user)),
    );
    const [free] = result.rows;
    assert.equal(free?.requests, 6_000);
    assert.equal(free?.touched, 2 * moved);
    assert.ok(Math.abs(free!.users!.count - 3_000) < 120, `${free!.users!.count}`);
    assert.ok(Math.abs(free!.touchedUsers!.count - moved) < 25, `${free!.touchedUsers!.count} of ${moved}`);
  });

  it('leaves those alone whom a store keeps', () => {
    const store = { pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' as const } } };
    const before = withFree({ canary: 5, production: 95 }, {}, store);
    const lines = users.map((user) => pinned(user, { pinned: 'pin' }));
    assert.equal(replay(before, withFree({ canary: 10, production: 90 }, {}, store), lines).total.touched, 0);
    const gone = replay(
      before,
      withFree({ canary: 5, production: 95 }, { rollback: { canary: 'evacuate' } }, store),
      lines,
    );
    assert.equal(gone.total.touched, users.filter((user) => bucketOf(salt, user) < 500).length);
  });

  it('expects shares where the weights draw', () => {
    const after = configOf({
      routes: routesWith({ canary: 5, production: 95 }).with(3, {
        name: 'paid',
        split: { paid: 20, production: 80 },
      }),
    });
    const result = replay(
      configOf(),
      after,
      Array.from({ length: 1_000 }, () => line({ route: 'paid', backend: 'production' })),
    );
    assert.ok(Math.abs(result.total.touched - 150) < 1e-6);
    assert.equal(result.total.users, undefined);
  });

  it('matches again where rows have changed, and says what it cannot tell', () => {
    const beta = (match: object) =>
      configOf({
        routes: [{ name: 'beta', match, split: { canary: 1 } }, ...routesWith({ canary: 5, production: 95 })],
      });
    const lines = ['/beta', '/beta/x?q', '/'].map((path) =>
      line({ route: 'paid', backend: 'production', path }),
    );
    assert.ok(Math.abs(replay(configOf(), beta({ path: '/beta' }), lines).total.touched - 2) < 1e-9);
    assert.equal(replay(configOf(), beta({ headers: { 'X-Beta': '1' } }), lines).untold, 3);
  });

  it('is not upset by any line', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.json(),
            fc.object().map((o) => line(o)),
          ),
        ),
        (lines) => {
          const result = replay(configOf(), withFree({ canary: 10, production: 90 }), lines);
          assert.equal(
            result.foreignLines + result.unknownRows + result.untold + result.total.requests,
            lines.length,
          );
        },
      ),
    );
  });
});

describe('lines of a log', () => {
  const collect = async (chunks: readonly string[]) => {
    const lines: string[] = [];
    for await (const line of linesOf(
      (async function* () {
        yield* chunks;
      })(),
    ))
      lines.push(line);
    return lines;
  };

  it('come whole however the text is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string().map((text) => text.replaceAll('\n', ' ')),
          { minLength: 1 },
        ),
        fc.array(fc.nat(80)),
        async (lines, cuts) => {
          const text = lines.map((line) => `${line}\n`).join('');
          const at = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
          const chunks = at.slice(1).map((end, i) => text.slice(at[i], end));
          assert.deepEqual(await collect(chunks), lines);
        },
      ),
    );
  });

  it('are dropped when they are too long, without being kept', async () => {
    const long = 'x'.repeat(MAX_LINE);
    assert.deepEqual(await collect([long, long, 'y\nnext', '\nlast']), ['', 'next', 'last']);
    assert.deepEqual(await collect([long, long]), ['']);
  });
});
