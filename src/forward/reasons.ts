/**
 * Everything that can go wrong with a request, by a machine-readable reason: the same word stands in the answer, the
 * log and the metric. The table is the reference for the documentation.
 */
import type { Termination } from '../observe/access-log.ts';

export type FailureReason = keyof typeof FAILURES;

interface Failure {
  /** Status of the answer; 0: there is nobody left to answer. */
  readonly status: number;
  /** HAProxy's termination state: who ended it (C client, S upstream, P Pointsman; lower case: by time), and when
   * (R request, Q queue, C connecting, H waiting for the response head, D data). */
  readonly termination: Termination;
  readonly message: string;
}

export const FAILURES = {
  bad_request: { status: 400, termination: 'PR', message: 'The request is malformed.' },
  ambiguous_group: {
    status: 400,
    termination: 'PR',
    message: 'The request names more than one traffic group.',
  },
  host_mismatch: {
    status: 400,
    termination: 'PR',
    message: 'The request names more than one host.',
  },
  unsupported_encoding: {
    status: 501,
    termination: 'PR',
    message: 'The transfer coding of the request is not supported; only chunked is.',
  },
  method_not_implemented: {
    status: 501,
    termination: 'PR',
    message: 'Pointsman does not know this request method.',
  },
  method_not_allowed: { status: 405, termination: 'PR', message: 'This method is not forwarded.' },
  request_timeout: { status: 408, termination: 'cR', message: 'The request did not arrive in time.' },
  body_too_large: { status: 413, termination: 'PR', message: 'The request body is too large.' },
  expectation_failed: {
    status: 417,
    termination: 'PR',
    message: 'Only the expectation 100-continue can be met.',
  },
  rate_limited: { status: 429, termination: 'PR', message: 'Too many requests.' },
  head_too_large: { status: 431, termination: 'PR', message: 'The request head is too large.' },
  no_endpoint: { status: 503, termination: 'SC', message: 'No upstream is available for this request.' },
  pinned_backend_down: {
    status: 503,
    termination: 'SC',
    message: 'The upstream that keeps this user is not available.',
  },
  connect_failed: { status: 503, termination: 'SC', message: 'No connection to the upstream could be made.' },
  connect_timeout: {
    status: 503,
    termination: 'sC',
    message: 'The upstream did not accept a connection in time.',
  },
  tls_failed: {
    status: 503,
    termination: 'SC',
    message: 'The TLS handshake with the upstream failed.',
  },
  queue_full: {
    status: 503,
    termination: 'SQ',
    message: 'The upstream is at its limit and too many requests wait for it.',
  },
  queue_timeout: {
    status: 503,
    termination: 'sQ',
    message: 'The upstream was at its limit for too long.',
  },
  upstream_reset: {
    status: 502,
    termination: 'SH',
    message: 'The upstream closed the connection before it answered.',
  },
  bad_response: {
    status: 502,
    termination: 'PH',
    message: 'The upstream sent an invalid response.',
  },
  response_timeout: { status: 504, termination: 'sH', message: 'The upstream did not answer in time.' },
  upstream_truncated: {
    status: 502,
    termination: 'SD',
    message: 'The upstream closed the connection in the middle of its response.',
  },
  idle_timeout: {
    status: 504,
    termination: 'sD',
    message: 'Nothing was transferred for too long.',
  },
  client_timeout: { status: 408, termination: 'cD', message: 'The client stopped sending or reading.' },
  client_aborted: { status: 0, termination: 'CD', message: 'The client went away.' },
  tunnel_failed: { status: 502, termination: 'SD', message: 'The tunnel to the upstream broke.' },
  too_many_connections: {
    status: 0,
    termination: 'RR',
    message: 'The limit of client connections is reached.',
  },
  too_many_of_client: {
    status: 0,
    termination: 'RR',
    message: 'The limit of connections of one client is reached.',
  },
  overloaded: { status: 503, termination: 'RR', message: 'Too much is under way here; try again.' },
  shutdown: { status: 503, termination: 'KD', message: 'Pointsman is shutting down.' },
  internal_error: { status: 500, termination: 'PR', message: 'Pointsman failed on this request.' },
} as const satisfies Record<string, Failure>;

/** True if the connection cannot be used after this error response: where the next request begins is not known. */
export function losesFraming(reason: FailureReason): boolean {
  switch (FAILURES[reason].status) {
    case 400:
    case 408:
    case 413:
    case 417:
    case 501:
      return true;
    default:
      return false;
  }
}

/**
 * Returns the headers that an error response with this reason must have. Pure.
 *
 * @param allowedMethods value of Allow (RFC 9110, 15.5.6)
 * @returns names and values in turn
 */
export function requiredHeaders(reason: FailureReason, allowedMethods: string): readonly string[] {
  return FAILURES[reason].status === 405 ? ['Allow', allowedMethods] : [];
}

/** Whether the user of a request met an error: 5xx, or an answer that the upstream never gave or broke off. */
export function metError(status: number, reason: FailureReason | undefined): boolean {
  if (status >= 500) return true;
  return reason !== undefined && /^(S|s|PH)/.test(FAILURES[reason].termination);
}

/** An answer of Pointsman itself, as bytes. */
export interface FailureAnswer {
  readonly contentType: string;
  readonly body: Buffer;
}

/** JSON unless the Accept field asks for text or HTML and not for JSON. */
export function failureAnswer(
  reason: FailureReason,
  accept: string | undefined,
  requestId: string,
  detail?: string,
): FailureAnswer {
  const { status, message } = FAILURES[reason];
  const text = detail === undefined ? message : `${message} ${detail}`;
  const wantsText = accept !== undefined && /\btext\//i.test(accept) && !/\bjson\b/i.test(accept);
  if (wantsText) {
    return {
      contentType: 'text/plain; charset=utf-8',
      body: Buffer.from(`${status} ${reason}: ${text}\nRequest: ${requestId}\n`),
    };
  }
  return {
    contentType: 'application/json',
    body: Buffer.from(`${JSON.stringify({ error: { status, reason, message: text, requestId } })}\n`),
  };
}

/** Name of the field that carries the reason. */
export const REASON_FIELD = 'X-Pointsman-Reason';
