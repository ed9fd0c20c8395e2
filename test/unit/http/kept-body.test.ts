import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BodyPart } from '../../../src/http/body-part.ts';
import { KeptBody } from '../../../src/http/kept-body.ts';

/** Room for small bodies, and for the objects around them. */
const CONSTANT = 2 * 1_024;

/** Returns the memory behind what is kept. */
function memoryOf(kept: KeptBody): number {
  const { text } = kept;
  if (text !== undefined) return text.length;
  const buffers = new Set(kept.pieces().map(({ buffer }) => buffer));
  let sum = 0;
  for (const { byteLength } of buffers) sum += byteLength;
  return sum;
}

function assertCost(kept: KeptBody): void {
  const memory = memoryOf(kept);
  assert.ok(kept.cost >= memory, `${kept.cost} bytes are counted of ${memory}`);
  assert.ok(kept.cost <= 2.2 * kept.size + CONSTANT, `${kept.cost} bytes are counted for ${kept.size}`);
}

/** How a piece of content arrives. */
interface Piece {
  readonly size: number;
  readonly immutable: boolean;
  /** Bytes of the buffer in front of the content, and behind it. */
  readonly before: number;
  readonly behind: number;
}

const piece: fc.Arbitrary<Piece> = fc.record({
  size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70_000 })),
  immutable: fc.boolean(),
  before: fc.oneof(fc.constant(0), fc.nat(20_000)),
  behind: fc.oneof(fc.constant(0), fc.nat(70_000)),
});

describe('a kept body', () => {
  it('returns the content as it came, at a cost that covers it, for any split', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12, size: 'max' }), (pieces) => {
        const kept = new KeptBody();
        const expected: Buffer[] = [];
        let next = 0;
        for (const { size, immutable, before, behind } of pieces) {
          const bytes = Buffer.allocUnsafeSlow(before + size + behind);
          for (let i = 0; i < bytes.length; i++) bytes[i] = next++ % 251;
          expected.push(Buffer.from(bytes.subarray(before, before + size)));
          const part = new BodyPart().set(bytes, before, before + size);
          part.immutable = immutable;
          kept.add(part);
          // The next read overwrites what is not immutable.
          if (!immutable) bytes.fill(255);
          assertCost(kept);
        }
        const whole = Buffer.concat(expected);
        assert.equal(kept.size, whole.length);
        assert.ok(kept.joined().equals(whole));
        assert.ok(Buffer.concat(kept.pieces()).equals(whole));
        if (kept.text !== undefined) assert.equal(kept.text, whole.toString('latin1'));
      }),
      { numRuns: 200 },
    );
  });

  it('keeps 65,536 parts of one byte in less than 200 kB', () => {
    const kept = new KeptBody();
    const bytes = Buffer.from('x');
    for (let i = 0; i < 65_536; i++) kept.add(new BodyPart().set(bytes, 0, 1));
    assert.equal(kept.joined().toString(), 'x'.repeat(65_536));
    assert.ok(kept.cost < 200_000, String(kept.cost));
    assertCost(kept);
  });

  it('does not keep the large buffer alive that a small part was read into', () => {
    for (const length of [1_024, 8 * 1_024, 16 * 1_024, 64 * 1_024]) {
      const kept = new KeptBody();
      const part = new BodyPart().set(Buffer.allocUnsafeSlow(length), 0, 10);
      part.immutable = true;
      kept.add(part);
      assert.ok(memoryOf(kept) <= kept.cost, `of ${length} bytes`);
    }
  });

  it('keeps a whole immutable buffer without a copy', () => {
    const kept = new KeptBody();
    const bytes = Buffer.allocUnsafeSlow(20_000);
    kept.add(new BodyPart().whole(bytes));
    assert.equal(kept.joined(), bytes);
  });

  it('has no content before the first part', () => {
    const kept = new KeptBody();
    assert.deepEqual(
      [kept.size, kept.pieces().length, kept.joined().length, kept.text],
      [0, 0, 0, undefined],
    );
  });
});
