/** Streams of HTTP/1.1 messages as the grammar makes them, and as nobody should. Latin-1 strings. */

import fc from 'fast-check';

type Text = fc.Arbitrary<string>;

/** One of these, the first ones more often than the others. */
function mostly(usual: readonly string[], rare: readonly string[]): Text {
  return fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...rare) },
  );
}

const host = mostly(
  ['Host: a', 'Host: shop.example:8080', 'host:\ta'],
  ['Host: [::1]', 'Host:', 'Host: a, b'],
);

/** Fields that readers might understand differently. */
const field = mostly(
  [
    'Accept: */*',
    'X-A: b',
    'x-a:\t b \t',
    'X-Empty:',
    'Cookie: a=b; c="d"',
    'X-Obs: \xe4\xff',
    'X-Forwarded-For: 192.0.2.1, 192.0.2.2',
    'X-Traffic-Group: FREE',
    'X-Request-Id: 42',
    'Connection: keep-alive',
    'Set-Cookie: a=b',
    'Date: Thu, 01 Jan 2026 00:00:00 GMT',
  ],
  [
    'Connection: close',
    'Connection: X-A, close',
    'Connection: keep-alive, Upgrade',
    'Keep-Alive: timeout=5',
    'Proxy-Connection: close',
    'TE: trailers',
    'Trailer: X-Sum',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Expect: 100-continue',
    'X-Traffic-Group: A, B',
    'Content-Length: 0',
    'Content-Length: 3',
    'Content-Length: 03',
    'Content-Length: +3',
    'Content-Length: 0x3',
    'Content-Length: 3, 3',
    'Content-Length: 3 ',
    'Content-Length: 18446744073709551619',
    'Content-Length : 3',
    'Content_Length: 3',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: Chunked ',
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: \x0bchunked',
    'Transfer-Encoding: chunked\t',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding',
    ' folded',
    '\tfolded',
    ': nameless',
    'X-Nul: \0',
    'X-Bare: a\nb: c',
    'X-Bare: a\rb: c',
    'X\x80: a',
    'X(: a',
  ],
);

const content = fc.oneof(
  fc.stringMatching(/^[a-z]{1,20}$/),
  fc.constantFrom(
    'GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n',
    '0\r\n\r\n',
    '\r\n',
    '\0',
    'HTTP/1.1 200 OK\r\n\r\n',
  ),
);

const extension = mostly(
  ['', '', ''],
  [
    ';a',
    ';a=b',
    ';a="b;c"',
    ';a="b\\""',
    ' ;a="b;c"',
    '; a',
    ';=b',
    ';a=',
    ';a="b',
    ';a="b"c',
    ' ',
    '\t',
    ';\r',
    ';\n',
    ';\0',
    ';\xff',
  ],
);
const size = (length: number): Text =>
  mostly(
    [length.toString(16), length.toString(16).toUpperCase(), `0${length.toString(16)}`],
    [
      (length + 1).toString(16),
      (length - 1).toString(16),
      `+${length}`,
      `0x${length}`,
      ` ${length}`,
      '',
      'ffffffffffffffff',
      '00000000000000000',
      `${length}h`,
    ],
  );
const lineEnd = fc.oneof(
  { weight: 30, arbitrary: fc.constant('\r\n') },
  { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '', '\r\r\n', '\n\r', ' \r\n') },
);

const chunk = content.chain((data) =>
  fc.tuple(size(data.length), extension, lineEnd, fc.constant(data), lineEnd).map((parts) => parts.join('')),
);
const trailer = mostly(
  ['X-Sum: 1\r\n', 'X-T:\r\n'],
  ['Content-Length: 5\r\n', ' folded\r\n', 'x\r\n', ': a\r\n', 'A : b\r\n'],
);

const chunked = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    mostly(['0', '0', '000'], ['0;last', '', 'g', '00000000000000']),
    lineEnd,
    fc.array(trailer, { maxLength: 2 }),
    lineEnd,
  )
  .map(([chunks, last, end, trailers, close]) => chunks.join('') + last + end + trailers.join('') + close);

/** Framing, its field and its body. */
const sized = content.chain((data) =>
  mostly([`${data.length}`], [`${data.length + 1}`, `${data.length - 1}`, `0${data.length}`, '']).map(
    (length) => [`Content-Length: ${length}`, data] as const,
  ),
);
const framed: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.constant(['', ''] as const),
  sized,
  chunked.map((body) => ['Transfer-Encoding: chunked', body] as const),
);

function head(startLine: Text, first: Text): Text {
  return fc
    .tuple(startLine, first, fc.array(field, { maxLength: 4 }), framed, fc.nat({ max: 4 }), lineEnd, lineEnd)
    .map(([start, line, fields, [framing, body], at, firstEnd, lastEnd]) => {
      const lines = [line, ...fields].filter((text) => text !== '');
      if (framing !== '') lines.splice(at, 0, framing);
      return `${start}${firstEnd}${lines.map((text) => `${text}\r\n`).join('')}${lastEnd}${body}`;
    });
}

const requestLine = fc
  .tuple(
    mostly(
      ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH'],
      ['get', 'TRACE', 'CONNECT', 'PRI', 'G T', ''],
    ),
    mostly(
      ['/', '/a?b=c', '/%41/../b', '/a"<>|{}'],
      ['*', 'http://a/', 'a', '/#f', '/\xe4', '/a b', '/\0', '//', ''],
    ),
    mostly(
      ['HTTP/1.1'],
      ['HTTP/1.0', 'HTTP/1.2', 'http/1.1', 'HTTP/2.0', 'HTTP/1.1 ', 'HTTP/01.1', 'ICE/1.1', ''],
    ),
  )
  .map((parts) => parts.join(' '));

const statusLine = fc
  .tuple(
    mostly(
      ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'],
      ['HTTP/1.2', 'http/1.1', 'HTTP/2', 'HTTP/2.0', 'HTTP/0.9', 'ICY'],
    ),
    mostly(
      ['200', '200', '404', '503', '100', '103', '204', '304', '299'],
      ['101', '099', '20', '2000', '+20', '2 0', ''],
    ),
    mostly([' OK', ' ', ' Not \xe4 Good', ''], [' a\tb', ' \0', ' a\nb', 'OK', '\t']),
  )
  .map(([version, status, reason]) => `${version} ${status}${reason}`);

/** One to three requests, one behind the other. */
export const requestStream: Text = fc
  .array(head(requestLine, host), { minLength: 1, maxLength: 3 })
  .map((requests) => requests.join(''));

/** What an upstream might send on one connection. */
export const responseStream: Text = fc
  .array(head(statusLine, fc.constant('')), { minLength: 1, maxLength: 3 })
  .map((responses) => responses.join(''));

const edit = fc.tuple(
  fc.nat({ max: 9_999 }),
  fc.constantFrom('insert', 'replace', 'delete', 'repeat', 'cut'),
  fc.oneof(
    fc.constantFrom(
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
      '1',
      'f',
      '-',
      '/',
      '\r\n\r\n',
    ),
    fc.constantFrom(
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Host: b\r\n',
      'Connection: close\r\n',
    ),
  ),
);

/** Spoilt in up to three places; as it was more often than not. */
export function mutated(stream: Text): Text {
  return fc.tuple(stream, fc.array(edit, { maxLength: 3, size: 'small' })).map(([text, edits]) => {
    let result = text;
    for (const [place, kind, bytes] of edits) {
      const at = Math.floor((place / 10_000) * result.length);
      switch (kind) {
        case 'insert':
          result = result.slice(0, at) + bytes + result.slice(at);
          break;
        case 'replace':
          result = result.slice(0, at) + bytes + result.slice(at + bytes.length);
          break;
        case 'delete':
          result = result.slice(0, at) + result.slice(at + 1);
          break;
        case 'repeat':
          result = result.slice(0, at) + result.slice(Math.max(0, at - 3));
          break;
        case 'cut':
          result = result.slice(0, at);
          break;
      }
    }
    return result;
  });
}

/** Where a stream is cut into packets, as shares of its length. */
export const cutAt: fc.Arbitrary<number[]> = fc.array(
  fc.nat({ max: 9_999 }).map((part) => part / 10_000),
  { maxLength: 6 },
);
