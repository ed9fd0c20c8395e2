/** Addresses that DNS denies stay in use until checks prove them wrong, and then are gone. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FailureKind } from '../../../src/backends/resolution.ts';
import { type Changes, World } from './fixtures/world.ts';

const URL = {
  url: 'http://web:8080',
  health: { interval: '1s', timeout: '100ms', rise: 1, fall: 2 },
} as const;

async function stale(failure: FailureKind, backends: Changes['backends'] = { a: URL }) {
  const world = new World();
  world.names.set('web', ['10.0.0.1', '10.0.0.2']);
  await world.apply({ backends, resolver: { minTtl: '1s', maxTtl: '2s' } });
  world.names.set('web', failure);
  await world.clock.advance(10_000);
  return world;
}

describe('an address', () => {
  test('that DNS denies stays while its checks are good', async () => {
    const world = await stale('notFound');
    assert.deepEqual(world.view(), ['a: 10.0.0.1:8080 up 10.0.0.2:8080 up']);
    assert.equal(world.supervisor.status()[0]!.resolution.state, 'stale');
  });

  test('that DNS denies is given up once its checks fail, and does not come back when somebody else answers there', async () => {
    const world = await stale('notFound');
    world.down.add('10.0.0.1:8080');
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:8080 up']);
    world.down.clear();
    await world.clock.advance(60_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:8080 up']);
    world.down.add('10.0.0.2:8080');
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a:']);
  });

  test('that was given up comes back with the next answer that has it', async () => {
    const world = await stale('noAddresses');
    world.down.add('10.0.0.1:8080').add('10.0.0.2:8080');
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a:']);
    world.down.clear();
    world.names.set('web', ['10.0.0.2']);
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:8080 up']);
  });

  for (const failure of ['timeout', 'serverFailure', 'refused', 'other'] as const) {
    test(`stays, down or not, while DNS cannot be asked (${failure})`, async () => {
      const world = await stale(failure);
      world.down.add('10.0.0.1:8080');
      await world.clock.advance(10_000);
      assert.deepEqual(world.view(), ['a: 10.0.0.1:8080 down 10.0.0.2:8080 up']);
      world.down.clear();
      await world.clock.advance(10_000);
      assert.deepEqual(world.view(), ['a: 10.0.0.1:8080 up 10.0.0.2:8080 up']);
    });
  }

  test('is given up by the backend whose port is down alone', async () => {
    const world = await stale('notFound', { a: URL, b: { ...URL, url: 'http://web:9090' } });
    world.down.add('10.0.0.1:8080');
    await world.clock.advance(10_000);
    assert.deepEqual(world.view(), ['a: 10.0.0.2:8080 up', 'b: 10.0.0.1:9090 up 10.0.0.2:9090 up']);
  });
});
