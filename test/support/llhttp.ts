/**
 * The parser of `node:http` without the server around it: what other software makes of the same bytes. It is the one
 * that Node's server and client use, with their flags, and it answers at once, so that a test can ask it often.
 */
import { createRequire } from 'node:module';

type Callback = (...parameters: never[]) => unknown;

interface Parser {
  [callback: number]: Callback;
  initialize(type: number, resource: object, maxHeaderSize: number, lenient: number): void;
  execute(bytes: Uint8Array): number | (Error & { code: string });
  finish(): number | undefined | (Error & { code: string });
}

interface Common {
  readonly HTTPParser: {
    new (): Parser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kLenientNone: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
  readonly methods: readonly string[];
}

// It has no types, and no other name.
const { HTTPParser, methods } = createRequire(import.meta.url)('node:_http_common') as Common;

export interface Message {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly minor: number;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  /** Latin-1. */
  body: string;
  complete: boolean;
  readonly upgrade: boolean;
}

export interface Reading {
  readonly messages: readonly Message[];
  /** `HPE_…`; undefined when there was nothing to refuse. */
  readonly fault: string | undefined;
}

/** @param packets as they come, one after the other */
export function readRequests(packets: readonly Uint8Array[]): Reading {
  return read(HTTPParser.REQUEST, packets, undefined);
}

/**
 * The answers to one request each, and the end of the connection behind them.
 *
 * @param isHead the requests were HEAD
 */
export function readResponses(packets: readonly Uint8Array[], isHead: boolean): Reading {
  return read(HTTPParser.RESPONSE, packets, isHead);
}

/** One for all: each has kilobytes that are not on the heap, and a garbage collector in no hurry to give them back. */
const parser = new HTTPParser();

function read(type: number, packets: readonly Uint8Array[], isHead: boolean | undefined): Reading {
  const messages: Message[] = [];
  let more: string[] = [];
  let target = '';
  parser.initialize(type, {}, 1024 ** 2, HTTPParser.kLenientNone);
  // Beyond some 32 fields the parser tells them in portions.
  parser[HTTPParser.kOnHeaders] = ((fields: string[], url: string) => {
    more.push(...fields);
    target += url;
  }) as Callback;
  parser[HTTPParser.kOnHeadersComplete] = ((
    _major: number,
    minor: number,
    fields: string[] | undefined,
    method: number,
    url: string,
    status: number,
    _reason: string,
    upgrade: boolean,
  ) => {
    messages.push({
      method: methods[method] ?? '',
      target: target + (url ?? ''),
      status: status ?? 0,
      minor,
      fields: [...more, ...(fields ?? [])],
      body: '',
      complete: false,
      upgrade,
    });
    more = [];
    target = '';
    // The same as Node's client says: 1 for "no body".
    return isHead === true || (isHead === false && (status < 200 || status === 204 || status === 304))
      ? 1
      : 0;
  }) as Callback;
  parser[HTTPParser.kOnBody] = ((bytes: Buffer) => {
    messages.at(-1)!.body += bytes.toString('latin1');
  }) as Callback;
  parser[HTTPParser.kOnMessageComplete] = (() => {
    messages.at(-1)!.complete = true;
    // Trailers are told in the same way.
    more = [];
    target = '';
  }) as Callback;
  let fault: string | undefined;
  for (const packet of packets) {
    const result = parser.execute(packet);
    if (typeof result !== 'number') {
      fault = result.code;
      break;
    }
    if (messages.at(-1)?.upgrade === true) break;
  }
  if (fault === undefined && isHead !== undefined) {
    const result = parser.finish();
    if (typeof result === 'object') fault = result.code;
  }
  return { messages, fault };
}
