import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from '../../../src/observe/ledger.ts';
import {
  familyOf,
  type HistogramSeries,
  type LedgerTotals,
  mergeTotals,
  NO_TOTALS,
  type ValueSeries,
} from '../../../src/observe/totals.ts';
import { WorkerLedgers } from '../../../src/observe/worker-ledgers.ts';

/** Whole milliseconds, so that sums are exact and comparing them means something. */
type Event =
  | { kind: 'count'; label: string; by: number }
  | { kind: 'gauge'; label: string; by: number }
  | { kind: 'observe'; label: string; ms: number };

const label = fc.constantFrom('', 'a', 'b', 'a"b', 'x\ny', '["a"]');
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant('count' as const), label, by: fc.nat(100) }),
  fc.record({ kind: fc.constant('gauge' as const), label, by: fc.integer({ min: -5, max: 5 }) }),
  fc.record({ kind: fc.constant('observe' as const), label, ms: fc.nat(200_000) }),
);

class Worker {
  readonly ledger = new Ledger();
  readonly #count = this.ledger.counter('c_total', 'c', ['l']);
  readonly #gauge = this.ledger.gauge('g', 'g', ['l', 'm']);
  readonly #times = this.ledger.histogram('h_seconds', 'h', ['l']);

  apply(event: Event): void {
    if (event.kind === 'count') this.#count.cell(event.label).value += event.by;
    else if (event.kind === 'gauge') this.#gauge.cell(event.label, 'm').value += event.by;
    else this.#times.cell(event.label).observe(event.ms);
  }
}

const totals = fc.array(event, { maxLength: 30 }).map((events) => {
  const worker = new Worker();
  for (const one of events) worker.apply(one);
  return worker.ledger.totals();
});

test('merging is associative and commutative, and nothing is its neutral element', () => {
  fc.assert(
    fc.property(totals, totals, totals, (a, b, c) => {
      const all = mergeTotals([a, b, c]);
      assert.deepEqual(mergeTotals([c, a, b]), all);
      assert.deepEqual(mergeTotals([mergeTotals([a, b]), c]), all);
      assert.deepEqual(mergeTotals([a, mergeTotals([b, c])]), all);
      assert.deepEqual(mergeTotals([NO_TOTALS, all]), all);
    }),
  );
});

test('merging does not change what it is given', () => {
  fc.assert(
    fc.property(totals, totals, (a, b) => {
      const before = structuredClone([a, b]);
      mergeTotals([a, b]);
      assert.deepEqual([a, b], before);
    }),
  );
});

test('processes that disagree about a metric are an error that names it', () => {
  const a = new Ledger();
  a.counter('x', 'x', ['l']).cell('1');
  const b = new Ledger();
  b.gauge('x', 'x', ['l']).cell('1');
  assert.throws(() => mergeTotals([a.totals(), b.totals()]), /metric x has different types/);
});

test('a bound on series adds those beyond it to other', () => {
  const ledger = new Ledger();
  const family = ledger.counter('c_total', 'c', ['l']);
  for (const l of ['a', 'b', 'c', 'd']) family.cell(l).value = 1;
  const merged = mergeTotals([ledger.totals(), ledger.totals()], 2);
  assert.deepEqual(familyOf(merged, 'c_total')!.series, [
    { labels: ['a'], value: 2 },
    { labels: ['b'], value: 2 },
    { labels: ['other'], value: 4 },
  ]);
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('work' as const), slot: fc.nat(2), event }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('report' as const), slot: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('die' as const), slot: fc.nat(2), late: fc.boolean() }),
  },
);

test('counters and histograms never fall and never miss what was reported, whichever workers die', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const ledgers = new WorkerLedgers();
      const own = new Worker();
      let nextId = 1;
      const slots = [0, 1, 2].map(() => ({ id: nextId++, worker: new Worker() }));
      let last = new Map<string, number>();
      for (const one of steps) {
        const slot = slots[one.slot]!;
        if (one.do === 'work') slot.worker.apply(one.event);
        else if (one.do === 'report') ledgers.update(slot.id, slot.worker.ledger.totals());
        else {
          ledgers.retire(slot.id);
          if (one.late) ledgers.update(slot.id, slot.worker.ledger.totals());
          slots[one.slot] = { id: nextId++, worker: new Worker() };
        }
        const now = monotonic(ledgers.merged(own.ledger.totals()));
        for (const [key, value] of last) assert.ok((now.get(key) ?? -1) >= value, `${key} fell`);
        last = now;
      }
    }),
  );
});

test('a long row of dead workers keeps every count', () => {
  const ledgers = new WorkerLedgers();
  for (let id = 1; id <= 50; id++) {
    const worker = new Worker();
    worker.apply({ kind: 'count', label: 'a', by: id });
    worker.apply({ kind: 'gauge', label: 'a', by: 1 });
    ledgers.update(id, worker.ledger.totals());
    ledgers.retire(id);
    ledgers.retire(id);
  }
  const merged = ledgers.merged(new Worker().ledger.totals());
  assert.equal((familyOf(merged, 'c_total')!.series[0] as ValueSeries).value, (50 * 51) / 2);
  assert.deepEqual(familyOf(merged, 'g')!.series, []);
});

test('gauges of a dead worker go away, also when its last message comes late', () => {
  const ledgers = new WorkerLedgers();
  const worker = new Worker();
  worker.apply({ kind: 'gauge', label: 'a', by: 7 });
  ledgers.update(1, worker.ledger.totals());
  assert.equal((familyOf(ledgers.merged(NO_TOTALS), 'g')!.series[0] as ValueSeries).value, 7);
  ledgers.retire(1);
  ledgers.update(1, worker.ledger.totals());
  assert.equal(familyOf(ledgers.merged(NO_TOTALS), 'g'), undefined);
});

function monotonic(totals: LedgerTotals): Map<string, number> {
  const flat = new Map<string, number>();
  for (const family of totals.families) {
    if (family.type === 'gauge') continue;
    for (const series of family.series) {
      const key = `${family.name} ${JSON.stringify(series.labels)}`;
      if (family.type === 'counter') flat.set(key, (series as ValueSeries).value);
      else {
        const { count, sum, counts } = series as HistogramSeries;
        flat.set(`${key} count`, count).set(`${key} sum`, sum);
        for (const [i, value] of counts.entries()) flat.set(`${key} ${i}`, value);
      }
    }
  }
  return flat;
}
