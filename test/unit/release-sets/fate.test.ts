import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Fate, FateWatch, recordText } from '../../../src/release-sets/fate.ts';

const BRAKED: Fate = {
  fallen: { backend: 'canary', ratio: 0, until: 99_000, reason: 'bad build', by: 'ann' },
};
const HALVED: Fate = { fallen: { ...BRAKED.fallen!, ratio: 0.5 } };
const LOST: Fate = { lost: { backend: 'canary', reason: 'none available' } };

const told = (beat: number, fate: Fate, service = 'cart') => recordText(service, beat, fate);
const brief = (watch: FateWatch, now: number) =>
  watch.fates(now).map(({ service, fallen, lost }) => [service, fallen?.ratio, lost?.reason]);

describe('fates of a release set', () => {
  it('count at once, of each service the worst that its replicas tell, and never of the own service', () => {
    const watch = new FateWatch('pricing');
    watch.take(
      {
        a: told(1, HALVED),
        b: told(7, BRAKED),
        c: told(1, LOST),
        own: told(1, BRAKED, 'pricing'),
        d: told(1, HALVED, 'account'),
      },
      0,
    );
    assert.deepEqual(brief(watch, 0), [
      ['account', 0.5, undefined],
      ['cart', 0, 'none available'],
    ]);
  });

  it('end when they are told no more, after a moment that bridges an endpoint that comes and goes', () => {
    const watch = new FateWatch('pricing');
    watch.take({ a: told(1, LOST) }, 0);
    watch.take({}, 1_000);
    assert.equal(watch.fates(1_000).length, 1);
    watch.take({ a: told(3, LOST) }, 2_000);
    watch.take({}, 4_000);
    assert.equal(watch.fates(4_000).length, 1);
    watch.take({}, 5_000);
    assert.deepEqual(watch.fates(5_000), []);
  });

  it('end when nobody renews them, whatever the clocks of others say, and are cleared away', () => {
    const watch = new FateWatch('pricing');
    const dead = { a: told(4, BRAKED) };
    for (let now = 0; now < 10_000; now += 1_000) {
      assert.deepEqual(watch.take(dead, now), []);
      assert.equal(watch.fates(now).length, 1);
    }
    watch.take(dead, 10_000);
    assert.deepEqual(watch.fates(10_000), []);
    assert.deepEqual(watch.take(dead, 60_000), ['a']);
    watch.take({ a: told(5, BRAKED) }, 61_000);
    assert.equal(watch.fates(61_000).length, 1, 'it was only slow');
  });

  it('hold for a minute while Redis is away, and then each service acts alone', () => {
    const watch = new FateWatch('pricing');
    watch.take({ a: told(1, BRAKED) }, 0);
    assert.equal(watch.fates(59_999).length, 1);
    assert.deepEqual(watch.fates(60_000), []);
    watch.take({ a: told(9, BRAKED) }, 90_000);
    assert.equal(watch.fates(90_000).length, 1);
  });

  it('are taken from nothing else than records, of which there is a bound', () => {
    const watch = new FateWatch('pricing');
    const nonsense = {
      a: 'x',
      b: '{}',
      c: JSON.stringify({ service: 'cart', beat: 1, fallen: { ...BRAKED.fallen, ratio: 2 } }),
      d: told(1, { lost: { backend: 'canary', reason: 'x'.repeat(5_000) } }),
      e: JSON.stringify({ service: 'cart', beat: 1, surprise: 1 }),
    };
    assert.deepEqual(watch.take(nonsense, 0), ['a', 'b', 'c', 'd', 'e']);
    assert.deepEqual(watch.fates(0), []);
    watch.take(
      Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`r${i}`, told(1, LOST, `s${i}`)])),
      0,
    );
    assert.equal(watch.fates(0).length, 256);
  });
});
