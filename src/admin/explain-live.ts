/** `POST /explain`: where a request would go now, by the table in use and with what is down now. Changes nothing. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { suggestion } from '../config/nearest.ts';
import { MAX_USER_LENGTH, userOfText } from '../pinning/user-id.ts';
import { DescriptionError, explanationText, requestFacts } from '../routing/described-request.ts';
import { explainRequest } from '../routing/explain.ts';
import type { RoutingTable } from '../routing/table.ts';
import type { ActionAnswer } from './actions.ts';

const bodySchema = z.strictObject({
  method: z
    .string()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/, 'is no method')
    .default('GET'),
  url: z.string().max(4_096).default('/'),
  /** `NAME: VALUE` */
  headers: z.array(z.string().max(8_192)).max(100).default([]),
  group: z.string().max(256).optional(),
  user: z
    .string()
    .max(4 * MAX_USER_LENGTH)
    .optional(),
  client: z.string().max(64).default(''),
  /** What the store of the pin remembers for the user. */
  pinned: z.string().max(63).optional(),
});

/** @param down names of backends that take no requests now */
export function explainLive(table: RoutingTable, down: ReadonlySet<string>, body: unknown): ActionAnswer {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refused(`${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is not understood'}`.trim());
  }
  const { method, url, headers, group, user: text, client, pinned } = parsed.data;
  const backends = Object.keys(table.config.backends);
  if (pinned !== undefined && !backends.includes(pinned)) {
    return refused(`there is no backend "${pinned}"${suggestion(pinned, backends, 'backends')}`);
  }
  if (client !== '' && isIP(client) === 0) return refused(`client is an IP address, not "${client}"`);
  const user = text === undefined ? undefined : userOfText(text);
  if (text !== undefined && user === undefined) {
    return refused(
      `user is empty or longer than ${MAX_USER_LENGTH} bytes, so the request would name no user`,
    );
  }
  if (!/^(\/|https?:)/.test(url))
    return refused('url is no path and no URL; write /cart or http://HOST/cart');
  const lines = group === undefined ? headers : [...headers, `${table.config.groupHeader}: ${group}`];
  try {
    const facts = requestFacts(table, lines, [method, url], client);
    if (typeof facts === 'string') {
      return { status: 200, body: { refused: facts, text: `refused with 400: ${facts}` } };
    }
    const explanation = explainRequest(table, facts, user, { down, remembered: pinned });
    return { status: 200, body: { explanation, text: explanationText(explanation) } };
  } catch (error) {
    if (error instanceof DescriptionError) return refused(error.message);
    throw error;
  }
}

function refused(message: string): ActionAnswer {
  return { status: 400, body: { ok: false, message } };
}
