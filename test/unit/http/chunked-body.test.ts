import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BodyFraming } from '../../../src/http/body-framing.ts';
import { ChunkedBody } from '../../../src/http/chunked-body.ts';

/** The result of reading a body packet by packet. */
interface Followed {
  readonly body: ChunkedBody;
  /** Latin-1. */
  readonly content: string;
  /** Bytes that belonged to the body. */
  readonly consumed: number;
}

/** One buffer for all packets, each at another offset, as sockets read. */
const memory = Buffer.alloc(128 * 1024);
const AROUND = 0xee;

function follow(packets: readonly Uint8Array[]): Followed {
  const body = new ChunkedBody();
  let content = '';
  let consumed = 0;
  let offset = 0;
  for (const packet of packets) {
    if (body.ended || body.bad) break;
    offset = (offset + 7) % 100;
    const to = offset + packet.length;
    memory.fill(AROUND, 0, to + 8);
    memory.set(packet, offset);
    const before = body.received;
    const end = body.follow(memory, offset, to);
    assert.ok(end >= offset && end <= to);
    if (!body.ended && !body.bad) assert.equal(end, to);
    consumed += end - offset;
    const { contentStart, contentEnd } = body;
    assert.ok(offset <= contentStart && contentStart <= contentEnd && contentEnd <= end);
    assert.equal(contentEnd - contentStart, body.received - before);
    assert.ok(memory.subarray(0, offset).every((byte) => byte === AROUND));
    assert.deepEqual(memory.subarray(end, to), Buffer.from(packet.subarray(end - offset)));
    assert.ok(memory.subarray(to, to + 8).every((byte) => byte === AROUND));
    content += memory.toString('latin1', contentStart, contentEnd);
  }
  return { body, content, consumed };
}

const followText = (text: string) => follow([Buffer.from(text, 'latin1')]);

/** Parts of `bytes`; the cuts are shares of its length. */
function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [...new Set(cuts.map((share) => Math.floor(share * bytes.length)))].sort((a, b) => a - b);
  const parts: Uint8Array[] = [];
  let start = 0;
  for (const end of [...at, bytes.length]) {
    if (end > start) parts.push(bytes.subarray(start, end));
    start = end;
  }
  return parts;
}

/** Doubles would nearly all be next to nothing. */
const share = fc.nat({ max: 9_999 }).map((part) => part / 10_000);
const shares = fc.array(share, { maxLength: 12 });
const extension = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  fc
    .stringMatching(
      /^(;[!#$%&'*+.^_`|~0-9A-Za-z-]{0,4}(=[!#$%&'*+.^_`|~0-9A-Za-z-]{0,4}("([\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff]){0,6}")?)?){1,3}$/,
    )
    .filter((text) => !text.endsWith(';')),
);
const chunk = fc.record({
  data: fc.oneof(
    { weight: 8, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 41, maxLength: 300, size: 'max' }) },
  ),
  zeros: fc.nat({ max: 3 }),
  upper: fc.boolean(),
  extension,
});
const trailer = fc.stringMatching(/^[A-Za-z-]{1,8}:[\t -~\x80-\xff]{0,12}$/);
const anyBody = fc
  .record({
    chunks: fc.array(chunk, { maxLength: 8 }),
    lastZeros: fc.integer({ min: 1, max: 12 }),
    lastExtension: extension,
    trailers: fc.array(trailer, { maxLength: 3 }),
  })
  .map(({ chunks, lastZeros, lastExtension, trailers }) => {
    let text = '';
    let content = '';
    for (const { data, zeros, upper, extension: more } of chunks) {
      const hex = data.length.toString(16);
      const bytes = Buffer.from(data).toString('latin1');
      text += `${'0'.repeat(zeros)}${upper ? hex.toUpperCase() : hex}${more}\r\n${bytes}\r\n`;
      content += bytes;
    }
    text += `${'0'.repeat(lastZeros)}${lastExtension}\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`;
    return { text, content, trailers };
  });

describe('a chunked body', () => {
  it('yields its content in place, contiguous, in any chunks and any packets', () => {
    fc.assert(
      fc.property(
        anyBody,
        shares,
        fc.uint8Array({ maxLength: 5 }),
        ({ text, content: expected, trailers }, cuts, next) => {
          const bytes = Buffer.concat([Buffer.from(text, 'latin1'), next]);
          const { body, content, consumed } = follow(cut(bytes, cuts));
          assert.equal(body.bad, false);
          assert.equal(body.ended, true);
          assert.equal(consumed, text.length);
          assert.equal(content, expected);
          assert.equal(body.received, expected.length);
          assert.deepEqual(body.trailers, trailers);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('yields its content if it comes byte by byte', () => {
    fc.assert(
      fc.property(anyBody, ({ text, content: expected }) => {
        const { body, content, consumed } = follow(
          [...Buffer.from(text, 'latin1')].map((byte) => Buffer.of(byte)),
        );
        assert.equal(body.ended, true);
        assert.equal(consumed, text.length);
        assert.equal(content, expected);
      }),
    );
  });

  it('has not ended one byte before its end', () => {
    fc.assert(
      fc.property(anyBody, ({ text, content: expected }) => {
        const { body, content } = followText(text.slice(0, -1));
        assert.equal(body.ended, false);
        assert.equal(body.bad, false);
        assert.equal(content, expected);
      }),
    );
  });

  it('leaves a large chunk where it is, and moves the small ones around it', () => {
    const large = 'L'.repeat(1_000);
    const text = `2\r\nab\r\n3e8\r\n${large}\r\n1\r\nz\r\n0\r\n\r\n`;
    const bytes = Buffer.from(text, 'latin1');
    const body = new ChunkedBody();
    assert.equal(body.follow(bytes, 0, bytes.length), bytes.length);
    assert.equal(body.contentStart, text.indexOf('L') - 2);
    assert.equal(bytes.toString('latin1', body.contentStart, body.contentEnd), `ab${large}z`);
  });

  it('yields nothing from a packet without content', () => {
    const body = new ChunkedBody();
    for (const packet of ['1\r\nx', '\r\n0', '5;a=b\r', '\n']) {
      const bytes = Buffer.from(packet);
      body.follow(bytes, 0, bytes.length);
      assert.equal(body.contentEnd - body.contentStart, packet.includes('x') ? 1 : 0);
    }
    assert.equal(body.bad, false);
  });

  it('counts content before its chunk is complete', () => {
    const { body } = followText('5\r\nhel');
    assert.equal(body.received, 3);
  });
});

describe('no chunked body', () => {
  const bad: readonly (readonly [string, string])[] = [
    ['has an empty size', '\r\nabc'],
    ['has a size that is not hexadecimal', 'g\r\n'],
    ['has a sign', '+3\r\nabc\r\n'],
    ['has a minus', '-3\r\nabc\r\n'],
    ['has a prefix 0x', '0x3\r\nabc\r\n'],
    ['has a blank before its size', ' 3\r\nabc\r\n'],
    ['has an underscore in its size', '1_0\r\n'],
    ['has a size of 13 digits', '0000000000003\r\nabc\r\n'],
    ['has a size above 2^64', '10000000000000003\r\nabc\r\n'],
    ['has a bare LF behind its size', '3\nabc\r\n'],
    ['has a bare CR behind its size', '3\rabc\r\n'],
    ['has two CR behind its size', '3\r\r\nabc\r\n'],
    ['has a bare LF in an extension', '3;a\nabc\r\n'],
    ['has a blank behind its size', '3 \r\nabc\r\n'],
    ['has a tab behind its size', '3\t;a\r\nabc\r\n'],
    ['has a semicolon with nothing behind it', '3;\r\nabc\r\n'],
    ['has such a semicolon behind an extension', '3;a=;\r\nabc\r\n'],
    ['has an extension with a blank', '3;a b\r\nabc\r\n'],
    ['has an extension that begins with a quote', '3;"a"\r\nabc\r\n'],
    ['has an extension with two values', '3;a=b=c\r\nabc\r\n'],
    ['has an open quote in an extension', '3;a="\r\nabc\r\n'],
    ['has something behind a quoted value', '3;a="b"c\r\nabc\r\n'],
    ['has NUL in an extension', '3;\0\r\nabc\r\n'],
    ['has DEL in an extension', '3;\x7f\r\nabc\r\n'],
    ['is longer than its size', '3\r\nabcd\r\n'],
    ['is shorter than its size', '3\r\nab\r\n0\r\n\r\n'],
    ['has a bare LF behind its data', '3\r\nabc\n0\r\n\r\n'],
    ['has a bare CR behind its data', '3\r\nabc\r0\r\n\r\n'],
    ['has nothing behind its data', '3\r\nabc0\r\n\r\n'],
    ['ends in a bare LF', '0\r\n\n'],
    ['ends in a bare CR', '0\r\n\rX'],
    ['has a length as a trailer', '0\r\ncontent-length: 5\r\n\r\n'],
    ['has a coding as a trailer', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['has a trailer without a colon', '0\r\nabc\r\n\r\n'],
    ['has a trailer without a name', '0\r\n: a\r\n\r\n'],
    ['has a trailer with a blank before the colon', '0\r\na : b\r\n\r\n'],
    ['has a folded trailer', '0\r\na: b\r\n c\r\n\r\n'],
    ['has a trailer with a bare LF', '0\r\na: b\n\r\n'],
    ['has a trailer with NUL', '0\r\na: \0\r\n\r\n'],
    ['has extensions without bounds', `3;${'x'.repeat(17 * 1024)}\r\nabc\r\n`],
    ['has trailers without bounds', `0\r\n${'a: b\r\n'.repeat(5_000)}\r\n`],
    ['has a request behind a lost size', 'GET / HTTP/1.1\r\n\r\n'],
  ];
  for (const [what, text] of bad) {
    it(what, () => {
      for (const packets of [[text], [...text]]) {
        const { body, consumed } = follow(packets.map((packet) => Buffer.from(packet, 'latin1')));
        assert.equal(body.bad, true);
        assert.equal(body.ended, false);
        assert.ok(consumed <= text.length);
      }
    });
  }

  it('stops at the byte that is wrong', () => {
    const before = '4\r\nsafe\r\n';
    fc.assert(
      fc.property(anyBody, shares, share, ({ text, content: expected }, cuts, place) => {
        const bytes = Buffer.from(before + text, 'latin1');
        const at = before.length + Math.floor(place * text.length);
        bytes[at] = 0x00;
        const { body, content, consumed } = follow(cut(bytes, cuts));
        if (!body.bad) return;
        assert.ok(consumed <= at + 1);
        assert.ok(`safe${expected}`.startsWith(content));
      }),
    );
  });

  it('stays bad whatever follows', () => {
    const { body } = followText('x');
    body.follow(Buffer.from('0\r\n\r\n'), 0, 5);
    assert.equal(body.bad, true);
  });

  it('is bad in any packets, at the same byte', () => {
    const noise = fc
      .array(
        fc.constantFrom(
          '0',
          '3',
          'a',
          ';',
          ' ',
          '\r',
          '\n',
          '\r\n',
          'abc',
          '3\r\nabc\r\n',
          '0\r\n',
          ':',
          '\t',
        ),
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(noise, shares, (text, cuts) => {
        const bytes = Buffer.from(text, 'latin1');
        const whole = follow([bytes]);
        const parts = follow(cut(bytes, cuts));
        assert.equal(parts.body.bad, whole.body.bad);
        assert.equal(parts.body.ended, whole.body.ended);
        assert.equal(parts.consumed, whole.consumed);
        assert.equal(parts.body.received, whole.body.received);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('the framing of a body', () => {
  const bytes = Buffer.from('0123456789');

  it('takes as much as its length, in any packets', () => {
    const body = new BodyFraming(7);
    assert.equal(body.ended, false);
    assert.equal(body.left, 7);
    assert.equal(body.follow(bytes, 2, 5), 5);
    assert.deepEqual([body.contentStart, body.contentEnd], [2, 5]);
    assert.equal(body.received, 3);
    assert.equal(body.left, 4);
    assert.equal(body.follow(bytes, 1, 10), 5);
    assert.deepEqual([body.contentStart, body.contentEnd], [1, 5]);
    assert.equal(body.ended, true);
    assert.equal(body.bad, false);
    assert.equal(body.follow(bytes, 3, 10), 3);
    assert.equal(body.contentStart, body.contentEnd);
    assert.equal(bytes.toString(), '0123456789');
  });

  it('has ended if there is no body', () => {
    assert.equal(new BodyFraming(0).ended, true);
  });

  it('never ends if the end of the connection ends it', () => {
    const body = new BodyFraming(Number.POSITIVE_INFINITY);
    assert.equal(body.follow(bytes, 0, 10), 10);
    assert.deepEqual([body.contentStart, body.contentEnd], [0, 10]);
    assert.equal(body.ended, false);
    assert.equal(body.received, 10);
    assert.equal(body.left, Number.POSITIVE_INFINITY);
  });

  it('counts the content of chunks, and does not know what is left', () => {
    const body = new BodyFraming(-1);
    const text = Buffer.from('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET');
    assert.equal(body.left, Number.POSITIVE_INFINITY);
    assert.equal(body.follow(text, 0, text.length), text.length - 3);
    assert.equal(text.toString('latin1', body.contentStart, body.contentEnd), 'abcde');
    assert.equal(body.ended, true);
    assert.equal(body.received, 5);
    assert.equal(body.left, 0);
  });

  it('may be bad if it is chunked', () => {
    const body = new BodyFraming(-1);
    body.follow(Buffer.from('x'), 0, 1);
    assert.equal(body.bad, true);
  });
});
