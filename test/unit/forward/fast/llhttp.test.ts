/**
 * The readers of the fast lane against llhttp, over streams that are made by the grammar and then spoilt: whatever the
 * fast lane takes, llhttp takes too, and reads the same; what it refuses and llhttp takes is in a table of differences.
 *
 * `npm run torture -- --fuzz 30m` goes on for as long as it is told.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { cutAt, mutated, requestStream, responseStream } from '../../../support/http-streams.ts';
import { FINDINGS, type Finding } from '../../../torture/fuzz/main.ts';
import { compareRequests } from '../../../torture/fuzz/requests.ts';
import { compareResponses } from '../../../torture/fuzz/responses.ts';

const RUNS = 30_000;

/** How often each of the ends came up; a fuzzer that never gets anywhere finds nothing. */
function assertReached(ends: ReadonlyMap<string, number>, names: readonly string[]): void {
  for (const name of names) assert.ok((ends.get(name) ?? 0) >= RUNS / 1_000, `${name}: ${ends.get(name)}`);
}

suite('what the fast lane takes', () => {
  test('of requests, llhttp reads as the same requests, and what goes on of them, too', () => {
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(mutated(requestStream), cutAt, (text, shares) => {
        const end = compareRequests(text, shares);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }),
      { numRuns: RUNS },
    );
    assertReached(ends, ['foreign', 'partial', 'bad body', 'part of a body', 'request']);
  });

  test('of responses, llhttp reads as the same responses, and what goes on of them, too', () => {
    const ends = new Map<string, number>();
    fc.assert(
      fc.property(mutated(responseStream), cutAt, fc.boolean(), (text, shares, isHead) => {
        const end = compareResponses(text, shares, isHead);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }),
      { numRuns: RUNS },
    );
    assertReached(ends, ['malformed', 'incomplete', 'bad body', 'up to the end', 'response']);
  });

  const findings = JSON.parse(readFileSync(FINDINGS, 'utf8')) as Finding[];
  for (const [i, { reader, text, shares, isHead }] of findings.entries()) {
    test(`differs from llhttp in finding ${i} only as the table says`, () => {
      if (reader === 'request') compareRequests(text, shares);
      else compareResponses(text, shares, isHead);
    });
  }
});
