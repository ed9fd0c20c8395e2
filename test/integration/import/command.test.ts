/** `pointsman import` as a process, and what every fixture comes to. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../../../src/config/load.ts';
import { checkHaproxy } from '../../support/haproxy.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../fixtures/haproxy/', import.meta.url));

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Run> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, 'import', ...args],
      { env: { ...process.env, ...environment }, maxBuffer: 64 * 1024 ** 2 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

function written(text: string, name = 'haproxy.cfg'): string {
  const file = path.join(temporaryDirectory(), name);
  writeFileSync(file, text);
  return file;
}

const SMALL = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend in
    bind :8080
    default_backend stable
backend stable
    server s1 10.0.0.1:80
`;

suite('every fixture', { concurrency: 2 }, () => {
  const files = readdirSync(FIXTURES).filter((file) => file.endsWith('.cfg'));

  test('there are the first one and at least twelve further ones', () => {
    assert.ok(files.length >= 13, String(files.length));
  });

  for (const file of files) {
    test(`${file}: HAProxy takes it, every line is accounted for once, and what comes out is good`, async () => {
      const { code: theirs, output } = await checkHaproxy(path.join(FIXTURES, file));
      assert.equal(theirs, 0, output);
      const { code, stdout, stderr } = await run([path.join(FIXTURES, file)]);
      const lines = readFileSync(path.join(FIXTURES, file), 'utf8').split('\n');
      const statements = lines.flatMap((line, i) => (/^\s*(#|\r?$)/.test(line) ? [] : [i + 1]));
      const accounted = [...stderr.matchAll(/^.*\.cfg:(\d+): (translated|approximated|not supported): /gm)];
      assert.deepEqual(
        accounted.map((match) => Number(match[1])),
        statements,
      );
      const missing = accounted.filter((match) => match[2] === 'not supported').length;
      assert.equal(missing > 0, file === '14-refused.cfg', stderr);
      assert.equal(code, missing > 0 ? 1 : 0);
      // Whatever differs or is missing is said with a reason.
      for (const line of stderr.split('\n')) {
        if (/: (approximated|not supported): /.test(line)) assert.match(line, / → \S.{8,}/);
      }
      assert.match(stdout, /^# yaml-language-server: \$schema=/);
      const environment = { POINTSMAN_COOKIE_KEY: 'a key of these tests alone' };
      const { config, problems } = parseConfig(stdout, { file: 'imported', environment });
      assert.ok(config, JSON.stringify(problems));
    });
  }
});

suite('pointsman import', { concurrency: 2 }, () => {
  test('the rows of the first fixture are those of the table that Pointsman is made for', async () => {
    const { code, stdout } = await run([
      '-q',
      '--service',
      'accounts',
      path.join(FIXTURES, '01-account-service.cfg'),
    ]);
    assert.equal(code, 0);
    const { config } = parseConfig(stdout, { file: 'imported', environment: {} });
    assert.equal(config?.service, 'accounts');
    assert.deepEqual(
      config?.routes.map(({ name, match, split }) => ({ name, match: [match].flat()[0]?.group, split })),
      [
        { name: 'internal', match: 'INTERNAL', split: { internal: 100 } },
        { name: 'free', match: 'FREE', split: { canary: 5, production: 95 } },
        { name: 'enterprise', match: 'ENTERPRISE', split: { production: 100 } },
        { name: 'paid', match: undefined, split: { paid: 5, production: 95 } },
      ],
    );
    assert.match(stdout, /# 01-account-service\.cfg:36, 44\n/);
  });

  test('fails with 1 when something is not supported, and with --force succeeds with the same output', async () => {
    const file = path.join(FIXTURES, '14-refused.cfg');
    const [strict, forced] = [await run([file]), await run([file, '--force'])];
    assert.equal(strict.code, 1);
    assert.equal(forced.code, 0);
    assert.equal(forced.stdout, strict.stdout);
    assert.match(strict.stderr, /:13: not supported: http-request redirect .* → .*redirect in the service/);
    assert.match(strict.stderr, /\d+ lines: \d+ translated, \d+ approximated, [1-9]\d* not supported\n/);
  });

  test('fails with 2 and the place when HAProxy would refuse the file, and writes nothing', async () => {
    const { code, stdout, stderr } = await run([
      written(SMALL.replace('default_backend stable', 'default_backend stabel')),
    ]);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /haproxy\.cfg:8:21: unable to find required default_backend: 'stabel'; did you mean "stable"\?\n/,
    );
  });

  test('fails with 2 for wrong usage and for files that cannot be read, without a stack trace', async () => {
    for (const [args, says] of [
      [[], /name the haproxy\.cfg/],
      [['nowhere.cfg'], /nowhere\.cfg: the file does not exist/],
      [[temporaryDirectory()], /the directory has no \*\.cfg/],
      [[written('\0')], /holds a NUL character/],
      [[written(SMALL), '--define', 'nonsense'], /--define is NAME=VALUE/],
      [[written(SMALL), '--frontend', 'out'], /has no frontend 'out' \(there are: in\)/],
      [[written('# nothing\n')], /has no frontend or listen that routes/],
      [[written(SMALL), '--unknown'], /Unknown option/],
    ] as const) {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /^\s+at /m);
    }
    const help = await run(['--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /^Usage: pointsman import FILE/);
  });

  test('reads several files, and the *.cfg of a directory in their order, as one', async () => {
    const directory = temporaryDirectory();
    const at = SMALL.indexOf('\nbackend stable') + 1;
    const [front, back] = [SMALL.slice(0, at), SMALL.slice(at)];
    mkdirSync(path.join(directory, 'conf.d'));
    writeFileSync(path.join(directory, 'conf.d/10-front.cfg'), front);
    writeFileSync(path.join(directory, 'conf.d/20-back.cfg'), back);
    writeFileSync(path.join(directory, 'conf.d/ignored.txt'), 'nonsense');
    const together = await run([path.join(directory, 'conf.d')]);
    const apart = await run([
      path.join(directory, 'conf.d/10-front.cfg'),
      path.join(directory, 'conf.d/20-back.cfg'),
    ]);
    assert.equal(together.code, 0, together.stderr);
    assert.equal(apart.stdout, together.stdout);
    assert.match(together.stdout, /# 10-front\.cfg:8; 20-back\.cfg:1\n/);
  });

  test('takes variables from --define before the environment, and tells those that are not set', async () => {
    const file = written(SMALL.replace('10.0.0.1:80', '"${UPSTREAM}:${PORT-81}" weight "$WEIGHT"'));
    const env = { UPSTREAM: 'from-environment', WEIGHT: '7' };
    const defined = await run([file, '--define', 'UPSTREAM=from-define'], env);
    assert.match(defined.stdout, /url: http:\/\/from-define:81/);
    const inherited = await run([file], env);
    assert.match(inherited.stdout, /url: http:\/\/from-environment:81/);
    const unset = await run([file], { WEIGHT: '1' });
    assert.match(unset.stderr + unset.stdout, /UPSTREAM is not set and taken as empty|without an address/);
  });

  test('needs the version for conditions on it, and then takes the branch that holds', async () => {
    const text = SMALL.replace(
      'server s1 10.0.0.1:80',
      'server s1 10.0.0.1:80\n.if version_atleast(2.8)\n    server new 10.0.0.2:80\n.endif',
    );
    const unknown = await run([written(text)]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /:11:\d+: version_atleast\(\) needs the version of HAProxy; give --define/);
    const older = await run([written(text), '-D', 'HAPROXY_VERSION=2.6.12']);
    assert.doesNotMatch(older.stdout, /10\.0\.0\.2/);
    const newer = await run([written(text), '-D', 'HAPROXY_VERSION=3.2']);
    assert.match(newer.stdout, /10\.0\.0\.2/);
  });

  test('takes over one frontend of several and names the others', async () => {
    const text = `${SMALL}frontend admin\n    bind :9000\n    default_backend stable\n    use_backend stable if { path / }\nfrontend idle\n    bind :9001\n    stats enable\n`;
    const first = await run([written(text)]);
    assert.equal(first.code, 1);
    assert.match(first.stdout, /^service: admin$/m);
    assert.match(first.stderr, /:6: not supported: frontend in → .*--frontend in/);
    assert.match(first.stderr, /:15: approximated: frontend idle → .*admin port/);
    const other = await run([written(text), '--frontend', 'in']);
    assert.match(other.stdout, /^service: in$/m);
  });

  test('answers 503 as HAProxy does where no rule leads anywhere', async () => {
    const { code, stdout } = await run([
      written(SMALL.replace('default_backend stable', 'use_backend stable if { path_beg /api }')),
    ]);
    assert.equal(code, 0);
    const { config } = parseConfig(stdout, { file: 'imported', environment: {} });
    assert.deepEqual(
      config?.routes.map(({ name }) => name),
      ['stable', 'no-backend'],
    );
    assert.equal(config?.backends['no-backend']?.drain, true);
  });

  test('shows nothing of a file that a terminal would obey', async () => {
    const { stderr } = await run([
      written(SMALL.replace('mode http', 'mode http # x\n    description \u001b[31mred')),
    ]);
    assert.ok(!stderr.includes('\u001b'));
    assert.match(stderr, /\\x1b\[31mred/);
  });
});
