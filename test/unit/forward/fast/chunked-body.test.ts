import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BodyFraming } from '../../../../src/forward/fast/body-framing.ts';
import { ChunkedBody, type Passage } from '../../../../src/forward/fast/chunked-body.ts';

/** What a body has come to after its packets. */
interface Followed {
  readonly body: ChunkedBody;
  /** What goes on. */
  readonly passed: string;
  /** Octets that belonged to the body. */
  readonly consumed: number;
}

/** Each packet at another offset of a buffer that is used again, as sockets read. */
const memory = Buffer.alloc(128 * 1024);

function follow(packets: readonly Uint8Array[]): Followed {
  const body = new ChunkedBody();
  const passage: Passage = { prefix: 'left from before', ranges: [1, 2] };
  let passed = '';
  let consumed = 0;
  let offset = 0;
  for (const packet of packets) {
    if (body.ended || body.bad) break;
    offset = (offset + 7) % 100;
    memory.fill(0xee, 0, offset + packet.length + 8);
    memory.set(packet, offset);
    const end = body.follow(memory, offset, offset + packet.length, passage);
    assert.ok(end >= offset && end <= offset + packet.length);
    if (!body.ended && !body.bad) assert.equal(end, offset + packet.length);
    consumed += end - offset;
    if (body.bad) break;
    passed += passage.prefix;
    assert.equal(passage.ranges.length % 2, 0);
    let last = offset;
    for (let i = 0; i < passage.ranges.length; i += 2) {
      const [start, stop] = [passage.ranges[i]!, passage.ranges[i + 1]!];
      assert.ok(start >= last && stop >= start && stop <= end, 'ranges are in order, and within the body');
      passed += memory.toString('latin1', start, stop);
      last = stop;
    }
  }
  return { body, passed, consumed };
}

const followText = (text: string) => follow([Buffer.from(text, 'latin1')]);

/** The content of chunks without extensions, without the last one; an error when it is anything else. */
function contentOf(chunks: string): string {
  let at = 0;
  let content = '';
  while (at < chunks.length) {
    const line = /^([0-9A-Fa-f]{1,12})\r\n/.exec(chunks.slice(at, at + 14));
    assert.ok(line !== null, `a chunk at ${at} of ${JSON.stringify(chunks)}`);
    const size = Number.parseInt(line[1]!, 16);
    assert.ok(size > 0);
    at += line[0].length;
    content += chunks.slice(at, at + size);
    assert.equal(chunks.slice(at + size, at + size + 2), '\r\n');
    at += size + 2;
  }
  return content;
}

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
  data: fc.uint8Array({ minLength: 1, maxLength: 40 }),
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
  it('passes on exactly its content, without extensions, in whatever packets it comes', () => {
    fc.assert(
      fc.property(
        anyBody,
        shares,
        fc.uint8Array({ maxLength: 5 }),
        ({ text, content, trailers }, cuts, next) => {
          const bytes = Buffer.concat([Buffer.from(text, 'latin1'), next]);
          const { body, passed, consumed } = follow(cut(bytes, cuts));
          assert.equal(body.bad, false);
          assert.equal(body.ended, true);
          assert.equal(consumed, text.length);
          assert.equal(contentOf(passed), content);
          assert.equal(body.received, content.length);
          assert.deepEqual(body.trailers, trailers);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('does so octet by octet, too', () => {
    fc.assert(
      fc.property(anyBody, ({ text, content }) => {
        const { body, passed, consumed } = follow(
          [...Buffer.from(text, 'latin1')].map((octet) => Buffer.of(octet)),
        );
        assert.equal(body.ended, true);
        assert.equal(consumed, text.length);
        assert.equal(contentOf(passed), content);
      }),
    );
  });

  it('has not ended one octet before its end', () => {
    fc.assert(
      fc.property(anyBody, ({ text, content }) => {
        const { body, passed } = followText(text.slice(0, -1));
        assert.equal(body.ended, false);
        assert.equal(body.bad, false);
        assert.equal(contentOf(passed), content);
      }),
    );
  });

  it('without extensions goes on octet by octet as it came', () => {
    const chunks = '00A\r\n0123456789\r\n3\r\nabc\r\n';
    assert.equal(followText(`${chunks}0\r\n\r\n`).passed, chunks);
  });

  it('counts its content, chunk by chunk', () => {
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

  it('passes on anything beyond the fault, wherever an octet was changed', () => {
    const before = '4\r\nsafe\r\n';
    fc.assert(
      fc.property(anyBody, shares, share, ({ text }, cuts, place) => {
        const bytes = Buffer.from(before + text, 'latin1');
        const at = before.length + Math.floor(place * text.length);
        bytes[at] = 0x00;
        const { body, passed, consumed } = follow(cut(bytes, cuts));
        if (!body.bad) return;
        // A NUL is fine as data; anywhere else it is the fault, and stands at the end of what was read.
        assert.ok(consumed <= at + 1);
        assert.ok(passed.length <= at);
        assert.ok(!passed.slice(before.length).includes('\0') || text.includes('\0'));
      }),
    );
  });

  it('is bad in some packets and good in others', () => {
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

  it('of a known length takes that much, in whatever packets', () => {
    const body = new BodyFraming(7);
    const passage: Passage = { prefix: 'x', ranges: [1] };
    assert.equal(body.ended, false);
    assert.equal(body.left, 7);
    assert.equal(body.follow(bytes, 2, 5, passage), 5);
    assert.deepEqual(passage, { prefix: '', ranges: [2, 5] });
    assert.equal(body.received, 3);
    assert.equal(body.left, 4);
    assert.equal(body.follow(bytes, 1, 10, passage), 5);
    assert.deepEqual(passage.ranges, [1, 5]);
    assert.equal(body.ended, true);
    assert.equal(body.bad, false);
    assert.equal(body.follow(bytes, 0, 10, passage), 0);
    assert.deepEqual(passage.ranges, []);
  });

  it('of none has ended', () => {
    assert.equal(new BodyFraming(0).ended, true);
  });

  it('up to the end of the connection never ends', () => {
    const body = new BodyFraming(Number.POSITIVE_INFINITY);
    assert.equal(body.follow(bytes, 0, 10, { prefix: '', ranges: [] }), 10);
    assert.equal(body.ended, false);
    assert.equal(body.received, 10);
    assert.equal(body.left, Number.POSITIVE_INFINITY);
  });

  it('in chunks has the content counted, and nobody knows what is left of it', () => {
    const body = new BodyFraming(-1);
    const text = Buffer.from('3\r\nabc\r\n0\r\n\r\nGET');
    assert.equal(body.left, Number.POSITIVE_INFINITY);
    assert.equal(body.follow(text, 0, text.length, { prefix: '', ranges: [] }), text.length - 3);
    assert.equal(body.ended, true);
    assert.equal(body.received, 3);
    assert.equal(body.left, 0);
  });

  it('in chunks may be bad', () => {
    const body = new BodyFraming(-1);
    body.follow(Buffer.from('x'), 0, 1, { prefix: '', ranges: [] });
    assert.equal(body.bad, true);
  });
});
