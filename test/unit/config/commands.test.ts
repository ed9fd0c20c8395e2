/** `pointsman check` and `pointsman schema`, called as the command line calls them and as a process. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { check } from '../../../src/commands/check.ts';
import { schema } from '../../../src/commands/schema.ts';
import { GOOD } from './fixtures/good.ts';

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'pointsman-check-'));
after(() => rmSync(directory, { recursive: true }));

function file(content: string): string {
  const path = join(directory, 'pointsman.yaml');
  writeFileSync(path, content);
  return path;
}

async function checked(args: readonly string[], environment: Record<string, string> = {}) {
  let [stdout, stderr] = ['', ''];
  const io = {
    stdout: (text: string) => {
      stdout += text;
    },
    stderr: (text: string) => {
      stderr += text;
    },
    environment,
  };
  return { code: await check(args, io), stdout, stderr };
}

suite('check', () => {
  test('a good file: one line that counts, exit 0', async () => {
    const path = file(GOOD);
    assert.deepEqual(await checked([path]), {
      code: 0,
      stdout: `${path}: ok (1 route, 1 backend)\n`,
      stderr: '',
    });
  });

  test('warnings: told on stderr, exit 0, with --strict 1', async () => {
    const path = file(GOOD.replace('}\n', ', b: { url: http://b } }\n'));
    const warning = `${path}:1:36: warning: backends.b: no route uses this backend\n`;
    assert.deepEqual(await checked([path]), {
      code: 0,
      stdout: `${path}: ok (1 route, 2 backends)\n`,
      stderr: warning,
    });
    assert.deepEqual(await checked(['--strict', path]), { code: 1, stdout: '', stderr: warning });
  });

  test('errors: all of them on stderr in the order of the file, nothing on stdout, exit 1', async () => {
    const path = file(`${GOOD}helth: {}\nworkers: many\n`);
    assert.deepEqual(await checked([path]), {
      code: 1,
      stdout: '',
      stderr:
        `${path}:3:1: helth: unknown key "helth"; did you mean "health"?\n` +
        `${path}:4:10: workers: expected a whole number or auto, found text "many"\n`,
    });
  });

  test('references are taken from the environment given', async () => {
    const path = file(`${GOOD}workers: \${W}\n`);
    assert.equal((await checked([path], { W: '2' })).code, 0);
    assert.equal((await checked([path])).code, 1);
  });

  test('an unreadable file: exit 2; one that is no text: exit 1', async () => {
    assert.equal((await checked([join(directory, 'none.yaml')])).code, 2);
    assert.equal((await checked([directory])).code, 2);
    assert.equal((await checked([file('')])).code, 1);
  });

  test('as a process: exit codes, wrong usage and --help, never a stack trace', () => {
    const run = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
      assert.doesNotMatch(stderr, /^\s+at /m);
      return { status, stdout, stderr };
    };
    assert.equal(run('check', file(GOOD)).status, 0);
    assert.equal(run('check', file(`${GOOD}x: 1\n`)).status, 1);
    for (const wrong of [[], ['a', 'b'], ['--nope', 'a'], ['']]) {
      const { status, stdout, stderr } = run('check', ...wrong);
      assert.deepEqual([status, stdout], [2, ''], wrong.join());
      assert.match(stderr, /^pointsman check: .+\nTry: pointsman check --help\n$/);
    }
    const help = run('check', '--help');
    assert.equal(help.status, 0);
    assert.match(help.stdout, /^Usage: pointsman check \[--strict\] FILE\n/);
    assert.equal(run('schema', 'x').status, 2);
    assert.equal(JSON.parse(run('schema').stdout).title, 'Pointsman configuration');
  });
});

test('schema prints the JSON Schema, and --help says what for', async () => {
  let out = '';
  const io = {
    stdout: (text: string) => {
      out += text;
    },
  };
  assert.equal(await schema([], io), 0);
  assert.equal(JSON.parse(out).$id, 'https://pointsman.dev/schema/pointsman.json');
  out = '';
  assert.equal(await schema(['-h'], io), 0);
  assert.match(out, /^Usage: pointsman schema/);
});
