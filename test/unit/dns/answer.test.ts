/** What a message says about a question. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isReplyTo, judge, refusesEdns } from '../../../src/backends/dns/answer.ts';
import type { DnsRecord, Message, Question } from '../../../src/backends/dns/message.ts';

const QUESTION: Question = { name: 'x.test', type: 'A' };

function message(facts: Partial<Message>): Message {
  return {
    id: 7,
    isResponse: true,
    rcode: 0,
    truncated: false,
    question: { name: 'x.test', type: 1 },
    answers: [],
    authorities: [],
    additionals: [],
    ...facts,
  };
}

const a = (name: string, address: string, ttl = 60): DnsRecord => ({ type: 'A', name, ttl, address });
const alias = (name: string, target: string, ttl = 60): DnsRecord => ({ type: 'CNAME', name, ttl, target });
const soa = (ttl: number, minimum: number): DnsRecord => ({ type: 'SOA', name: 'test', ttl, minimum });

function verdict(facts: Partial<Message>, question = QUESTION): unknown {
  const outcome = judge(message(facts), question);
  if (outcome.kind === 'failure') return [outcome.reason, outcome.detail];
  return [outcome.records.map((record) => ('address' in record ? record.address : record.port)), outcome.ttl];
}

describe('an answer', () => {
  test('has the records of the name asked for, with the least of their TTLs', () => {
    assert.deepEqual(verdict({ answers: [a('x.test', '10.0.0.1', 9), a('x.test', '10.0.0.2', 7)] }), [
      ['10.0.0.1', '10.0.0.2'],
      7,
    ]);
  });

  test('follows aliases in any order, with the least TTL along the way', () => {
    const answers = [a('z.test', '10.0.0.1', 9), alias('y.test', 'z.test', 3), alias('x.test', 'y.test', 5)];
    assert.deepEqual(verdict({ answers }), [['10.0.0.1'], 3]);
  });

  test('has no records of another name, whatever the server put beside them', () => {
    const answers = [a('evil.test', '10.6.6.6'), a('x.test', '10.0.0.1'), alias('evil.test', 'x.test')];
    assert.deepEqual(verdict({ answers }), [['10.0.0.1'], 60]);
  });

  test('with nothing but records of another name is nonsense', () => {
    assert.deepEqual(verdict({ answers: [a('evil.test', '10.6.6.6')] }), [
      'serverFailure',
      'the DNS server answered for evil.test when asked for x.test (A)',
    ]);
  });

  test('of another type alone is none', () => {
    assert.deepEqual(verdict({ answers: [{ type: 'AAAA', name: 'x.test', ttl: 1, address: '::1' }] }), [
      'noAddresses',
      'x.test exists but has no address',
    ]);
    assert.deepEqual(verdict({}, { name: 'x.test', type: 'SRV' }), [
      'noAddresses',
      'x.test exists but has no SRV record',
    ]);
  });

  test('whose aliases lead nowhere says where they end', () => {
    assert.deepEqual(verdict({ answers: [alias('x.test', 'y.test')] }), [
      'noAddresses',
      'x.test → y.test has no address in the answer',
    ]);
  });

  test('whose aliases run in a circle is nonsense, however long the circle', () => {
    for (const length of [1, 2, 5, 16]) {
      const names = ['x.test', ...Array.from({ length: length - 1 }, (_, i) => `n${i}.test`)];
      const answers = names.map((name, i) => alias(name, names[(i + 1) % length]!));
      const [reason, detail] = verdict({ answers }) as [string, string];
      assert.equal(reason, 'serverFailure');
      assert.match(detail, /^the aliases of x\.test run in a circle: x\.test → .*x\.test$/);
      assert.ok(detail.length < 200, detail);
    }
  });

  test('with more aliases in a row than 16 is nonsense, with 16 it is not', () => {
    const chain = (length: number) => [
      ...Array.from({ length }, (_, i) => alias(i === 0 ? 'x.test' : `n${i}.test`, `n${i + 1}.test`)),
      a(`n${length}.test`, '10.0.0.1'),
    ];
    assert.deepEqual(verdict({ answers: chain(16) }), [['10.0.0.1'], 60]);
    assert.deepEqual(verdict({ answers: chain(17) }), [
      'serverFailure',
      'x.test has more than 16 aliases, one after the other',
    ]);
  });

  test('is never of a name that no way of aliases leads to', () => {
    const names = ['x.test', 'a.test', 'b.test', 'c.test'];
    const owner = fc.constantFrom(...names);
    const record = fc.oneof(
      fc.tuple(owner, owner).map(([from, to]) => alias(from, to)),
      owner.map((from) => a(from, `10.0.0.${names.indexOf(from)}`)),
    );
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), (answers) => {
        const outcome = judge(message({ answers }), QUESTION);
        const reachable = new Set(['x.test']);
        for (let i = 0; i < answers.length; i++) {
          for (const each of answers) {
            if (each.type === 'CNAME' && reachable.has(each.name)) reachable.add(each.target);
          }
        }
        if (outcome.kind === 'failure') return;
        for (const { name } of outcome.records) assert.ok(reachable.has(name), name);
        assert.ok(new Set(outcome.records.map(({ name }) => name)).size === 1);
      }),
    );
  });

  test('says by its code why there is none', () => {
    const of = (rcode: number) => verdict({ rcode });
    assert.deepEqual(of(3), ['notFound', 'no such name (NXDOMAIN): x.test']);
    assert.deepEqual(of(2), ['serverFailure', 'the DNS server failed (SERVFAIL) for x.test (A)']);
    assert.deepEqual(of(5), ['refused', 'the DNS server refused to answer for x.test (A)']);
    assert.deepEqual(of(4), ['serverFailure', 'the DNS server answered NOTIMP for x.test (A)']);
    assert.deepEqual(of(11), ['serverFailure', 'the DNS server answered the unknown code 11 for x.test (A)']);
  });

  test('that denies tells how long that may be remembered: the lesser of SOA TTL and minimum', () => {
    const ttlOf = (facts: Partial<Message>) => {
      const outcome = judge(message(facts), QUESTION);
      return outcome.kind === 'failure' ? outcome.ttlMs : -1;
    };
    assert.equal(ttlOf({ rcode: 3, authorities: [soa(30, 5)] }), 5_000);
    assert.equal(ttlOf({ authorities: [soa(30, 300)] }), 30_000);
    assert.equal(ttlOf({ rcode: 3 }), undefined);
    assert.equal(ttlOf({ rcode: 2, authorities: [soa(30, 5)] }), undefined);
  });
});

describe('a message is a reply', () => {
  test('by its id, its direction and its question', () => {
    assert.ok(isReplyTo(message({}), 7, QUESTION));
    assert.ok(!isReplyTo(message({}), 8, QUESTION));
    assert.ok(!isReplyTo(message({ isResponse: false }), 7, QUESTION));
    assert.ok(!isReplyTo(message({ question: { name: 'y.test', type: 1 } }), 7, QUESTION));
    assert.ok(!isReplyTo(message({ question: { name: 'x.test', type: 28 } }), 7, QUESTION));
  });

  test('without its question only if it is an error', () => {
    assert.ok(!isReplyTo(message({ question: undefined }), 7, QUESTION));
    assert.ok(!isReplyTo(message({ question: undefined, rcode: 3 }), 7, QUESTION));
    assert.ok(isReplyTo(message({ question: undefined, rcode: 1 }), 7, QUESTION));
  });

  test('to EDNS by the codes of servers that do not know it', () => {
    const refusing = [0, 1, 2, 3, 4, 5, 16].filter((rcode) => refusesEdns(message({ rcode })));
    assert.deepEqual(refusing, [1, 4, 16]);
  });
});
