/** The command on real repositories: what it refuses, and that it then changes nothing. */

import assert from 'node:assert/strict';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import {
  image,
  ManifestRepository,
  OPEN_PIPELINE,
  openRepository,
} from '../../support/manifest-repository.ts';
import { temporaryDirectory } from '../../support/pointsman-process.ts';

/** Runs what must be refused: one message, the exit code, nothing changed. */
async function refused(
  repository: ManifestRepository,
  args: readonly string[],
  code: number,
  message: RegExp,
): Promise<void> {
  const before = await repository.fingerprint();
  const run = await repository.stage(...args);
  assert.match(run.stderr, message);
  assert.equal(run.code, code, run.stderr);
  assert.equal(await repository.fingerprint(), before);
}

suite('a change', () => {
  test('is one commit with who, what and why, and leaves a clean work tree', async () => {
    const repository = await openRepository(['account']);
    const before = await repository.head();
    await repository.done('deploy', 'account', image('1.1'), '--reason', 'new prices');
    assert.equal(await repository.git('rev-list', '--count', `${before}..HEAD`), '1');
    assert.equal(await repository.git('status', '--porcelain'), '');
    const trailer = (key: string) => repository.git('log', '-1', `--format=%(trailers:key=${key},valueonly)`);
    assert.equal((await trailer('Stage-Verb')).trim(), 'deploy');
    assert.equal((await trailer('Stage-Image')).trim(), image('1.1'));
    assert.equal((await trailer('Stage-Reason')).trim(), 'new prices');
    assert.equal((await trailer('Stage-By')).trim(), 'Ann <ann@example.org>');
    assert.match(repository.read('manifests/account/internal/deployment.yaml'), /account:1\.1/);
    await repository.git('fsck', '--strict');
  });

  test('that changes nothing makes no commit', async () => {
    const repository = await openRepository(['account']);
    await repository.done('deploy', 'account', image('1.1'));
    const before = await repository.head();
    assert.match(await repository.done('deploy', 'account', image('1.1')), /nothing to do/);
    assert.match(await repository.done('render'), /nothing to do/);
    assert.equal(await repository.head(), before);
  });

  test('can be looked at first: --dry-run prints the patch and changes nothing', async () => {
    const repository = await openRepository(['account']);
    const before = await repository.fingerprint();
    const patch = await repository.done('deploy', 'account', image('1.1'), '--dry-run');
    assert.match(patch, /^ {4}deploy\(account\): internal 1\.0 → 1\.1/);
    assert.match(patch, /^\+ {10}image: registry\.example\/shop\/account:1\.1$/m);
    assert.equal(await repository.fingerprint(), before);
  });

  test('works in a bare repository, on an unborn branch and from a folder within', async () => {
    const bare = await ManifestRepository.create({ bare: true });
    await bare.done('init', 'account', '--image', image('1.0'));
    await bare.done('deploy', 'account', image('1.1'));
    assert.equal((await bare.slot('account', 'internal')).version, '1.1');
    const repository = await openRepository(['account']);
    await repository.done('-C', 'services/account', 'deploy', 'account', image('1.1'));
    assert.equal(await repository.git('status', '--porcelain'), '');
  });

  test('keeps what people have in their work tree outside of its folders', async () => {
    const repository = await openRepository(['account']);
    repository.write('notes.txt', 'mine');
    await repository.done('deploy', 'account', image('1.1'));
    assert.equal(repository.read('notes.txt'), 'mine');
    assert.equal(await repository.git('status', '--porcelain'), '?? notes.txt');
  });
});

suite('refused with one message and nothing changed', () => {
  test('a dirty work tree, staged or not, and files that stand in the way', async () => {
    const repository = await openRepository(['account']);
    repository.write('pipeline.yaml', `${OPEN_PIPELINE}# mine\n`);
    await refused(
      repository,
      ['deploy', 'account', image('1.1')],
      4,
      /not committed: pipeline\.yaml; commit or stash/,
    );
    await repository.git('add', '-A');
    await refused(repository, ['deploy', 'account', image('1.1')], 4, /not committed: pipeline\.yaml/);
    await repository.git('reset', '-q', '--hard');
    repository.write('manifests/other/x.yaml', 'a: 1\n');
    await refused(
      repository,
      ['deploy', 'account', image('1.1')],
      4,
      /not committed: manifests\/other\/x\.yaml/,
    );
  });

  test('a detached head, a merge under way, and no repository at all', async () => {
    const repository = await openRepository(['account']);
    await repository.git('checkout', '-q', '--detach');
    await refused(repository, ['deploy', 'account', image('1.1')], 4, /HEAD is detached.*git switch/);
    await repository.git('switch', '-q', 'main');
    writeFileSync(path.join(repository.directory, '.git', 'MERGE_HEAD'), `${await repository.head()}\n`);
    await refused(repository, ['deploy', 'account', image('1.1')], 4, /a merge is under way/);
    const nowhere = new ManifestRepository(temporaryDirectory());
    const run = await nowhere.stage('status');
    assert.equal(run.code, 4);
    assert.match(run.stderr, /is not in a git repository/);
  });

  test('unknown services, stages and tracks, images without tag, and skips without a reason', async () => {
    const repository = await openRepository(['account']);
    await repository.done('deploy', 'account', image('1.1'));
    await refused(
      repository,
      ['deploy', 'acount', image('1.2')],
      3,
      /no service "acount"; did you mean "account"/,
    );
    await refused(repository, ['deploy', 'account', 'registry.example/account'], 3, /has no tag/);
    await refused(
      repository,
      ['promote', 'account', '--to', 'canary'],
      3,
      /no stage "canary"; the track canary is that of the stage free/,
    );
    await refused(
      repository,
      ['promote', 'account', '--to', 'production'],
      3,
      /would skip free and paid; a skip needs --force --reason/,
    );
    await refused(
      repository,
      ['promote', 'account', '--to', 'production', '--force'],
      2,
      /--force needs --reason/,
    );
    await refused(
      repository,
      ['deploy', 'account', image('1.2')],
      3,
      /internal holds 1\.1, which is still on trial/,
    );
    await refused(repository, ['init', 'account'], 3, /is there already/);
    await refused(repository, ['init', 'Account'], 3, /is not a name/);
    await refused(repository, ['rollback', 'account', '--to', 'nowhere'], 3, /neither a stage nor a commit/);
    await refused(repository, ['deploy', 'account', image('1.2'), '--once'], 2, /has no option --once/);
  });

  test('templates with an unknown placeholder, and tables that let enterprise users reach a canary', async () => {
    const repository = await openRepository(['account']);
    const template = repository.read('templates/track/service.yaml');
    repository.write('templates/track/service.yaml', template.replace('${track}', '${trak}'));
    await repository.commitAll('Break a template');
    await refused(
      repository,
      ['deploy', 'account', image('1.1')],
      2,
      /^templates\/track\/service\.yaml:\d+:\d+: unknown placeholder "trak"; did you mean "track"\?$/m,
    );
    repository.write('templates/track/service.yaml', template);
    const table = repository.read('templates/pointsman/configmap.yaml');
    repository.write(
      'templates/pointsman/configmap.yaml',
      table.replace('split: { production: 100 }', 'split: { production: 9, paid: 1 }'),
    );
    await repository.commitAll('Break the promise');
    await refused(
      repository,
      ['deploy', 'account', image('1.1')],
      2,
      /configmap\.yaml \(pointsman\.yaml\):\d+:\d+: .*ENTERPRISE/,
    );
    await refused(repository, ['render', '--check'], 2, /ENTERPRISE/);
  });

  test('a frozen stage, while a rollback goes through', async () => {
    const repository = await openRepository(
      ['account'],
      `${OPEN_PIPELINE}freeze: { deny: [ { from: 2020-01-01, to: 2099-01-01, stages: [free], reason: audit } ] }\n`,
    );
    await repository.done('deploy', 'account', image('1.1'));
    await refused(repository, ['promote', 'account'], 3, /nothing may enter the stage free now: .*audit/);
    await repository.done('promote', 'account', '--force', '--reason', 'hotfix');
    assert.match(await repository.git('log', '-1', '--format=%B'), /^Stage-Forced: freeze$/m);
    await repository.done('rollback', 'account', '--reason', 'bad');
    assert.deepEqual(await repository.slot('account', 'free'), {
      status: 'stable',
      version: '1.0',
      weight: 0,
    });
    await refused(repository, ['deploy', 'account', image('1.1')], 3, /1\.1 was rolled back at .*\(bad\)/);
  });

  test('a branch protected by the remote, a remote that is away, and one that has diverged', async () => {
    const origin = await ManifestRepository.create({ bare: true });
    const repository = await openRepository(['account']);
    await refused(
      repository,
      ['deploy', 'account', image('1.1'), '--push'],
      4,
      /there is no remote "origin"/,
    );
    await repository.git('remote', 'add', 'origin', origin.directory);
    await repository.git('push', '-q', 'origin', 'main');
    const hook = path.join(origin.directory, 'hooks', 'pre-receive');
    writeFileSync(hook, '#!/bin/sh\necho main is protected >&2\nexit 1\n');
    chmodSync(hook, 0o755);
    await refused(repository, ['deploy', 'account', image('1.1'), '--push'], 4, /refused the push/);
    rmSync(hook);
    const other = await origin.clone('Bob');
    other.write('notes.txt', 'x');
    await other.commitAll('Elsewhere');
    await other.git('push', '-q', 'origin', 'main');
    await repository.done('deploy', 'account', image('1.1'));
    await refused(
      repository,
      ['advance', 'account', '--push'],
      4,
      /have diverged: 1 of your commits are not there, 1 of theirs are not here; git pull --rebase/,
    );
    await repository.git('remote', 'set-url', 'origin', path.join(origin.directory, 'gone'));
    await refused(repository, ['advance', 'account', '--push'], 4, /cannot be reached/);
  });
});

suite('a rollback', () => {
  test('to a commit brings back the builds of that commit', async () => {
    const repository = await openRepository(['account']);
    await repository.done('deploy', 'account', image('1.1'));
    await repository.done('promote', 'account');
    const then = await repository.head();
    await repository.done('advance', 'account');
    await repository.done('deploy', 'account', image('1.2'));
    await repository.done('rollback', 'account', '--to', then, '--reason', 'as before');
    assert.deepEqual(await repository.slot('account', 'free'), {
      status: 'running',
      version: '1.1',
      weight: 5,
    });
    assert.deepEqual(await repository.slot('account', 'internal'), {
      status: 'passed',
      version: '1.1',
      weight: 100,
    });
    await refused(repository, ['deploy', 'account', image('1.2')], 3, /was rolled back/);
  });

  test('from production brings back what ran before', async () => {
    const repository = await openRepository(['account']);
    await repository.done('deploy', 'account', image('1.1'));
    for (let i = 0; i < 6; i++) await repository.done('advance', 'account');
    assert.deepEqual(await repository.slot('account', 'production'), {
      status: 'running',
      version: '1.1',
      weight: null,
    });
    await repository.done('rollback', 'account', '--reason', 'bad');
    for (const stage of ['internal', 'free', 'paid', 'production'])
      assert.equal((await repository.slot('account', stage)).version, '1.0', stage);
  });
});

suite('several at once', () => {
  test('racing pushes from three clones all land, one commit each, in one line', async () => {
    const origin = await ManifestRepository.create({ bare: true });
    const first = await openRepository(['a', 'b', 'c']);
    await first.git('remote', 'add', 'origin', origin.directory);
    await first.git('push', '-q', '-u', 'origin', 'main');
    const before = await first.head();
    const clones = await Promise.all(['Ann', 'Bob', 'Cid'].map((who) => origin.clone(who)));
    const services = ['a', 'b', 'c'];
    const runs = await Promise.all(
      clones.map(async (clone, i) => {
        const all = [await clone.stage('deploy', services[i]!, image('1.1'), '--push')];
        all.push(await clone.stage('advance', services[i]!, '--push'));
        return all;
      }),
    );
    for (const run of runs.flat()) assert.equal(run.code, 0, run.stderr);
    assert.equal(await origin.git('rev-list', '--count', '--no-merges', `${before}..main`), '6');
    assert.equal(await origin.git('rev-list', '--count', '--merges', `${before}..main`), '0');
    await origin.git('fsck', '--strict');
    const fresh = await origin.clone('Dan');
    for (const service of services) assert.equal((await fresh.slot(service, 'free')).version, '1.1');
    for (const clone of clones) assert.equal(await clone.git('status', '--porcelain'), '');
  });

  test('two people who promote the same build at once promote it once', async () => {
    const origin = await ManifestRepository.create({ bare: true });
    const first = await openRepository(['a']);
    await first.git('remote', 'add', 'origin', origin.directory);
    await first.done('deploy', 'a', image('1.1'));
    await first.git('push', '-q', '-u', 'origin', 'main');
    const clones = await Promise.all(['Ann', 'Bob'].map((who) => origin.clone(who)));
    const runs = await Promise.all(
      clones.map((clone) => clone.stage('promote', 'a', '--stage', 'internal', '--push')),
    );
    assert.deepEqual(
      runs.map(({ code }) => code).sort(),
      [0, 3],
      runs.map(({ stderr }) => stderr).join('\n'),
    );
    assert.equal((await (await origin.clone('Eve')).slot('a', 'free')).version, '1.1');
  });

  test('commands in one clone wait for each other', async () => {
    const services = ['a', 'b', 'c', 'd'];
    const repository = await openRepository(services);
    const runs = await Promise.all(
      services.map((service) => repository.stage('deploy', service, image('1.1'))),
    );
    for (const run of runs) assert.equal(run.code, 0, run.stderr);
    assert.equal(await repository.git('status', '--porcelain'), '');
    for (const service of services) assert.equal((await repository.slot(service, 'internal')).version, '1.1');
  });
});
