/** kill -9 at random points: the repository is always whole, and the work goes on to the same end. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { image, type ManifestRepository, openRepository } from '../../support/manifest-repository.ts';
import { pause, waitFor } from '../../support/wait-for.ts';

const LONG = process.env['TEST_LONG'] === '1';
const KILLS = LONG ? 100 : 6;
const SERVICES = ['account', 'billing', 'cart'];

/** Resolves when the branch has moved so many times, or after a while in which it does not. */
async function commits(repository: ManifestRepository, count: number): Promise<void> {
  const deadline = performance.now() + 5_000;
  let last = repository.read('.git/refs/heads/main');
  for (let seen = 0; seen < count && performance.now() < deadline; ) {
    await pause(2);
    const now = repository.read('.git/refs/heads/main');
    if (now === last) continue;
    last = now;
    seen++;
  }
}

/** Builds on trial or moved on, of every service, as `image status` per stage. */
async function ends(repository: ManifestRepository): Promise<unknown> {
  const overviews = JSON.parse(await repository.done('status', '-o', 'json')) as {
    service: string;
    stages: { stage: string; status: string; image: string; weight: unknown }[];
  }[];
  return overviews.map(({ service, stages }) => [
    service,
    stages.map(({ stage, status, image: of, weight }) => [stage, status, of, weight]),
  ]);
}

suite('kill -9', () => {
  test(`of stage run at ${KILLS} random points leaves the repository whole, and it resumes to the same end`, {
    timeout: LONG ? 1_800_000 : 180_000,
  }, async () => {
    const repository = await openRepository(SERVICES);
    const from = await repository.head();
    let build = 0;
    let kills = 0;
    let moved = 0;
    while (kills < KILLS) {
      const version = `2.${++build}`;
      for (const service of SERVICES) await repository.done('deploy', service, image(version));
      for (let tries = 0; tries < 6 && kills < KILLS; tries++) {
        const before = await repository.head();
        const run = repository.start('run');
        // From before it has read anything to the middle of its commits, however slow the machine is.
        await commits(repository, Math.floor(Math.random() * 4));
        await pause(Math.random() * 400);
        run.child.kill('SIGKILL');
        await run.ended;
        kills++;
        await repository.requireWhole();
        if ((await repository.head()) !== before) moved++;
      }
      const run = repository.start('run');
      await waitFor(
        `every service to run ${version}`,
        async () => {
          for (const service of SERVICES) {
            const { status, version: there } = await repository.slot(service, 'production');
            if (status !== 'stable' || there !== version) return false;
          }
          return true;
        },
        60_000,
      );
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      assert.equal(await repository.git('status', '--porcelain'), '');
    }
    await repository.requireWhole();
    assert.ok(moved > 0, 'some runs were killed after they had begun to move builds');
    await repository.requireNoStepTwice(from);

    const undisturbed = await openRepository(SERVICES);
    for (const service of SERVICES) await undisturbed.done('deploy', service, image(`2.${build}`));
    await waitFor(
      'the end',
      async () => {
        await undisturbed.done('run', '--once');
        return (await Promise.all(SERVICES.map((service) => undisturbed.slot(service, 'production')))).every(
          ({ status, version }) => status === 'stable' && version === `2.${build}`,
        );
      },
      60_000,
    );
    assert.deepEqual(await ends(repository), await ends(undisturbed));
  });
});
