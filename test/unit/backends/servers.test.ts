/** Backends of several servers: weights, backups, drains, and reloads that change the list. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Changes, config, World } from './fixtures/world.ts';

/** `address:port weight tier`, and what keeps it from traffic. */
function seen(world: World): string[] {
  return world.supervisor
    .endpoints()
    .flatMap(({ endpoints }) =>
      endpoints.map(({ address, port, weight, tier, drained }) =>
        [`${address}:${port}`, weight, tier, ...(drained ? ['drained'] : [])].join(' '),
      ),
    );
}

const servers = (...list: NonNullable<Changes['backends'][string]['servers']>): Changes => ({
  backends: { a: { servers: list } },
});

describe('a backend of several servers', () => {
  test('has the endpoints of all of them, with their weights, backups behind the others', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1', '10.0.0.2']);
    await world.apply(
      servers(
        { url: 'http://shop:8080', weight: 30 },
        { url: 'http://10.1.0.1', weight: 60 },
        { url: 'http://10.2.0.1', backup: true },
      ),
    );
    assert.deepEqual(seen(world), [
      '10.0.0.1:8080 30 0',
      '10.0.0.2:8080 30 0',
      '10.1.0.1:80 60 0',
      '10.2.0.1:80 1 1',
    ]);
    const [status] = world.supervisor.status();
    assert.deepEqual(
      status!.servers.map(({ url, weight, backup, resolution }) => [url, weight, backup, resolution.state]),
      [
        ['http://shop:8080', 30, false, 'resolved'],
        ['http://10.1.0.1', 60, false, 'static'],
        ['http://10.2.0.1', 1, true, 'static'],
      ],
    );
  });

  test('counts an address and port that several of them stand for once, as the first one has it', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1', '10.0.0.2']);
    await world.apply(
      servers({ url: 'http://10.0.0.2', weight: 3 }, { url: 'http://shop' }, { url: 'http://shop' }),
    );
    assert.deepEqual(seen(world), ['10.0.0.2:80 3 0', '10.0.0.1:80 1 0']);
    assert.deepEqual(world.probes.toSorted(), ['tcp 10.0.0.1:80', 'tcp 10.0.0.2:80']);
  });

  test('checks those of weight 0 and of drained servers, and tells them as drained, with the reason', async () => {
    const world = new World();
    await world.apply(
      servers(
        { url: 'http://10.0.0.1', weight: 0 },
        { url: 'http://10.0.0.2', drain: true },
        { url: 'http://10.0.0.3' },
      ),
    );
    assert.deepEqual(seen(world), ['10.0.0.1:80 1 0 drained', '10.0.0.2:80 1 0 drained', '10.0.0.3:80 1 0']);
    assert.equal(world.probes.length, 3);
    assert.deepEqual(
      world.supervisor.status()[0]!.endpoints.map(({ admin }) => admin.reason),
      ['its server has weight 0', 'its server is drained', 'in service'],
    );
  });

  test('shows the worst of its names, and says of which it speaks', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply(servers({ url: 'http://shop' }, { url: 'http://typo' }));
    const { resolution } = world.supervisor.status()[0]!;
    assert.deepEqual([resolution.state, resolution.reason], ['failed', 'typo: no such name']);
  });
});

describe('a reload of a list of servers', () => {
  test('keeps addresses, health and schedule of those that stay, whatever their place and weight', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    world.down.add('10.0.0.1:80');
    await world.apply(servers({ url: 'http://shop' }, { url: 'http://10.1.0.1' }));
    const asked = [world.questions.length, world.probes.length];
    await world.apply(servers({ url: 'http://10.1.0.1', weight: 5 }, { url: 'http://shop', backup: true }));
    assert.deepEqual([world.questions.length, world.probes.length], asked);
    assert.deepEqual(world.view(), ['a: 10.1.0.1:80 up 10.0.0.1:80 down']);
    assert.deepEqual(seen(world), ['10.1.0.1:80 5 0', '10.0.0.1:80 1 1']);
  });

  test('lets a server go at once when nothing takes its place', async () => {
    const world = new World();
    await world.apply(servers({ url: 'http://10.0.0.1' }, { url: 'http://10.0.0.2' }));
    await world.apply(servers({ url: 'http://10.0.0.1' }));
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    world.probes.length = 0;
    await world.clock.advance(10_000);
    assert.deepEqual([...new Set(world.probes)], ['tcp 10.0.0.1:80']);
  });

  test('keeps those that go until those that come are ready, and others in use throughout', async () => {
    const world = new World();
    world.names.set('new', ['10.0.0.3']);
    await world.apply(servers({ url: 'http://10.0.0.1' }, { url: 'http://10.0.0.2' }));
    let release = () => {};
    world.hold = new Promise((resolve) => {
      release = resolve;
    });
    await world.apply(servers({ url: 'http://10.0.0.1' }, { url: 'http://new' }));
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up 10.0.0.2:80 up']);
    world.hold = undefined;
    release();
    await world.supervisor.whenSettled();
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up 10.0.0.3:80 up']);
  });

  test('from one URL to a list with it leaves it alone, and what was prepared is ready', async () => {
    const world = new World();
    world.names.set('new', ['10.0.0.3']);
    await world.apply({ backends: { a: { url: 'http://10.0.0.1' } } });
    const next = config(servers({ url: 'http://10.0.0.1' }, { url: 'http://new' }));
    await world.supervisor.prepare(next);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    assert.equal(world.probes.length, 2);
    world.supervisor.apply(next);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up 10.0.0.3:80 up']);
    assert.equal(world.probes.length, 2);
  });

  test('drains and takes back what the file says, in one line each', async () => {
    const world = new World();
    const of = (drain: boolean | string[]): Changes => ({
      backends: { a: { servers: [{ url: 'http://10.0.0.1' }, { url: 'http://10.0.0.2:81' }], drain } },
    });
    await world.apply(of(false));
    world.lines.length = 0;
    world.events.length = 0;
    await world.clock.advance(5_000);
    await world.apply(of(['10.0.0.2:81']));
    assert.deepEqual(seen(world), ['10.0.0.1:80 1 0', '10.0.0.2:81 1 0 drained']);
    assert.deepEqual(world.lines, [
      {
        level: 'info',
        message: 'endpoint is drained',
        endpoint: '10.0.0.2:81',
        backend: 'a',
        from: 'ready',
        to: 'drain',
        reason: 'listed in drain of the backend',
        lasted: '5s',
      },
    ]);
    await world.clock.advance(60_000);
    await world.apply(of(true));
    assert.deepEqual(world.supervisor.status()[0]!.circuit.reason, 'every endpoint is drained');
    await world.apply(of(false));
    const changes = world.events.flatMap((event) => (event.type === 'change' ? [event] : []));
    assert.deepEqual(
      changes.map(({ kind, endpoint, to }) => [kind, endpoint, to].join(' ')),
      [
        'drain 10.0.0.2:81 drain',
        'drain 10.0.0.1:80 drain',
        'circuit  open',
        'drain 10.0.0.1:80 ready',
        'drain 10.0.0.2:81 ready',
        'circuit  closed',
      ],
    );
  });
});
