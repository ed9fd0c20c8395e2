import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Exposure, MAX_CELLS, SLOT_MS, SLOTS } from '../../../src/blast-radius/exposure.ts';
import { ExposureTotals, exposureWords } from '../../../src/blast-radius/exposure-totals.ts';
import { ExposureMetrics } from '../../../src/blast-radius/metrics.ts';
import { decodeSketch, REGISTERS, UserSketch } from '../../../src/blast-radius/user-sketch.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { familyOf } from '../../../src/observe/totals.ts';
import { bucketOf, murmur3 } from '../../../src/routing/bucket.ts';

const hashOf = (user: number | string) => murmur3(`account-service\0${user}`, 0);

function sketchOf(from: number, to: number): UserSketch {
  const sketch = new UserSketch();
  for (let user = from; user < to; user++) sketch.add(hashOf(user));
  return sketch;
}

describe('the sketch of users', () => {
  it('is off by less than 5 % from one user to a million, and exact for a few', () => {
    for (const users of [0, 1, 2, 3, 5, 10]) assert.equal(sketchOf(0, users).estimate(), users);
    const errors: number[] = [];
    for (const users of [100, 1_000, 5_000, 10_000, 12_000, 50_000, 200_000, 1_000_000]) {
      const error = sketchOf(7, 7 + users).estimate() / users - 1;
      assert.ok(Math.abs(error) < 0.05, `${users} users: off by ${(error * 100).toFixed(2)} %`);
      errors.push(error);
    }
    const deviation = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length);
    assert.ok(deviation < 0.025, `standard error ${deviation}`);
  });

  it('is as exact for the users of a small canary, whose buckets lie side by side', () => {
    const sketch = new UserSketch();
    let users = 0;
    for (let user = 0; users < 20_000; user++) {
      if (bucketOf('account-service', String(user)) >= 500) continue;
      users++;
      sketch.add(hashOf(user));
    }
    assert.ok(Math.abs(sketch.estimate() / users - 1) < 0.05, String(sketch.estimate()));
  });

  it('counts a user once, however often and with whichever sign the hash comes', () => {
    const sketch = sketchOf(0, 1_000);
    const before = sketch.estimate();
    sketch.changed = false;
    for (let user = 0; user < 1_000; user++) sketch.add(hashOf(user) | 0);
    assert.equal(sketch.estimate(), before);
    assert.equal(sketch.changed, false);
  });

  it('merges into what one would hold that had seen all, in any order, any number of times', () => {
    const users = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 400 });
    fc.assert(
      fc.property(users, users, (a, b) => {
        const of = (...lists: number[][]) => {
          const sketch = new UserSketch();
          for (const hash of lists.flat()) sketch.add(hash);
          return sketch;
        };
        const merged = of(b);
        merged.merge(of(a));
        merged.merge(of(a));
        return merged.encode() === of(a, b).encode();
      }),
    );
  });

  it('is read back as it was written, and from nothing else', () => {
    const sketch = sketchOf(0, 5_000);
    assert.equal(decodeSketch(sketch.encode())?.estimate(), sketch.estimate());
    assert.equal(decodeSketch(''), undefined);
    assert.equal(decodeSketch('x'.repeat(100_000)), undefined);
    assert.equal(decodeSketch(Buffer.alloc(REGISTERS, 22).toString('base64')), undefined);
    assert.equal(decodeSketch(Buffer.alloc(REGISTERS - 1).toString('base64')), undefined);
  });
});

describe('exposure', () => {
  it('adds up workers: users exposed and users hurt, each once', () => {
    const totals = new ExposureTotals();
    for (const [from, to] of [
      [0, 600],
      [400, 1_000],
    ]) {
      const worker = new Exposure(0);
      for (let user = from!; user < to!; user++) {
        worker.cell('free', 'canary')!.record(hashOf(user), user % 10 === 0);
      }
      totals.update(worker.takeChanges(1), 1);
      assert.deepEqual(worker.takeChanges(2), []);
    }
    const { exposed, hurt } = totals.report('free', 'canary')!;
    assert.ok(Math.abs(exposed - 1_000) < 50 && Math.abs(hurt - 100) < 8, `${exposed}, ${hurt}`);
    assert.match(exposureWords(totals.report('free', 'canary')), /about .* users met it, about \d+ of them/);
    assert.equal(exposureWords(totals.report('free', 'production')), '');
    const replica = new ExposureTotals();
    replica.update(totals.export(), 1);
    replica.update(totals.export(), 1);
    assert.deepEqual(replica.reports(), totals.reports());
    const ledger = new Ledger();
    new ExposureMetrics(ledger).show(totals.reports());
    assert.deepEqual(familyOf(ledger.totals(), 'pointsman_users_hurt')?.series, [
      { labels: ['free', 'canary'], value: hurt },
    ]);
  });

  it('forgets who came more than 28 hours ago, and nobody who came within 24', () => {
    const worker = new Exposure(0);
    const totals = new ExposureTotals();
    const cell = worker.cell('free', 'canary')!;
    cell.record(hashOf('a'), true);
    totals.update(worker.takeChanges(SLOT_MS), SLOT_MS);
    cell.record(hashOf('b'), false);
    totals.update(worker.takeChanges(2 * SLOT_MS), 2 * SLOT_MS);
    assert.deepEqual(totals.reports(), [{ route: 'free', backend: 'canary', exposed: 2, hurt: 1 }]);
    totals.update([], (SLOTS - 1) * SLOT_MS);
    assert.equal(totals.report('free', 'canary')?.exposed, 2);
    totals.update([], SLOTS * SLOT_MS);
    assert.deepEqual(totals.reports(), [{ route: 'free', backend: 'canary', exposed: 1, hurt: 0 }]);
    totals.update([], (SLOTS + 1) * SLOT_MS);
    assert.deepEqual(totals.reports(), []);
  });

  it('bounds rows and backends in a process and in the sum, and takes no nonsense', () => {
    const worker = new Exposure(0);
    for (let i = 0; i < MAX_CELLS; i++) assert.ok(worker.cell(`route-${i}`, 'canary'));
    assert.equal(worker.cell('one-more', 'canary'), undefined);
    worker.retain((route) => route === 'route-1');
    assert.ok(worker.cell('one-more', 'canary'));
    const totals = new ExposureTotals();
    const sketch = new UserSketch().encode();
    const change = (route: string, slot = 0) => ({ route, backend: 'b', slot, exposed: sketch, hurt: '' });
    totals.update([change('future', 9), change('past', -SLOTS), { ...change('bad'), exposed: '?' }], 0);
    assert.deepEqual(totals.reports(), []);
    totals.update(
      Array.from({ length: 2 * MAX_CELLS }, (_, i) => change(`route-${i}`)),
      0,
    );
    assert.equal(totals.reports().length, MAX_CELLS);
  });
});
