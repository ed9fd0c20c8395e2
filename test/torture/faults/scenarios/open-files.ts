/** A process that may open few files, and clients that want them all. */

import assert from 'node:assert/strict';
import { newNonce } from '../../../support/origin.ts';
import { type PointsmanProcess, startPointsman } from '../../../support/pointsman-process.ts';
import { cpuSeconds } from '../../../support/process-usage.ts';
import { RawClient } from '../../../support/raw-client.ts';
import { send } from '../../../support/request.ts';
import { pause, waitFor } from '../../../support/wait-for.ts';
import { FaultyUpstream } from '../faulty-upstream.ts';
import { SteadyClient, type Subject } from './scenario.ts';

/** A process with so many takes 72 clients. */
const OPEN_FILES = 160;
const CLIENTS_EACH = 100;
const CLIENTS_MORE = 50;

/** How long the process is watched while it is short of files. */
const WATCHED_MS = 1_000;

/** Its share of a processor while nobody asks anything of it: a loop that spins takes all of one. */
const MOST_CPU = 0.5;

const SHORTAGE = /^out of file descriptors/;

export async function playOpenFiles({ lane, workers }: Subject): Promise<void> {
  const upstream = await FaultyUpstream.start();
  const proxy = await startPointsman(
    {
      backends: { open: { url: `http://127.0.0.1:${upstream.ports.open}` } },
      routes: [{ name: 'all', split: { open: 1 } }],
      health: { interval: '200ms', timeout: '2s' },
      retries: { attempts: 0 },
      accessLog: { mode: 'off' },
      forwarding: { fastLane: lane === 'fast' },
      workers,
    },
    { launcher: ['prlimit', `--nofile=${OPEN_FILES}:${OPEN_FILES}`, '--'] },
  );

  // Connections that nobody asks anything on, or a little.
  const count = CLIENTS_EACH * workers + CLIENTS_MORE;
  const taken = await fill(proxy, upstream, count);
  assert.ok(taken.length < count, 'some were refused');
  assert.ok(taken.length > 0, 'some were taken');
  await assertAdminAlive(proxy);
  const before = cpuSeconds(proxy.pid) * 1000;
  await pause(WATCHED_MS);
  const share = (cpuSeconds(proxy.pid) * 1000 - before) / WATCHED_MS;
  assert.ok(share < MOST_CPU, `it takes ${share} of a processor, and nobody asks anything`);
  for (const client of taken) await assertAnswered(client);

  // All of them with a request under way: each needs a connection to the upstream.
  const waiting = taken.map((client) => {
    const nonce = newNonce();
    client.send(`GET /open/stalls/${nonce} HTTP/1.1\r\nHost: a\r\n\r\n`);
    return client;
  });
  await waitFor('some to wait for the upstream', () => upstream.open > 1);
  await assertAdminAlive(proxy);
  for (const client of waiting) client.destroy();

  // It comes back by itself, and says once what was wrong.
  await proxy.waitFor(
    'the clients to be gone',
    async () => (await proxy.metric('pointsman_client_connections')) === 0,
  );
  const steady = Array.from({ length: 5 }, () => new SteadyClient(() => proxy.trafficPort));
  await waitFor('traffic', () => steady.every(({ answered }) => answered > 10));
  for (const one of steady) {
    await one.end();
    assert.deepEqual(one.problems, []);
    assert.equal(one.cuts, 0);
  }
  assert.ok((await proxy.metric('pointsman_failures_total', { reason: 'too_many_connections' })) > 0);
  const told = proxy.log().filter(({ msg }) => SHORTAGE.test(msg));
  assert.ok(told.length >= 1 && told.length <= workers, `${told.length} lines say so`);
  assert.ok(proxy.log().length < 20 + 2 * workers, 'and the log is no longer for it');
  assert.equal((await proxy.status()).backends[0]!.endpoints[0]!.health, 'up');
  assert.equal(await proxy.stop(), 0);
}

/** Of clients that connect and ask, those that are taken. */
async function fill(proxy: PointsmanProcess, upstream: FaultyUpstream, count: number): Promise<RawClient[]> {
  const taken: RawClient[] = [];
  for (let i = 0; i < count; i++) {
    const client = await RawClient.connect(proxy.trafficPort);
    const isTaken = await assertAnswered(client).then(
      () => true,
      () => false,
    );
    if (isTaken) taken.push(client);
  }
  upstream.closeIdle();
  return taken;
}

async function assertAnswered(client: RawClient): Promise<void> {
  const nonce = newNonce();
  const answer = await client.send(`GET /open/answers/${nonce} HTTP/1.1\r\nHost: a\r\n\r\n`).read();
  assert.equal(answer.status, 200);
  assert.equal(answer.value('x-nonce'), nonce);
}

async function assertAdminAlive(proxy: PointsmanProcess): Promise<void> {
  for (const path of ['/livez', '/readyz', '/metrics', '/status']) {
    assert.equal((await send(proxy.adminPort, { path })).status, 200, path);
  }
}
