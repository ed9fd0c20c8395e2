/** JSON to a URL, which is a secret and never part of what is said or logged. */

import { request } from 'undici';
import type { Delivery } from './delivery.ts';
import { said } from './said.ts';

const TIMEOUT_MS = 10_000;

/** Of an answer; what is beyond is not waited for. */
const MAX_ANSWER = 4_096;

export interface WebhookTarget {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Who it is, in messages: `Slack`. */
  readonly who: string;
  /** Key of the configuration that names it. */
  readonly key: string;
}

export async function postJson(
  { url, headers = {}, who, key }: WebhookTarget,
  payload: unknown,
  signal: AbortSignal,
): Promise<Delivery> {
  try {
    const {
      statusCode,
      headers: fields,
      body,
    } = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(payload),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    const answer = await beginningOf(body);
    if (statusCode >= 200 && statusCode < 300) return { result: 'sent' };
    if (statusCode === 429) {
      const after = Number(fields['retry-after']);
      const retryAfterMs = Number.isFinite(after) && after >= 0 ? Math.min(after, 3_600) * 1_000 : 30_000;
      return {
        result: 'later',
        error: `${who} limits the rate; again in ${retryAfterMs / 1_000} s`,
        retryAfterMs,
      };
    }
    const words = said(answer, [...confidentialParts(url), ...Object.values(headers)]);
    const error = `${who} answered ${statusCode}${words === '' ? '' : ` (${words})`}`;
    // The text of a 4xx is the reason, such as no_service or invalid_payload; the same message again gets the same.
    return statusCode >= 500
      ? { result: 'later', error }
      : { result: 'refused', error: `${error}; is the webhook of ${key} still there?` };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return {
      result: 'later',
      error: `${who} cannot be reached (${name === 'TimeoutError' ? 'no answer in time' : (code ?? name)})`,
    };
  }
}

async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop ends the connection.
    if (size >= MAX_ANSWER) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER).toString('utf8');
}

/** All but the host, which the operator has to know. */
function confidentialParts(url: string): string[] {
  const { username, password, pathname, search } = new URL(url);
  return [username, password, pathname, search];
}
