/** With which rights the proxy runs. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { oneBackend } from '../../support/design-table.ts';
import { freePort } from '../../support/free-port.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { MAIN, type PointsmanProcess, runToEnd, startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';
import {
  AS_NOBODY_READ_ONLY,
  childrenOf,
  NOBODY,
  noRights,
  readableConfig,
  rightsOf,
  whyNotAsNobody,
  whyNotReadOnly,
} from '../../support/unprivileged.ts';

const upstream = await startHttpUpstream('main');
const run = promisify(execFile);

async function assertServes(proxy: PointsmanProcess): Promise<void> {
  const answer = await send(proxy.trafficPort, { method: 'POST', body: 'x' });
  assert.equal(answer.status, 200);
  assert.equal(answer.echo().body.length, 1);
}

/** What an operator may see it do. */
async function assertWorks(proxy: PointsmanProcess, workers: number): Promise<void> {
  await assertServes(proxy);
  await proxy.reload(oneBackend(upstream.url, { workers, timeouts: { connect: '3s' } }));
  if (workers > 1) {
    const [first] = childrenOf(proxy.pid);
    process.kill(first!, 'SIGKILL');
    await proxy.waitFor('a worker in its place', async () => {
      const all = (await proxy.status()).workers;
      return all.every(({ state }) => state === 'online') && all.some(({ restarts }) => restarts === 1);
    });
  }
  await assertServes(proxy);
  assert.ok((await proxy.metric('process_open_fds')) > 5, 'it sees itself');
}

suite('a proxy that root starts', { skip: whyNotAsNobody() }, () => {
  test('is nobody with all of its workers, those that come later too, and has no capability', async () => {
    const configPath = readableConfig(oneBackend(upstream.url, { workers: 2 }));
    const proxy = await startPointsman('', { configPath });
    assert.deepEqual(rightsOf(proxy.pid), [noRights(NOBODY, NOBODY)]);
    await assertWorks(proxy, 2);
    assert.deepEqual(rightsOf(proxy.pid), [noRights(NOBODY, NOBODY)]);
    assert.equal(childrenOf(proxy.pid).length, 2);
    await proxy.waitForLog(({ msg, uid }) => /was started as root/.test(msg) && uid === NOBODY);
    assert.equal(await proxy.stop(), 0);
  });

  test('opens a port that only root may, and is the user of its configuration from then on', async () => {
    const accounts = readFileSync('/etc/passwd', 'utf8');
    const [, uid] = /^daemon:[^:]*:(\d+):/m.exec(accounts) ?? [];
    const config = oneBackend(upstream.url, {
      listen: `127.0.0.1:${await freePort(1_023, 600)}`,
      runAs: { user: 'daemon', group: 7 },
    });
    const proxy = await startPointsman('', { configPath: readableConfig(config) });
    assert.ok(proxy.trafficPort < 1_024);
    assert.deepEqual(rightsOf(proxy.pid), [noRights(Number(uid), 7)]);
    await assertServes(proxy);
    proxy.signal('SIGUSR1');
    await assertServes(proxy);
    assert.equal(proxy.stderr, '', 'no debugger');
    assert.equal(await proxy.stop(), 0);
  });

  test('does not start as a user who could not read the configuration again', async () => {
    const configPath = readableConfig(oneBackend(upstream.url, { runAs: { user: NOBODY } }));
    chmodSync(path.dirname(configPath), 0o700);
    const { code, stderr, stdout } = await runToEnd(configPath);
    assert.equal(code, 2);
    assert.equal(
      stderr,
      `pointsman: cannot run as user ${NOBODY}: it could not read ${configPath} (EACCES), which is read again later; give it the right to\n`,
    );
    assert.equal(stdout, '');
  });
});

test('a proxy that nobody starts works where nothing can be written, with two workers', {
  skip: whyNotReadOnly(),
}, async () => {
  const [program, ...launcher] = AS_NOBODY_READ_ONLY;
  const configPath = readableConfig(oneBackend(upstream.url, { workers: 2 }));
  for (const place of [path.join(path.dirname(configPath), 'x'), '/tmp/pointsman-test-x', '/dev/shm/x']) {
    await assert.rejects(run(program!, [...launcher, 'touch', place]), /[Rr]ead-only/, place);
  }
  const proxy = await startPointsman('', { configPath, launcher: AS_NOBODY_READ_ONLY });
  assert.match(readFileSync(`/proc/${proxy.pid}/status`, 'utf8'), /^NoNewPrivs:\t1$/m);
  assert.deepEqual(rightsOf(proxy.pid), [noRights(NOBODY, NOBODY)]);
  await assertWorks(proxy, 2);
  assert.equal(await proxy.stop(), 0);
  const { stderr } = await proxy.exited;
  assert.equal(stderr, '');
  const { stdout } = await run(program!, [...launcher, process.execPath, MAIN, 'check', configPath]);
  assert.match(stdout, /: ok \(1 route, 1 backend\)/);
});
