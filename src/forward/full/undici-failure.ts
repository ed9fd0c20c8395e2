/** Translates errors of undici, Node and the kernel into failure reasons. */
import { connectFailure } from '../connect-upstream.ts';
import type { FailureReason } from '../reasons.ts';

/** A response that undici takes and a proxy must not pass on. */
export class BadResponseError extends Error {
  readonly code = 'BAD_RESPONSE';
}

/**
 * @param connected  the request had begun to be sent
 * @param responding the head of the response had come
 */
export function failureOf(error: Error, connected: boolean, responding: boolean): FailureReason {
  const code = (error as NodeJS.ErrnoException).code;
  // undici refuses what it cannot send before it touches a socket; sending it again would change nothing.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'bad_request';
  if (!connected) return connectFailure(error);
  if (responding) return isResponseFault(error, code) ? 'bad_response' : 'upstream_truncated';
  return isResponseFault(error, code) ? 'bad_response' : 'upstream_reset';
}

function isResponseFault(error: Error, code: string | undefined): boolean {
  return (
    error.name === 'HTTPParserError' ||
    code === 'BAD_RESPONSE' ||
    // The parser of Node itself, for upgrades.
    code?.startsWith('HPE_') === true ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ||
    code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' ||
    (code === 'UND_ERR_SOCKET' && (error.message === 'bad response' || error.message === 'bad upgrade'))
  );
}
