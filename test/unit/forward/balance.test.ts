import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectEndpoint } from '../../../src/backends/balance.ts';

const endpoints = (loads: readonly number[]) => loads.map((inFlight, id) => ({ id, inFlight }));

describe('balancing', () => {
  it('round robin takes the endpoints in turn', () => {
    const usable = endpoints([0, 0, 0]);
    const picked = [0, 1, 2, 3, 4].map((n) => selectEndpoint('roundrobin', usable, n, Math.random, [])?.id);
    assert.deepEqual(picked, [0, 1, 2, 0, 1]);
  });

  it('least requests never takes the busiest of several', () => {
    const usable = endpoints([1, 9, 3]);
    for (let i = 0; i < 200; i++) {
      assert.notEqual(selectEndpoint('leastRequests', usable, i, Math.random, [])?.id, 1);
    }
  });

  it('leaves out what was tried, by every method, and says when nothing is left', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('roundrobin' as const, 'leastRequests' as const, 'random' as const),
        fc.array(fc.nat(5), { maxLength: 5 }),
        fc.nat(1_000),
        fc.nat(4),
        (method, loads, rotation, skip) => {
          const usable = endpoints(loads);
          const tried = usable.filter(({ id }) => id === skip);
          const picked = selectEndpoint(method, usable, rotation, Math.random, tried);
          if (usable.length === tried.length) assert.equal(picked, undefined);
          else assert.ok(picked !== undefined && !tried.includes(picked));
        },
      ),
    );
  });
});
