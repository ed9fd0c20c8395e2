/** Reads a body that comes in packets as the fast lane does. */

import assert from 'node:assert/strict';
import { BodyFraming } from '../../../src/http/body-framing.ts';

export interface Followed {
  readonly framing: BodyFraming;
  /** Latin-1. */
  readonly content: string;
  /** Offset behind the last byte of the body, or of the byte that was not taken. */
  readonly end: number;
}

/**
 * @param bytes  stays as it is
 * @param length as `BodyFraming` has it
 * @param cuts   offsets where a packet ends, ascending
 */
export function followBody(bytes: Buffer, from: number, length: number, cuts: readonly number[]): Followed {
  const framing = new BodyFraming(length);
  const memory = Buffer.from(bytes);
  let content = '';
  let at = from;
  for (const end of [...cuts.filter((cut) => cut > from), bytes.length]) {
    if (framing.ended || framing.bad || at >= end) continue;
    const start = at;
    at = framing.follow(memory, start, end);
    const { contentStart, contentEnd } = framing;
    assert.ok(start <= contentStart && contentStart <= contentEnd && contentEnd <= at);
    assert.equal(memory.compare(bytes, 0, start, 0, start), 0, 'bytes in front of the packet stay');
    assert.equal(memory.compare(bytes, at, bytes.length, at, bytes.length), 0, 'bytes behind the body stay');
    content += memory.toString('latin1', contentStart, contentEnd);
    // For the comparison behind the next packet.
    memory.set(bytes.subarray(start, at), start);
  }
  return { framing, content, end: at };
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
