import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type AvailabilityFacts,
  availabilityOf,
  type SplitMember,
  usesOf,
} from '../../../src/backends/availability.ts';

const UP: AvailabilityFacts = { health: 'up', tier: 0, drained: false, ejected: false };

function of(...facts: Partial<AvailabilityFacts>[]) {
  const endpoints = facts.map((some, id) => ({ id, ...UP, ...some }));
  const { available, fleet, healthyPercent } = availabilityOf(endpoints);
  return {
    available: available.map(({ id }) => id),
    fleet: fleet.map(({ id }) => id),
    healthyPercent: Math.round(healthyPercent),
  };
}

describe('the endpoints of a backend that may take requests', () => {
  it('are those that are up, neither drained nor ejected', () => {
    assert.deepEqual(of({}, { health: 'down' }, { drained: true }, { ejected: true }, {}), {
      available: [0, 4],
      fleet: [0, 1, 3, 4],
      healthyPercent: 50,
    });
  });

  it('are those not checked yet while none is up', () => {
    assert.deepEqual(of({ health: 'unchecked' }, { health: 'down' }).available, [0]);
    assert.deepEqual(of({ health: 'unchecked' }, {}).available, [1]);
    assert.deepEqual(of({ health: 'unchecked' }, { drained: true }).available, [0]);
  });

  it('are those of the lowest tier that has any', () => {
    assert.deepEqual(
      of({ tier: 1 }, { tier: 0, health: 'down' }, { tier: 2 }, { tier: 1 }).available,
      [0, 3],
    );
    assert.deepEqual(of({ tier: 1 }, { tier: 0 }).available, [1]);
  });

  it('count as healthy by their own tier: a backup that serves in place of all others is no emergency', () => {
    assert.equal(of({ health: 'down' }, { health: 'down' }, { tier: 1 }).healthyPercent, 100);
    assert.equal(of({ health: 'down' }, {}, { tier: 1, health: 'down' }).healthyPercent, 50);
  });

  it('are not outnumbered by those that have just appeared', () => {
    const appeared = Array.from({ length: 9 }, () => ({ health: 'unchecked' as const }));
    assert.equal(of({}, ...appeared).healthyPercent, 100);
  });

  it('are among those in service, and none is left out while one of them is up', () => {
    const anyFacts = fc.array(
      fc.record({
        health: fc.constantFrom('up' as const, 'down' as const, 'unchecked' as const),
        tier: fc.nat(3),
        drained: fc.boolean(),
        ejected: fc.boolean(),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { available, fleet, healthyPercent } = availabilityOf(facts);
        for (const one of available) assert.ok(fleet.includes(one) && !one.ejected && one.health !== 'down');
        assert.equal(available.length > 0, healthyPercent > 0);
        assert.ok(healthyPercent <= 100);
        const usable = facts.some((one) => one.health !== 'down' && !one.drained && !one.ejected);
        assert.equal(available.length > 0, usable);
      }),
    );
  });
});

describe('the backends of a split', () => {
  const member = (some: Partial<SplitMember> = {}): SplitMember => ({
    weight: 50,
    backup: false,
    available: 2,
    fleet: 2,
    healthyPercent: 100,
    panicThreshold: 50,
    ...some,
  });
  const dead = (some: Partial<SplitMember> = {}) => member({ available: 0, healthyPercent: 0, ...some });

  it('use what is available', () => {
    assert.deepEqual(usesOf([member(), member()], 1), ['available', 'available']);
  });

  it('leave a backend without any to the others, the main one too', () => {
    assert.deepEqual(usesOf([dead(), member()], 1), ['none', 'available']);
    assert.deepEqual(usesOf([member(), dead()], 1), ['available', 'none']);
  });

  it('panic in the main backend alone when too few are healthy', () => {
    const few = member({ available: 1, fleet: 10, healthyPercent: 10 });
    assert.deepEqual(usesOf([few, few], 1), ['available', 'panic']);
    assert.deepEqual(usesOf([few, member({ ...few, healthyPercent: 50 })], 1), ['available', 'available']);
    assert.deepEqual(usesOf([few, member({ ...few, panicThreshold: 0 })], 1), ['available', 'available']);
  });

  it('try the main backend rather than nothing, unless told not to, or all of it is drained', () => {
    assert.deepEqual(usesOf([dead(), dead()], 1), ['none', 'panic']);
    assert.deepEqual(usesOf([dead(), dead({ panicThreshold: 0 })], 1), ['none', 'none']);
    assert.deepEqual(usesOf([dead(), dead({ fleet: 0 })], 1), ['none', 'none']);
  });

  it('use a backup while no other is available', () => {
    const backup = member({ backup: true });
    assert.deepEqual(usesOf([member(), backup], 0), ['available', 'none']);
    assert.deepEqual(usesOf([dead(), backup], 0), ['none', 'available']);
    assert.deepEqual(usesOf([dead(), dead({ backup: true })], 0), ['panic', 'none']);
    assert.deepEqual(usesOf([member({ weight: 0 }), backup], 1), ['none', 'available']);
  });
});
