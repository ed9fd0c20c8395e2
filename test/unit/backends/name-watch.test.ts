/** When a name is asked for, and when its last targets are given up. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Hold, NameState } from '../../../src/backends/name-state.ts';
import { NameWatch } from '../../../src/backends/name-watch.ts';
import type { FailureKind, Resolution } from '../../../src/backends/resolution.ts';
import { SharedNames } from '../../../src/backends/shared-names.ts';
import { plainTargets } from '../../../src/backends/target.ts';
import { ManualClock, settle } from './fixtures/manual-clock.ts';

const KINDS: FailureKind[] = ['notFound', 'noAddresses', 'serverFailure', 'refused', 'timeout', 'other'];
const FOREVER = Object.fromEntries(KINDS.map((kind) => [kind, Number.POSITIVE_INFINITY])) as Hold;

const answer: Resolution = { kind: 'answer', targets: plainTargets(['10.0.0.1']), ttlMs: 5_000, omitted: 0 };
const denied: Resolution = { kind: 'failure', reason: 'notFound', detail: 'no such name' };

function watch(
  hold: Partial<Hold>,
  { first = answer, ...rules }: { first?: Resolution; maxTtl?: number } = {},
) {
  const clock = new ManualClock();
  const seen: string[] = [];
  const asked: number[] = [];
  let resolution = first;
  const resolver = {
    resolve: () => {
      asked.push(clock.monotonic());
      return Promise.resolve(resolution);
    },
    close: () => {},
  };
  const all = { minTtl: 1_000, maxTtl: 30_000, ...rules, hold: { ...FOREVER, ...hold } };
  const watched = new NameWatch(
    { host: 'web', srv: false },
    resolver,
    all,
    { clock, random: () => 0 },
    (before: NameState, after: NameState) => {
      if (before.state !== after.state) seen.push(`${clock.monotonic()} ${after.state}`);
    },
  );
  watched.ask();
  return {
    clock,
    seen,
    asked,
    watched,
    resolver,
    all,
    answers: (next: Resolution) => {
      resolution = next;
    },
  };
}

describe('a name under watch', () => {
  test('is asked for when its TTL is over', async () => {
    const { clock, asked } = watch({});
    await clock.advance(16_000);
    assert.deepEqual(asked, [0, 5_000, 10_000, 15_000]);
  });

  test('whose failures outlast hold gives its addresses up on time, between two questions, and asks at once', async () => {
    const { clock, seen, asked, watched, answers } = watch({ notFound: 10_000 });
    await clock.advance(0);
    answers(denied);
    await clock.advance(60_000);
    assert.deepEqual(seen, ['0 resolved', '5000 stale', '15000 failed']);
    assert.deepEqual(watched.state.targets, []);
    assert.equal(
      watched.state.reason,
      'no such name; the last addresses were given up after 10s (resolver.hold.notFound)',
    );
    // 1 s, 2 s and 4 s after the first failure; then at the end of hold, and every 2 s.
    assert.deepEqual(asked.slice(0, 8), [0, 5_000, 6_000, 8_000, 12_000, 15_000, 17_000, 19_000]);
  });

  test('that answers again before hold is over keeps its addresses throughout', async () => {
    const { clock, seen, watched, answers } = watch({ notFound: 10_000 });
    await clock.advance(0);
    answers(denied);
    await clock.advance(9_000);
    answers(answer);
    await clock.advance(60_000);
    assert.deepEqual(seen, ['0 resolved', '5000 stale', '12000 resolved']);
    assert.equal(watched.state.targets.length, 1);
  });

  test('keeps its addresses for ever by default', async () => {
    const { clock, seen, watched, answers } = watch({});
    await clock.advance(0);
    answers(denied);
    await clock.advance(86_400_000);
    assert.deepEqual(seen, ['0 resolved', '5000 stale']);
    assert.equal(watched.state.targets.length, 1);
  });

  test('gives its addresses up when a reload shortens hold, and keeps those that it lengthens', async () => {
    const { clock, seen, watched, resolver, all, answers } = watch({ notFound: 60_000 });
    await clock.advance(0);
    answers(denied);
    await clock.advance(20_000);
    watched.use({ ...resolver }, { ...all, hold: { ...FOREVER, notFound: 10_000 } });
    await clock.advance(10);
    assert.equal(seen.at(-1)?.split(' ')[1], 'failed');
    answers(answer);
    await clock.advance(5_000);
    answers(denied);
    await clock.advance(6_000);
    watched.use({ ...resolver }, { ...all, hold: FOREVER });
    await clock.advance(86_400_000);
    assert.equal(watched.state.state, 'stale');
  });

  test('that appears comes up within two seconds, however long it has been missing', async () => {
    const { clock, watched, answers } = watch({}, { maxTtl: 3_600_000, first: denied });
    await clock.advance(10_000_000);
    answers(answer);
    await clock.advance(2_000);
    assert.equal(watched.state.state, 'resolved');
  });

  test('leaves no timer behind when it is stopped', async () => {
    const { clock, watched, answers } = watch({ notFound: 10_000 });
    await clock.advance(0);
    answers(denied);
    await clock.advance(6_000);
    watched.stop();
    assert.equal(clock.pending, 0);
  });
});

describe('shared names', () => {
  test('ask once for all that use a name in any case, and apart for its SRV records', async () => {
    const clock = new ManualClock();
    const asked: string[] = [];
    const names = new SharedNames<string>({ clock, random: () => 0 }, () => {});
    const resolver = {
      resolve: ({ host, srv }: { host: string; srv: boolean }) => {
        asked.push(`${host}${srv ? ' SRV' : ''}`);
        return Promise.resolve(answer);
      },
      close: () => {},
    };
    names.use(resolver, { minTtl: 1_000, maxTtl: 30_000, hold: FOREVER });
    const first = names.acquire('a', { host: 'Web', srv: false });
    assert.equal(names.acquire('b', { host: 'wEB', srv: false }), first);
    assert.notEqual(names.acquire('a', { host: 'web', srv: true }), first);
    await settle();
    assert.deepEqual(asked, ['web', 'web SRV']);
    names.release('a', { host: 'WEB', srv: false });
    await clock.advance(5_000);
    assert.deepEqual(asked, ['web', 'web SRV', 'web', 'web SRV']);
    names.release('b', { host: 'web', srv: false });
    names.release('a', { host: 'web', srv: true });
    await clock.advance(60_000);
    assert.equal(asked.length, 4);
  });
});
