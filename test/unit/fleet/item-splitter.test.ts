import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ItemSplitter } from '../../../src/fleet/cluster/item-splitter.ts';

function split(text: string, size: number): { items: unknown[]; rest: unknown } {
  const items: unknown[] = [];
  const splitter = new ItemSplitter((item) => items.push(JSON.parse(item)));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) splitter.push(bytes.subarray(at, at + size));
  return { items, rest: splitter.end() };
}

const item = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4, noNullPrototype: true });

describe('ItemSplitter', () => {
  it('gives what parsing the whole would give, wherever chunks break, in whatever order keys come', () => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 6 }),
        fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { maxKeys: 3 }),
        fc.boolean(),
        fc.boolean(),
        fc.integer({ min: 1, max: 40 }),
        (items, around, last, pretty, size) => {
          const { items: _, ...others } = around;
          const whole = last ? { ...others, items } : { items, ...others };
          const text = JSON.stringify(whole, null, pretty ? 2 : 0);
          const got = split(text, size);
          assert.equal(JSON.stringify(got.items), JSON.stringify(JSON.parse(text).items));
          assert.equal(
            JSON.stringify({ ...(got.rest as object), items: 0 }),
            JSON.stringify({ ...JSON.parse(text), items: 0 }),
          );
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('leaves items: null and lists without items as they are', () => {
    assert.deepEqual(split('{"kind":"PodList","items":null,"metadata":{"resourceVersion":"7"}}', 3), {
      items: [],
      rest: { kind: 'PodList', items: null, metadata: { resourceVersion: '7' } },
    });
    assert.deepEqual(split('{"metadata":{"items":[{"a":1}]}}', 5), {
      items: [],
      rest: { metadata: { items: [{ a: 1 }] } },
    });
  });

  it('refuses what ends in the middle, what is no JSON, and what is too large', () => {
    assert.throws(() => split('{"items":[{"a":1}', 4), SyntaxError);
    assert.throws(() => split('<html>no</html>', 4), SyntaxError);
    assert.throws(() => {
      const splitter = new ItemSplitter(() => {}, { item: 100, rest: 100 });
      splitter.push(Buffer.from(`{"items":[{"a":"${'x'.repeat(200)}`));
    }, /over 100 bytes/);
    assert.throws(() => {
      const splitter = new ItemSplitter(() => {}, { item: 100, rest: 100 });
      splitter.push(Buffer.from(`{"metadata":"${'x'.repeat(200)}`));
    }, /over 100 bytes/);
  });
});
