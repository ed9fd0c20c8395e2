/** One stream of requests through the fast lane's reader and through llhttp. */

import assert from 'node:assert/strict';
import { FOREIGN, PARTIAL, readRequest } from '../../../src/forward/fast/request-reader.ts';
import { peerAt, policyOf } from '../../support/forward-policy.ts';
import { readRequests } from '../../support/llhttp.ts';
import { explain, type Parting } from './differences.ts';
import { followBody, lineAt } from './followed-body.ts';

const policy = policyOf();
const peer = peerAt(false);
const MOST_FIELDS = 64;

const NEXT = 'GET /behind HTTP/1.1\r\nHost: next\r\n\r\n';

/** How a stream ended: in one of the ends that the readers know, or in a difference that is allowed. */
export type RequestEnd = string;

/**
 * Throws when the two differ in a way that nothing explains.
 *
 * @param text   Latin-1
 * @param shares where it is cut into packets, as shares of its length
 */
export function compareRequests(text: string, shares: readonly number[]): RequestEnd {
  const bytes = Buffer.from(text, 'latin1');
  const cuts = cutsOf(bytes.length, shares);
  const { messages } = readRequests(packetsOf(bytes, cuts));
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const request = readRequest(bytes, at, bytes.length, MOST_FIELDS, policy, peer);
    assertSameInParts(bytes, at, cuts, request);
    if (request === FOREIGN || request === PARTIAL) return request === FOREIGN ? 'foreign' : 'partial';
    const other = messages[i];
    assert.ok(other !== undefined, `llhttp does not take request ${i}`);
    assert.equal(other.method, request.facts.method);
    assert.equal(other.target, request.target);
    assert.equal(other.minor, 1);
    assert.equal(other.upgrade, false);
    assert.deepEqual(other.fields, request.facts.rawHeaders);
    const isChunked = request.contentLength === -1;
    const bodyFrom = at + request.length;
    const { framing, content, end } = followBody(bytes, bodyFrom, request.contentLength, cuts);
    const whole = followBody(bytes, bodyFrom, request.contentLength, []);
    assert.equal(whole.framing.bad, framing.bad, 'the packets make no difference');
    assert.equal(whole.framing.ended, framing.ended, 'the packets make no difference');
    assert.equal(whole.content, content, 'the packets make no difference');
    const parting = (where: Parting['where'], from: number, stopped: number): Parting => ({
      where,
      head: text.slice(at, at + request.length - 4),
      ...lineAt(text, from, stopped),
      fields: other.fields,
      trailers: framing.chunked?.trailers ?? [],
    });
    if (framing.bad) {
      if (!other.complete) return 'bad body';
      const difference = explain(parting('request body', bodyFrom, end));
      assert.ok(
        difference !== undefined,
        'llhttp takes a body that the fast lane does not, and nothing explains it',
      );
      return difference;
    }
    assert.equal(content, other.body.slice(0, framing.received));
    assert.equal(other.complete, framing.ended, 'the body ends in the same place');
    if (!framing.ended) return 'part of a body';
    assert.equal(other.body.length, framing.received);

    const body = isChunked ? framed(content) : content;
    const upstream = readRequests([Buffer.from(`${request.upstreamHead}\r\n${body}${NEXT}`, 'latin1')]);
    assert.equal(upstream.fault, undefined, 'llhttp takes what goes on');
    assert.equal(upstream.messages.length, 2, 'one request goes on as one');
    assert.equal(upstream.messages[0]!.method, other.method);
    assert.equal(upstream.messages[0]!.target, other.target);
    assert.equal(upstream.messages[0]!.body, other.body);
    assert.equal(upstream.messages[1]!.target, '/behind');
    if (request.closes) return 'request';
    at = end;
    if (at < bytes.length && messages[i + 1] === undefined) {
      const difference = explain(parting('end of the connection', bodyFrom, end));
      if (difference !== undefined) return difference;
    }
  }
  return 'request';
}

/** One chunk, and the last one. */
function framed(content: string): string {
  return content === '' ? '0\r\n\r\n' : `${content.length.toString(16)}\r\n${content}\r\n0\r\n\r\n`;
}

/** However much of a head has come: it is a part until it is whole, and foreign only if the whole is. */
function assertSameInParts(
  bytes: Buffer,
  from: number,
  cuts: readonly number[],
  whole: ReturnType<typeof readRequest>,
): void {
  for (const cut of cuts) {
    if (cut <= from) continue;
    const part = readRequest(bytes, from, cut, MOST_FIELDS, policy, peer);
    if (typeof whole === 'object' && cut < from + whole.length) {
      assert.equal(part, PARTIAL, 'a part of a request is neither one nor foreign');
    } else if (typeof whole !== 'object') {
      assert.ok(part === PARTIAL || part === whole, 'a part is nothing that the whole is not');
    }
  }
}

export function cutsOf(length: number, shares: readonly number[]): number[] {
  return shares.map((share) => Math.floor(share * length)).sort((a, b) => a - b);
}

export function packetsOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  return [0, ...cuts]
    .map((start, i) => bytes.subarray(start, cuts[i] ?? bytes.length))
    .filter((packet) => packet.length > 0);
}
