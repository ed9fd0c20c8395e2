import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../../src/observe/ledger.ts';
import { familyOf, type ValueSeries } from '../../../src/observe/totals.ts';

function values(ledger: Ledger, name: string): Record<string, number> {
  const series = familyOf(ledger.totals(), name)!.series as ValueSeries[];
  return Object.fromEntries(series.map(({ labels, value }) => [labels.join(','), value]));
}

test('the same label values give the same cell, different ones never share it', () => {
  const family = new Ledger().counter('c_total', 'c', ['a', 'b']);
  assert.equal(family.cell('x', 'y'), family.cell('x', 'y'));
  assert.notEqual(family.cell('x,y', ''), family.cell('x', 'y,'));
  assert.notEqual(family.cell('["', '"]'), family.cell('["","', ']'));
});

test('totals are a copy of plain data that survives JSON', () => {
  const ledger = new Ledger();
  const counter = ledger.counter('c_total', 'counts', ['a']).cell('x');
  ledger.histogram('h_seconds', 'times').cell().observe(3);
  counter.value = 5;
  const before = ledger.totals();
  counter.value = 6;
  assert.deepEqual(JSON.parse(JSON.stringify(before)), before);
  assert.deepEqual(familyOf(before, 'c_total')!.series, [{ labels: ['x'], value: 5 }]);
  assert.equal(familyOf(before, 'h_seconds')!.series[0]!.labels.length, 0);
});

test('beyond its bound a family counts under other, and nothing is lost', () => {
  const ledger = new Ledger();
  const family = ledger.counter('c_total', 'c', ['a', 'b'], { limit: 3 });
  for (let i = 0; i < 10; i++) family.cell(`a${i}`, 'b').value++;
  for (let i = 0; i < 10; i++) family.cell(`a${i}`, 'b').value++;
  assert.deepEqual(values(ledger, 'c_total'), { 'a0,b': 2, 'a1,b': 2, 'a2,b': 2, 'other,other': 14 });
  assert.equal(family.size, 3);
});

test('retain keeps what removed rows counted until the family is nearly full', () => {
  const ledger = new Ledger();
  const family = ledger.counter('c_total', 'c', ['route'], { limit: 8 });
  for (let i = 0; i < 5; i++) family.cell(`r${i}`).value++;
  assert.equal(
    ledger.retain(({ route }) => route === 'r0'),
    0,
  );
  assert.equal(family.size, 5);
  family.cell('r5').value++;
  assert.equal(
    ledger.retain(({ route }) => route === 'r0'),
    5,
  );
  assert.deepEqual(values(ledger, 'c_total'), { r0: 1 });
  family.cell('new').value++;
  assert.deepEqual(values(ledger, 'c_total'), { r0: 1, new: 1 });
});

test('a wrong number of label values and a second declaration are refused by name', () => {
  const ledger = new Ledger();
  const family = ledger.gauge('g', 'g', ['a', 'b']);
  assert.throws(() => family.cell('x'), /g has the labels \(a, b\), got 1/);
  assert.throws(() => ledger.counter('g', 'again'), /g is declared twice/);
});
