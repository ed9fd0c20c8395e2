/** DNS messages as they are read and written, with dns-packet as the second opinion. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Answer, decode, encode, RECURSION_AVAILABLE, TRUNCATED_RESPONSE } from 'dns-packet';
import fc from 'fast-check';
import { encodeQuery, isQueryable, readMessage } from '../../../src/backends/dns/message.ts';

const label = fc.stringMatching(/^[a-z0-9_-]{1,63}$/);
const name = fc
  .array(label, { minLength: 1, maxLength: 6 })
  .map((labels) => labels.join('.'))
  .filter((text) => text.length <= 253);
const ttl = fc.nat({ max: 2 ** 32 - 1 });
const u16 = fc.nat({ max: 65_535 });

const record: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({ name, ttl, type: fc.constant('A' as const), data: fc.ipV4() }),
  fc.record({ name, ttl, type: fc.constant('AAAA' as const), data: fc.ipV6() }),
  fc.record({ name, ttl, type: fc.constant('CNAME' as const), data: name }),
  fc.record({
    name,
    ttl,
    type: fc.constant('SRV' as const),
    data: fc.record({ priority: u16, weight: u16, port: u16, target: name }),
  }),
  fc.record({ name, ttl, type: fc.constant('TXT' as const), data: fc.string({ maxLength: 50 }) }),
  fc.record({
    name,
    ttl,
    type: fc.constant('SOA' as const),
    data: fc.record({ mname: name, rname: name, minimum: ttl }),
  }),
);

/** As `readMessage` tells it, from what dns-packet makes of the same bytes. */
function told(answer: Answer): unknown {
  const { name: owner, ttl: seconds } = answer as { name: string; ttl: number };
  switch (answer.type) {
    case 'A':
      return { type: 'A', name: owner, ttl: seconds, address: answer.data };
    case 'AAAA':
      return {
        type: 'AAAA',
        name: owner,
        ttl: seconds,
        address: new URL(`http://[${answer.data}]`).hostname.slice(1, -1),
      };
    case 'CNAME':
      return { type: 'CNAME', name: owner, ttl: seconds, target: answer.data };
    case 'SRV':
      return { type: 'SRV', name: owner, ttl: seconds, ...answer.data };
    case 'SOA':
      return { type: 'SOA', name: owner, ttl: seconds, minimum: answer.data.minimum };
    default:
      return undefined;
  }
}

/** A response whose only question is `x.test`, with `body` behind it. */
function raw(counts: { answers: number }, body: Buffer): Buffer {
  const head = encode({ type: 'response', id: 7, questions: [{ name: 'x.test', type: 'A' }] });
  head.writeUInt16BE(counts.answers, 6);
  return Buffer.concat([head, body]);
}

/** Where the question's name begins: what a pointer to it holds. */
const QUESTION = Buffer.from([0xc0, 12]);

function fixed(type: number, length: number): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(1, 2);
  bytes.writeUInt32BE(5, 4);
  bytes.writeUInt16BE(length, 8);
  return bytes;
}

describe('a message', () => {
  test('is read as dns-packet reads it', () => {
    const records = fc.array(record, { maxLength: 8 });
    fc.assert(
      fc.property(name, u16, records, records, records, (asked, id, answers, authorities, additionals) => {
        const bytes = encode({
          type: 'response',
          id,
          flags: RECURSION_AVAILABLE | 3,
          questions: [{ name: asked, type: 'SRV' }],
          answers,
          authorities,
          additionals,
        });
        const packet = decode(bytes);
        const known = (list: Answer[] | undefined) => list!.map(told).filter((each) => each !== undefined);
        assert.deepEqual(readMessage(bytes), {
          id,
          isResponse: true,
          rcode: 3,
          truncated: false,
          question: { name: asked, type: 33 },
          answers: known(packet.answers),
          authorities: known(packet.authorities),
          additionals: known(packet.additionals),
        });
      }),
    );
  });

  test('is nothing, or a message, whatever the bytes; nothing else comes of them', () => {
    const message = fc
      .array(record, { maxLength: 4 })
      .map((answers) =>
        encode({ type: 'response', id: 1, questions: [{ name: 'x.test', type: 'A' }], answers }),
      );
    const broken = fc
      .tuple(message, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 }), fc.nat())
      .map(([bytes, changes, cut]) => {
        const copy = Buffer.from(bytes);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy.subarray(0, cut % 2 === 0 ? copy.length : cut % copy.length);
      });
    const noise = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(broken, noise), (bytes) => {
        const read = readMessage(bytes);
        for (const { name: owner } of read?.answers ?? []) assert.ok(owner.length <= 4 * 255);
      }),
      { numRuns: 2_000 },
    );
  });

  test('whose every name leads through thousands of pointers is none', () => {
    // dns-packet follows them all: 4,000 such records keep it busy for a second.
    const chain: Buffer[] = [];
    let [at, target] = [24 + 12, 12];
    for (let i = 0; i < 8_000; i++, at += 2) {
      chain.push(Buffer.from([0xc0 | (target >> 8), target & 0xff]));
      target = at;
    }
    const last = Buffer.from([0xc0 | (target >> 8), target & 0xff]);
    const hidden = Buffer.concat([QUESTION, fixed(65_280, 16_000), ...chain]);
    const evil = Buffer.concat([last, fixed(1, 4), Buffer.from([10, 0, 0, 1])]);
    const bytes = raw(
      { answers: 3_001 },
      Buffer.concat([hidden, ...Array.from({ length: 3_000 }, () => evil)]),
    );
    assert.equal(readMessage(bytes), undefined);
    assert.equal(decode(raw({ answers: 2 }, Buffer.concat([hidden, evil]))).answers!.length, 2);
  });

  test('with a name that points to itself, or beyond the end, is none', () => {
    const self = Buffer.from([0xc0, 24]);
    const a = Buffer.concat([fixed(1, 4), Buffer.from([10, 0, 0, 1])]);
    for (const owner of [self, Buffer.from([0xff, 0xff]), Buffer.from([0x80, 0])]) {
      assert.equal(readMessage(raw({ answers: 1 }, Buffer.concat([owner, a]))), undefined);
    }
  });

  test('keeps what it can use when one record is not what its type says', () => {
    const short = Buffer.concat([QUESTION, fixed(1, 3), Buffer.from([10, 0, 0])]);
    const long = Buffer.concat([QUESTION, fixed(5, 4), Buffer.from([1, 97, 0, 9])]);
    const good = Buffer.concat([QUESTION, fixed(1, 4), Buffer.from([10, 0, 0, 1])]);
    const message = readMessage(raw({ answers: 3 }, Buffer.concat([short, long, good])));
    assert.deepEqual(message?.answers, [{ type: 'A', name: 'x.test', ttl: 5, address: '10.0.0.1' }]);
  });

  test('that promises more records than it holds is none, unless it says that it is truncated', () => {
    const body = Buffer.concat([QUESTION, fixed(1, 4), Buffer.from([10, 0, 0, 1])]);
    const bytes = raw({ answers: 9 }, body);
    assert.equal(readMessage(bytes), undefined);
    bytes.writeUInt16BE(bytes.readUInt16BE(2) | TRUNCATED_RESPONSE, 2);
    assert.deepEqual(readMessage(bytes)?.truncated, true);
  });

  test('with two questions, or one of another class, is none', () => {
    const question = { name: 'x.test', type: 'A' } as const;
    assert.equal(readMessage(encode({ type: 'response', questions: [question, question] })), undefined);
    const chaos = encode({ type: 'response', questions: [{ ...question, class: 'CH' }] });
    assert.equal(readMessage(chaos), undefined);
  });

  test('is read without regard to case, and a dot within a label is not one between labels', () => {
    const upper = encode({ type: 'response', questions: [{ name: 'X.TeSt', type: 'A' }] });
    assert.equal(readMessage(upper)?.question?.name, 'x.test');
    const head = Buffer.from([0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const dotted = Buffer.concat([head, Buffer.from('\u0006x.test\u0000\u0000\u0001\u0000\u0001', 'latin1')]);
    assert.equal(readMessage(dotted)?.question?.name, 'x\\.test');
  });

  test('carries the upper bits of its code in EDNS', () => {
    const opt = Buffer.from([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
    const bytes = raw({ answers: 0 }, opt);
    bytes.writeUInt16BE(1, 10);
    assert.equal(readMessage(bytes)?.rcode, 16);
  });

  test('shows IPv6 addresses as RFC 5952 wants them', () => {
    const of = (hex: string) => {
      const aaaa = Buffer.concat([QUESTION, fixed(28, 16), Buffer.from(hex, 'hex')]);
      const [read] = readMessage(raw({ answers: 1 }, aaaa))!.answers;
      return read?.type === 'AAAA' ? read.address : undefined;
    };
    assert.equal(of('20010db8000000000001000000000001'), '2001:db8::1:0:0:1');
    assert.equal(of('00000000000000000000000000000000'), '::');
    assert.equal(of('00000000000000000000000000000001'), '::1');
    assert.equal(of('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1');
    assert.equal(of('fd000000000000000000000000000000'), 'fd00::');
  });
});

describe('a query', () => {
  test('asks one question, wants recursion, and offers datagrams of 1232 bytes', () => {
    const packet = decode(encodeQuery(4711, { name: '_http._tcp.web.test', type: 'SRV' }, true));
    assert.deepEqual(
      packet.questions!.map(({ name: asked, type }) => [asked, type]),
      [['_http._tcp.web.test', 'SRV']],
    );
    assert.equal(packet.id, 4711);
    assert.equal(packet.flag_rd, true);
    const [opt] = packet.additionals! as { type: string; udpPayloadSize: number }[];
    assert.deepEqual([opt!.type, opt!.udpPayloadSize], ['OPT', 1232]);
    assert.equal(decode(encodeQuery(1, { name: 'x', type: 'A' }, false)).additionals!.length, 0);
  });

  test('is made for names that can exist alone', () => {
    for (const good of ['x', 'a.b', '_http._tcp.x', `${'a'.repeat(63)}.b`])
      assert.ok(isQueryable(good), good);
    for (const bad of ['', 'a..b', 'a b', `${'a'.repeat(64)}`, 'ä.test', `${'a.'.repeat(127)}`]) {
      assert.ok(!isQueryable(bad), bad);
    }
  });

  test('of any name that can exist is what dns-packet reads back', () => {
    fc.assert(
      fc.property(name, u16, (asked, id) => {
        const packet = decode(encodeQuery(id, { name: asked, type: 'A' }, true));
        assert.deepEqual([packet.id, packet.questions![0]!.name], [id, asked]);
      }),
    );
  });
});
