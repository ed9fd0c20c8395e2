/** SECURITY.md: what it claims is tested, and what it names exists. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { schemasAt } from '../../src/config/json-schema.ts';
import { referenceRows } from '../../src/config/reference.ts';
import { deriveSecurity, SECURITY } from '../support/docs.ts';

const ROOT = path.dirname(SECURITY);
const text = readFileSync(SECURITY, 'utf8');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const definitions = [...text.matchAll(/^\[([a-z-]+)\]: (\S+) "(.+)"$/gm)].map(([, name, file, title]) => ({
  name: name!,
  file: file!,
  title: title!,
}));

suite('SECURITY.md', () => {
  test('names for every claim a test that there is', () => {
    assert.ok(definitions.length > 50);
    for (const { name, file, title } of definitions) {
      assert.match(file, /^test\/.*\.test\.ts$/, name);
      const quoted = [title, title.replaceAll("'", "\\'")];
      assert.ok(
        quoted.some((words) => read(file).includes(words)),
        `${name}: ${file} has no test "${title}"`,
      );
    }
  });

  test('uses every one of these links, and no other', () => {
    const used = [...text.matchAll(/\]\[([a-z-]+)\]/g)].map(([, name]) => name!);
    const known = definitions.map(({ name }) => name);
    assert.deepEqual([...new Set(used)].sort(), [...known].sort());
    for (const [, target] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.ok(existsSync(path.join(ROOT, target!)), `${target} is linked to`);
    }
  });

  test('has the bounds as the schema has them (npm run docs)', () => {
    assert.equal(text, deriveSecurity(text));
    // A limit that is new is a bound, and all of them are there.
    const limits = referenceRows()
      .map(({ key }) => key)
      .filter((key) => /^(limits|timeouts)\.[^.]+$/.test(key));
    for (const key of limits) assert.ok(key === 'limits.rates' || text.includes(`| \`${key}\` |`), key);
  });

  test('has the bounds that cannot be set as the code has them', () => {
    const rows = [...text.matchAll(/^\| .* \| `([A-Z_]+)` = (\d+) in \[(.+)\]\(\3\) \|$/gm)];
    assert.ok(rows.length >= 8);
    for (const [, constant = '', value, file = ''] of rows) {
      const [, written = ''] = new RegExp(`const ${constant} = ([\\d_ *]+);`).exec(read(file)) ?? [];
      assert.ok(written, `${file} has ${constant}`);
      assert.equal(productOf(written), Number(value), constant);
    }
  });

  test('names keys that the schema has', () => {
    const keys = [...text.matchAll(/`([a-z][A-Za-z]*(?:\.(?:<name>|[a-z][A-Za-z]*))+)`/g)].map(
      ([, key]) => key!,
    );
    assert.ok(keys.length > 20);
    for (const key of new Set(keys)) {
      assert.ok(schemasAt(key.split('.')).length > 0, `${key} is a key`);
    }
  });
});

/** `4 * 1_024 ** 2` */
function productOf(expression: string): number {
  return expression
    .replaceAll('_', '')
    .split(/(?<!\*)\*(?!\*)/)
    .map((factor) => factor.split('**').map(Number))
    .reduce((product, [base = 0, power = 1]) => product * base ** power, 1);
}
