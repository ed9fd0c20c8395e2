import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Exposure, MAX_CELLS, type Met, SLOT_MS, SLOTS, slotOf } from '../../../src/blast-radius/exposure.ts';
import { changeOf, ExposureTotals } from '../../../src/blast-radius/exposure-totals.ts';
import { ExposureMetrics } from '../../../src/blast-radius/metrics.ts';
import { decodeSketch, REGISTERS, UserSketch } from '../../../src/blast-radius/user-sketch.ts';
import { exposureWords, type Reach } from '../../../src/blast-radius/words.ts';
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
    for (const users of [0, 1, 50, 1_000, 2_000]) {
      const few = sketchOf(0, users).encode();
      assert.equal(decodeSketch(few)?.encode(), few);
      assert.ok(few.length <= 4 * users + 1 || users > 1_000, 'few users take little room');
    }
    assert.equal(decodeSketch('.AAA'), undefined);
    assert.equal(decodeSketch(`.${Buffer.from([0x10, 0x00, 1]).toString('base64')}`), undefined);
    assert.equal(decodeSketch(`.${Buffer.from([0, 0, 22]).toString('base64')}`), undefined);
    assert.equal(decodeSketch(''), undefined);
    assert.equal(decodeSketch('x'.repeat(100_000)), undefined);
    assert.equal(decodeSketch(Buffer.alloc(REGISTERS, 22).toString('base64')), undefined);
    assert.equal(decodeSketch(Buffer.alloc(REGISTERS - 1).toString('base64')), undefined);
  });
});

const FREE: Met = { route: 'free', backend: 'canary', build: '' };
const ALL: Reach = { of: 'all', asOf: 0, why: '' };

describe('exposure', () => {
  it('adds up workers: users exposed and users hurt, each once', () => {
    const totals = new ExposureTotals();
    for (const [from, to] of [
      [0, 600],
      [400, 1_000],
    ]) {
      const worker = new Exposure(0);
      for (let user = from!; user < to!; user++) {
        worker.cell(FREE)!.record(hashOf(user), user % 10 === 0);
      }
      totals.update(worker.takeChanges(1), 1);
      assert.deepEqual(worker.takeChanges(2), []);
    }
    const report = totals.report(FREE)!;
    const { exposed, hurt } = report;
    assert.ok(Math.abs(exposed - 1_000) < 50 && Math.abs(hurt - 100) < 8, `${exposed}, ${hurt}`);
    const ledger = new Ledger();
    const metrics = new ExposureMetrics(ledger);
    metrics.show([report], ALL);
    assert.deepEqual(familyOf(ledger.totals(), 'pointsman_users_hurt')?.series, [
      { labels: ['free', 'canary'], value: hurt },
    ]);
    assert.equal(
      (familyOf(ledger.totals(), 'pointsman_users_shared')!.series[0] as { value: number }).value,
      1,
    );
  });

  it('adds up replicas by their records, each user once, and tells by the digest whether there is more', () => {
    const [one, other] = [new ExposureTotals(), new ExposureTotals()];
    for (const [totals, from] of [
      [one, 0],
      [other, 400],
    ] as const) {
      const process = new Exposure(0);
      for (let user = from; user < from + 600; user++) process.cell(FREE)!.record(hashOf(user), user < 500);
      totals.update(process.takeChanges(1), 1);
    }
    const exchanged = () => {
      const [a, b] = [one.records(0)[0]!, other.records(0)[0]!];
      one.update([changeOf(b.text, 0)!], 1);
      other.update([changeOf(a.text, 0)!], 1);
      return a.digest === b.digest;
    };
    assert.equal(exchanged(), false);
    assert.equal(exchanged(), true);
    assert.deepEqual(one.report(FREE), other.report(FREE));
    const { exposed, hurt } = one.report(FREE)!;
    assert.ok(Math.abs(exposed - 1_000) < 50 && Math.abs(hurt - 500) < 25, `${exposed}, ${hurt}`);
    for (const text of ['', '[]', '{}', '[1,2,3,4,5]', JSON.stringify(['r'.repeat(300), '', '', '', ''])]) {
      assert.equal(changeOf(text, 0), undefined);
    }
  });

  it('begins anew with another build, and what the last one brought is not lost with it', () => {
    const worker = new Exposure(0);
    const totals = new ExposureTotals();
    worker.cell({ ...FREE, build: '1.6' })!.record(hashOf('a'), true);
    worker.retain(({ build }) => build === '1.7');
    worker.cell({ ...FREE, build: '1.7' })!.record(hashOf('b'), false);
    totals.update(worker.takeChanges(1), 1);
    assert.deepEqual(totals.report({ ...FREE, build: '1.7' }), {
      ...FREE,
      build: '1.7',
      exposed: 1,
      hurt: 0,
    });
    assert.deepEqual(totals.report({ ...FREE, build: '1.6' }), {
      ...FREE,
      build: '1.6',
      exposed: 1,
      hurt: 1,
    });
  });

  it('forgets who came more than 28 hours ago, and nobody who came within 24', () => {
    const worker = new Exposure(0);
    const totals = new ExposureTotals();
    const cell = worker.cell(FREE)!;
    cell.record(hashOf('a'), true);
    totals.update(worker.takeChanges(SLOT_MS), SLOT_MS);
    cell.record(hashOf('b'), false);
    totals.update(worker.takeChanges(2 * SLOT_MS), 2 * SLOT_MS);
    assert.deepEqual(totals.report(FREE), { ...FREE, exposed: 2, hurt: 1 });
    totals.update([], (SLOTS - 1) * SLOT_MS);
    assert.equal(totals.report(FREE)?.exposed, 2);
    totals.update([], SLOTS * SLOT_MS);
    assert.deepEqual(totals.report(FREE), { ...FREE, exposed: 1, hurt: 0 });
    totals.update([], (SLOTS + 1) * SLOT_MS);
    assert.equal(totals.report(FREE), undefined);
  });

  it('is bounded in a process and in the sum, where the oldest goes first, and takes no nonsense', () => {
    const worker = new Exposure(0);
    const met = (route: string): Met => ({ ...FREE, route });
    for (let i = 0; i < MAX_CELLS; i++) assert.ok(worker.cell(met(`route-${i}`)));
    assert.equal(worker.cell(met('one-more')), undefined);
    worker.retain(({ route }) => route === 'route-1');
    assert.ok(worker.cell(met('one-more')));
    const totals = new ExposureTotals();
    const sketch = new UserSketch().encode();
    const change = (route: string, slot = 0) => ({ ...met(route), slot, exposed: sketch, hurt: '' });
    totals.update([change('future', 9), change('past', -SLOTS), { ...change('bad'), exposed: '?' }], 0);
    assert.deepEqual(totals.records(0), []);
    const now = 3 * SLOT_MS;
    const bound = MAX_CELLS * SLOTS;
    totals.update([change('old', 1), change('older', 0)], now);
    totals.update(
      Array.from({ length: 2 * bound }, (_, i) => change(`route-${i}`, slotOf(now))),
      now,
    );
    assert.equal(totals.records(3).length, bound);
    assert.deepEqual([totals.records(1), totals.records(0)], [[], []]);
  });

  it('says how many, how many of them were hurt, and whose users they are', () => {
    const words = (reach: Reach, build = '') =>
      exposureWords({ ...FREE, build, exposed: 1_240, hurt: build === '' ? 0 : 31 }, reach);
    assert.equal(
      words(ALL, '1.7'),
      'In the last 24 h about 1,240 users met build 1.7, about 31 of them an error (counted over all replicas).',
    );
    assert.equal(
      words({ of: 'replica', asOf: undefined, why: 'no Redis is configured' }),
      'In the last 24 h about 1,240 users met it, none of them an error (counted in this replica alone: no Redis is configured).',
    );
    assert.match(
      words({ of: 'partly', asOf: 45_000_000, why: 'ECONNREFUSED' }),
      /over all replicas until 12:30 UTC, since then here alone: ECONNREFUSED/,
    );
    assert.equal(exposureWords({ ...FREE, exposed: 0, hurt: 0 }, ALL), '');
    assert.equal(exposureWords(undefined, ALL), '');
  });
});
