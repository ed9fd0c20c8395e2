/** One stream of responses through the fast lane's reader and through llhttp. */

import assert from 'node:assert/strict';
import { INCOMPLETE, MALFORMED, readResponse } from '../../../src/http/response-reader.ts';
import { policyOf } from '../../support/forward-policy.ts';
import { readResponses } from '../../support/llhttp.ts';
import { explain, type Parting } from './differences.ts';
import { followBody, lineAt } from './followed-body.ts';
import { cutsOf, packetsOf } from './requests.ts';

const policy = policyOf();

/** As `compareRequests`; `isHead`: they answer HEAD. */
export function compareResponses(text: string, shares: readonly number[], isHead: boolean): string {
  const bytes = Buffer.from(text, 'latin1');
  const cuts = cutsOf(bytes.length, shares);
  const { messages } = readResponses(packetsOf(bytes, cuts), isHead);
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const response = readResponse(bytes, at, bytes.length, isHead, policy.responseFields);
    assertSameInParts(bytes, at, cuts, isHead, response);
    const other = messages[i];
    // Behind line ends that llhttp passes over.
    const headEnd = text.indexOf('\r\n\r\n', at + /^[\r\n]*/.exec(text.slice(at, at + 8))![0].length);
    const head = text.slice(at, headEnd === -1 ? text.length : headEnd);
    if (response === INCOMPLETE) return 'incomplete';
    if (response === MALFORMED) {
      // What it takes for a whole head may lie in what follows; nothing of that is passed on.
      if (other === undefined) return 'malformed';
      const fields = other.fields;
      const difference = explain({
        where: 'response head',
        head,
        line: '',
        lineBefore: '',
        at: 0,
        fields,
        trailers: [],
      });
      assert.ok(
        difference !== undefined,
        'llhttp takes a head that the fast lane does not, and nothing explains it',
      );
      return difference;
    }
    // Refused by whoever reads it: nobody asked for it.
    if (response.status === 101) return '101';
    assert.ok(other !== undefined, `llhttp does not take response ${i}`);
    assert.equal(other.status, response.status);
    const kept = readResponses([Buffer.from(`${response.lines()}\r\n`, 'latin1')], true).messages[0];
    assert.ok(kept !== undefined, 'llhttp does not take what goes on');
    assert.equal(kept.status, other.status);
    assertKept(other.fields, kept.fields, response.status, response.framing);
    const length =
      response.framing === 'none'
        ? 0
        : response.framing === 'chunked'
          ? -1
          : response.framing === 'close'
            ? Number.POSITIVE_INFINITY
            : response.contentLength;
    const bodyFrom = at + response.size;
    const { framing, content, end } = followBody(bytes, bodyFrom, length, cuts);
    const whole = followBody(bytes, bodyFrom, length, []);
    assert.equal(whole.framing.bad, framing.bad, 'the packets make no difference');
    assert.equal(whole.framing.ended, framing.ended, 'the packets make no difference');
    assert.equal(whole.content, content, 'the packets make no difference');
    const parting = (where: Parting['where']): Parting => ({
      where,
      head,
      ...lineAt(text, bodyFrom, end),
      fields: other.fields,
      trailers: framing.chunked?.trailers ?? [],
    });
    if (framing.bad) {
      if (!other.complete) return 'bad body';
      const difference = explain(parting('response body'));
      assert.ok(
        difference !== undefined,
        'llhttp takes a body that the fast lane does not, and nothing explains it',
      );
      return difference;
    }
    assert.equal(content, other.body.slice(0, framing.received));
    assert.equal(other.complete, framing.ended || response.framing === 'close');
    assert.equal(other.body.length, framing.received);
    if (!framing.ended) return response.framing === 'close' ? 'up to the end' : 'part of a body';
    if (response.status >= 200 && !response.keepsAlive) return 'response';
    at = end;
    if (at < bytes.length && messages[i + 1] === undefined) {
      const difference = explain(parting('end of the connection'));
      if (difference !== undefined) return difference;
    }
  }
  return 'response';
}

/** As for requests. */
function assertSameInParts(
  bytes: Buffer,
  from: number,
  cuts: readonly number[],
  isHead: boolean,
  whole: ReturnType<typeof readResponse>,
): void {
  for (const cut of cuts) {
    if (cut <= from) continue;
    const part = readResponse(bytes, from, cut, isHead, policy.responseFields);
    if (typeof whole === 'object' && cut < from + whole.size) {
      assert.equal(part, INCOMPLETE, 'a part of a response is neither one nor malformed');
    } else if (typeof whole !== 'object') {
      assert.ok(part === INCOMPLETE || part === whole, 'a part is nothing that the whole is not');
    }
  }
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
