/** JSON to a URL, which is a secret and never part of what is said or logged. */

import { request } from 'undici';
import type { Delivery } from './delivery.ts';

const TIMEOUT_MS = 10_000;

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
    const said = (await body.text()).replaceAll(/\s+/g, ' ').slice(0, 200);
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
    const error = `${who} answered ${statusCode}${said === '' ? '' : ` (${said})`}`;
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
