/** The guide and the manual page: every command is run, in order. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { ManifestRepository } from '../../support/manifest-repository.ts';

const guide = readFileSync(new URL('../../../deploy/pipeline-guide.md', import.meta.url), 'utf8');
const commands = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)]
  .flatMap((block) => block[1]!.split('\n'))
  .filter((line) => line !== '');

/** What the reader should see, by a part of the command. */
const SEEN: readonly (readonly [string, RegExp])[] = [
  ['stage init', /^init\(account-service\): 1\.8\.2 everywhere\n/],
  ['stage status\n', /^SERVICE +INTERNAL +FREE +PAID +PRODUCTION +NEXT\naccount-service +/],
  ['render account-service', /^render\(account-service\): templates changed/],
  ['render --check', /^nothing to do/],
  [
    '--dry-run',
    /^ {4}deploy\(account-service\): internal 1\.8\.2 → 1\.9\.0\n[\s\S]*^\+ +image: registry\.example\/account-service:1\.9\.0$/m,
  ],
  ["--reason 'new price list'", /^deploy\(account-service\): internal 1\.8\.2 → 1\.9\.0\n/],
  ['run --once', /hold {2}account-service {2}internal {2}minimumTime: .* of 30m/],
  ['|| echo', /not open yet/],
  ['in the morning', /^promote\(account-service\): free 1\.8\.2 → 1\.9\.0\n/],
  ['for the demo', /^advance\(account-service\): free 1\.9\.0 5 % → 10 %\n/],
  ['1.10.0', /^deploy\(account-service\): internal 1\.9\.0 → 1\.10\.0\n/],
  ['free users are happy', /^promote\(account-service\): paid 1\.8\.2 → 1\.9\.0\n/],
  ['stage approve', /^approve\(account-service\): paid 1\.9\.0\n/],
  ['stage history', /approve\(account-service\)[\s\S]*forced: [\s\S]*init\(account-service\)/],
  ['stage diff', /approvals:/],
  ['stage rollback', /^rollback\(account-service\): paid 1\.9\.0 → 1\.8\.2\n/],
  ['--output json', /"status": "stable"/],
  ['git log -1', /^Stage-Reason: carts are empty for some users$/m],
];

suite('the guide', () => {
  test('tells the whole story in 20 commands', () => {
    assert.equal(commands.length, 20);
    for (const verb of [
      'init',
      'deploy',
      'advance',
      'promote',
      'rollback',
      'approve',
      'status',
      'diff',
      'history',
      'render',
      'run',
    ]) {
      assert.ok(
        commands.some((line) => line.includes(`pointsman stage ${verb}`)),
        verb,
      );
    }
  });

  test('every command of it does what it says', { timeout: 120_000 }, async () => {
    const repository = await ManifestRepository.create();
    const left = new Set(SEEN);
    for (const line of commands) {
      const { code, stdout, stderr } = await repository.shell(line);
      assert.equal(code, 0, `${line}\n${stderr}`);
      const seen = SEEN.find(([part]) => `${line}\n`.includes(part));
      if (seen === undefined) continue;
      assert.match(stdout, seen[1], line);
      left.delete(seen);
    }
    assert.deepEqual([...left], []);
    assert.equal(await repository.git('status', '--porcelain'), '');
  });
});

suite('pointsman stage --help', () => {
  test('names every verb, option and exit code', async () => {
    const repository = await ManifestRepository.create();
    const help = await repository.done('--help');
    const unknown = await repository.stage('nonsense');
    assert.equal(unknown.code, 2);
    const verbs = /verbs: (.*)$/m.exec(unknown.stderr)![1]!.split(', ');
    assert.ok(verbs.length >= 11);
    for (const verb of verbs) assert.match(help, new RegExp(`^ {4}${verb}( |$)`, 'm'), verb);
    const source = readFileSync(new URL('../../../src/commands/stage.ts', import.meta.url), 'utf8');
    const options = /const OPTIONS = \{([\s\S]*?)\n\} as const/.exec(source)![1]!;
    for (const [, option] of options.matchAll(/^ {2}'?([a-z-]+)'?: \{/gm))
      assert.ok(help.includes(`--${option}`), `--${option}`);
    for (let code = 0; code <= 5; code++) assert.match(help, new RegExp(`\\b${code} [a-z]`));
  });

  test('each verb says how it is written when it is called wrongly', async () => {
    const repository = await ManifestRepository.create();
    const { code, stderr } = await repository.stage('deploy', 'account');
    assert.equal(code, 2);
    assert.match(stderr, /write: pointsman stage deploy SERVICE IMAGE/);
  });
});
