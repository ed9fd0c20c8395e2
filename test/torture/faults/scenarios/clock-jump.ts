/** The wall clock is set forward and back under a process that runs: what waits, waits on. */

import assert from 'node:assert/strict';
import { globSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { startHttpUpstream } from '../../../support/http-upstream.ts';
import { act, TOKEN } from '../../../support/operator.ts';
import {
  type PointsmanProcess,
  startPointsman,
  temporaryDirectory,
} from '../../../support/pointsman-process.ts';
import { RawClient } from '../../../support/raw-client.ts';
import { send } from '../../../support/request.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { Subject } from './scenario.ts';

const DAY_MS = 86_400_000;

/** Of Debian's package `faketime`. */
function libraryPath(): string {
  const [found] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
  if (found === undefined) throw new Error('libfaketime is missing: apt-get install faketime');
  return found;
}

/** The wall clock of a process, whose monotonic clock goes on as it does. */
class WallClock {
  readonly #file: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(folder: string) {
    this.#file = path.join(folder, 'clock');
    this.set(0);
    this.env = {
      LD_PRELOAD: libraryPath(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
      FAKETIME_NO_CACHE: '1',
    };
  }

  /** @param days from what it really is */
  set(days: number): void {
    writeFileSync(this.#file, `${days < 0 ? '-' : '+'}${Math.abs(days)}d\n`);
  }
}

export async function playClockJump({ lane, workers }: Subject): Promise<void> {
  const [main, other] = await Promise.all([startHttpUpstream('main'), startHttpUpstream('other')]);
  const clock = new WallClock(temporaryDirectory());
  const proxy = await startPointsman(
    {
      backends: { main: { url: main.url }, other: { url: other.url } },
      routes: [{ name: 'all', split: { main: 1, other: 0 } }],
      acting: { token: '${POINTSMAN_TEST_TOKEN}' },
      limits: { rates: { all: { by: 'client', rate: 1_000, burst: 1_000 } } },
      forwarding: { fastLane: lane === 'fast' },
      workers,
    },
    { env: { ...clock.env, POINTSMAN_TEST_TOKEN: TOKEN } },
  );
  const idle = await RawClient.connect(proxy.trafficPort);
  const ask = async () =>
    (await idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n').read()).json() as { upstream: string };
  assert.equal((await ask()).upstream, 'main');
  const held = send(proxy.trafficPort, { path: '/hold' });
  await waitFor('the held request at the upstream', () => main.open === 1);
  const switchOver = () =>
    act(proxy.adminPort, 'split', {
      route: 'all',
      weights: { main: 0, other: 1 },
      for: '1h',
      reason: 'test',
    });
  assert.equal((await switchOver()).status, 200);
  await proxy.waitFor('the override to hold', async () => (await ask()).upstream === 'other');

  clock.set(2);
  await proxy.waitFor('the clock of the proxy to have jumped', () => isAt(proxy, 2));
  await assertChecksGoOn(proxy);
  // By the clock of those who set it, its hour is over.
  await proxy.waitFor('the override to have ended', async () => (await ask()).upstream === 'main');
  assert.equal((await switchOver()).status, 200);
  await proxy.waitFor('another override to hold', async () => (await ask()).upstream === 'other');

  clock.set(-2);
  await proxy.waitFor('the clock of the proxy to have jumped back', () => isAt(proxy, -2));
  await assertChecksGoOn(proxy);
  const [override] = (await proxy.status()).overrides;
  assert.equal((await act(proxy.adminPort, 'end', { override: override!.id })).status, 200);
  await proxy.waitFor('the override to be ended by hand', async () => (await ask()).upstream === 'main');

  main.release();
  assert.equal((await held).status, 200);
  assert.equal((await ask()).upstream, 'main');
  idle.destroy();
  for (const name of ['pointsman_failures_total', 'pointsman_retries_total', 'pointsman_rate_limited_total'])
    assert.equal(await proxy.metric(name), 0, name);
  const changes = proxy.log().filter(({ msg, level }) => /endpoint is|ejected/.test(msg) && level !== 'info');
  assert.deepEqual(changes, []);
  assert.equal(await proxy.stop(), 0);
}

async function isAt(proxy: PointsmanProcess, days: number): Promise<boolean> {
  const { date } = (await send(proxy.adminPort, { path: '/livez' })).headers;
  return Math.abs(Date.parse(date!) - Date.now() - days * DAY_MS) < DAY_MS / 2;
}

async function assertChecksGoOn(proxy: PointsmanProcess): Promise<void> {
  const count = () => proxy.metric('pointsman_health_checks_total', { result: 'ok' });
  const before = await count();
  await proxy.waitFor('further checks', async () => (await count()) >= before + 4);
  const { backends } = await proxy.status();
  for (const { endpoints } of backends) for (const { health } of endpoints) assert.equal(health, 'up');
}
