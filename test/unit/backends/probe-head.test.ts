/** The reader of status checks against the reader that traffic uses. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type HeadVerdict, ResponseHeads } from '../../../src/backends/probe-head.ts';
import { FieldClassifier } from '../../../src/http/fields.ts';
import { INCOMPLETE, MALFORMED, readResponse } from '../../../src/http/response-reader.ts';
import { cutAt, mutated, responseStream } from '../../support/http-streams.ts';

const fields = FieldClassifier.forResponses('X-Request-Id');

/** Returns what traffic makes of the responses up to the first final one. */
function trafficReads(text: string): number | 'bad' | 'incomplete' {
  const bytes = Buffer.from(text, 'latin1');
  for (let from = 0; ; ) {
    const response = readResponse(bytes, from, bytes.length, false, fields);
    if (response === INCOMPLETE) return 'incomplete';
    if (response === MALFORMED || response.status === 101) return 'bad';
    if (response.status >= 200) return response.status;
    from += response.size;
  }
}

function checkReads(packets: readonly string[]): HeadVerdict | undefined {
  const heads = new ResponseHeads();
  for (const packet of packets) {
    const verdict = heads.read(packet);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

const detailOf = (text: string) => {
  const verdict = checkReads([text]);
  return verdict?.kind === 'bad' ? verdict.detail : verdict;
};

describe('a status check', () => {
  it('accepts exactly the responses that traffic accepts, wherever packets are cut', () => {
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(mutated(responseStream), cutAt, (text, shares) => {
        const cuts = [0, ...shares.map((share) => Math.floor(share * text.length)).sort((a, b) => a - b)];
        const verdict = checkReads(cuts.map((from, i) => text.slice(from, cuts[i + 1])));
        assert.deepEqual(verdict, checkReads([text]));
        const expected = trafficReads(text);
        const found = verdict?.kind === 'status' ? verdict.status : (verdict?.kind ?? 'incomplete');
        const end = typeof expected === 'number' ? 'status' : expected;
        ends.set(end, (ends.get(end) ?? 0) + 1);
        // One rejects a line before its end, the other at its end: both fail the check.
        if (typeof expected === 'number') assert.equal(found, expected);
        else assert.equal(typeof found, 'string');
      }),
      { numRuns: 10_000 },
    );
    for (const end of ['status', 'bad', 'incomplete']) assert.ok((ends.get(end) ?? 0) > 100, end);
  });

  it('names the problem of an invalid response', () => {
    const ok = 'HTTP/1.1 200 OK\r\n';
    for (const [text, problem] of [
      ['HTTP/1.1 200 OK\n', 'a line ends with LF instead of CRLF'],
      [`${ok}A: b\n`, 'a line ends with LF instead of CRLF'],
      ['HTTP/1.1 200 O\tK\x7f\r\n', 'a control character in the status line'],
      ['HTTP/1.1 200 O\rK\r\n', 'a control character in the status line'],
      [`${ok}A: \0\r\n`, 'malformed header line'],
      [`${ok} folded\r\n`, 'malformed header line'],
      [`${ok}: nameless\r\n`, 'malformed header line'],
      [`${ok}Content-Length: +1\r\n`, 'malformed Content-Length'],
      [`${ok}Content-Length: 1\r\ncontent-length: 1\r\n`, 'two Content-Length headers'],
      [`${ok}Transfer-Encoding: gzip, chunked\r\n`, 'Transfer-Encoding is not chunked'],
      [`${ok}Transfer-Encoding: chunked\t\r\n`, 'Transfer-Encoding is not chunked'],
      [`${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`, 'two Transfer-Encoding headers'],
      ['HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n', 'HTTP/1.0 with Transfer-Encoding'],
      [
        `${ok}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n`,
        'Content-Length and Transfer-Encoding',
      ],
      ['HTTP/1.1 103 Early\r\nConnection: close\r\n\r\n', 'an interim response closes the connection'],
    ] as const) {
      assert.equal(detailOf(text), `invalid HTTP/1 response: ${problem}`, JSON.stringify(text));
    }
  });

  it('rejects bytes that cannot become a status line before the line ends', () => {
    for (const text of [
      'S',
      'HTTP/1.2',
      'HTTP/1.1 2000',
      'HTTP/1.1 099',
      'HTTP/1.1  200',
      'http/1.1',
      '\r\n',
    ]) {
      assert.equal(detailOf(text), 'response is not HTTP/1', JSON.stringify(text));
    }
    for (const text of ['', 'H', 'HTTP/1.', 'HTTP/1.1 2', 'HTTP/1.1 200', 'HTTP/1.1 200 O']) {
      assert.equal(detailOf(text), undefined, JSON.stringify(text));
    }
  });
});
