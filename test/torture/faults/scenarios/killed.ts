/** Processes that are killed under load. */

import assert from 'node:assert/strict';
import { freePorts } from '../../../support/free-port.ts';
import { PointsmanProcess, startPointsman } from '../../../support/pointsman-process.ts';
import { openDescriptors } from '../../../support/process-census.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { FaultyUpstream } from '../faulty-upstream.ts';
import { isAlive, onlineWorkers, SteadyClient, type Subject } from './scenario.ts';

const CLIENTS = 24;

/** So many answers of each client show that it is served. */
const SERVED = 20;

async function start({ lane, workers }: Subject) {
  const upstream = await FaultyUpstream.start();
  const [traffic, admin] = await freePorts(2);
  const proxy = await startPointsman({
    listen: `127.0.0.1:${traffic}`,
    admin: `127.0.0.1:${admin}`,
    backends: { open: { url: `http://127.0.0.1:${upstream.ports.open}` } },
    routes: [{ name: 'all', split: { open: 1 } }],
    accessLog: { mode: 'off' },
    forwarding: { fastLane: lane === 'fast' },
    workers,
  });
  const pids = await onlineWorkers(proxy, workers);
  const clients = Array.from({ length: CLIENTS }, () => new SteadyClient(() => traffic!));
  await served(clients, 0);
  return { upstream, proxy, pids, clients };
}

/** Each has had some more answers. */
async function served(clients: readonly SteadyClient[], from: number): Promise<void> {
  const before = clients.map(({ answered }) => (from === 0 ? 0 : answered));
  await waitFor('every client to be served', () =>
    clients.every(({ answered }, i) => answered >= before[i]! + SERVED),
  );
}

async function endAll(clients: readonly SteadyClient[]): Promise<void> {
  for (const client of clients) {
    await client.end();
    assert.deepEqual(client.problems, []);
  }
}

/** Only its own connections are cut; it is replaced, and what is counted never goes back. */
export async function playKilledWorker(subject: Subject): Promise<void> {
  const { upstream, proxy, pids, clients } = await start(subject);
  const [victim] = pids;
  const own = new Set(openDescriptors(victim!).tcp.map(({ remotePort }) => remotePort));
  const isOwn = clients.map(({ localPort }) => own.has(localPort));
  assert.ok(isOwn.includes(true) && isOwn.includes(false), 'some are of the victim, some of others');

  let highest = 0;
  const watchCount = async () => {
    const count = await proxy.metric('pointsman_requests_total');
    assert.ok(count >= highest, `${count} requests after ${highest}`);
    highest = count;
  };
  await watchCount();
  process.kill(victim!, 'SIGKILL');
  await proxy.waitFor('the replacement', async () => {
    await watchCount();
    const online = (await proxy.status()).workers.filter(({ state }) => state === 'online');
    return online.length === subject.workers && !online.some(({ pid }) => pid === victim);
  });
  await served(clients, 1);
  await watchCount();
  // More than once: who comes back at once may still get in line for the one that is gone.
  assert.deepEqual(
    clients.map(({ cuts }) => cuts > 0),
    isOwn,
  );
  await endAll(clients);
  await proxy.waitFor('nothing to be under way', async () => {
    const gauges = ['pointsman_requests_in_flight', 'pointsman_client_connections'];
    for (const gauge of gauges) if ((await proxy.metric(gauge)) !== 0) return false;
    return true;
  });
  assert.deepEqual(upstream.violations, []);
  assert.equal(await proxy.metric('pointsman_worker_restarts_total'), 1);
}

/** Its workers end by themselves, and the one that is started at once in its place takes the port. */
export async function playKilledPrimary(subject: Subject): Promise<void> {
  const { proxy, pids, clients } = await start(subject);
  proxy.signal('SIGKILL');
  const next = new PointsmanProcess(proxy.configPath, {});
  await next.listening();
  assert.equal(next.trafficPort, proxy.trafficPort);
  await waitFor('the workers to end', () => !pids.some(isAlive));
  await next.waitFor('readiness', async () => (await next.readiness()) === 200);
  await served(clients, 1);
  await endAll(clients);
  assert.ok(
    clients.every(({ cuts }) => cuts >= 1),
    'each connection was cut',
  );
  assert.equal(await next.stop(), 0);
}
