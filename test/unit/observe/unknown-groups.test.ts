import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Ledger, OTHER } from '../../../src/observe/ledger.ts';
import { mergeTotals } from '../../../src/observe/totals.ts';
import { MAX_GROUP_LENGTH, MAX_UNKNOWN_GROUPS, UnknownGroups } from '../../../src/observe/unknown-groups.ts';

function counted(ledger: Ledger): Map<string, number> {
  const family = ledger.totals().families.find(({ name }) => name === 'pointsman_unknown_group_total');
  return new Map(family?.series.map((series) => [series.labels[0]!, (series as { value: number }).value]));
}

describe('groups that no row names', () => {
  it('are counted by value while there are few', () => {
    const ledger = new Ledger();
    const groups = new UnknownGroups(ledger);
    for (const value of ['enterprise-eu', 'fre', 'enterprise-eu']) groups.count(value);
    assert.deepEqual(
      counted(ledger),
      new Map([
        ['enterprise-eu', 2],
        ['fre', 1],
      ]),
    );
  });

  it('never have more series than the bound, lose no request, and none of their counts ever falls', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.nat(60).map(String),
            fc.constantFrom('typo', OTHER, ''),
            fc.string({ minLength: 60, maxLength: 90 }),
          ),
          { maxLength: 600 },
        ),
        (values) => {
          const ledger = new Ledger();
          const groups = new UnknownGroups(ledger);
          let before = counted(ledger);
          for (const value of values) {
            groups.count(value);
            const now = counted(ledger);
            assert.ok(now.size <= MAX_UNKNOWN_GROUPS + 1);
            for (const [name, count] of now) {
              assert.ok(name.length <= MAX_GROUP_LENGTH);
              // A value that lost its series begins anew, as counters do.
              if (before.has(name)) assert.ok(count >= before.get(name)!);
            }
            before = now;
          }
          assert.equal(
            [...before.values()].reduce((sum, count) => sum + count, 0),
            values.length,
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('shows a typo that is met again and again, however much noise was there before and goes on', () => {
    const ledger = new Ledger();
    const groups = new UnknownGroups(ledger);
    for (let i = 0; i < 5_000; i++) {
      groups.count(`noise-${i}`);
      if (i >= 1_000 && i % 10 === 0) groups.count('enterprise-eu');
    }
    const typo = counted(ledger).get('enterprise-eu') ?? 0;
    assert.ok(typo > 350 && typo <= 400, `${typo}`);
  });

  it('stay within the bound when processes are added up', () => {
    const ledgers = Array.from({ length: 8 }, (_, worker) => {
      const ledger = new Ledger();
      const groups = new UnknownGroups(ledger);
      for (let i = 0; i < 100; i++) groups.count(`worker-${worker}-${i}`);
      return ledger.totals();
    });
    const merged = mergeTotals([mergeTotals(ledgers.slice(0, 4)), ...ledgers.slice(4)]);
    const series = merged.families[0]!.series as readonly { value: number }[];
    assert.ok(series.length <= MAX_UNKNOWN_GROUPS + 1);
    assert.equal(
      series.reduce((sum, { value }) => sum + value, 0),
      800,
    );
  });
});
