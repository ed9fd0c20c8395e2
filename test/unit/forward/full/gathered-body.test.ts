import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatheredBody } from '../../../../src/forward/full/gathered-body.ts';
import { BodyPart } from '../../../../src/http/body-part.ts';
import { turnEnds } from '../../../support/exchange-script.ts';

/** Content goes on at this size. */
const FULL = 16 * 1_024;

function gathering(): { readonly body: GatheredBody; readonly deliveries: Buffer[] } {
  const deliveries: Buffer[] = [];
  const body = new GatheredBody(new BodyPart(), ({ bytes, start, end, immutable }) => {
    assert.equal(immutable, true);
    deliveries.push(bytes.subarray(start, end));
  });
  return { body, deliveries };
}

describe('a gathered body', () => {
  it('delivers the content of a turn at its end, in one part', async () => {
    const { body, deliveries } = gathering();
    for (const text of ['a', 'b', 'c']) body.add(Buffer.from(text));
    assert.deepEqual(deliveries, []);
    await turnEnds();
    assert.deepEqual(deliveries.map(String), ['abc']);
    body.add(Buffer.from('d'));
    await turnEnds();
    assert.deepEqual(deliveries.map(String), ['abc', 'd']);
  });

  it('delivers the only buffer of a turn without a copy', async () => {
    const { body, deliveries } = gathering();
    const bytes = Buffer.from('only');
    body.add(bytes);
    await turnEnds();
    assert.equal(deliveries[0]!.buffer, bytes.buffer);
  });

  it('delivers a large buffer at once', () => {
    const { body, deliveries } = gathering();
    body.add(Buffer.alloc(FULL));
    assert.equal(deliveries.length, 1);
    assert.equal(body.heldBytes, 0);
  });

  it('delivers nothing twice after an early flush', async () => {
    const { body, deliveries } = gathering();
    body.add(Buffer.from('x'));
    body.flush();
    body.flush();
    await turnEnds();
    assert.deepEqual(deliveries.map(String), ['x']);
  });

  it('delivers nothing once it is cleared, not even what is added later', async () => {
    const { body, deliveries } = gathering();
    body.add(Buffer.from('x'));
    body.clear();
    assert.equal(body.heldBytes, 0);
    body.add(Buffer.from('y'));
    body.add(Buffer.alloc(FULL));
    await turnEnds();
    assert.equal(deliveries.length, 0);
    assert.equal(body.heldBytes, 0);
  });

  it('delivers nothing more if a delivery within a longer one clears it', async () => {
    const deliveries: number[] = [];
    const body: GatheredBody = new GatheredBody(new BodyPart(), (part) => {
      deliveries.push(part.size);
      body.clear();
    });
    body.add(Buffer.alloc(10));
    body.add(Buffer.alloc(FULL - 5));
    await turnEnds();
    assert.deepEqual(deliveries, [10]);
  });

  it('keeps the order, and parts of at most 16 KiB if they were joined, for any split', async () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 2 * FULL }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(size, { maxLength: 8 }), { maxLength: 5 }), async (turns) => {
        const { body, deliveries } = gathering();
        const sent: Buffer[] = [];
        let next = 0;
        for (const sizes of turns) {
          const before = deliveries.length;
          for (const length of sizes) {
            const bytes = Buffer.from(Array.from({ length }, () => next++ % 256));
            sent.push(bytes);
            body.add(bytes);
            assert.ok(body.heldBytes <= FULL);
          }
          const early = deliveries.length - before;
          await turnEnds();
          assert.ok(deliveries.length - before - early <= 1, 'one delivery at the end of a turn');
          assert.equal(body.heldBytes, 0);
        }
        assert.ok(Buffer.concat(deliveries).equals(Buffer.concat(sent)));
        for (const part of deliveries)
          assert.ok(part.length <= FULL || sent.some(({ length }) => length === part.length));
      }),
      { numRuns: 100 },
    );
  });
});
