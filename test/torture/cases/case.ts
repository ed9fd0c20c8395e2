/**
 * Cases of requests as data: the bytes, where they come from, and what a proxy must make of them. Texts are Latin-1, one
 * character per octet.
 */

/** Stands in `bytes` and in what is expected for the nonce of one sending. */
export const NONCE = '{n}';

/** Octets of a nonce, so that lengths can be stated in the data. */
export const NONCE_LENGTH = 8;

export type Verdict =
  /** An answer of 4xx or 5xx, the end of the connection, and no whole request at the upstream. */
  | 'reject'
  /** The upstream gets exactly what `forwarded` says, strictly framed. */
  | 'one';

/** What the upstream must get of one request. */
export interface Forwarded {
  /** Default: GET. */
  readonly method?: string;
  /** Default: `/c/{n}`. Several: any of them. */
  readonly target?: string | readonly string[];
  /** Default: none. */
  readonly body?: string;
  /** Value of Host, where it matters. */
  readonly host?: string;
  /** Fields that must have exactly these values, one line each, names in any case. */
  readonly fields?: Readonly<Record<string, string | readonly string[]>>;
  /** Fields that must not arrive. */
  readonly absent?: readonly string[];
  /** The only backend it may come to. */
  readonly backend?: Backend;
}

/** The upstreams of the suite: one for each group, and one for everybody else. */
export const BACKENDS = ['internal', 'free', 'enterprise', 'other'] as const;
export type Backend = (typeof BACKENDS)[number];

export interface RequestCase {
  /** `family/what`. */
  readonly name: string;
  /** Clause, advisory, tool or paper that it comes from. */
  readonly source: string;
  /** What is sent. A request of its own follows at once on the same connection. */
  readonly bytes: string;
  /** `either`: both are right, and which one it is counts for nobody but Pointsman, see `ours`. */
  readonly expect: Verdict | 'either';
  /** With `either`: what Pointsman does, which it is held to. */
  readonly ours?: Verdict;
  /** One by one what the upstream gets when it is not refused. Default: a GET of `/c/{n}` without a body. */
  readonly forwarded?: readonly Forwarded[];
  /** The same for Pointsman, where it promises more than a clause asks for. */
  readonly forwardedByUs?: readonly Forwarded[];
  /** Backends that it must not come to, whatever else happens. */
  readonly never?: readonly Backend[];
  /** Refused for what it asks, not for how it is written: the connection may go on. */
  readonly mayGoOn?: true;
  /** The connection must end with the answer. A refused one must end anyway, unless the case is `either`. */
  readonly closes?: true;
  /** The connection may end behind it, though nothing is wrong with it; `behind`: where one is under way in front. */
  readonly mayEnd?: true | 'behind';
  /** The message does not end: nothing follows, and the proxy must give up by itself, with or without an answer. */
  readonly unfinished?: true;
  /** Another proxy may speak the protocol that it is in, and answer in it. */
  readonly isOtherProtocol?: true;
  /** May be answered with 2xx by the proxy itself. */
  readonly local?: true;
  /** The answer to the first request has no body. */
  readonly isHead?: true;
}

/** A family of cases; names and sources need not be repeated in each. */
export function family(
  name: string,
  cases: readonly (Omit<RequestCase, 'name'> & { readonly what: string })[],
): RequestCase[] {
  return cases.map(({ what, ...rest }) => ({ name: `${name}/${what}`, ...rest }));
}

/** A GET with these lines behind Host. */
export function get(...lines: readonly string[]): string {
  return head(`GET /c/${NONCE} HTTP/1.1`, 'Host: a', ...lines);
}

/** A POST with these lines behind Host, and a body. */
export function post(lines: readonly string[], body: string): string {
  return head(`POST /c/${NONCE} HTTP/1.1`, 'Host: a', ...lines) + body;
}

export function head(requestLine: string, ...lines: readonly string[]): string {
  return `${[requestLine, ...lines].join('\r\n')}\r\n\r\n`;
}

/** Octets that a text has when it is sent. */
export function octets(text: string): number {
  return text.replaceAll(NONCE, 'n'.repeat(NONCE_LENGTH)).length;
}

/** What an attacker wants to be taken for a request of its own. */
export const SMUGGLED = head(`GET /smuggled/${NONCE} HTTP/1.1`, 'Host: a');

/** In a shape that swallows what follows. */
export const SMUGGLED_PREFIX = `GET /smuggled/${NONCE} HTTP/1.1\r\nX-Swallow: `;

export function hex(value: number): string {
  return value.toString(16);
}

/** For names: `0x0b`. */
export function octetName(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}

/** One whole chunked body. */
export function chunked(content: string): string {
  return `${hex(octets(content))}\r\n${content}\r\n0\r\n\r\n`;
}
