/** Reads a response to its end and says what is wrong with it. */

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { NOISE, SMALL_FILL, smallBody } from '../payload.ts';

export async function smallChecked(response: IncomingMessage, nonce: string): Promise<string | undefined> {
  let text = '';
  for await (const chunk of response) text += (chunk as Buffer).toString('latin1');
  return text === smallBody(nonce) ? undefined : 'the body was altered';
}

/** Of HEAD: the length of what GET would bring, and none of it. */
export async function emptyChecked(response: IncomingMessage, nonce: string): Promise<string | undefined> {
  for await (const chunk of response) return `${(chunk as Buffer).length} bytes of a body came`;
  const length = response.headers['content-length'];
  return length === String(nonce.length + 1 + SMALL_FILL.length) ? undefined : `the length was ${length}`;
}

/** @param pauseMs between reads: a client that takes its time */
export async function largeChecked(
  response: IncomingMessage,
  nonce: string,
  pauseMs = 0,
): Promise<string | undefined> {
  const expected = [Buffer.from(`${nonce}\n`), NOISE];
  let offset = 0;
  for await (const chunk of response) {
    let part = chunk as Buffer;
    while (part.length > 0) {
      const head = expected[0]!;
      const from = offset < head.length ? offset : offset - head.length;
      const source = offset < head.length ? head : NOISE;
      const length = Math.min(part.length, source.length - from);
      if (length <= 0) return 'the body is too long';
      if (!part.subarray(0, length).equals(source.subarray(from, from + length)))
        return 'the body was altered';
      offset += length;
      part = part.subarray(length);
    }
    if (pauseMs > 0) await sleep(pauseMs);
  }
  const whole = expected[0]!.length + NOISE.length;
  return offset === whole ? undefined : `${offset} of ${whole} bytes came, and no error`;
}

export async function dripChecked(response: IncomingMessage, nonce: string): Promise<string | undefined> {
  let text = '';
  for await (const chunk of response) text += (chunk as Buffer).toString('latin1');
  return text === `${nonce}\n`.repeat(8) ? undefined : 'the body was altered';
}

/** The body that was sent comes back, and the upstream has seen the same, if it says so. */
export async function echoChecked(
  response: IncomingMessage,
  sent: Buffer,
  seen: string | undefined,
): Promise<string | undefined> {
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  const sum = createHash('sha256').update(sent).digest('hex');
  if (seen !== undefined && seen !== sum) return 'the upstream received another body';
  return hash.digest('hex') === sum ? undefined : 'the body came back altered';
}
