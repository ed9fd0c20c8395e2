/** What a reload's log line says. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { describeChanges, restartChanges } from '../../../src/config/changes.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { configInput } from './fixtures/config-arbitrary.ts';
import { configOf } from './fixtures/good.ts';

const BASE = `
backends:
  canary: { url: http://canary }
  production: { url: http://production:8080 }
routes:
  - { name: beta, match: { group: BETA }, split: { canary: 100 } }
  - { name: free, match: { group: FREE, headers: { X-Token: abc } }, split: { canary: 5, production: 95 }, pin: user }
  - { name: rest, split: { production: 100 } }
pins:
  user: { by: [ { header: X-User-Id } ], salt: pepper }
redis: { url: "redis://me:geheim@redis:6379/1", password: geheim-2 }
`;

const told = (from: string, to: string) => {
  const after = BASE.replace(from, to);
  assert.notEqual(after, BASE, `${from} is not in the base`);
  return describeChanges(configOf(BASE), configOf(after));
};
const texts = (from: string, to: string) => told(from, to).map(({ text }) => text);

suite('changes', () => {
  test('a weight is told by its route and backend, with both values', () => {
    assert.deepEqual(told('canary: 5, production: 95', 'canary: 10, production: 90'), [
      {
        kind: 'changed',
        path: 'routes.free.split.canary',
        before: 5,
        after: 10,
        text: 'route free: canary 5 → 10',
      },
      {
        kind: 'changed',
        path: 'routes.free.split.production',
        before: 95,
        after: 90,
        text: 'route free: production 95 → 90',
      },
    ]);
  });

  test('a row that comes is told with its place and split, one that goes by name', () => {
    assert.deepEqual(
      texts(
        '  - { name: rest',
        '  - { name: vip, match: { group: VIP }, split: { production: 1 } }\n  - { name: rest',
      ),
      ['route vip: added as row 3 (production 1)'],
    );
    const [removed] = told('  - { name: beta, match: { group: BETA }, split: { canary: 100 } }\n', '');
    assert.deepEqual(
      [removed?.kind, removed?.path, removed?.text],
      ['removed', 'routes.beta', 'route beta: removed'],
    );
  });

  test('a changed order of rows is told, as the first match wins', () => {
    const rows = BASE.split('\n').filter((line) => line.startsWith('  - '));
    assert.deepEqual(texts(`${rows[0]}\n${rows[1]}`, `${rows[1]}\n${rows[0]}`), [
      'routes: order beta, free, rest → free, beta, rest',
    ]);
  });

  test('the order of keys is no change, nor is a default spelt out', () => {
    assert.deepEqual(texts('canary: 5, production: 95', 'production: 95, canary: 5'), []);
    assert.deepEqual(texts('routes:', 'health: { interval: 2s }\nroutes:'), []);
  });

  test('backends, pins and settings are told as they are written', () => {
    assert.deepEqual(texts('http://canary', 'https://canary:8443'), [
      'backend canary: url http://canary → https://canary:8443',
    ]);
    assert.deepEqual(texts('routes:', '  paid: { url: http://paid }\nroutes:'), [
      'backend paid: added (http://paid)',
    ]);
    assert.deepEqual(texts('http://canary', 'http://canary, health: { interval: 500ms }'), [
      'backend canary: health.interval none → 500ms',
    ]);
    assert.deepEqual(texts('X-User-Id }', 'X-User-Id }, { cookie: uid }').length, 1);
    assert.deepEqual(texts('salt: pepper', 'salt: pepper, ttl: 7d'), ['pin user: ttl 30d → 7d']);
    assert.deepEqual(
      texts('routes:', 'health: { interval: 5s }\nlimits: { headSize: 32KiB }\nroutes:').sort(),
      ['health.interval 2s → 5s', 'limits.headSize 16KiB → 32KiB'],
    );
    assert.deepEqual(texts('split: { production: 100 }', 'split: { production: 100 }, pin: user'), [
      'route rest: pin none → user',
    ]);
    assert.deepEqual(texts('group: FREE', 'group: [FREE, BASIC]'), [
      'route free: match.group FREE → FREE, BASIC',
    ]);
    assert.deepEqual(texts('routes:', 'listen: 127.0.0.1:80\nroutes:'), [
      'listen 0.0.0.0:8080 → 127.0.0.1:80',
    ]);
  });

  test('passwords, salts and values that a field must have are never told, only that they changed', () => {
    for (const [from, to, text] of [
      ['geheim@redis', 'secret@redis', 'redis.url changed'],
      ['redis:6379', 'other:6379', 'redis.url redis://***@redis:6379/1 → redis://***@other:6379/1'],
      ['geheim-2', 'secret-2', 'redis.password changed'],
      ['pepper', 'secret', 'pin user: salt changed'],
      ['X-Token: abc', 'X-Token: secret', 'route free: match.headers.X-Token changed'],
    ] as const) {
      const changes = told(from, to);
      assert.deepEqual(
        changes.map((change) => change.text),
        [text],
      );
      assert.doesNotMatch(JSON.stringify(changes), /geheim|secret|pepper|abc/);
    }
    // Whole things that come or go.
    for (const line of BASE.split('\n').filter((row) => /redis:|user: \{|free/.test(row))) {
      const without = BASE.replace(`${line}\n`, '').replace(', pin: user', '').replace('pins:\n\n', '');
      const full = configOf(BASE.replace(', pin: user', ''));
      const reduced = configOf(without.replace(/pins:\n(?!\s)/, ''));
      const both = [...describeChanges(full, reduced), ...describeChanges(reduced, full)];
      assert.equal(both.length, 2, line);
      assert.doesNotMatch(JSON.stringify(both), /geheim|secret|pepper|abc/);
    }
  });

  test('nothing is told exactly when the two configurations are the same', () => {
    fc.assert(
      fc.property(configInput, configInput, (a, b) => {
        const [before, after] = [configSchema.parse(a), configSchema.parse(b)];
        assert.deepEqual(describeChanges(before, configSchema.parse(a)), []);
        const changes = describeChanges(before, after);
        assert.equal(changes.length === 0, JSON.stringify(before) === JSON.stringify(after));
        for (const { text } of changes) assert.doesNotMatch(text, /\n|undefined|\[object|secret/);
      }),
      { numRuns: 300 },
    );
  });
});

test('only the keys that a reload cannot change are named for a restart', () => {
  const config = (text: string) => configOf(`${BASE}${text}`);
  assert.deepEqual(
    restartChanges(config(''), config('health: { rise: 9 }\nlimits: { requestBody: 1MiB }\n')),
    [],
  );
  assert.deepEqual(
    restartChanges(
      config(''),
      config(
        'listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nworkers: 2\nlimits: { headSize: 32KiB, headers: 64, connections: 5 }\n',
      ),
    ),
    ['listen', 'admin', 'workers', 'limits.headSize', 'limits.headers', 'limits.connections'],
  );
});
