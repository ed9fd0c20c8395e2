import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Evidence, judge, shareCheck } from '../../../src/demo/checks.ts';
import { openWindow, record, type Window } from '../../../src/demo/tally.ts';
import { type StepId, TOUR } from '../../../src/demo/tour.ts';

const SPLITS = {
  internal: { internal: 100 },
  free: { canary: 5, production: 95 },
  enterprise: { production: 100 },
  paid: { paid: 5, production: 95 },
};

function windowOf(step: StepId, free: Record<string, number>): Window {
  const killed = step === 'killed';
  const splits = step === 'edited' ? { ...SPLITS, free: { canary: 25, production: 75 } } : SPLITS;
  const window = openWindow({ step, steady: true, splits, down: new Set(killed ? ['canary'] : []) });
  window.anonymous['internal'] = { internal: 50 };
  window.anonymous['enterprise'] = { production: 50 };
  window.anonymous['free'] = free;
  window.anonymous['paid'] = { paid: 5, production: 95 };
  window.pinned['free'] = { canary: 7, production: 90 };
  window.answered = 400;
  return window;
}

function good(): Evidence & { windows: Window[]; stuck: string[] } {
  return {
    windows: [
      windowOf('steady', { canary: 5, production: 95 }),
      windowOf('killed', { production: 100 }),
      windowOf('restored', { canary: 6, production: 94 }),
      windowOf('edited', { canary: 25, production: 75 }),
    ],
    stuck: [],
    users: 200,
  };
}

function failedNames(evidence: Evidence): string[] {
  return judge(evidence)
    .filter(({ ok }) => !ok)
    .map(({ name }) => name);
}

describe('the verdict', () => {
  it('is good when every share is right', () => {
    assert.deepEqual(failedNames(good()), []);
  });

  it('names a share that is off by more than one request, either way', () => {
    for (const [canary, ok] of [
      [3, false],
      [4, true],
      [6, true],
      [7, false],
    ] as const) {
      const window = windowOf('steady', { canary, production: 100 - canary });
      assert.equal(shareCheck(window, 'free', 'FREE').ok, ok, `${canary} of 100`);
    }
  });

  it('does not take silence for a right share', () => {
    assert.equal(shareCheck(windowOf('steady', { production: 20 }), 'free', 'FREE').ok, false);
    assert.ok(failedNames({ windows: [], stuck: [], users: 0 }).length >= 8);
  });

  it('names a backend that the split does not have', () => {
    const window = windowOf('steady', { canary: 5, production: 93, internal: 2 });
    assert.equal(shareCheck(window, 'free', 'FREE').ok, false);
  });

  it('fails when ENTERPRISE meets anything but production, be it once and while things change', () => {
    const evidence = good();
    const between = openWindow({ step: 'killed', steady: false, splits: SPLITS, down: new Set() });
    between.anonymous['enterprise'] = { canary: 1 };
    evidence.windows.push(between);
    assert.deepEqual(failedNames(evidence), ['ENTERPRISE requests meet production alone']);
  });

  it('fails when INTERNAL meets anything but internal', () => {
    const evidence = good();
    evidence.windows[2]!.anonymous['internal'] = { internal: 49, production: 1 };
    assert.deepEqual(failedNames(evidence), ['INTERNAL requests meet internal alone']);
  });

  it('fails when the canary still serves although it was found down', () => {
    const evidence = good();
    evidence.windows[1] = windowOf('killed', { canary: 3, production: 97 });
    assert.deepEqual(failedNames(evidence), ['killed: FREE by weight']);
  });

  it('fails for each step that did not come true', () => {
    for (const [index, { goal }] of TOUR.entries()) {
      const evidence = good();
      evidence.windows.splice(index, 1);
      evidence.stuck.push(goal);
      assert.deepEqual(failedNames(evidence), [goal]);
    }
  });

  it('fails when one user is answered by another backend than that of the bucket, and says which', () => {
    const evidence = good();
    const outcome = { route: 'free', user: 'free-7', failure: undefined } as const;
    record(evidence.windows[0]!, { ...outcome, backend: 'canary', expected: 'canary' });
    assert.deepEqual(failedNames(evidence), []);
    record(evidence.windows[0]!, { ...outcome, backend: 'production', expected: 'canary' });
    const failed = judge(evidence).filter(({ ok }) => !ok);
    assert.equal(failed.length, 1);
    assert.match(failed[0]!.detail, /1 of \d+ .*user free-7 was answered by production, not canary/);
  });

  it('fails when one request fails, also while things change', () => {
    const evidence = good();
    const between = openWindow({ step: 'killed', steady: false, splits: SPLITS, down: new Set() });
    record(between, {
      route: 'free',
      user: undefined,
      backend: undefined,
      expected: undefined,
      failure: '502 upstream reset',
    });
    evidence.windows.push(between);
    const failed = judge(evidence).filter(({ ok }) => !ok);
    assert.equal(failed.length, 1);
    assert.match(failed[0]!.detail, /^1 of 1601; free: 502 upstream reset$/);
  });
});
