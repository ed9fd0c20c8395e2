/** What traffic reports of an endpoint takes it out of rotation for a while, and how it comes back. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settle } from './fixtures/manual-clock.ts';
import { type Changes, World } from './fixtures/world.ts';

const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];

/** A backend of four endpoints, all up. */
async function four(changes: Partial<Changes> = {}, backend: object = {}) {
  const world = new World();
  world.names.set('shop', ADDRESSES);
  const settings: Changes = { backends: { a: { url: 'http://shop', ...backend } }, ...changes };
  await world.apply(settings);
  world.lines.length = 0;
  world.events.length = 0;
  const report = async (address: string, cause: 'connect' | 'gateway' = 'connect') => {
    world.supervisor.reportOutlier('a', address, 80, cause);
    await settle();
  };
  const endpoints = () => world.supervisor.endpoints()[0]!.endpoints;
  const ejected = () => endpoints().flatMap(({ address, ejected: is }) => (is ? [address] : []));
  const warming = () =>
    endpoints().flatMap(({ address, warmingSince }) => (warmingSince > 0 ? [address] : []));
  return { world, settings, report, ejected, warming };
}

describe('an endpoint on which traffic fails', () => {
  test('is ejected, told of, shown with reason, since and until, and back when its time is over', async () => {
    const { world, report, ejected } = await four();
    await report('10.0.0.2', 'gateway');
    assert.deepEqual(ejected(), ['10.0.0.2']);
    assert.deepEqual(
      world.told.at(-1)![0]!.endpoints.map((endpoint) => endpoint.ejected),
      [false, true, false, false],
    );
    const now = world.clock.now();
    const [status] = world.supervisor.status();
    assert.deepEqual(status!.endpoints[1]!.ejection, {
      reason: '5 answers of 502, 503 or 504 in a row',
      since: now,
      until: now + 28_500,
      times: 1,
    });
    assert.equal(status!.endpoints[1]!.health, 'up', 'health is what checks say');
    assert.deepEqual([status!.circuit.state, status!.healthyShare], ['degraded', 0.75]);
    await world.clock.advance(28_400);
    assert.deepEqual(ejected(), ['10.0.0.2']);
    await world.clock.advance(200);
    assert.deepEqual(ejected(), []);
    assert.equal(world.told.at(-1)![0]!.endpoints[1]!.ejected, false);
    assert.equal(world.supervisor.status()[0]!.circuit.state, 'closed');
  });

  test('is one line and one event when it is ejected, and one of each when it is back', async () => {
    const { world, report } = await four();
    await report('10.0.0.2');
    await report('10.0.0.2');
    await world.clock.advance(30_000);
    const about = world.lines.filter((line) => line['endpoint'] === '10.0.0.2:80');
    assert.deepEqual(
      about.map(({ message, from, to, reason, lasted }) => [message, from, to, reason, lasted]),
      [
        ['endpoint is ejected', 'in_rotation', 'ejected', '3 requests in a row without a response', '0ms'],
        ['endpoint is back from its ejection', 'ejected', 'in_rotation', 'its time is over', '29s'],
      ],
    );
    const changes = world.events.flatMap((event) => (event.type === 'change' ? [event] : []));
    assert.deepEqual(
      changes.map(({ kind, to }) => `${kind} ${to}`),
      ['ejection ejected', 'circuit degraded', 'ejection in_rotation', 'circuit closed'],
    );
  });

  test('is out for twice as long when it fails again at once, and as long as at first after a quiet time', async () => {
    const { world, report } = await four();
    const until = () => world.supervisor.status()[0]!.endpoints[0]!.ejection!.until - world.clock.now();
    await report('10.0.0.1');
    assert.equal(until(), 28_500);
    await world.clock.advance(28_600);
    await report('10.0.0.1');
    assert.equal(until(), 57_000);
    await world.clock.advance(57_100 + 60_000);
    await report('10.0.0.1');
    assert.equal(until(), 28_500);
  });

  test('stays when as many others are out as may be, and when it is the last one that is usable', async () => {
    const { world, report, ejected } = await four();
    for (const address of ADDRESSES) await report(address);
    assert.deepEqual(ejected(), ['10.0.0.1', '10.0.0.2']);
    world.names.set('shop', ['10.0.0.3', '10.0.0.4']);
    world.down.add('10.0.0.4:80');
    await world.clock.advance(12_000);
    await report('10.0.0.3');
    assert.deepEqual(ejected(), []);
  });

  test('stays when ejection is turned off, and comes back when it is turned off later', async () => {
    const off = await four({ outlier: { enabled: false } });
    await off.report('10.0.0.1');
    assert.deepEqual(off.ejected(), []);
    const { world, settings, report, ejected } = await four();
    await report('10.0.0.1');
    await world.apply({ ...settings, outlier: { enabled: false } });
    assert.deepEqual(ejected(), []);
    assert.equal(world.lines.at(-2)!['reason'], 'ejection was turned off');
    assert.equal(
      world.clock.pending,
      5,
      'a check for each endpoint and the TTL, and no timer of an ejection',
    );
  });

  test('stays out over a reload, and is forgotten when it leaves DNS', async () => {
    const { world, settings, report, ejected } = await four();
    await report('10.0.0.1');
    await world.apply({ ...settings, backends: { a: { servers: [{ url: 'http://shop', weight: 2 }] } } });
    assert.deepEqual(ejected(), ['10.0.0.1']);
    world.names.set('shop', ['10.0.0.2']);
    await world.clock.advance(6_000);
    world.names.set('shop', ADDRESSES);
    await world.clock.advance(6_000);
    assert.deepEqual(ejected(), []);
    await world.clock.advance(60_000);
    assert.equal(
      world.lines.filter(({ message }) => message === 'endpoint is back from its ejection').length,
      0,
    );
  });

  test('is back by a good HTTP check after a failure to connect, and by no check after answers 502 to 504', async () => {
    const http = await four({ health: { path: '/healthz' } });
    await http.report('10.0.0.1');
    await http.report('10.0.0.2', 'gateway');
    assert.deepEqual(http.ejected(), ['10.0.0.1', '10.0.0.2']);
    await http.world.clock.advance(2_500);
    assert.deepEqual(http.ejected(), ['10.0.0.2']);
    const line = http.world.lines.find(({ message }) => message === 'endpoint is back from its ejection');
    assert.equal(line!['reason'], 'a check that began after it was good: connected');
    const tcp = await four();
    await tcp.report('10.0.0.1');
    await tcp.world.clock.advance(10_000);
    assert.deepEqual(tcp.ejected(), ['10.0.0.1']);
  });

  test('that is none of the backend, or of no backend, changes nothing', async () => {
    const { world, ejected } = await four();
    const told = world.told.length;
    world.supervisor.reportOutlier('a', '10.0.0.9', 80, 'connect');
    world.supervisor.reportOutlier('a', '10.0.0.1', 81, 'connect');
    world.supervisor.reportOutlier('b', '10.0.0.1', 80, 'connect');
    await settle();
    assert.deepEqual([ejected(), world.told.length], [[], told]);
  });

  test('leaves no timer when the backend goes', async () => {
    const { world, report } = await four();
    await report('10.0.0.1');
    await world.apply({ backends: {} });
    assert.equal(world.clock.pending, 0);
  });
});

describe('a slow start', () => {
  const SLOW = { slowStart: '20s' };

  test('is for endpoints that come back from down or from an ejection, until its time is over', async () => {
    const { world, report, warming } = await four({}, SLOW);
    assert.deepEqual(warming(), [], 'not at the start of the process');
    world.down.add('10.0.0.1:80');
    await world.clock.advance(10_000);
    world.down.clear();
    await world.clock.advance(4_000);
    assert.deepEqual(warming(), ['10.0.0.1']);
    await report('10.0.0.2');
    await world.clock.advance(28_600);
    assert.deepEqual(warming(), ['10.0.0.2']);
    await world.clock.advance(20_000);
    assert.deepEqual(warming(), []);
    assert.ok(world.told.at(-1)![0]!.endpoints.every(({ warmingSince }) => warmingSince === 0));
  });

  test('is for an endpoint that joins others, and not for all of them at once', async () => {
    const { world, warming } = await four({}, SLOW);
    world.names.set('shop', [...ADDRESSES, '10.0.0.5']);
    await world.clock.advance(5_100);
    assert.deepEqual(warming(), ['10.0.0.5']);
    const fresh = new World();
    fresh.names.set('shop', ADDRESSES);
    await fresh.apply({ backends: { a: { url: 'http://missing', ...SLOW } } });
    await fresh.apply({ backends: { a: { url: 'http://shop', ...SLOW } } });
    assert.ok(fresh.supervisor.endpoints()[0]!.endpoints.every(({ warmingSince }) => warmingSince === 0));
  });

  test('is none where it is not configured', async () => {
    const { world, report, warming } = await four();
    await report('10.0.0.2');
    await world.clock.advance(30_000);
    assert.deepEqual(warming(), []);
  });
});
