/** Standard output goes to a disk that is full: traffic goes on, what is lost is counted, and the log comes back. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cleanUp } from '../../../support/clean-up.ts';
import { freePorts } from '../../../support/free-port.ts';
import { newNonce } from '../../../support/origin.ts';
import { type PointsmanProcess, startPointsman } from '../../../support/pointsman-process.ts';
import { inParallel, send } from '../../../support/request.ts';
import { pause } from '../../../support/wait-for.ts';
import { FaultyUpstream } from '../faulty-upstream.ts';
import { onlineWorkers, type Subject } from './scenario.ts';

/** Of the disk. */
const SIZE = '512k';

/** Makes a line of the log of some two kilobytes, so that fewer are needed to fill what is kept of them. */
const LONG = `?${'x'.repeat(2_000)}`;

const BATCH = 1_000;

/** More than what is kept while the disk is full. */
const MOST_BATCHES = 40;

/** A disk of its own, where that may be had. */
export function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'none', folder], {
    stdio: 'ignore',
  });
  if (status !== 0) {
    rmdirSync(folder);
    return undefined;
  }
  cleanUp(() => {
    // Lazily: what the test has open there may not be closed yet.
    spawnSync('umount', ['-l', folder], { stdio: 'ignore' });
    rmdirSync(folder);
  });
  return folder;
}

export async function playFullDisk(subject: Subject, folder: string): Promise<void> {
  const file = path.join(folder, `log-${subject.lane}-${subject.workers}`);
  const ballast = path.join(folder, 'ballast');
  const descriptor = openSync(file, 'a');
  const { proxy, ask } = await start(subject, descriptor);
  closeSync(descriptor);
  const early = await ask(10);
  await proxy.waitFor('lines of the first requests', () =>
    early.every((nonce) => readFileSync(file, 'latin1').includes(nonce)),
  );

  fillUp(ballast);
  let asked = early.length;
  for (let i = 0; (await proxy.metric('pointsman_log_lines_dropped_total')) === 0; i++) {
    assert.ok(i < MOST_BATCHES, 'lines are dropped and counted');
    asked += (await ask(BATCH)).length;
  }
  assert.equal((await send(proxy.adminPort, { path: '/readyz' })).status, 200);

  rmSync(ballast);
  const size = statSync(file).size;
  spawnSync('mount', ['-o', 'remount,size=64m', folder]);
  await proxy.waitFor('the log to go on', () => statSync(file).size > size);
  // Each worker looks by itself whether there is room again.
  await proxy.waitFor('the lines of the last requests', async () => {
    const late = await ask(10);
    asked += late.length;
    await pause(200);
    const text = readFileSync(file, 'latin1');
    return late.every((nonce) => text.includes(nonce));
  });
  await proxy.waitFor('each line to be there, whole, or counted', async () => {
    const written = readFileSync(file, 'latin1').split('\n').filter(isRequest).length;
    return written + (await proxy.metric('pointsman_log_lines_dropped_total')) === asked;
  });
  assert.equal(await proxy.stop(), 0);
}

/** Of what several workers write to a full disk, the beginning of a line may be left, on a line of its own. */
function isRequest(line: string): boolean {
  try {
    return (JSON.parse(line) as { msg: string }).msg === 'request';
  } catch {
    return false;
  }
}

/** A disk that is never anything but full. */
export async function playNoDisk(subject: Subject): Promise<void> {
  const descriptor = openSync('/dev/full', 'a');
  const { proxy, ask } = await start(subject, descriptor);
  closeSync(descriptor);
  for (let i = 0; (await proxy.metric('pointsman_log_lines_dropped_total')) === 0; i++) {
    assert.ok(i < MOST_BATCHES, 'lines are dropped and counted');
    await ask(BATCH);
  }
  assert.equal((await send(proxy.adminPort, { path: '/readyz' })).status, 200);
  assert.equal(await proxy.stop(), 0);
}

async function start(
  { lane, workers }: Subject,
  stdout: number,
): Promise<{ proxy: PointsmanProcess; ask: (count: number) => Promise<string[]> }> {
  const upstream = await FaultyUpstream.start();
  const [traffic, admin] = await freePorts(2);
  const proxy = await startPointsman(
    {
      listen: `127.0.0.1:${traffic}`,
      admin: `127.0.0.1:${admin}`,
      backends: { open: { url: `http://127.0.0.1:${upstream.ports.open}` } },
      routes: [{ name: 'all', split: { open: 1 } }],
      health: { enabled: false },
      forwarding: { fastLane: lane === 'fast' },
      workers,
    },
    { stdout },
  );
  await onlineWorkers(proxy, workers);
  const ask = (count: number) =>
    inParallel(count, 16, async () => {
      const nonce = newNonce();
      const answer = await send(proxy.trafficPort, { path: `/open/answers/${nonce}${LONG}` });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['x-nonce'], nonce);
      return nonce;
    });
  return { proxy, ask };
}

/** Until nothing more goes in. */
export function fillUp(file: string): void {
  const descriptor = openSync(file, 'a');
  try {
    for (const part of [Buffer.alloc(4096), Buffer.alloc(1)]) {
      for (;;) writeSync(descriptor, part);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(descriptor);
  }
}
