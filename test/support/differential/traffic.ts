/** Connections full of requests, and what the upstream answers to each: all of it follows from a number. */

import { seeded } from '../request-vocabulary.ts';

export interface ClientScript {
  readonly id: number;
  /** From an address that the configuration trusts. */
  readonly trusted: boolean;
  /** The next request leaves when the one before was answered. */
  readonly oneByOne: boolean;
  readonly requests: readonly ScriptedRequest[];
}

export interface ScriptedRequest {
  /** Latin-1. */
  readonly bytes: string;
  readonly isHead: boolean;
  /** Spoilt, or outside of what everybody reads the same. */
  readonly odd: boolean;
  /** Where it is cut into packets, as offsets in order. */
  readonly cuts: readonly number[];
  /** Exchange over the tunnel, if the request is answered with 101. */
  readonly tunnel?: TunnelScript;
}

/** Bytes that the two ends of a tunnel send. The upstream also sends back every byte of the client. */
export interface TunnelScript {
  /** Sent by the upstream together with its 101. */
  readonly greeting: string;
  /** Sent by the client together with its request. */
  readonly eager: string;
  /** Sent by the client, each when all bytes expected before have come back. */
  readonly messages: readonly string[];
  /** Side that ends the tunnel when everything has come back. */
  readonly endedBy: 'client' | 'upstream';
}

type Random = () => number;

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

/** Stands in the target and in a field of every request. */
export function markOf(id: number, index: number): string {
  return `k${id}i${index}e`;
}

const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'];

const FIELDS: readonly string[] = [
  'Accept: */*',
  'accept: text/html',
  'User-Agent: differential/1',
  'X-A: b',
  'x-a:\t b \t',
  'X-Empty:',
  'X-Obs: \xe4\xff',
  'Cookie: a=b; c="d"',
  'X-Traffic-Group: INTERNAL',
  'X-Traffic-Group: internal',
  'x-traffic-group: FREE',
  'X-Traffic-Group: unknown',
  'X-Traffic-Group:',
  'X-Request-Id: given-id',
  'X-Forwarded-For: 198.51.100.7',
  'X-Forwarded-For: 198.51.100.7, 198.51.100.8',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: shop.example',
  'X-Forwarded-Port: 443',
  'Forwarded: for=198.51.100.7',
  'Via: 1.0 other',
  'Authorization: Bearer x.y.z',
  'X-Secret: s',
  'Connection: keep-alive',
  'Keep-Alive: timeout=5',
  'TE: trailers',
  'Proxy-Authorization: Basic eA==',
  'X-Cookie-Row: 1',
  'X-Pointsman-Route: internal',
  'X-Pointsman-Bucket: 12',
  'baggage: a=b;p, pointsman.bucket=9',
  'Baggage: c="d"',
];

const ODD_FIELDS: readonly string[] = [
  'Connection: X-A',
  'Connection: keep-alive, X-Secret',
  'Connection: close',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Expect: something',
  'X-Traffic-Group: A, B',
  'X-Traffic-Group: FREE, FREE',
  'Content-Length: 0',
  'Content-Length: +3',
  'Content-Length: 0x3',
  'Content-Length: 3, 3',
  'Content-Length: 18446744073709551619',
  'Content-Length : 3',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: \x0bchunked',
  'Host: other',
  ' folded',
  ': nameless',
  'X-Nul: \0',
  'X-Bare: a\nb: c',
  'X\x80: a',
  'no colon',
];

const SNIPPETS = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\0',
  '\x7f',
  '\x80',
  '0',
  'f',
  '-',
  '/',
  '\r\n\r\n',
];

export function clientScript(id: number): ClientScript {
  const random = seeded(id);
  for (let i = 0; i < 3; i++) random();
  const count = 1 + Math.floor(random() * 4);
  const requests: ScriptedRequest[] = [];
  const isOdd = random() < 0.15;
  const oneByOne = isOdd || random() < 0.5;
  const oddAt = isOdd ? Math.floor(random() * count) : -1;
  for (let i = 0; i < count; i++) {
    let bytes = requestText(random, id, i, i === oddAt && random() < 0.5, oneByOne);
    if (i === oddAt && random() < 0.6) bytes = spoilt(random, bytes);
    requests.push({
      bytes,
      isHead: bytes.startsWith('HEAD '),
      odd: i === oddAt,
      cuts: cutsOf(random, bytes.length),
    });
  }
  if (oneByOne) {
    const upgrade = upgradeRequest(id, count);
    if (upgrade !== undefined) requests.push(upgrade);
  }
  // The connection ends with this one, if it was still open.
  const mark = markOf(id, requests.length);
  const last = `GET /last?${mark} HTTP/1.1\r\nHost: a\r\nX-Mark: ${mark}\r\nConnection: close\r\n\r\n`;
  requests.push({ bytes: last, isHead: false, odd: false, cuts: [] });
  return { id, trusted: random() < 0.4, oneByOne, requests };
}

const UPGRADE_FIELDS: readonly string[] = [
  'X-Traffic-Group: INTERNAL',
  'X-Traffic-Group: FREE',
  'X-Obs: \xe4\xff',
  'X-A: b',
  'x-a: c',
  'Origin: https://shop.example',
  'Sec-WebSocket-Protocol: chat, superchat',
  'X-Request-Id: given-id',
  'X-Forwarded-For: 198.51.100.7',
  'X-Secret: s',
  'X-Cookie-Row: 1',
  'Keep-Alive: timeout=5',
  'baggage: a=b;p, pointsman.bucket=9',
];

const SOCKET_KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

/**
 * Returns the upgrade that a connection requests last; undefined for most connections. It takes numbers from a separate
 * random sequence, so that it does not change the other requests of the connection.
 */
function upgradeRequest(id: number, index: number): ScriptedRequest | undefined {
  const random = seeded(id ^ 0x2545f491);
  for (let i = 0; i < 3; i++) random();
  if (random() >= 0.3) return undefined;
  const mark = markOf(id, index);
  const kind = random();
  // A protocol that is not offered makes an ordinary request. Pointsman refuses a WebSocket without a key.
  const protocol = kind < 0.75 ? 'websocket' : pick(random, ['h2c', 'websocket, h2c', 'other/1']);
  const number = upgradeNumber(random, kind < 0.45);
  const tunnel = kind < 0.45 ? tunnelScript(number) : undefined;
  const lines = [
    `Host: ${pick(random, ['a', 'shop.example', 'Shop.Example:8080'])}`,
    `X-Mark: ${mark}`,
    random() < 0.5 ? `X-User: u${id % 997}` : `Cookie: uid=u${id % 997}; x=y`,
    `Connection: ${pick(random, ['Upgrade', 'upgrade', 'keep-alive, Upgrade'])}`,
    `${pick(random, ['Upgrade', 'upgrade'])}: ${protocol}`,
    'Sec-WebSocket-Version: 13',
  ];
  if (kind < 0.7 || kind >= 0.75) lines.push(SOCKET_KEY);
  const names = new Set<string>();
  for (let i = Math.floor(random() * 5); i > 0; i--) {
    const line = pick(random, UPGRADE_FIELDS);
    if (names.has(line)) continue;
    names.add(line);
    lines.splice(Math.floor(random() * (lines.length + 1)), 0, line);
  }
  const head = `GET /socket?u=${number}&${mark} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
  return {
    bytes: head + (tunnel?.eager ?? ''),
    isHead: false,
    odd: false,
    cuts: cutsOf(random, head.length),
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}

/** @returns the number of a script that accepts the upgrade, or of one that answers it with a whole response */
function upgradeNumber(random: Random, accepts: boolean): number {
  for (;;) {
    const number = Math.floor(random() * 2 ** 30) * 2 + (accepts ? 1 : 0);
    if (accepts || !upstreamScript(number, false).broken) return number;
  }
}

/** @param number of a target with `u=`; @returns whether the upstream accepts the upgrade */
export function acceptsUpgrade(number: number): boolean {
  return number % 2 === 1;
}

/** @param number of the target of an upgrade that the upstream accepts */
export function tunnelScript(number: number): TunnelScript {
  const random = seeded(number ^ 0x1b873593);
  for (let i = 0; i < 3; i++) random();
  const greeting = random() < 0.4 ? contentOf(random) : '';
  const eager = random() < 0.4 ? contentOf(random) : '';
  const messages = Array.from({ length: 1 + Math.floor(random() * 3) }, () => `>${contentOf(random)}`);
  return { greeting, eager, messages, endedBy: random() < 0.5 ? 'client' : 'upstream' };
}

/** Returns the 101 of an upstream that accepts the upgrade, in packets, with the greeting. */
export function switchingParts(number: number): readonly string[] {
  const random = seeded(number ^ 0x0cc9e2d5);
  for (let i = 0; i < 3; i++) random();
  const lines = ['Upgrade: websocket', 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo='];
  for (let i = Math.floor(random() * 5); i > 0; i--) {
    const line = pick(random, RESPONSE_FIELDS);
    if (lines.includes(line) || line.startsWith('Connection')) continue;
    lines.splice(Math.floor(random() * (lines.length + 1)), 0, line);
  }
  lines.push('Connection: Upgrade');
  const text = pick(random, ['Switching Protocols', 'Web Socket Protocol Handshake']);
  const head = `HTTP/1.1 101 ${text}\r\n${lines.join('\r\n')}\r\n\r\n`;
  return inParts(random, head + tunnelScript(number).greeting);
}

function cutsOf(random: Random, length: number): number[] {
  if (random() < 0.7) return [];
  const cuts = Array.from({ length: 1 + Math.floor(random() * 3) }, () => Math.floor(random() * length));
  return [...new Set(cuts)].filter((at) => at > 0).sort((a, b) => a - b);
}

function requestText(random: Random, id: number, index: number, odd: boolean, oneByOne: boolean): string {
  const mark = markOf(id, index);
  const method =
    odd && random() < 0.1 ? pick(random, ['get', 'TRACE', 'PURGE', 'CONNECT']) : pick(random, METHODS);
  // Odd: may have an interim response, see `upstreamScript`.
  const script = Math.floor(random() * 2 ** 30) * 2 + (oneByOne ? 1 : 0);
  const path = `/${pick(random, ['', 'a', 'a/b', '%41', 'x"y'])}?s=${script}&${mark}`;
  const target =
    odd && random() < 0.15 ? pick(random, [`http://a${path}`, `*`, `a${path}`, `${path}#f`]) : path;
  const version = odd && random() < 0.15 ? pick(random, ['HTTP/1.0', 'HTTP/1.2', 'http/1.1']) : 'HTTP/1.1';
  const names = new Set<string>();
  const lines = [`Host: ${pick(random, ['a', 'shop.example', 'Shop.Example:8080'])}`, `X-Mark: ${mark}`];
  // Users are of one connection, so that no other has to do with where they are pinned.
  lines.push(random() < 0.5 ? `X-User: u${id % 997}` : `Cookie: uid=u${id % 997}; x=y`);
  if (lines[2]!.startsWith('Cookie')) names.add('cookie');
  for (let i = Math.floor(random() * 5); i > 0; i--) {
    const line = pick(random, FIELDS);
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    if (names.has(name) && !name.startsWith('x-f')) continue;
    names.add(name);
    lines.splice(Math.floor(random() * (lines.length + 1)), 0, line);
  }
  if (odd && random() < 0.7)
    lines.splice(Math.floor(random() * (lines.length + 1)), 0, pick(random, ODD_FIELDS));
  let body = '';
  if (method === 'POST' || method === 'PUT' || method === 'PATCH' || random() < 0.05) {
    const kind = random();
    const content = contentOf(random);
    if (kind < 0.45) {
      lines.push(`Content-Length: ${content.length}`);
      body = content;
    } else if (kind < 0.9) {
      lines.splice(Math.floor(random() * lines.length), 0, 'Transfer-Encoding: chunked');
      body = chunks(random, content, random() < 0.2, random() < 0.2);
    }
  }
  return `${method} ${target} ${version}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

function contentOf(random: Random): string {
  const kind = random();
  if (kind < 0.05) return '';
  if (kind < 0.1) return 'GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n';
  const length = kind > 0.97 ? 20_000 + Math.floor(random() * 80_000) : 1 + Math.floor(random() * 400);
  return String.fromCharCode(33 + Math.floor(random() * 90)).repeat(length);
}

function chunks(random: Random, content: string, extended: boolean, trailers: boolean): string {
  let text = '';
  for (let at = 0; at < content.length; ) {
    const size = Math.min(content.length - at, 1 + Math.floor(random() * Math.max(40, content.length / 3)));
    const hex = random() < 0.5 ? size.toString(16) : size.toString(16).toUpperCase();
    text += `${random() < 0.1 ? '0' : ''}${hex}${extended ? ';a=b;c="d e"' : ''}\r\n${content.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0${extended ? ';last' : ''}\r\n${trailers ? 'X-Sum: 1\r\nX-Sum-Two: 2\r\n' : ''}\r\n`;
}

function spoilt(random: Random, bytes: string): string {
  let text = bytes;
  for (let edits = 1 + Math.floor(random() * 2); edits > 0; edits--) {
    // Mostly in the head: there is more to read there.
    const at = Math.floor(random() * Math.min(text.length, 400));
    const snippet = pick(random, SNIPPETS);
    const kind = random();
    if (kind < 0.35) text = text.slice(0, at) + snippet + text.slice(at);
    else if (kind < 0.7) text = text.slice(0, at) + snippet + text.slice(at + snippet.length);
    else if (kind < 0.9) text = text.slice(0, at) + text.slice(at + 1);
    else text = text.slice(0, at) + text.slice(Math.max(0, at - 4));
  }
  return text;
}

export interface UpstreamScript {
  /** Latin-1, each in a packet of its own. */
  readonly parts: readonly string[];
  /** What becomes of the connection then. */
  readonly ending: 'keep' | 'end' | 'reset';
  /** No whole and valid response. */
  readonly broken: boolean;
}

/** The Date of responses that have one: another than today's. */
export const UPSTREAM_DATE = 'Thu, 01 Jan 2015 00:00:00 GMT';

const RESPONSE_FIELDS: readonly string[] = [
  'Server: origin',
  'ETag: "x"',
  'X-A:  b ',
  'x-a: c',
  'X-Empty:',
  'X-Obs: \xe4\xff',
  'Set-Cookie: a=b; Path=/',
  'Set-Cookie: c=d',
  'Content-Type: text/plain',
  `Date: ${UPSTREAM_DATE}`,
  'X-Request-Id: of-the-upstream',
  'Vary: accept',
  'Via: 1.1 inner',
  'Keep-Alive: timeout=60',
  'Connection: keep-alive',
  'Content-Disposition: attachment; filename="a.txt"',
];

const STATUS = [
  '200 OK',
  '200 OK',
  '200 Fine',
  '201 Created',
  '301 Moved',
  '400 Bad',
  '404 Not Found',
  '500 Oh',
  '503 x',
];

const BROKEN: readonly string[] = [
  '',
  'garbage\r\n\r\n',
  'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Le',
  'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n',
];

/** @param number of the request's target, see `requestText` and `upgradeRequest` */
export function upstreamScript(number: number, isHead: boolean): UpstreamScript {
  const random = seeded(number ^ 0x5bd1e995);
  for (let i = 0; i < 3; i++) random();
  if (random() < 0.06) {
    // A connection that is then used again would race with its end.
    const bytes = pick(random, BROKEN).replace(
      / 200 OK\r\n(?=.*\r\n\r\n)/s,
      ' 200 OK\r\nConnection: close\r\n',
    );
    return { parts: inParts(random, bytes), ending: random() < 0.7 ? 'end' : 'reset', broken: true };
  }
  let lines: string[] = [];
  const once = new Set<string>();
  for (let i = Math.floor(random() * 5); i > 0; i--) {
    const line = pick(random, RESPONSE_FIELDS);
    if (once.has(line)) continue;
    once.add(line);
    lines.push(line);
  }
  let interim = '';
  // In a pipeline the full lane writes an interim response where it stands, which may be in the middle of another one.
  if (number % 2 === 1 && random() < 0.06)
    interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n';
  const kind = random();
  const content = contentOf(random);
  let ending: UpstreamScript['ending'] = 'keep';
  let version = 'HTTP/1.1';
  let status = pick(random, STATUS);
  let body = '';
  if (kind < 0.06) {
    status = pick(random, ['204 No Content', '304 Not Modified']);
    if (status.startsWith('304') && random() < 0.5) lines.push('Content-Length: 17');
  } else if (kind < 0.5) {
    lines.splice(Math.floor(random() * lines.length), 0, `Content-Length: ${content.length}`);
    body = content;
  } else if (kind < 0.8) {
    lines.splice(Math.floor(random() * lines.length), 0, 'Transfer-Encoding: chunked');
    const trailers = random() < 0.2;
    // The full lane answers 502 to a response to HEAD that announces trailers.
    if (trailers && !isHead) lines.push('Trailer: X-Sum, X-Sum-Two');
    body = chunks(random, content, random() < 0.2, trailers);
  } else if (kind < 0.9) {
    // Up to the end of the connection.
    if (random() < 0.5) version = 'HTTP/1.0';
    body = content;
    ending = 'end';
    if (isHead) lines.push('Connection: close');
  } else {
    version = pick(random, ['HTTP/1.0', 'HTTP/1.1']);
    const i = lines.indexOf('Connection: keep-alive');
    if (i !== -1) lines.splice(i, 1);
    lines.push('Connection: close', `Content-Length: ${content.length}`);
    body = content;
    ending = 'end';
  }
  // Without a length Node may write such a field as UTF-8.
  if (!lines.some((line) => line.startsWith('Content-Length'))) {
    lines = lines.filter((line) => !/[\x80-\xff]/.test(line));
  }
  if (version === 'HTTP/1.0') {
    interim = '';
    const i = lines.indexOf('Connection: keep-alive');
    if (i !== -1) lines.splice(i, 1);
  }
  if (random() < 0.03 && !lines.some((line) => line.startsWith('Connection'))) {
    lines.push('X-Hop: 1', 'Connection: X-Hop, keep-alive');
  }
  const text = `${interim}${version} ${status}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${isHead ? '' : body}`;
  return { parts: inParts(random, text), ending, broken: false };
}

function inParts(random: Random, text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  // Of a reason in two packets undici keeps the second part alone.
  const statusLineEnd = text.lastIndexOf('HTTP/1') + 40;
  for (const at of cutsOf(random, text.length)) {
    if (at < statusLineEnd) continue;
    parts.push(text.slice(start, at));
    start = at;
  }
  parts.push(text.slice(start));
  return parts;
}
