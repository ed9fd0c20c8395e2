import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryPinStore } from '../../../src/pinning/memory-store.ts';

function storeAt(clock: { now: number }, maxEntries = 3) {
  return new MemoryPinStore({ ttlMs: 1_000, maxEntries, now: () => clock.now });
}

describe('pins in memory', () => {
  it('remember a user until he has stayed away for the time', () => {
    const clock = { now: 0 };
    const store = storeAt(clock);
    let winner = '';
    store.claim('u', 'canary', (backend) => {
      winner = backend;
    });
    assert.equal(winner, 'canary');
    clock.now = 999;
    assert.equal(store.recall('u'), 'canary');
    clock.now = 1_998;
    assert.equal(store.recall('u'), 'canary');
    clock.now = 2_998;
    assert.equal(store.recall('u'), undefined);
    assert.equal(store.size, 0);
  });

  it('forget the least recently used user when they are full', () => {
    const store = storeAt({ now: 0 });
    for (const user of ['a', 'b', 'c']) store.claim(user, 'canary', () => {});
    store.recall('a');
    store.claim('d', 'canary', () => {});
    assert.equal(store.size, 3);
    assert.equal(store.recall('b'), undefined);
    assert.equal(store.recall('a'), 'canary');
  });

  it('count users by backend: each once, without those who moved, were pushed out, forgotten or stayed away', () => {
    const clock = { now: 0 };
    const store = storeAt(clock);
    const counts = () => Object.fromEntries(store.counts());
    assert.deepEqual(counts(), {});
    for (const user of ['a', 'b', 'c']) store.claim(user, 'canary', () => {});
    store.claim('a', 'canary', () => {});
    store.rewrite('b', 'production');
    assert.deepEqual(counts(), { canary: 2, production: 1 });
    store.claim('d', 'production', () => {});
    assert.deepEqual(counts(), { canary: 1, production: 2 });
    store.forget('d');
    store.forget('nobody');
    assert.deepEqual(counts(), { canary: 1, production: 1 });
    clock.now = 900;
    store.recall('b');
    clock.now = 1_000;
    assert.deepEqual(counts(), { production: 1 });
    assert.equal(store.recall('b'), 'production');
    store.close();
    assert.deepEqual(counts(), {});
  });

  it('can be rewritten', () => {
    const store = storeAt({ now: 0 });
    store.claim('a', 'canary', () => {});
    store.rewrite('a', 'production');
    assert.equal(store.recall('a'), 'production');
  });
});
