/** Gates that ask somebody else: Prometheus and webhooks. A question that fails holds; it neither passes nor fails. */

import type { PrometheusQuery } from '../definition.ts';
import type { GateResult } from './verdict.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Subject {
  readonly service: string;
  readonly namespace: string;
  readonly stage: string;
  readonly track: string;
  readonly image: string;
}

const QUERY_TIMEOUT = 10_000;
const MAX_BODY = 1024 ** 2;
/** Failed questions in a row that nobody need hear of. */
const QUIET_ERRORS = 4;

/** `${service}` and so on, which the pipeline leaves in texts. */
export function fillSubject(text: string, subject: Subject): string {
  return text.replace(
    /\$\{(service|namespace|stage|track|image)\}/g,
    (_, name: keyof Subject) => subject[name],
  );
}

/** @param errors  failed questions in a row before this one */
export async function askPrometheus(
  query: PrometheusQuery,
  subject: Subject,
  fetch: Fetch,
  errors: number,
): Promise<{ result: GateResult; failed: boolean }> {
  const gate = `prometheus ${query.name}`;
  const hold = (detail: string, failed: boolean) => ({
    result: { gate, verdict: 'hold' as const, detail },
    failed,
  });
  let number: number | undefined;
  try {
    const url = `${query.url.replace(/\/+$/, '')}/api/v1/query?${new URLSearchParams({ query: fillSubject(query.query, subject) })}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(QUERY_TIMEOUT) });
    const answer = JSON.parse(await bodyOf(response)) as {
      status: string;
      error?: string;
      data?: { resultType: string; result: unknown[] };
    };
    if (answer.status !== 'success') throw new Error(answer.error ?? `answered ${response.status}`);
    const { resultType, result = [] } = answer.data ?? { resultType: 'vector', result: [] };
    if (resultType === 'scalar') number = Number(result[1]);
    else if (result.length > 1) return hold(`gives ${result.length} series; it must give one number`, true);
    else
      number = result.length === 0 ? undefined : Number((result[0] as { value: [number, string] }).value[1]);
  } catch (error) {
    const many = errors + 1 > QUIET_ERRORS ? `; ${errors + 1} times in a row, look after it` : '';
    return hold(`cannot be asked: ${reasonOf(error)}${many}`, true);
  }
  if (number === undefined || Number.isNaN(number)) return hold('no data', false);
  if (query.max !== undefined && number > query.max)
    return { result: { gate, verdict: 'fail', detail: `${number} is above ${query.max}` }, failed: false };
  if (query.min !== undefined && number < query.min)
    return { result: { gate, verdict: 'fail', detail: `${number} is below ${query.min}` }, failed: false };
  return { result: { gate, verdict: 'pass', detail: String(number) }, failed: false };
}

/**
 * POSTs the subject as JSON. 2xx passes, unless a JSON body says otherwise by `verdict` (`pass`, `fail`, `hold`) and
 * `message`; anything else holds.
 */
export async function askWebhook(
  webhook: { readonly url: string; readonly timeout: number },
  subject: Subject,
  fetch: Fetch,
): Promise<GateResult> {
  const gate = 'webhook';
  try {
    const response = await fetch(fillSubject(webhook.url, subject), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(subject),
      redirect: 'error',
      signal: AbortSignal.timeout(webhook.timeout),
    });
    const body = await bodyOf(response);
    const said = verdictIn(body);
    if (!response.ok)
      return { gate, verdict: 'hold', detail: said?.message ?? `answered ${response.status}` };
    return { gate, verdict: said?.verdict ?? 'pass', detail: said?.message ?? `answered ${response.status}` };
  } catch (error) {
    return { gate, verdict: 'hold', detail: `cannot be asked: ${reasonOf(error)}` };
  }
}

function verdictIn(
  body: string,
): { verdict: GateResult['verdict'] | undefined; message: string | undefined } | undefined {
  try {
    const { verdict, message } = JSON.parse(body) as { verdict?: unknown; message?: unknown };
    return {
      verdict:
        verdict === 'pass' || verdict === 'fail' || verdict === 'hold'
          ? verdict
          : verdict === undefined
            ? undefined
            : 'hold',
      message: typeof message === 'string' ? message.replace(/\s+/g, ' ').slice(0, 200) : undefined,
    };
  } catch {
    return undefined;
  }
}

async function bodyOf(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_BODY) throw new Error('answered with more than 1 MiB');
  }
  return text;
}

/** Without the URL, which may hold a secret. */
function reasonOf(error: unknown): string {
  const { name, cause, message } = error as { name?: string; message?: string; cause?: { code?: string } };
  if (name === 'TimeoutError') return 'no answer in time';
  if (name === 'SyntaxError') return 'the answer is not JSON';
  return cause?.code ?? (message ?? 'failed').replace(/https?:\/\/\S+/g, '(url)');
}
