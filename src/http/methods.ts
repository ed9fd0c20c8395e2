/** Semantics of request methods. */

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
