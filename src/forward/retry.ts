/** What an error of an attempt means. Codes and names are undici's and the kernel's. */
import { drawAtRandom } from '../routing/split.ts';
import type { LiveRoute } from './forwarder.ts';
import type { FailureReason } from './reasons.ts';
import type { Endpoint } from './upstreams.ts';

/** RFC 9110, 9.2.2; QUERY is safe by its definition. */
const IDEMPOTENT = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'PUT',
  'DELETE',
  'TRACE',
  'QUERY',
  'PROPFIND',
  'SEARCH',
]);

export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/**
 * Where a request goes next that failed on the endpoints in `tried`: another endpoint of the same backend, which keeps
 * its user in the same build; only then another backend of the split, by weight.
 *
 * @param index  index in the split of the backend it was on
 * @param random uniform in [0, 1)
 * @returns index in the split; -1 when everything usable was tried
 */
export function redispatch(
  live: LiveRoute,
  index: number,
  tried: readonly Endpoint[],
  random: number,
): number {
  const untried = (other: number) =>
    live.upstreams[other]!.usable.some((endpoint) => !tried.includes(endpoint));
  return untried(index) ? index : drawAtRandom(live.route.split.weights, random, untried);
}

/**
 * @param connected  the request had begun to be sent
 * @param responding the head of the response had come
 */
export function failureOf(error: Error, connected: boolean, responding: boolean): FailureReason {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'CONNECT_TIMEOUT') return 'connect_timeout';
  // undici refuses what it cannot send before it touches a socket; sending it again would change nothing.
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'bad_request';
  if (!connected) return 'connect_failed';
  if (responding) return isResponseFault(error, code) ? 'bad_response' : 'upstream_truncated';
  return isResponseFault(error, code) ? 'bad_response' : 'upstream_reset';
}

function isResponseFault(error: Error, code: string | undefined): boolean {
  return (
    error.name === 'HTTPParserError' ||
    // The parser of Node itself, for upgrades.
    code?.startsWith('HPE_') === true ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ||
    code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' ||
    (code === 'UND_ERR_SOCKET' && (error.message === 'bad response' || error.message === 'bad upgrade'))
  );
}
