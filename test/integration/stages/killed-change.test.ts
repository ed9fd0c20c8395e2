/** Changes that are killed, and runs at once: all or nothing, and every step once. */

import assert from 'node:assert/strict';
import { linkSync, rmSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { image, openRepository } from '../../support/manifest-repository.ts';
import { pause, waitFor } from '../../support/wait-for.ts';

const LONG = process.env['TEST_LONG'] === '1';
const SERVICES = ['account', 'billing', 'cart'];

suite('kill -9', () => {
  test('of a change at a random point leaves all of it or nothing, and the next command works', {
    timeout: 120_000,
  }, async () => {
    const repository = await openRepository(['account']);
    for (let i = 0; i < (LONG ? 60 : 10); i++) {
      const version = `3.${i}`;
      const before = await repository.head();
      const { child, ended } = repository.start('deploy', 'account', image(version), '--supersede');
      await pause(180 + Math.random() * 250);
      child.kill('SIGKILL');
      await ended;
      // A git that the command had started may still be at its last word.
      await pause(50);
      await repository.requireWhole();
      const after = await repository.head();
      const ahead = Number(await repository.git('rev-list', '--count', `${before}..${after}`));
      assert.ok(ahead <= 1);
      const next = await repository.stage('deploy', 'account', image(`${version}-next`), '--supersede');
      assert.equal(next.code, 0, next.stderr);
      assert.equal(await repository.git('status', '--porcelain'), '', 'the work tree is what was committed');
      assert.equal((await repository.slot('account', 'internal')).version, `${version}-next`);
    }
  });
});

suite('a command killed between the commit and the work tree', () => {
  test('is finished by the next one, with files whole, half written and missing, and a lock left behind', async () => {
    const repository = await openRepository(['account']);
    const before = await repository.head();
    await repository.done('deploy', 'account', image('1.1'));
    const after = await repository.head();
    const changed = (await repository.git('diff', '--name-only', before, after)).split('\n');
    assert.ok(changed.length >= 3);
    const wanted = changed.map((file) => repository.read(file));
    await repository.git('reset', '-q', '--hard', before);

    repository.write(
      '.git/pointsman/pending',
      JSON.stringify({ ref: 'refs/heads/main', from: before, to: after }),
    );
    await repository.git('update-ref', 'refs/heads/main', after, before);
    repository.write(changed[0]!, wanted[0]!);
    repository.write(changed[1]!, wanted[1]!.slice(0, 40));
    rmSync(path.join(repository.directory, changed[2]!));
    // Above what the kernel gives out by default.
    const gone = 2 ** 22 + 1;
    repository.write(`.git/pointsman/lock.${gone}`, 'an index');
    linkSync(
      path.join(repository.directory, `.git/pointsman/lock.${gone}`),
      path.join(repository.directory, '.git/index.lock'),
    );
    repository.write('.git/pointsman/command.lock', String(gone));

    await repository.done('advance', 'account');
    assert.equal(await repository.git('status', '--porcelain'), '');
    assert.equal((await repository.slot('account', 'free')).version, '1.1');
    await repository.requireWhole();
  });

  test("keeps a person's file that stands where the commit wants to write, and says so", async () => {
    const repository = await openRepository(['account']);
    const before = await repository.head();
    await repository.done('deploy', 'account', image('1.1'));
    const after = await repository.head();
    await repository.git('reset', '-q', '--hard', before);
    repository.write(
      '.git/pointsman/pending',
      JSON.stringify({ ref: 'refs/heads/main', from: before, to: after }),
    );
    await repository.git('update-ref', 'refs/heads/main', after, before);
    repository.write('manifests/account/internal/deployment.yaml', 'mine: 1\n');
    const { code, stderr } = await repository.stage('advance', 'account');
    assert.equal(code, 4);
    assert.match(stderr, /could not be brought up to date, because they were changed meanwhile/);
    assert.equal(repository.read('manifests/account/internal/deployment.yaml'), 'mine: 1\n');
    assert.equal(await repository.head(), after);
  });
});

suite('two runs', () => {
  test('at once make every step once, and one takes over when the other is killed', async () => {
    const repository = await openRepository(SERVICES);
    const from = await repository.head();
    for (const service of SERVICES) await repository.done('deploy', service, image('2.0'));
    const first = repository.start('run');
    const second = repository.start('run');
    await waitFor('the first steps', async () => (await repository.head()) !== from);
    first.child.kill('SIGKILL');
    await first.ended;
    await waitFor(
      'the end',
      async () =>
        (await Promise.all(SERVICES.map((service) => repository.slot(service, 'production')))).every(
          ({ status, version }) => status === 'stable' && version === '2.0',
        ),
      60_000,
    );
    second.child.kill('SIGTERM');
    assert.equal((await second.ended).code, 0);
    await repository.requireNoStepTwice(from);
    await repository.requireWhole();
  });
});
