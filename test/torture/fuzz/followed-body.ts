/** What the fast lane makes of a body that comes in packets. */

import assert from 'node:assert/strict';
import { BodyFraming } from '../../../src/forward/fast/body-framing.ts';
import type { Passage } from '../../../src/forward/fast/chunked-body.ts';

export interface Followed {
  readonly framing: BodyFraming;
  /** What goes on, Latin-1. */
  readonly passed: string;
  /** Offset behind the last octet of the body, or of the octet that was not taken. */
  readonly end: number;
}

/**
 * @param length as `BodyFraming` has it
 * @param cuts   offsets where a packet ends, ascending
 */
export function followBody(bytes: Buffer, from: number, length: number, cuts: readonly number[]): Followed {
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
export function contentOf(passed: string, isChunked: boolean): string {
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

/** The line that an offset is in, as `Parting` wants it. */
export function lineAt(
  text: string,
  from: number,
  at: number,
): { line: string; lineBefore: string; at: number } {
  const start = lineStart(text, from, at);
  const end = text.indexOf('\r\n', Math.max(start, at - 1));
  const line = text.slice(start, end === -1 ? text.length : end);
  const lineBefore = start === from ? '' : text.slice(lineStart(text, from, start - 2), start - 2);
  return { line, lineBefore, at: at - start };
}

function lineStart(text: string, from: number, at: number): number {
  const before = at < 2 ? -1 : text.lastIndexOf('\r\n', at - 2);
  return before < from ? from : before + 2;
}
