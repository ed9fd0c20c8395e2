/** Writes the head of an upstream's response for the client. */
import { applyHeaderRules, type HeaderRules, type RuleContext } from './header-rules.ts';
import type { ForwardPolicy } from './policy.ts';

export interface ResponseHead {
  /** Flat list; Content-Length, where there is one, comes last. */
  readonly headers: string[];
  /** As sent by the upstream; undefined when there is none. */
  readonly contentLength: number | undefined;
}

/**
 * @param rawHeaders names and values as undici read them off the wire: order, case and bytes are kept
 * @param parsed     the same by lower-case name, as undici has decoded them already
 * @param trailers   whether trailers can be passed on, and with them the field that announces them
 * @param rules      those of the row for responses, with what their values speak of
 */
export function buildResponseHead(
  rawHeaders: readonly Buffer[],
  parsed: Readonly<Record<string, string | string[] | undefined>>,
  status: number,
  policy: ForwardPolicy,
  requestId: string,
  trailers: boolean,
  rules?: HeaderRules,
  context?: RuleContext,
): ResponseHead {
  const fields = policy.responseFields;
  const connection = parsed['connection'];
  const nominated = fields.nominated(Array.isArray(connection) ? connection.join(',') : connection);
  let headers: string[] = [];
  let contentLength: string | undefined;
  let announced: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = fields.nameOf(rawHeaders[i]!);
    const decoded = parsed[name.lower];
    // Several fields of one name stand in one list there; each keeps its own place here.
    const value = typeof decoded === 'string' ? decoded : rawHeaders[i + 1]!.toString('latin1');
    switch (name.role) {
      case 'pass':
      case 'xForwardedOther':
      case 'date':
        if (nominated === undefined || !nominated.has(name.lower)) headers.push(name.text, value);
        break;
      case 'contentLength':
        contentLength = value;
        break;
      case 'trailer':
        announced = value;
        break;
    }
  }
  if (rules !== undefined) headers = applyHeaderRules(rules, headers, context!);
  headers.push(policy.requestIdField, requestId);
  if (status === 204) contentLength = undefined;
  // Before Content-Length, Node takes the bytes of Content-Disposition for UTF-8 and garbles or refuses them.
  if (contentLength !== undefined) headers.push('Content-Length', contentLength);
  else if (announced !== undefined && trailers) headers.push('Trailer', announced);
  return { headers, contentLength: contentLength === undefined ? undefined : Number(contentLength) };
}

/**
 * Whether what undici read of the body is its content: any other coding is left in it, and nobody would know, since the
 * field ends with this hop. Blanks alone: with a tab behind the word llhttp does not see it.
 */
export function isCodingUnderstood(transferEncoding: string | string[] | undefined): boolean {
  if (transferEncoding === undefined || transferEncoding === 'chunked') return true;
  return typeof transferEncoding === 'string' && /^chunked *$/i.test(transferEncoding);
}

/** Fields that must not come as trailers (RFC 9110, 6.5.1): framing, routing, authentication. */
const NO_TRAILERS = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'trailer',
  'connection',
  'authorization',
  'set-cookie',
  'content-encoding',
  'content-type',
  'content-range',
]);

export function isPassableTrailer(name: string): boolean {
  return !NO_TRAILERS.has(name.toLowerCase());
}

/** llhttp takes Connection among the trailers for one of the head, and what comes next on the connection for garbage. */
export function endsConnection(trailers: readonly Buffer[]): boolean {
  return trailers.some((name, i) => i % 2 === 0 && /^(?:proxy-)?connection$/i.test(name.toString('latin1')));
}

/** Trailers that may be passed on, in order. */
export function passableTrailers(raw: readonly Buffer[]): [string, string][] {
  const trailers: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toString('latin1');
    if (isPassableTrailer(name)) trailers.push([name, raw[i + 1]!.toString('latin1')]);
  }
  return trailers;
}
