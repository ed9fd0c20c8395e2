/**
 * The readers of the fast lane against llhttp, over streams that are made by the grammar and then spoilt: whatever the
 * fast lane takes, llhttp takes too, and reads the same. It may well take more; that is for the full lane.
 *
 * `TEST_LONG=1` goes on for ten minutes, with a seed that it names.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { BodyFraming } from '../../../../src/forward/fast/body-framing.ts';
import type { Passage } from '../../../../src/forward/fast/chunked-body.ts';
import { FOREIGN, PARTIAL, readRequest } from '../../../../src/forward/fast/request-reader.ts';
import { INCOMPLETE, MALFORMED, readResponse } from '../../../../src/forward/fast/response-reader.ts';
import { peerAt, policyOf } from '../../../support/forward-policy.ts';
import { cutAt, mutated, requestStream, responseStream } from '../../../support/http-streams.ts';
import { readRequests, readResponses } from '../../../support/llhttp.ts';

const LONG = process.env['TEST_LONG'] === '1';
const LONG_MS = 5 * 60_000;
const RUNS = 30_000;

const policy = policyOf();
const peer = peerAt(false);

/** How often each of the ends came up; a fuzzer that never gets anywhere finds nothing. */
const ends = new Map<string, number>();
const count = (end: string): void => {
  ends.set(end, (ends.get(end) ?? 0) + 1);
};

function check<Inputs>(property: fc.IRawProperty<Inputs, false>): void {
  if (!LONG) {
    fc.assert(property, { numRuns: RUNS });
    return;
  }
  const until = Date.now() + LONG_MS;
  let runs = 0;
  for (let seed = Date.now() | 0; Date.now() < until; seed++) {
    fc.assert(property, { seed, numRuns: 20_000 });
    runs += 20_000;
    console.error(`${runs} streams, ${JSON.stringify(Object.fromEntries(ends))}`);
  }
}

/** What of a body is there, and what goes on of it. */
function followBody(bytes: Buffer, from: number, length: number, cuts: readonly number[]) {
  const framing = new BodyFraming(length);
  const passage: Passage = { prefix: '', ranges: [] };
  let passed = '';
  let at = from;
  for (const end of [...cuts.filter((cut) => cut > from), bytes.length]) {
    if (framing.ended || framing.bad || at >= end) continue;
    at = framing.follow(bytes, at, end, passage);
    if (framing.bad) break;
    passed += passage.prefix;
    for (let i = 0; i < passage.ranges.length; i += 2) {
      passed += bytes.toString('latin1', passage.ranges[i], passage.ranges[i + 1]);
    }
  }
  return { framing, passed, end: at };
}

/** Content of chunks that go on, which have no extensions. */
function contentOf(passed: string, isChunked: boolean): string {
  if (!isChunked) return passed;
  let content = '';
  let at = 0;
  while (at < passed.length) {
    const lineEnd = passed.indexOf('\r\n', at);
    assert.notEqual(lineEnd, -1, 'the line of a size goes on whole');
    assert.match(passed.slice(at, lineEnd), /^[0-9A-Fa-f]{1,12}$/);
    const size = Number.parseInt(passed.slice(at, lineEnd), 16);
    assert.ok(size > 0, 'the last chunk does not go on');
    content += passed.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
  return content;
}

const NEXT = 'GET /behind HTTP/1.1\r\nHost: next\r\n\r\n';

suite('what the fast lane takes', () => {
  test('of requests, llhttp reads as the same requests, and what goes on of them, too', () => {
    check(
      fc.property(mutated(requestStream), cutAt, (text, shares) => {
        const bytes = Buffer.from(text, 'latin1');
        const cuts = shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b);
        const packets = [0, ...cuts].map((start, i) => bytes.subarray(start, cuts[i] ?? bytes.length));
        const { messages } = readRequests(packets.filter((packet) => packet.length > 0));
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const request = readRequest(bytes, at, bytes.length, 64, policy, peer);
          if (request === FOREIGN || request === PARTIAL)
            return count(request === FOREIGN ? 'foreign' : 'partial');
          const other = messages[i];
          assert.ok(other !== undefined, `llhttp does not take request ${i}`);
          assert.equal(other.method, request.facts.method);
          assert.equal(other.target, request.target);
          assert.equal(other.minor, 1);
          assert.equal(other.upgrade, false);
          assert.deepEqual(other.fields, request.facts.rawHeaders);
          const isChunked = request.contentLength === -1;
          const { framing, passed, end } = followBody(
            bytes,
            at + request.length,
            request.contentLength,
            cuts,
          );
          if (framing.bad) return count('bad body');
          assert.equal(contentOf(passed, isChunked), other.body.slice(0, framing.received));
          assert.equal(other.complete, framing.ended, 'the body ends in the same place');
          if (!framing.ended) return count('part of a body');
          assert.equal(other.body.length, framing.received);

          const sent = `${request.upstreamHead}\r\n${passed}${isChunked ? '0\r\n\r\n' : ''}`;
          const upstream = readRequests([Buffer.from(sent + NEXT, 'latin1')]);
          assert.equal(upstream.fault, undefined);
          assert.equal(upstream.messages.length, 2, 'one request goes on as one');
          assert.equal(upstream.messages[0]!.method, other.method);
          assert.equal(upstream.messages[0]!.target, other.target);
          assert.equal(upstream.messages[0]!.body, other.body);
          assert.equal(upstream.messages[1]!.target, '/behind');
          count('request');
          if (request.closes || endsForLlhttp(other.fields, framing)) return;
          at = end;
        }
      }),
    );
    for (const end of ['foreign', 'partial', 'bad body', 'part of a body', 'request']) {
      assert.ok((ends.get(end) ?? 0) >= RUNS / 1_000, `${end}: ${ends.get(end)}`);
    }
  });

  test('of responses, llhttp reads as the same responses, and what goes on of them, too', () => {
    ends.clear();
    check(
      fc.property(mutated(responseStream), cutAt, fc.boolean(), (text, shares, isHead) => {
        const bytes = Buffer.from(text, 'latin1');
        const cuts = shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b);
        const packets = [0, ...cuts].map((start, i) => bytes.subarray(start, cuts[i] ?? bytes.length));
        const { messages } = readResponses(
          packets.filter((packet) => packet.length > 0),
          isHead,
        );
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const response = readResponse(bytes, at, bytes.length, isHead, policy.responseFields);
          if (response === MALFORMED || response === INCOMPLETE) {
            return count(response === MALFORMED ? 'malformed' : 'incomplete');
          }
          // Refused by whoever reads it: nobody asked for it.
          if (response.status === 101) return count('101');
          const other = messages[i];
          assert.ok(other !== undefined, `llhttp does not take response ${i}`);
          assert.equal(other.status, response.status);
          const kept = readResponses([Buffer.from(`${response.head}\r\n`, 'latin1')], true).messages[0];
          assert.ok(kept !== undefined, 'llhttp does not take what goes on');
          assert.equal(kept.status, other.status);
          assertKept(other.fields, kept.fields, response.status, response.body);
          const length =
            response.body === 'none'
              ? 0
              : response.body === 'chunked'
                ? -1
                : response.body === 'close'
                  ? Number.POSITIVE_INFINITY
                  : response.contentLength;
          const { framing, passed, end } = followBody(bytes, at + response.length, length, cuts);
          if (framing.bad) return count('bad body');
          assert.equal(contentOf(passed, length === -1), other.body.slice(0, framing.received));
          assert.equal(other.complete, framing.ended || response.body === 'close');
          assert.equal(other.body.length, framing.received);
          if (!framing.ended) return count(response.body === 'close' ? 'up to the end' : 'part of a body');
          count('response');
          if (endsForLlhttp(other.fields, framing)) return;
          if (response.status >= 200 && !response.keepsAlive) return;
          at = end;
        }
      }),
    );
    for (const end of [
      'malformed',
      'incomplete',
      'bad body',
      'part of a body',
      'up to the end',
      'response',
    ]) {
      assert.ok((ends.get(end) ?? 0) >= RUNS / 1_000, `${end}: ${ends.get(end)}`);
    }
  });
});

/**
 * llhttp takes `Proxy-Connection: close` for an end, which no standard has (RFC 9112, C.2.2), and Connection among the
 * trailers, where it says nothing (RFC 9110, 6.5.1). In front of a proxy both are harmless: one request more is served.
 */
function endsForLlhttp(fields: readonly string[], { chunked }: BodyFraming): boolean {
  return (
    fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'proxy-connection') ||
    (chunked?.trailers.some((line) => /^(proxy-)?connection:/i.test(line)) ?? false)
  );
}

/** Names that belong to one connection, by RFC 9110, 7.6.1, and what is written anew. */
const NOT_KEPT = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'upgrade',
  'trailer',
  'x-request-id',
]);

/** The fields that go on are those that came, in order, without those that end here. */
function assertKept(came: readonly string[], kept: readonly string[], status: number, body: string): void {
  const nominated = came
    .flatMap((name, i) => (i % 2 === 0 && name.toLowerCase() === 'connection' ? came[i + 1]!.split(',') : []))
    .map((name) => name.trim().toLowerCase());
  const optional = new Set(nominated);
  const rest: string[] = [];
  for (let i = 0; i < came.length; i += 2) {
    const name = came[i]!.toLowerCase();
    if (NOT_KEPT.has(name)) continue;
    if (name === 'transfer-encoding' && body === 'none') continue;
    if (name === 'content-length' && (status < 200 || status === 204)) continue;
    // Some cannot be taken away by a name in Connection; the classifier's own tests say which.
    if (optional.has(name) && !kept.some((other, j) => j % 2 === 0 && other.toLowerCase() === name)) continue;
    rest.push(came[i]!, came[i + 1]!);
  }
  assert.deepEqual(kept, rest);
}
