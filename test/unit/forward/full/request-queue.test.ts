import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RequestQueue } from '../../../../src/forward/full/request-queue.ts';
import type { RequestInProgress } from '../../../../src/forward/peer.ts';

interface World {
  readonly queue: RequestQueue;
  /** What was served, and met garbage. */
  readonly seen: string[];
  /** What the connection was told: true if requests wait. */
  readonly told: boolean[];
  request(name: string): RequestInProgress;
  add(name: string, whileServed?: () => void): void;
}

function world(): World {
  const seen: string[] = [];
  const told: boolean[] = [];
  const queue = new RequestQueue((waits) => told.push(waits));
  const request = (name: string): RequestInProgress => ({
    closes: false,
    onGarbage: () => seen.push(`${name} garbage`),
  });
  return {
    queue,
    seen,
    told,
    request,
    add: (name, whileServed) =>
      queue.add(() => {
        seen.push(name);
        whileServed?.();
        return request(name);
      }),
  };
}

describe('requests behind one in progress', () => {
  it('are served one by one, in the order of arrival', () => {
    const { queue, seen, told, add } = world();
    for (const name of ['a', 'b', 'c']) add(name);
    assert.deepEqual([seen, told, queue.length], [[], [true], 3]);
    queue.next();
    assert.deepEqual([seen, told, queue.length], [['a'], [true], 2]);
    queue.next();
    queue.next();
    assert.deepEqual([seen, told, queue.length], [['a', 'b', 'c'], [true, false], 0]);
    queue.next();
    assert.deepEqual(told, [true, false]);
  });

  it('are not served once the connection ends', () => {
    const { queue, seen, told, add } = world();
    add('a');
    add('b');
    queue.clear();
    queue.clear();
    queue.next();
    assert.deepEqual([seen, told], [[], [true, false]]);
  });

  it('pass garbage to the request in progress if none waits', () => {
    const { queue, seen, request } = world();
    queue.onGarbage(request('latest'));
    assert.deepEqual(seen, ['latest garbage']);
  });

  it('pass garbage to the last request that waits, once it is served', () => {
    const { queue, seen, add, request } = world();
    add('a');
    add('b');
    queue.onGarbage(request('latest'));
    queue.next();
    assert.deepEqual(seen, ['a']);
    queue.next();
    assert.deepEqual(seen, ['a', 'b', 'b garbage']);
  });

  it('say each change once if a request ends, or another arrives, while it is served', () => {
    const { queue, seen, told, add } = world();
    add('a', () => queue.next());
    add('b', () => add('c'));
    queue.next();
    assert.deepEqual([seen, told, queue.length], [['a', 'b'], [true], 1]);
    queue.next();
    assert.deepEqual(
      [seen, told],
      [
        ['a', 'b', 'c'],
        [true, false],
      ],
    );
  });

  it('say that none waits also if the last one fails while it is served', () => {
    const { queue, told, add } = world();
    add('a', () => {
      throw new Error('planted');
    });
    assert.throws(() => queue.next(), /planted/);
    assert.deepEqual([told, queue.length], [[true, false], 0]);
  });

  it('are told of in turns, for any order of calls', () => {
    const call = fc.constantFrom('add', 'addNested', 'next', 'clear');
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40, size: 'max' }), (calls) => {
        const { queue, told, seen, add } = world();
        let names = 0;
        for (const each of calls) {
          if (each === 'add') add(String(names++));
          else if (each === 'addNested') add(String(names++), () => queue.next());
          else if (each === 'next') queue.next();
          else queue.clear();
          assert.equal(told.at(-1) ?? false, queue.length > 0);
        }
        for (const [i, waits] of told.entries()) assert.equal(waits, i % 2 === 0);
        const order = seen.map(Number);
        assert.deepEqual(
          order,
          [...order].sort((a, b) => a - b),
        );
        assert.equal(new Set(order).size, order.length);
      }),
    );
  });
});
