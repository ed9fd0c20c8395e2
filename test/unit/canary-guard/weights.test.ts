import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { outcomesSince, readOutcomes } from '../../../src/canary-guard/outcomes.ts';
import type { Phase } from '../../../src/canary-guard/state.ts';
import { brakedWeights } from '../../../src/canary-guard/weights.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';

const phases = (of: Readonly<Record<string, Phase>>) => new Map(Object.entries(of));

describe('the weights of a braked row', () => {
  it('are those of the file while all canaries are watched', () => {
    const weights = { canary: 5, production: 95 };
    assert.equal(brakedWeights(weights, 'production', phases({ canary: 'watching' }), 0.1), undefined);
  });

  it('give a braked or latched canary nothing, and what it had to the main backend alone', () => {
    const weights = { canary: 5, second: 10, production: 85 };
    for (const phase of ['braked', 'latched'] as const) {
      assert.deepEqual(brakedWeights(weights, 'production', phases({ canary: phase }), 0.1), {
        canary: 0,
        second: 1,
        production: 9,
      });
    }
  });

  it('give a probing canary a tenth of its share', () => {
    assert.deepEqual(
      brakedWeights({ canary: 5, production: 95 }, 'production', phases({ canary: 'probing' }), 0.1),
      { canary: 1, production: 199 },
    );
  });

  it('are whole numbers within bounds, keep the shares of others, and take from canaries alone, whatever they are', () => {
    const weight = fc.integer({ min: 0, max: 1_000_000 });
    const phase = fc.constantFrom<Phase>('watching', 'braked', 'probing', 'latched');
    fc.assert(
      fc.property(weight, weight, fc.integer({ min: 1, max: 1_000_000 }), phase, (a, b, main, ofA) => {
        const before = { a, b, main };
        const after = brakedWeights(before, 'main', phases({ a: ofA, b: 'watching' }), 0.1);
        if (after === undefined) return ofA === 'watching';
        const total = (of: Record<string, number>) => Object.values(of).reduce((sum, one) => sum + one, 0);
        const share = (of: Record<string, number>, name: string) => of[name]! / total(of);
        assert.ok(Object.values(after).every((one) => Number.isInteger(one) && one >= 0 && one <= 1_000_000));
        assert.ok(Math.abs(share(after, 'b') - share(before, 'b')) < 1e-5);
        assert.ok(share(after, 'a') <= share(before, 'a') + 1e-5);
        return ofA === 'probing' ? a === 0 || after['a']! > 0 : after['a'] === 0;
      }),
    );
  });
});

describe('how requests ended', () => {
  it('is read from the counters of traffic, without those that the client left', () => {
    const ledger = new Ledger();
    const metrics = new TrafficMetrics(ledger);
    const cells = metrics.rowCells('free', 'canary');
    cells.record('GET', 200, 5, 4);
    cells.record('POST', 503, 5, -1);
    cells.record('GET', 0, 5, -1);
    const before = readOutcomes(ledger.totals());
    const found = before.get('["free","canary"]')!;
    assert.deepEqual([found.requests, found.errors], [2, 1]);
    assert.equal(
      Array.from(found.latency).reduce((sum, one) => sum + one, 0),
      1,
    );
    cells.record('GET', 500, 5, 4);
    const since = outcomesSince(found, readOutcomes(ledger.totals()).get('["free","canary"]'));
    assert.deepEqual([since.requests, since.errors], [1, 1]);
  });

  it('is nothing where counters went backwards, and all where there was no series before', () => {
    const one = { requests: 5, errors: 2, latency: [1, 2] };
    assert.equal(outcomesSince(one, { ...one, requests: 3, errors: 0 }).requests, 0);
    assert.equal(outcomesSince(undefined, one).requests, 5);
  });
});
