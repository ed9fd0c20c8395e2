/** What the documents say is run. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { derive, deriveTorture, README, TORTURE_README } from '../support/docs.ts';
import { PointsmanProcess } from '../support/pointsman-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(README, 'utf8');
const run = promisify(execFile);

/** The commands of the README's code blocks, without comments. */
function commands(): string[] {
  return [...readme.matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap((block) => block[1]!.split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '');
}

suite('the README', () => {
  test('holds the reference and the reasons as the code has them (npm run docs)', () => {
    assert.equal(readme, derive(readme));
  });

  test('of the torture suite holds what every fault ends in as the cases have it (npm run docs)', () => {
    const torture = readFileSync(TORTURE_README, 'utf8');
    assert.equal(torture, deriveTorture(torture));
  });

  test('names scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { scripts: object };
    for (const [, script] of readme.matchAll(/npm run (?:-s )?([a-z:]+)/g)) {
      assert.ok(Object.hasOwn(scripts, script!), `npm run ${script}`);
    }
  });

  for (const command of commands().filter((line) => /pointsman -- (check|explain|schema)/.test(line))) {
    test(`runs: ${command}`, async () => {
      const { stdout } = await run('sh', ['-c', command], { cwd: ROOT });
      assert.ok(stdout.length > 0);
    });
  }

  test('runs: pointsman run --config deploy/pointsman.example.yaml', async (context) => {
    const proxy = new PointsmanProcess(`${ROOT}/deploy/pointsman.example.yaml`, {});
    const ready = proxy.waitForLog((line) => line.msg === 'listening', 'the process to listen', 15_000);
    const first = await Promise.race([ready, proxy.exited]);
    if ('code' in first) {
      assert.match(String(first.stderr), /is in use/);
      context.skip('the ports of the example are in use on this machine');
      return;
    }
    assert.equal(first['traffic'], '0.0.0.0:8080');
    await proxy.kill();
  });

  test('shows every command of the command line', async () => {
    const { stdout } = await run(process.execPath, ['src/main.ts', '--help'], { cwd: ROOT });
    for (const [, name] of stdout.matchAll(/^ {2}([a-z]+) /gm))
      assert.ok(readme.includes(`| \`${name}\` |`), `${name} is a command`);
  });

  test('links to files that exist', () => {
    for (const [, target] of readme.matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.ok(existsSync(`${ROOT}/${target}`), `${target} is linked to`);
    }
  });
});
