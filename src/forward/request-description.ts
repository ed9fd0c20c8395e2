/** A request after its head was read. */
import type { RequestFacts } from '../routing/match.ts';

export interface RequestDescription {
  readonly facts: RequestFacts;
  readonly requestId: string;
  /** `Host` as sent, with the port. */
  readonly host: string | undefined;
  /** The request target as sent. */
  readonly target: string;
  /** Value of the debug header; undefined: the request has no debug header. */
  readonly debug: string | undefined;
  /** The list of `baggage` that came with the request, where Pointsman rewrites it; else undefined. */
  readonly baggage: string | undefined;
  /** Such as `HTTP/1.1`. */
  readonly protocol: string;
}

/** A request as its downstream read it. */
export interface ClientRequest extends RequestDescription {
  /** Bytes of content; 0: no body; -1: unknown. */
  readonly contentLength: number;
  /** The request line and the header lines for the upstream, Latin-1 without the empty line; or undefined. */
  readonly upstreamHead?: string | undefined;
  /** The same as names and values in turn, Host first; used where `upstreamHead` is undefined. */
  readonly upstreamHeaders?: string[] | undefined;
}
