import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settle } from './fixtures/manual-clock.ts';
import { type Changes, config, World } from './fixtures/world.ts';

describe('the supervisor of backends', () => {
  test('asks for every name once and checks every upstream once, however many backends use them', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1', '10.0.0.2']);
    await world.apply({
      backends: { a: { url: 'http://shop:80' }, b: { url: 'http://SHOP:80' }, c: { url: 'http://shop:81' } },
    });
    assert.deepEqual(world.questions, ['shop']);
    assert.deepEqual(world.probes.toSorted(), [
      'tcp 10.0.0.1:80',
      'tcp 10.0.0.1:81',
      'tcp 10.0.0.2:80',
      'tcp 10.0.0.2:81',
    ]);
    assert.deepEqual(world.view(), [
      'a: 10.0.0.1:80 up 10.0.0.2:80 up',
      'b: 10.0.0.1:80 up 10.0.0.2:80 up',
      'c: 10.0.0.1:81 up 10.0.0.2:81 up',
    ]);
  });

  test('does not share checks that differ in what they send or how they count', async () => {
    const world = new World();
    await world.apply({
      backends: {
        tcp: { url: 'http://10.0.0.1:80' },
        slow: { url: 'http://10.0.0.1:80', health: { fall: 9 } },
        http: { url: 'http://10.0.0.1:80', health: { path: '/healthz' } },
        host: { url: 'http://10.0.0.1:80', health: { path: '/healthz', host: 'other' } },
      },
    });
    assert.equal(world.probes.length, 4);
  });

  test('tells the lists that changed, in one call for all changes of a turn, and nothing when nothing changed', async () => {
    const world = new World();
    const addresses = Array.from({ length: 100 }, (_, i) => `10.0.0.${i}`);
    world.names.set('shop', addresses);
    await world.apply({ backends: { a: { url: 'http://shop' }, b: { url: 'http://10.1.0.1' } } });
    assert.ok(world.told.length <= 4, `told ${world.told.length} times`);
    const before = world.told.length;
    await world.clock.advance(60_000);
    assert.equal(world.told.length, before);
    world.down.add('10.1.0.1:80');
    await world.clock.advance(10_000);
    assert.deepEqual(
      world.told.slice(before).map((lists) => world.view(lists)),
      [['b: 10.1.0.1:80 down']],
    );
  });

  test('tells nobody from within apply', () => {
    const world = new World();
    world.supervisor.apply(config({ backends: { a: { url: 'http://10.0.0.1' } } }));
    assert.equal(world.told.length, 0);
    world.supervisor.close();
  });

  test('new endpoints come in unchecked, and those that leave DNS leave the list', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1', '10.0.0.2']);
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    let release = () => {};
    world.names.set('shop', ['10.0.0.2', '10.0.0.3']);
    await world.clock.advance(4_700);
    world.hold = new Promise((resolve) => {
      release = resolve;
    });
    await world.clock.advance(100);
    release();
    world.hold = new Promise(() => {});
    await settle();
    assert.deepEqual(world.view(), ['a: 10.0.0.2:80 up 10.0.0.3:80 unchecked']);
    assert.equal(world.probes.at(-1), 'tcp 10.0.0.3:80');
    const line = world.lines.find(({ message }) => message === 'addresses changed');
    assert.deepEqual([line?.['added'], line?.['removed']], [['10.0.0.3'], ['10.0.0.1']]);
  });

  test('a name that cannot be asked for keeps its addresses, and their checks go on', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    world.names.set('shop', 'timeout');
    await world.clock.advance(120_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    const [status] = world.supervisor.status();
    assert.equal(status?.resolution.state, 'stale');
    assert.equal(status?.resolution.reason, 'timeout');
    world.down.add('10.0.0.1:80');
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 down']);
  });

  test('an endpoint that goes down has its name asked for before the TTL has passed', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    // Asked again at 4,750 ms; the second check, at 1,100 ms, and the two after it fail.
    await world.apply({ backends: { a: { url: 'http://shop', health: { fall: 1 } } } });
    world.down.add('10.0.0.1:80');
    world.names.set('shop', ['10.0.0.2']);
    await world.clock.advance(1_200);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:80 up']);
  });

  test('an unknown name does not stop the others, and comes up when it appears', async () => {
    const world = new World();
    await world.apply({ backends: { a: { url: 'http://shop' }, b: { url: 'http://10.1.0.1' } } });
    await world.supervisor.whenSettled();
    assert.deepEqual(world.view(), ['a:', 'b: 10.1.0.1:80 up']);
    assert.equal(world.supervisor.status()[0]?.resolution.state, 'failed');
    await world.clock.advance(60_000);
    world.names.set('shop', ['10.0.0.1']);
    await world.clock.advance(2_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up', 'b: 10.1.0.1:80 up']);
  });

  test('checks that are off make every endpoint up, without a probe', async () => {
    const world = new World();
    world.down.add('10.0.0.1:80');
    await world.apply({ backends: { a: { url: 'http://10.0.0.1' } }, health: { enabled: false } });
    await world.clock.advance(60_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    assert.deepEqual(world.probes, []);
    assert.equal(world.supervisor.status()[0]?.endpoints[0]?.reason, 'checks are off');
  });

  test('every change of health is one line: what, from, to, why and how long the former state lasted', async () => {
    const world = new World();
    await world.apply({ backends: { a: { url: 'http://10.0.0.1' }, b: { url: 'http://10.0.0.1' } } });
    world.lines.length = 0;
    world.down.add('10.0.0.1:80');
    await world.clock.advance(6_000);
    const health = world.lines.filter(({ message }) => message === 'endpoint is down');
    assert.deepEqual(health, [
      {
        level: 'warn',
        message: 'endpoint is down',
        endpoint: '10.0.0.1:80',
        backends: ['a', 'b'],
        from: 'up',
        to: 'down',
        reason: 'connection refused',
        lasted: '5s',
      },
    ]);
    assert.deepEqual(
      world.lines
        .filter(({ message }) => message === 'backend has no available endpoint')
        .map((line) => line['backend']),
      ['a', 'b'],
    );
    assert.equal(world.lines.length, 3);
  });

  test('a backend that loses one endpoint, all of them, and gets them back, says so in a line each time', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1', '10.0.0.2']);
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    const steps: [down: string[], said: string[]][] = [
      [['10.0.0.1:80'], ['backend is degraded']],
      [['10.0.0.1:80', '10.0.0.2:80'], ['backend has no available endpoint']],
      [['10.0.0.1:80'], ['backend has an available endpoint again']],
      [[], ['backend has all of its endpoints again']],
    ];
    for (const [down, said] of steps) {
      world.lines.length = 0;
      world.down.clear();
      for (const label of down) world.down.add(label);
      await world.clock.advance(10_000);
      const messages = world.lines.map(({ message }) => message);
      assert.deepEqual(
        messages.filter((message) => message.startsWith('backend ')),
        said,
      );
    }
  });

  test('events tell each backend of its checks and changes', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' }, b: { url: 'http://shop' } } });
    assert.deepEqual(world.events, [
      { type: 'change', kind: 'dns', backend: 'a', to: 'resolved' },
      { type: 'change', kind: 'dns', backend: 'b', to: 'resolved' },
      { type: 'resolution', backend: 'a', state: 'resolved' },
      { type: 'resolution', backend: 'b', state: 'resolved' },
      { type: 'check', backend: 'a', ok: true },
      { type: 'check', backend: 'b', ok: true },
      { type: 'change', kind: 'health', backend: 'a', endpoint: '10.0.0.1:80', to: 'up' },
      { type: 'change', kind: 'health', backend: 'b', endpoint: '10.0.0.1:80', to: 'up' },
    ]);
  });

  test('close ends every timer and tells nothing more', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' }, b: { url: 'http://missing' } } });
    const told = world.told.length;
    world.supervisor.close();
    assert.equal(world.clock.pending, 0);
    world.supervisor.reportFailure('a', '10.0.0.1', 80);
    world.supervisor.checkNow();
    world.supervisor.apply(config({ backends: { c: { url: 'http://10.0.0.9' } } }));
    await world.clock.advance(60_000);
    assert.equal(world.told.length, told);
    await world.supervisor.whenSettled();
  });
});

describe('a reload', () => {
  test('leaves what did not change alone: no question, no check, no word', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    const same: Changes = { backends: { a: { url: 'http://shop' }, b: { url: 'http://10.1.0.1' } } };
    await world.apply(same);
    const { questions, probes, told } = world;
    const before = [questions.length, probes.length, told.length];
    await world.apply({ ...same, backends: { ...same.backends } });
    assert.deepEqual([questions.length, probes.length, told.length], before);
  });

  test('stops what is gone', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' }, b: { url: 'http://10.1.0.1' } } });
    await world.apply({ backends: {} });
    assert.deepEqual(world.view(), []);
    assert.equal(world.clock.pending, 0);
  });

  test('other ways of checking go on from the health that is known', async () => {
    const world = new World();
    world.down.add('10.0.0.1:80');
    const backends = { a: { url: 'http://10.0.0.1' }, b: { url: 'http://10.0.0.2' } };
    await world.apply({ backends });
    await world.clock.advance(30_000);
    const before = world.supervisor.status();
    const told = world.told.length;
    world.probes.length = 0;
    await world.apply({ backends, health: { path: '/healthz', interval: '1s' } });
    assert.deepEqual(world.supervisor.status(), before);
    assert.equal(world.told.length, told);
    assert.deepEqual(world.probes, []);
    await world.clock.advance(1_000);
    assert.deepEqual(world.probes.toSorted(), ['http 10.0.0.1:80', 'http 10.0.0.2:80']);
  });

  test('a backend that is renamed keeps the health of its endpoints', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    await world.apply({ backends: { b: { url: 'http://shop' } } });
    assert.deepEqual(world.view(), ['b: 10.0.0.1:80 up']);
    assert.deepEqual([world.questions.length, world.probes.length], [1, 1]);
  });

  test('another name is asked for at once, while the endpoints of the one before serve on', async () => {
    const world = new World();
    world.names.set('old', ['10.0.0.1']);
    world.names.set('new', ['10.0.0.2']);
    await world.apply({ backends: { a: { url: 'http://old' } } });
    let release = () => {};
    world.hold = new Promise((resolve) => {
      release = resolve;
    });
    await world.apply({ backends: { a: { url: 'http://new' } } });
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    release();
    world.hold = undefined;
    await world.supervisor.whenSettled();
    assert.deepEqual(world.view(), ['a: 10.0.0.2:80 up']);
    assert.deepEqual(world.view(world.told.at(-1)!), ['a: 10.0.0.2:80 up']);
    world.questions.length = 0;
    await world.clock.advance(60_000);
    assert.deepEqual([...new Set(world.questions)], ['new']);
  });

  test('another name that does not resolve leaves the backend without endpoints, as the file says', async () => {
    const world = new World();
    world.names.set('old', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://old' } } });
    await world.apply({ backends: { a: { url: 'http://typo' } } });
    assert.deepEqual(world.view(), ['a:']);
    await world.apply({ backends: { a: { url: 'http://old' } } });
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
  });

  test('a change of scheme drops endpoints that would be spoken to in the wrong one', async () => {
    const world = new World();
    world.names.set('old', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://old' } } });
    world.hold = new Promise(() => {});
    await world.apply({ backends: { a: { url: 'https://new' } } });
    assert.deepEqual(world.view(), ['a:']);
  });

  test('what was prepared is ready at the moment it is applied, and in nobody’s way before', async () => {
    const world = new World();
    world.names.set('old', ['10.0.0.1']);
    world.names.set('new', ['10.0.0.2']);
    await world.apply({ backends: { a: { url: 'http://old' } } });
    const told = world.told.length;
    const next = config({ backends: { a: { url: 'https://new' }, b: { url: 'http://10.1.0.1' } } });
    await world.supervisor.prepare(next);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
    assert.equal(world.told.length, told);
    world.supervisor.apply(next);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:443 up', 'b: 10.1.0.1:80 up']);
  });

  test('what was prepared and not applied is given up', async () => {
    const world = new World();
    await world.apply({ backends: {} });
    await world.supervisor.prepare(config({ backends: { b: { url: 'http://10.1.0.1' } } }));
    await world.apply({ backends: {} });
    assert.equal(world.clock.pending, 0);
  });

  test('what the former name servers still answer is not heard', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    let release = () => {};
    world.hold = new Promise((resolve) => {
      release = resolve;
    });
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    world.hold = new Promise(() => {});
    await world.apply({ backends: { a: { url: 'http://shop' } }, resolver: { nameservers: ['10.96.0.10'] } });
    release();
    await settle();
    assert.equal(world.supervisor.status()[0]?.resolution.state, 'pending');
  });

  test('other name servers are asked at once, and addresses stay meanwhile', async () => {
    const world = new World();
    world.names.set('shop', ['10.0.0.1']);
    await world.apply({ backends: { a: { url: 'http://shop' } } });
    world.hold = new Promise(() => {});
    await world.apply({
      backends: { a: { url: 'http://shop' } },
      resolver: { nameservers: ['10.96.0.10'] },
    });
    assert.deepEqual(world.questions, ['shop', 'shop']);
    assert.deepEqual(world.view(), ['a: 10.0.0.1:80 up']);
  });
});
