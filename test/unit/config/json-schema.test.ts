/** The published schema and the reference table say what the loader does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { configJsonSchema, knownKeys } from '../../../src/config/json-schema.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { referenceTable, replaceReference } from '../../../src/config/reference.ts';
import { configInput, escapeDollars } from './fixtures/config-arbitrary.ts';
import { schemaError } from './fixtures/schema-check.ts';

const SCHEMA = configJsonSchema();

suite('the JSON Schema', () => {
  test('is of draft 2020-12, has a name and closes every map of fixed keys', () => {
    assert.equal(SCHEMA.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.equal(SCHEMA.$id, 'https://pointsman.dev/schema/pointsman.json');
    assert.equal(SCHEMA.title, 'Pointsman configuration');
    const open = JSON.stringify(SCHEMA, (_key, value: unknown) => {
      const map = value as { properties?: unknown; additionalProperties?: unknown };
      return map?.properties !== undefined && map.additionalProperties !== false ? 'OPEN' : value;
    });
    assert.doesNotMatch(open, /OPEN/);
  });

  test('accepts whatever the loader accepts', () => {
    fc.assert(
      fc.property(configInput, (input) => {
        assert.equal(schemaError(SCHEMA, escapeDollars(input)), undefined);
      }),
      { numRuns: 300 },
    );
  });

  test('refuses what the loader refuses for its form', () => {
    const good = { backends: { a: { url: 'http://a' } }, routes: [{ name: 'all', split: { a: 1 } }] };
    assert.equal(schemaError(SCHEMA, good), undefined);
    for (const bad of [
      { helth: {} },
      { workers: 'many' },
      { workers: 0 },
      { health: { interval: 2 } },
      { health: { interval: '2 s' } },
      { listen: 8080 },
      { routes: [] },
      { routes: [{ name: 'all', split: { a: -1 } }] },
      { routes: [{ split: { a: 1 } }] },
      { backends: { 'a b': { url: 'http://a' } } },
      { backends: { a: { url: 'http://a/path' } } },
      { pins: { u: { by: [{ heder: 'X' }] } } },
      { log: { level: 'loud' } },
    ]) {
      const text = JSON.stringify({ ...good, ...bad });
      assert.notEqual(schemaError(SCHEMA, { ...good, ...bad }), undefined, text);
      assert.equal(parseConfig(text, { file: 'f', environment: {} }).config, undefined, text);
    }
  });

  test('lets a reference to the environment stand for any value', () => {
    const reference = '${NAME:-x}';
    const config = {
      workers: reference,
      listen: `127.0.0.1:${reference}`,
      health: { enabled: reference, interval: reference, status: [reference] },
      backends: { a: { url: `http://${reference}`, balance: reference } },
      routes: [{ name: 'all', split: { a: reference }, match: { group: reference } }],
    };
    assert.equal(schemaError(SCHEMA, config), undefined);
    assert.notEqual(schemaError(SCHEMA, { ...config, health: reference }), undefined);
  });

  test('fits the example in deploy/', () => {
    const text = readFileSync(new URL('../../../deploy/pointsman.example.yaml', import.meta.url), 'utf8');
    assert.equal(schemaError(SCHEMA, parse(text)), undefined);
  });

  test('knows the keys of every place, free names and choices of maps included', () => {
    assert.ok(knownKeys([]).includes('backends'));
    assert.ok(knownKeys(['routes', 3]).includes('split'));
    assert.deepEqual(knownKeys(['pins', 'any', 'by', 0]), [
      'header',
      'cookie',
      'bearerClaim',
      'clientAddress',
    ]);
    assert.deepEqual(knownKeys(['backends']), []);
    assert.deepEqual(knownKeys(['nonsense', 'deeper']), []);
  });
});

suite('the reference table', () => {
  const rows = referenceTable().trimEnd().split('\n');

  test('has one row of four cells for every key, each with a meaning', () => {
    const keys = rows.slice(2).map((row) => /^\| `([^`]+)` /.exec(row)?.[1]);
    assert.equal(new Set(keys).size, rows.length - 2);
    for (const row of rows.slice(2)) {
      assert.match(row, /^\| `[\w.<>[\]]+` \| [^|]+ \| [^|]* \| [^|]{5,} \|$/);
    }
    for (const key of ['backends.<name>.url', 'routes[].split', 'routes[].match.headers.<field>.regex']) {
      assert.ok(keys.includes(key), key);
    }
  });

  test('shows types and defaults as they are written in the file', () => {
    const row = (key: string) => rows.find((line) => line.startsWith(`| \`${key}\` |`));
    assert.equal(
      row('health.interval'),
      '| `health.interval` | duration | `2s` | Between two checks of one endpoint. |',
    );
    assert.match(row('workers')!, /\| integer 1–256 or `auto` \| `1` \|/);
    assert.match(row('backends.<name>.servers[].url')!, /\| URL \| \*\*required\*\* \|/);
    assert.match(row('pins.<name>.by[].cookie')!, /\| text \| \*\*one of these\*\* \|/);
  });

  test('replaces what stands between the marks and nothing else, and again changes nothing', () => {
    const readme = 'before\n<!-- reference:begin -->\nold\n<!-- reference:end -->\nafter\n';
    const written = replaceReference(readme);
    assert.equal(
      written,
      `before\n<!-- reference:begin -->\n${referenceTable()}<!-- reference:end -->\nafter\n`,
    );
    assert.equal(replaceReference(written), written);
    assert.throws(() => replaceReference('no marks'), /has no <!-- reference:begin -->/);
  });
});
