/** What is set by hand, as records that replicas put together, and laid over a configuration. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';
import { applyOverrides } from '../../../src/overrides/apply.ts';
import {
  activeOverrides,
  MAX_RECORDS,
  mergeRecords,
  nextEnd,
  type Override,
  overrideSchema,
  targetKey,
} from '../../../src/overrides/override.ts';
import {
  type Circumstances,
  findOverride,
  judgeDrain,
  judgeSplit,
  judgeUndrain,
} from '../../../src/overrides/request.ts';
import { compileTable } from '../../../src/routing/table.ts';

const NOW = 1_000_000;

const TABLE = `
backends:
  canary: { url: http://canary }
  paid: { url: http://paid }
  production: { url: http://production }
routes:
  - { name: free, match: { group: FREE }, split: { canary: 5, production: 95 } }
  - { name: enterprise, match: { group: ENTERPRISE }, split: { production: 100 } }
  - { name: paid, split: { paid: 5, production: 95 } }
`;

function configOf(text: string): Config {
  const { config, problems } = parseConfig(text, { file: 'f', environment: {} });
  assert.ok(config !== undefined, JSON.stringify(problems));
  return config;
}

function override(more: Partial<Override> = {}): Override {
  return {
    id: 'aaaaaa',
    target: { kind: 'split', route: 'free', weights: { canary: 0 } },
    reason: 'sick',
    by: 'ann',
    createdAt: NOW - 1_000,
    until: NOW + 60_000,
    ...more,
  };
}

const anyOverride: fc.Arbitrary<Override> = fc
  .record({
    id: fc.constantFrom('aaaaaa', 'bbbbbb', 'cccccc', 'dddddd'),
    ended: fc.option(fc.integer({ min: NOW - 10, max: NOW }), { nil: undefined }),
  })
  .map(({ id, ended }) => {
    // Of one id everything but its end is the same, wherever it is met.
    const place = id.charCodeAt(0);
    const target: Override['target'] =
      place % 2 === 0
        ? { kind: 'drain', backend: 'canary' }
        : { kind: 'split', route: 'free', weights: { canary: place } };
    const record = override({ id, target, createdAt: NOW - place, until: NOW - 150 + place * 3 });
    return ended === undefined ? record : { ...record, endedAt: ended };
  });

suite('records', () => {
  const lists = fc.array(anyOverride, { maxLength: 6 });
  const seen = (records: Iterable<Override>) =>
    [...records].map(({ id, endedAt }) => `${id} ${endedAt ?? '-'}`).sort();

  test('come out the same whatever the order in which replicas put them together', () => {
    fc.assert(
      fc.property(lists, lists, lists, (a, b, c) => {
        const one = mergeRecords(mergeRecords(a, b, NOW).values(), c, NOW);
        const other = mergeRecords(c, mergeRecords(b, a, NOW).values(), NOW);
        assert.deepEqual(seen(one.values()), seen(other.values()));
        assert.deepEqual(seen(mergeRecords(one.values(), one.values(), NOW).values()), seen(one.values()));
      }),
    );
  });

  test('once ended stay ended, also when an older copy comes back', () => {
    const ended = override({ endedAt: NOW - 1 });
    const records = mergeRecords([ended], [override()], NOW);
    assert.deepEqual(activeOverrides(records, NOW), []);
  });

  test('are forgotten when their time has passed, and their end is known before', () => {
    const records = mergeRecords([override()], [], NOW);
    assert.equal(nextEnd(records, NOW), NOW + 60_000);
    assert.equal(activeOverrides(records, NOW + 59_999).length, 1);
    assert.equal(activeOverrides(records, NOW + 60_000).length, 0);
    assert.equal(mergeRecords(records.values(), [], NOW + 60_000).size, 0);
  });

  test('of one target: the latest holds, on every replica the same of two made at once', () => {
    const [a, b] = [override({ id: 'aaaaaa' }), override({ id: 'bbbbbb' })];
    for (const records of [mergeRecords([a], [b], NOW), mergeRecords([b], [a], NOW)]) {
      assert.deepEqual(
        activeOverrides(records, NOW).map(({ id }) => id),
        ['bbbbbb'],
      );
    }
    assert.notEqual(targetKey(a.target), targetKey({ kind: 'drain', backend: 'free' }));
  });

  test('are bounded: ended and old ones go first', () => {
    const many = Array.from({ length: MAX_RECORDS + 50 }, (_, i) =>
      override({
        id: `id${String(i).padStart(6, '0')}`,
        target: { kind: 'drain', backend: `b${i}` },
        createdAt: NOW - i,
        ...(i < 20 ? { endedAt: NOW } : {}),
      }),
    );
    const kept = mergeRecords(many, [], NOW);
    assert.equal(kept.size, MAX_RECORDS);
    assert.ok(kept.has('id000020'));
    assert.ok(!kept.has('id000001'), 'ended');
    assert.ok(!kept.has('id000449'), 'oldest');
  });

  test('that are no overrides are refused when they come from Redis', () => {
    assert.ok(overrideSchema.safeParse(override()).success);
    for (const bad of [
      { ...override(), extra: 1 },
      { ...override(), id: '../x' },
      { ...override(), until: -1 },
      { ...override(), reason: 'x'.repeat(1_000) },
      { ...override(), target: { kind: 'split', route: 'free', weights: { canary: -1 } } },
      { ...override(), target: { kind: 'other' } },
    ]) {
      assert.ok(!overrideSchema.safeParse(bad).success, JSON.stringify(bad));
    }
  });
});

suite('over a configuration', () => {
  const config = configOf(TABLE);
  const sharesOf = (of: Config, name: string) => {
    const { split } = compileTable(of).routes.find((route) => route.name === name)!;
    return Object.fromEntries(split.names.map((backend, i) => [backend, split.shares[i]]));
  };

  test('nothing is changed when nothing holds', () => {
    assert.equal(applyOverrides(config, []).config, config);
  });

  test('the brake takes a canary out of its row alone; the others keep the weights of the file', () => {
    const braked = applyOverrides(config, [override()]).config;
    assert.deepEqual(sharesOf(braked, 'free'), { canary: 0, production: 95 });
    assert.deepEqual(sharesOf(braked, 'paid'), { paid: 5, production: 95 });
  });

  test('a reload changes what was not set by hand, and what was stays', () => {
    const next = configOf(TABLE.replace('canary: 5, production: 95', 'canary: 10, production: 90'));
    assert.deepEqual(sharesOf(applyOverrides(next, [override()]).config, 'free'), {
      canary: 0,
      production: 90,
    });
  });

  test('users do not change places when a canary is raised past the main backend by hand', () => {
    const raised = override({ target: { kind: 'split', route: 'free', weights: { canary: 200 } } });
    const [before, after] = [config, applyOverrides(config, [raised]).config].map(
      (of) => compileTable(of).routes[0]!.split,
    );
    assert.deepEqual([after!.main, after!.middle], [before!.main, before!.middle]);
  });

  test('a row that is gone, or a split without the backend, makes it void and not wrong', () => {
    for (const target of [
      { kind: 'split', route: 'gone', weights: { canary: 0 } },
      { kind: 'split', route: 'free', weights: { paid: 1 } },
      { kind: 'split', route: 'enterprise', weights: { production: 0 } },
      { kind: 'drain', backend: 'gone' },
    ] as const) {
      const { config: after, effects } = applyOverrides(config, [override({ target })]);
      assert.equal(after, config);
      assert.equal(effects[0]!.state, 'void');
      assert.ok(effects[0]!.reason.length > 10);
    }
  });

  test('drains of a backend, of endpoints, and of both', () => {
    const drainOf = (endpoint?: string) =>
      override({
        id: `id000${endpoint?.length ?? 0}`,
        target: { kind: 'drain', backend: 'canary', ...(endpoint === undefined ? {} : { endpoint }) },
      });
    const drained = (...all: Override[]) => applyOverrides(config, all).config.backends['canary']!.drain;
    assert.equal(drained(drainOf()), true);
    assert.deepEqual(drained(drainOf('10.0.0.1:80'), drainOf('10.0.0.2')), ['10.0.0.1:80', '10.0.0.2']);
    assert.equal(drained(drainOf('10.0.0.1:80'), drainOf()), true);
  });
});

suite('a request', () => {
  const endpoints = new Map([
    ['canary', ['10.0.0.1:80', '10.0.0.2:80']],
    ['production', ['10.0.1.1:80']],
    ['paid', []],
  ]);
  const at = (text = TABLE, active: readonly Override[] = []): Circumstances => ({
    config: configOf(text),
    active,
    endpoints,
  });
  const messageOf = (judged: object) =>
    'refusal' in judged ? (judged.refusal as { message: string }).message : JSON.stringify(judged);

  test('names a row, or a group of which all requests meet one', () => {
    for (const route of ['free', 'FREE']) {
      assert.deepEqual(judgeSplit({ route, weights: { canary: 0 } }, at()), {
        value: { kind: 'split', route: 'free', weights: { canary: 0 } },
      });
    }
    const two = TABLE.replace(
      'routes:',
      'routes:\n  - { name: api, match: { group: FREE, path: { prefix: /api } }, split: { production: 1 } }',
    );
    assert.match(
      messageOf(
        judgeSplit({ route: 'FREE', weights: { canary: 0 } }, at(two.replace('name: free', 'name: web'))),
      ),
      /several routes: api, web/,
    );
  });

  test('that names nothing of the table is refused with what there is', () => {
    assert.match(
      messageOf(judgeSplit({ route: 'fre', weights: { canary: 0 } }, at())),
      /no route or group fre.*free/,
    );
    assert.match(
      messageOf(judgeSplit({ route: 'free', weights: { canry: 0 } }, at())),
      /has no canry.*canary/,
    );
    assert.match(messageOf(judgeDrain({ backend: 'x' }, at(), false)), /no backend x/);
    assert.match(
      messageOf(judgeDrain({ backend: 'canary', endpoint: '10.9.9.9:80' }, at(), false)),
      /it has 10\.0\.0\.1:80/,
    );
  });

  test('that would leave all requests of a row without a backend is refused, a drain unless forced', () => {
    assert.match(
      messageOf(judgeSplit({ route: 'free', weights: { canary: 0, production: 0 } }, at())),
      /no backend/,
    );
    assert.match(messageOf(judgeDrain({ backend: 'production' }, at(), false)), /route enterprise /);
    assert.match(
      messageOf(judgeDrain({ backend: 'production', endpoint: '10.0.1.1' }, at(), false)),
      /force/,
    );
    assert.ok('value' in judgeDrain({ backend: 'production' }, at(), true));
    assert.ok('value' in judgeDrain({ backend: 'canary' }, at(), false));
    const braked = override({ target: { kind: 'split', route: 'free', weights: { production: 0 } } });
    assert.match(messageOf(judgeDrain({ backend: 'canary' }, at(TABLE, [braked]), false)), /route free/);
  });

  test('that breaks a promise to a group is refused with the promise', () => {
    const promised = `${TABLE}invariants: [ { maxShare: { backend: canary, group: FREE, percent: 10 } } ]\n`;
    assert.match(
      messageOf(judgeSplit({ route: 'free', weights: { canary: 50 } }, at(promised))),
      /invariants\[0\] allows 10/,
    );
    assert.ok('value' in judgeSplit({ route: 'free', weights: { canary: 0 } }, at(promised)));
  });

  test('to end something finds it by id and by route, and says what else drains', () => {
    const active = [override(), override({ id: 'bbbbbb', target: { kind: 'drain', backend: 'canary' } })];
    for (const text of ['aaaaaa', 'free', 'FREE']) {
      assert.deepEqual(findOverride(text, at(TABLE, active)), { value: active[0] });
    }
    assert.match(messageOf(findOverride('paid', at(TABLE, active))), /there are aaaaaa, bbbbbb/);
    assert.deepEqual(judgeUndrain({ backend: 'canary' }, at(TABLE, active)), { value: active[1] });
    const file = TABLE.replace('http://canary }', 'http://canary, drain: true }');
    assert.match(messageOf(judgeUndrain({ backend: 'canary' }, at(file))), /the file does/);
  });
});
