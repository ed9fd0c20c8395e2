/** DNS that goes away under traffic and comes back, and names that appear late. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { oneBackend } from '../../support/design-table.ts';
import { type DnsReply, startDnsDouble } from '../../support/dns-double.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { endlessTraffic, endpointsUp, listenOn, overDns, resolutionOf } from '../../support/dns-traffic.ts';
import { type PointsmanProcess, startPointsman } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';

/**
 * How long DNS is away. The promise speaks of 60 s with TTLs of up to 30 s, which is two of them; here TTLs are 200 ms
 * at most, so that 3 s are fifteen of them, and as many questions fail. `TEST_LONG=1` waits the 60 s.
 */
const OUTAGE_MS = process.env['TEST_LONG'] === '1' ? 60_000 : 3_000;
const SHORT = { maxTtl: '200ms', timeout: '100ms' } as const;

const NAME = 'web.shop.svc.cluster.local';
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

async function outlasts(proxy: PointsmanProcess): Promise<void> {
  await proxy.waitFor(
    'the last good answer to be old',
    async () => {
      const { answeredAt, state } = await resolutionOf(proxy);
      return state === 'stale' && Date.now() - Date.parse(answeredAt!) > OUTAGE_MS;
    },
    OUTAGE_MS + 10_000,
  );
}

async function upstreams() {
  const { port } = await listenOn(HOSTS[0]!);
  const others = await Promise.all(HOSTS.slice(1).map((host) => listenOn(host, port)));
  return { port, others };
}

describe('DNS that is away for a while', () => {
  for (const [how, stop, resume] of [
    ['hangs', 'stop', 'resume'],
    ['is killed and started again', 'kill', 'start'],
  ] as const) {
    test(`not one request fails while the DNS server ${how}, and changes are followed when it is back`, async () => {
      const server = await startDnsServer({ [NAME]: HOSTS.slice(0, 2) }, { ttl: 0 });
      const { port } = await upstreams();
      const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address, SHORT)));
      const load = endlessTraffic(proxy, 4);
      await server[stop]();
      await outlasts(proxy);
      assert.equal((await endpointsUp(proxy)).length, 2);
      await server[resume]();
      await server.serve({ [NAME]: HOSTS.slice(1) });
      const expected = HOSTS.slice(1).map((host) => `${host}:${port}`);
      await proxy.waitFor(
        'the new endpoints',
        async () => (await endpointsUp(proxy)).join() === expected.join(),
      );
      await proxy.waitFor('more traffic', () => load.sent > 100);
      const { failed } = await load.stop();
      assert.deepEqual(failed, []);
      assert.equal((await resolutionOf(proxy)).state, 'resolved');
    });
  }

  const replies: readonly (readonly [what: string, reply: DnsReply])[] = [
    ['NXDOMAIN', { rcode: 'NXDOMAIN' }],
    ['SERVFAIL', { rcode: 'SERVFAIL' }],
    ['REFUSED', { rcode: 'REFUSED' }],
    ['no address', {}],
    ['garbage', { garbage: Buffer.from('this is no DNS') }],
  ];
  for (const [what, reply] of replies) {
    test(`not one request fails while DNS says ${what}, and one endpoint dies meanwhile`, async () => {
      const { port, others } = await upstreams();
      const good = { answers: HOSTS.map((a) => ({ a, ttl: 0 })) };
      const isOurs = ({ name, type }: { name: string; type: string }) => name === NAME && type === 'A';
      const double = await startDnsDouble((question) => (isOurs(question) ? good : { rcode: 'NXDOMAIN' }));
      const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(double.address, SHORT)));
      const load = endlessTraffic(proxy, 4);
      double.answer = () => reply;
      await proxy.waitFor('stale', async () => (await resolutionOf(proxy)).state === 'stale');
      others[0]!.close();
      await proxy.waitFor('the dead endpoint to be out', async () => (await endpointsUp(proxy)).length === 2);
      double.answer = (question) => (isOurs(question) ? good : { rcode: 'NXDOMAIN' });
      await proxy.waitFor('resolved', async () => (await resolutionOf(proxy)).state === 'resolved');
      await proxy.waitFor('more traffic', () => load.sent > 100);
      const { failed } = await load.stop();
      assert.deepEqual(failed, []);
    });
  }
});

describe('a name that appears after the start', () => {
  /** Of a name without address, at the default TTLs: the most between two questions. */
  const INTERVAL_MS = 2_000;
  const DEFAULT = { minTtl: '1s', maxTtl: '30s' } as const;

  test('is up within one interval of appearing, however long it was missing', async () => {
    const server = await startDnsServer({}, { ttl: 30 });
    const { port } = await upstreams();
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(server.address, DEFAULT)));
    const { state, since } = await resolutionOf(proxy);
    assert.equal(state, 'failed');
    assert.equal((await send(proxy.trafficPort)).failure().reason, 'no_endpoint');
    // Long enough for the questions to be as far apart as they get: after 1 s, and every 2 s from then on.
    await proxy.waitFor('a while', () => Date.now() - Date.parse(since) > 3_500);
    await server.serve({ [NAME]: ['127.0.0.1'] });
    // The deadline is the interval, with as much again for a busy machine.
    await proxy.waitFor(
      'an answer within the interval',
      async () => (await send(proxy.trafficPort)).status === 200,
      2 * INTERVAL_MS,
    );
  });

  test('is up with the very first question that finds it', async () => {
    const { port } = await upstreams();
    let appeared = 0;
    let isThere = false;
    const double = await startDnsDouble(({ name, type }) => {
      if (!isThere || name !== NAME || type !== 'A') return { rcode: 'NXDOMAIN' };
      appeared++;
      return { answers: [{ a: '127.0.0.1', ttl: 30 }] };
    });
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(double.address, DEFAULT)));
    isThere = true;
    await proxy.waitFor('an answer', async () => (await send(proxy.trafficPort)).status === 200);
    assert.equal(appeared, 1);
    assert.deepEqual(await endpointsUp(proxy), [`127.0.0.1:${port}`]);
  });

  test('though its server denied it for an hour', async () => {
    const { port } = await upstreams();
    let isThere = false;
    const double = await startDnsDouble(({ name, type }) =>
      isThere && name === NAME && type === 'A'
        ? { answers: [{ a: '127.0.0.1', ttl: 30 }] }
        : { rcode: 'NXDOMAIN', authorities: [{ name: 'cluster.local', soa: 3_600, ttl: 3_600 }] },
    );
    const proxy = await startPointsman(oneBackend(`http://web:${port}`, overDns(double.address, DEFAULT)));
    isThere = true;
    await proxy.waitFor(
      'an answer',
      async () => (await send(proxy.trafficPort)).status === 200,
      2 * INTERVAL_MS,
    );
  });
});
