/**
 * Cases of responses as data: what an upstream sends to one request, where it comes from, and what the client may get of
 * it. Texts are Latin-1, one character per octet; `{n}` is the nonce of the request.
 */

import { NONCE } from './case.ts';

/** What a client gets. */
export type Want =
  /** An answer of the proxy's own. */
  | '502'
  | '504'
  /** The response, whole, with its nonce; see `whole`. */
  | 'whole'
  /** Its beginning, with its nonce, and an end of the connection that shows that more was to come. */
  | 'cut';

export interface Whole {
  /** Default: 200. */
  readonly status?: number;
  /** Default: `{n} body`. */
  readonly body?: string;
  /** Fields that must have exactly these values, one line each. */
  readonly fields?: Readonly<Record<string, string | readonly string[]>>;
  /** Fields that must not arrive. */
  readonly absent?: readonly string[];
}

export interface ResponseCase {
  /** `family/what`. */
  readonly name: string;
  /** Clause, advisory, tool or paper that it comes from. */
  readonly source: string;
  /** What the upstream sends; several: with a pause in front of each but the first. */
  readonly bytes: string | readonly string[];
  /** Then. Default: `keep`, the connection stays open. */
  readonly ending?: 'keep' | 'end' | 'reset';
  /** What is right by the clauses. */
  readonly expect: Want | readonly Want[];
  /** What Pointsman does, which it is held to, by lane; where it is not there, all that is right. */
  readonly fast?: Want;
  readonly full?: Want;
  readonly whole?: Whole;
  /** Default: GET. */
  readonly method?: 'GET' | 'HEAD' | 'POST';
  /** Octets come behind the response, or the connection ends: the next request waits for that, or nobody could tell. */
  readonly later?: true;
  /** Each octet comes in a packet of its own. */
  readonly octetByOctet?: true;
  /** Is never cut into other packets than those above. */
  readonly asItIs?: true;
}

export const BODY = `${NONCE} body`;

/** Octets of it. */
export const BODY_LENGTH = 13;

const OK = 'HTTP/1.1 200 OK';

/** 200 with these lines behind the nonce, and a body. */
export function ok(lines: readonly string[], body: string): string {
  return response(OK, lines, body);
}

export function response(statusLine: string, lines: readonly string[], body: string): string {
  return `${[statusLine, `X-Nonce: ${NONCE}`, ...lines].join('\r\n')}\r\n\r\n${body}`;
}

/** A good response with this status line. */
export function withLine(statusLine: string): string {
  return response(statusLine, [`Content-Length: ${BODY_LENGTH}`], BODY);
}

/** A good response with these lines more. */
export function withFields(...lines: readonly string[]): string {
  return ok([...lines, `Content-Length: ${BODY_LENGTH}`], BODY);
}

/** In chunks, which are written by hand. */
export function inChunks(chunks: string): string {
  return ok(['Transfer-Encoding: chunked'], chunks);
}

/** The good body as a first chunk. */
export const CHUNK = `d\r\n${BODY}\r\n`;

/** A response for nobody, which must reach nobody. */
export const STRAY = 'HTTP/1.1 200 OK\r\nX-Nonce: nbadbad0\r\nContent-Length: 5\r\n\r\nstray';

export function responseFamily(
  name: string,
  cases: readonly (Omit<ResponseCase, 'name'> & { readonly what: string })[],
): ResponseCase[] {
  return cases.map(({ what, ...rest }) => ({ name: `${name}/${what}`, ...rest }));
}
