import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RetryBudget } from '../../../src/admission/retry-budget.ts';

const SETTINGS = { percent: 20, window: 10_000, floor: 3 };

/** How many of `wanted` retries are granted. */
function take(budget: RetryBudget, wanted: number, now: number): number {
  let granted = 0;
  for (let i = 0; i < wanted; i++) if (budget.take(now)) granted++;
  return granted;
}

function count(budget: RetryBudget, requests: number, now: number): void {
  for (let i = 0; i < requests; i++) budget.countRequest(now);
}

describe('the retry budget', () => {
  it('grants the floor when there was hardly a request', () => {
    assert.equal(take(new RetryBudget(SETTINGS), 10, 0), 3);
  });

  it('grants its share of the requests of the window, once', () => {
    const budget = new RetryBudget(SETTINGS);
    count(budget, 100, 0);
    assert.equal(take(budget, 50, 500), 20);
    assert.equal(take(budget, 50, 5_000), 0);
    count(budget, 50, 6_000);
    assert.equal(take(budget, 50, 6_000), 10);
  });

  it('forgets what is older than the window', () => {
    const budget = new RetryBudget(SETTINGS);
    count(budget, 100, 0);
    assert.equal(take(budget, 50, 0), 20);
    assert.equal(take(budget, 50, 10_500), 3, 'the retries are forgotten, and the requests as well');
    count(budget, 1_000, 1_000_000);
    assert.equal(take(budget, 500, 1_000_001), 200);
  });

  it('takes over other settings with what it has counted', () => {
    const budget = new RetryBudget(SETTINGS);
    count(budget, 100, 0);
    take(budget, 20, 0);
    budget.configure({ ...SETTINGS, percent: 30 });
    assert.equal(take(budget, 50, 100), 10);
    budget.configure({ percent: 0, window: 10_000, floor: 0 });
    assert.equal(take(budget, 50, 200), 0);
  });

  it('never grants more than its share of any window, whatever the traffic', () => {
    const steps = fc.array(fc.record({ after: fc.nat(3_000), requests: fc.nat(60), wanted: fc.nat(60) }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, (history) => {
        const budget = new RetryBudget(SETTINGS);
        const log: { at: number; requests: number; granted: number }[] = [];
        let now = 0;
        for (const { after, requests, wanted } of history) {
          now += after;
          count(budget, requests, now);
          log.push({ at: now, requests, granted: take(budget, wanted, now) });
          if (log.at(-1)!.granted === 0) continue;
          const since = (length: number) => log.filter(({ at }) => at > now - length);
          // The window slides by a tenth: what counts is at least nine tenths of it and at most all of it.
          const granted = since(9_000).reduce((sum, entry) => sum + entry.granted, 0);
          const seen = since(10_000).reduce((sum, entry) => sum + entry.requests, 0);
          assert.ok(granted <= Math.max(3, Math.ceil(seen * 0.2)), `${granted} retries of ${seen} requests`);
        }
      }),
    );
  });
});
