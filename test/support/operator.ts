/** Who acts at the admin port of a test's proxy. */

import { type Answer, send } from './request.ts';

export const TOKEN = 'a-token-of-these-tests';

export interface ActOptions {
  /** Null: none. */
  readonly token?: string | null;
  /** Names and values in turn, besides those that an action needs. */
  readonly headers?: readonly string[];
  readonly contentType?: string;
}

/** `POST /actions/<action>`, as `pointsman ctl` does it unless told otherwise. */
export function act(
  adminPort: number,
  action: string,
  body: unknown = {},
  { token = TOKEN, headers = [], contentType = 'application/json' }: ActOptions = {},
): Promise<Answer> {
  return send(adminPort, {
    method: 'POST',
    path: `/actions/${action}`,
    headers: [
      'Content-Type',
      contentType,
      ...(token === null ? [] : ['Authorization', `Bearer ${token}`]),
      ...headers,
    ],
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
