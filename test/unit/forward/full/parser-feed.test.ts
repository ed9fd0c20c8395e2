import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type FeedTarget, ParserFeed, PIECE } from '../../../../src/forward/full/parser-feed.ts';
import { turnEnds } from '../../../support/exchange-script.ts';

/** Pieces fed in a row. */
const MAX_PIECES = 8;

class Target implements FeedTarget {
  readonly pieces: Buffer[] = [];
  readOns = 0;
  /** Called with each piece, as the parser runs. */
  onPiece: ((piece: Buffer) => void) | undefined = undefined;

  take(piece: Buffer): void {
    this.pieces.push(piece);
    this.onPiece?.(piece);
  }

  readOn(): void {
    this.readOns++;
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString('latin1');
  }
}

function feeding(): { readonly feed: ParserFeed; readonly target: Target } {
  const target = new Target();
  return { feed: new ParserFeed(target), target };
}

describe('the feed of the parser', () => {
  it('passes small reads on at once, and reads on', () => {
    const { feed, target } = feeding();
    assert.equal(feed.push(Buffer.from('one')), true);
    assert.equal(feed.push(Buffer.from('two')), true);
    assert.deepEqual(target.pieces.map(String), ['one', 'two']);
    assert.deepEqual([feed.heldBytes, target.readOns], [0, 0]);
  });

  it('cuts a read into pieces of at most 4 KiB', () => {
    const { feed, target } = feeding();
    assert.equal(feed.push(Buffer.alloc(2 * PIECE + 1)), true);
    assert.deepEqual(
      target.pieces.map(({ length }) => length),
      [PIECE, PIECE, 1],
    );
  });

  it('goes on in a turn of its own after 8 pieces, and then reads on', async () => {
    const { feed, target } = feeding();
    assert.equal(feed.push(Buffer.alloc((MAX_PIECES + 2) * PIECE)), false);
    assert.deepEqual([target.pieces.length, feed.heldBytes], [MAX_PIECES, 2 * PIECE]);
    await turnEnds();
    assert.deepEqual([target.pieces.length, feed.heldBytes, target.readOns], [MAX_PIECES + 2, 0, 1]);
  });

  it('passes content that is expected on in one piece, and what follows in small ones', () => {
    const { feed, target } = feeding();
    target.onPiece = () => {
      // As a parser that has read the head of a large request.
      if (target.pieces.length === 1) feed.expectContent(5 * PIECE);
    };
    feed.push(Buffer.alloc(8 * PIECE));
    assert.deepEqual(
      target.pieces.map(({ length }) => length),
      [PIECE, 5 * PIECE, PIECE, PIECE],
    );
  });

  it('expects the rest of the content in the next reads', () => {
    const { feed, target } = feeding();
    feed.expectContent(3 * PIECE);
    feed.push(Buffer.alloc(2 * PIECE));
    feed.push(Buffer.alloc(3 * PIECE));
    assert.deepEqual(
      target.pieces.map(({ length }) => length),
      [2 * PIECE, PIECE, PIECE, PIECE],
    );
  });

  it('feeds nothing until each block was lifted', async () => {
    const { feed, target } = feeding();
    feed.block();
    feed.block();
    assert.equal(feed.push(Buffer.from('later')), false);
    feed.unblock();
    await turnEnds();
    assert.deepEqual(target.pieces, []);
    feed.unblock();
    assert.deepEqual(target.pieces, [], 'in a turn of its own');
    await turnEnds();
    assert.equal(target.text, 'later');
    assert.equal(target.readOns, 1);
  });

  it('stops behind the piece that blocks it', async () => {
    const { feed, target } = feeding();
    target.onPiece = () => feed.block();
    feed.push(Buffer.alloc(3 * PIECE));
    assert.equal(target.pieces.length, 1);
    await turnEnds();
    assert.equal(target.pieces.length, 1);
  });

  it('puts bytes in front of those that wait', async () => {
    const { feed, target } = feeding();
    feed.block();
    feed.push(Buffer.from('behind'));
    feed.unshift(Buffer.from('front '));
    feed.unblock();
    await turnEnds();
    assert.equal(target.text, 'front behind');
  });

  it('feeds nothing after it was closed, and returns what waited', async () => {
    const { feed, target } = feeding();
    feed.block();
    feed.push(Buffer.from('rest'));
    feed.unblock();
    assert.equal(String(feed.close()), 'rest');
    assert.equal(feed.close(), undefined);
    await turnEnds();
    assert.deepEqual([target.pieces.length, target.readOns, feed.heldBytes], [0, 0, 0]);
  });

  it('feeds on after a piece at which the parser failed', () => {
    const { feed, target } = feeding();
    target.onPiece = () => {
      throw new Error('planted');
    };
    assert.throws(() => feed.push(Buffer.from('bad')), /planted/);
    target.onPiece = undefined;
    feed.push(Buffer.from('good'));
    assert.equal(target.text, 'badgood');
  });

  it('keeps every byte in order, in bounded pieces and turns, for any sequence of calls', async () => {
    const call = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), size: fc.nat(12 * PIECE) }) },
      fc.record({ kind: fc.constant('unshift' as const), size: fc.integer({ min: 1, max: PIECE }) }),
      fc.record({ kind: fc.constantFrom('block', 'unblock', 'turn'), size: fc.constant(0) }),
      fc.record({ kind: fc.constant('expect' as const), size: fc.nat(3 * PIECE) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { maxLength: 25, size: 'max' }),
        fc.boolean(),
        async (calls, closes) => {
          const { feed, target } = feeding();
          let next = 0;
          const bytes = (size: number) => Buffer.from(Array.from({ length: size }, () => next++ % 251));
          /** What should have been fed, or wait. */
          let waiting = Buffer.alloc(0);
          let taken = 0;
          let blocks = 0;
          let expected = 0;
          let inTurn = 0;
          target.onPiece = (piece) => {
            assert.equal(blocks, 0);
            assert.ok(piece.length <= Math.max(PIECE, expected));
            expected = Math.max(0, expected - piece.length);
            assert.ok(piece.equals(waiting.subarray(taken, taken + piece.length)));
            taken += piece.length;
            inTurn++;
          };
          /** True if the socket was told to read no more, and was not told to go on. */
          let isStopped = false;
          let readOns = 0;
          for (const { kind, size } of calls) {
            if (target.readOns !== readOns) isStopped = false;
            readOns = target.readOns;
            inTurn = 0;
            if (kind === 'push' && !isStopped && size > 0) {
              const read = bytes(size);
              waiting = Buffer.concat([waiting, read]);
              isStopped = !feed.push(read);
              assert.ok(inTurn <= MAX_PIECES);
              assert.equal(isStopped, feed.heldBytes > 0);
            } else if (kind === 'unshift') {
              const again = bytes(size);
              waiting = Buffer.concat([waiting.subarray(0, taken), again, waiting.subarray(taken)]);
              feed.unshift(again);
              feed.feedSoon();
            } else if (kind === 'block') {
              blocks++;
              feed.block();
            } else if (kind === 'unblock' && blocks > 0) {
              blocks--;
              feed.unblock();
            } else if (kind === 'expect') {
              expected = size;
              feed.expectContent(size);
            } else if (kind === 'turn') {
              await turnEnds();
            }
            assert.equal(feed.heldBytes, waiting.length - taken);
          }
          for (; blocks > 0; ) {
            blocks--;
            feed.unblock();
          }
          if (closes) {
            const rest = feed.close() ?? Buffer.alloc(0);
            assert.ok(rest.equals(waiting.subarray(taken)));
            return;
          }
          const { heldBytes } = feed;
          for (let i = 0; i < heldBytes / PIECE / MAX_PIECES + 1; i++) await turnEnds();
          assert.equal(taken, waiting.length);
          if (isStopped && target.readOns === readOns) assert.fail('the socket is not read on');
        },
      ),
      { numRuns: 200 },
    );
  });
});
