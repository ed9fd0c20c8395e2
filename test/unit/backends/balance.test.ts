import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Balanced, Balancer, type BalanceSettings } from '../../../src/backends/balance.ts';

interface TestEndpoint extends Balanced {
  readonly id: number;
  inFlight: number;
  weight: number;
  warmingFrom: number;
}

const METHODS = ['roundrobin', 'leastRequests', 'random'] as const;

function endpoints(weights: readonly number[]): TestEndpoint[] {
  return weights.map((weight, id) => ({
    id,
    weight,
    inFlight: 0,
    warmingFrom: Number.NEGATIVE_INFINITY,
    turn: 0,
  }));
}

function settings(some: Partial<BalanceSettings> = {}): BalanceSettings {
  return { method: 'roundrobin', slowStart: 0, random: () => 0, ...some };
}

/** How often each was chosen. */
function counts(balancer: Balancer<TestEndpoint>, times: number, now = 0): number[] {
  const chosen = balancer.endpoints.map(() => 0);
  for (let i = 0; i < times; i++) chosen[balancer.select([], now)!.id]!++;
  return chosen;
}

describe('round robin', () => {
  it('takes endpoints of equal weight in turn', () => {
    const balancer = new Balancer(endpoints([2, 2, 2]), settings());
    assert.deepEqual(
      [0, 1, 2, 3, 4].map(() => balancer.select([], 0)?.id),
      [0, 1, 2, 0, 1],
    );
  });

  it('goes on where it stood when the list is replaced, so that changes do not favour the first', () => {
    const list = endpoints([1, 1, 1]);
    const first = new Balancer(list, settings());
    assert.equal(first.select([], 0)?.id, 0);
    assert.equal(new Balancer(list, settings(), first).select([], 0)?.id, 1);
  });

  it('gives every endpoint exactly its weight in every cycle, evenly interleaved', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 8 }),
        fc.nat(300),
        (weights, offset) => {
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          const balancer = new Balancer(endpoints(weights), settings());
          const even = weights.every((weight) => weight === weights[0]);
          counts(balancer, offset);
          assert.deepEqual(
            counts(balancer, even ? weights.length : total),
            even ? weights.map(() => 1) : weights,
          );
        },
      ),
    );
    const balancer = new Balancer(endpoints([5, 1, 1]), settings());
    const order = Array.from({ length: 7 }, () => balancer.select([], 0)!.id);
    assert.deepEqual(order, [0, 0, 1, 0, 2, 0, 0]);
  });
});

describe('the less busy of two', () => {
  it('is never the busiest of several', () => {
    const list = endpoints([1, 1, 1]);
    list.forEach((endpoint, i) => {
      endpoint.inFlight = [1, 9, 3][i]!;
    });
    const balancer = new Balancer(list, settings({ method: 'leastRequests', random: Math.random }));
    assert.equal(counts(balancer, 200)[1], 0);
  });

  it('is less busy in proportion to its weight', () => {
    const [light, heavy] = endpoints([1, 3]) as [TestEndpoint, TestEndpoint];
    const balancer = new Balancer([light, heavy], settings({ method: 'leastRequests', random: Math.random }));
    light.inFlight = 1;
    heavy.inFlight = 4;
    assert.deepEqual(counts(balancer, 50), [0, 50]);
    heavy.inFlight = 6;
    assert.deepEqual(counts(balancer, 50), [50, 0]);
    light.inFlight = 0;
    heavy.inFlight = 0;
    assert.deepEqual(counts(balancer, 50), [0, 50]);
  });
});

describe('at random', () => {
  it('draws by weight', () => {
    const total = 10;
    let step = 0;
    const balancer = new Balancer(
      endpoints([1, 2, 7]),
      settings({ method: 'random', random: () => (step++ % total) / total }),
    );
    step = 0;
    assert.deepEqual(counts(balancer, total), [1, 2, 7]);
  });
});

describe('slow start', () => {
  it('ramps from a tenth of the share to all of it, in a straight line', () => {
    const list = endpoints([1, 1]);
    list[1]!.warmingFrom = 1_000;
    const balancer = new Balancer(list, settings({ slowStart: 10_000 }));
    const share = (now: number) => {
      const [old, warming] = counts(balancer, 1_000, now) as [number, number];
      return warming / old;
    };
    assert.ok(Math.abs(share(1_000) - 0.1) < 0.01, 'at once');
    assert.ok(Math.abs(share(1_500) - 0.1) < 0.01, 'never less than a tenth');
    assert.ok(Math.abs(share(6_000) - 0.5) < 0.01, 'half way');
    assert.ok(Math.abs(share(11_000) - 1) < 0.01, 'at the end');
  });

  for (const method of METHODS) {
    it(`holds for ${method}, whatever the weights`, () => {
      const list = endpoints([4, 4]);
      list[1]!.warmingFrom = 0;
      const balancer = new Balancer(list, settings({ method, slowStart: 10_000, random: Math.random }));
      const [old, warming] = counts(balancer, 2_000, 0) as [number, number];
      assert.ok(warming < old / 5, `${warming} of ${old + warming}`);
    });
  }
});

describe('any method', () => {
  it('leaves out what was tried, and says when nothing is left', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...METHODS),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(5), fc.boolean()), { maxLength: 5 }),
        fc.nat(4),
        fc.nat(20_000),
        (method, shapes, skip, now) => {
          const list = endpoints(shapes.map(([weight]) => weight));
          shapes.forEach(([, inFlight, warm], i) => {
            list[i]!.inFlight = inFlight;
            if (warm) list[i]!.warmingFrom = 0;
          });
          const balancer = new Balancer(list, settings({ method, slowStart: 10_000, random: Math.random }));
          const tried = list.filter(({ id }) => id === skip);
          const picked = balancer.select(tried, now);
          if (list.length === tried.length) assert.equal(picked, undefined);
          else assert.ok(picked !== undefined && !tried.includes(picked));
        },
      ),
    );
  });
});
