/** Chunked bodies: sizes, extensions, line ends, what comes behind a chunk, trailers. */

import { family, head, hex, NONCE, octetName, octets, post, type RequestCase, SMUGGLED } from './case.ts';

const GRAMMAR = 'RFC 9112, 7.1: chunk-size = 1*HEXDIG';
const FUNKY = 'Funky chunks (w4ke 2025): line terminators in chunked bodies';

const CHUNKED = 'Transfer-Encoding: chunked';

/** Two octets, under that line. */
function sized(line: string): string {
  return post([CHUNKED], `${line}\r\nab\r\n0\r\n\r\n`);
}

const BAD_SIZES: readonly (readonly [string, string, string])[] = [
  ['empty', '', `${GRAMMAR}; HTTP Garden, server 17`],
  ['plus', '+2', `${GRAMMAR}; HTTP Garden, server 1`],
  ['minus', '-2', `${GRAMMAR}; HTTP Garden, transducer 19`],
  ['0x', '0x2', `${GRAMMAR}; HTTP Garden, server 1`],
  ['0X', '0X2', GRAMMAR],
  ['minus and 0x', '-0x2', `${GRAMMAR}; HTTP Garden, transducer 19`],
  ['underscore', '0_2', `${GRAMMAR}; CVE-2023-47627`],
  ['blank in front', ' 2', `${GRAMMAR}; HTTP Garden, transducer 24`],
  ['tab in front', '\t2', GRAMMAR],
  ['blank within', '0 2', GRAMMAR],
  ['h behind', '2h', GRAMMAR],
  ['letters that are no digits', '2these-bytes', 'HTTP Garden, transducer 7: longest valid prefix'],
  ['no digits', 'Z', 'HTTP Garden, transducer 2'],
  ['quoted', '"2"', GRAMMAR],
  ['comma', '2,', GRAMMAR],
  ['decimal point', '2.0', GRAMMAR],
  ['percent', '%32', GRAMMAR],
  ['NUL behind', '2\x00', GRAMMAR],
  ['CR behind', '2\r', FUNKY],
  ['vertical tab behind', '2\x0b', GRAMMAR],
  ['form feed behind', '2\x0c', GRAMMAR],
  ['0xa0 behind', '2\xa0', GRAMMAR],
  ['0xff in front', '\xff2', GRAMMAR],
  ['more than 64 bits', '10000000000000002', 'RFC 9112, 7.1: overflow; wraps to 2'],
  ['sixteen f', 'ffffffffffffffff', 'RFC 9112, 7.1: -1 when signed'],
  ['fifteen f and e', 'fffffffffffffffe', 'RFC 9112, 7.1: -2 when signed'],
  ['just above 63 bits', '8000000000000002', 'RFC 9112, 7.1'],
  ['just above a double', '20000000000002', 'RFC 9112, 7.1: beyond 2^53 integers are not exact'],
  ['a thousand digits', 'f'.repeat(1000), 'RFC 9112, 7.1'],
  ['a fullwidth digit', '\xef\xbc\x92', GRAMMAR],
];

const sizes = family('chunk-size', [
  ...BAD_SIZES.map(([what, line, source]) => ({
    what,
    source,
    bytes: sized(line),
    expect: 'reject' as const,
  })),
  ...(
    [
      ['capital digits', 'A', 10],
      ['small digits', 'a', 10],
      ['leading zero', '0a', 10],
      ['several leading zeros', '000000a', 10],
    ] as const
  ).map(([what, line, size]) => ({
    what,
    source: GRAMMAR,
    bytes: post([CHUNKED], `${line}\r\n${'x'.repeat(size)}\r\n0\r\n\r\n`),
    expect: 'one' as const,
    forwarded: [{ method: 'POST', body: 'x'.repeat(size) }],
  })),
  {
    what: 'many leading zeros',
    source: `${GRAMMAR}: a proxy may bound them, as the fast lane does`,
    bytes: post([CHUNKED], `${'0'.repeat(60)}2\r\nab\r\n0\r\n\r\n`),
    expect: 'either',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'the last chunk of several zeros',
    source: 'RFC 9112, 7.1: last-chunk = 1*("0")',
    bytes: post([CHUNKED], '2\r\nab\r\n000\r\n\r\n'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'blank behind',
    source: 'RFC 9112, 7.1.1: only in front of an extension',
    bytes: sized('2 '),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'blanks behind the last',
    source: 'RFC 9112, 7.1.1',
    bytes: post([CHUNKED], '2\r\nab\r\n0  \r\n\r\n'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'no chunk but the last',
    source: 'RFC 9112, 7.1',
    bytes: post([CHUNKED], '0\r\n\r\n'),
    expect: 'one',
    forwarded: [{ method: 'POST' }],
  },
  {
    what: 'a chunk of one octet each',
    source: 'RFC 9112, 7.1',
    bytes: post([CHUNKED], `${[...'abcdefghij'].map((octet) => `1\r\n${octet}\r\n`).join('')}0\r\n\r\n`),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcdefghij' }],
  },
]);

const BAD_ENDS: readonly (readonly [string, string, string])[] = [
  ['LF behind the size', '2\nab\r\n0\r\n\r\n', FUNKY],
  ['CR behind the size', '2\rab\r\n0\r\n\r\n', FUNKY],
  ['CR and another octet behind the size', '2\rXab\r\n0\r\n\r\n', FUNKY],
  ['two CR behind the size', '2\r\r\nab\r\n0\r\n\r\n', FUNKY],
  ['LF behind the data', '2\r\nab\n0\r\n\r\n', `HTTP Garden, transducer 13; ${FUNKY}`],
  ['CR behind the data', '2\r\nab\r0\r\n\r\n', FUNKY],
  ['nothing behind the data', '2\r\nab0\r\n\r\n', FUNKY],
  ['two other octets behind the data', '2\r\nabXX0\r\n\r\n', FUNKY],
  ['CR and another octet behind the data', '2\r\nab\rX0\r\n\r\n', FUNKY],
  ['two CR behind the data', '2\r\nab\r\r0\r\n\r\n', FUNKY],
  ['two line ends behind the data', '2\r\nab\r\n\r\n0\r\n\r\n', 'HTTP Garden, transducer 17'],
  ['more data than the size', '2\r\nabc\r\n0\r\n\r\n', 'RFC 9112, 7.1'],
  ['less data than the size', '4\r\nab\r\n0\r\n\r\n', 'RFC 9112, 7.1'],
  ['LF behind the last size', '2\r\nab\r\n0\n\r\n', FUNKY],
  ['CR behind the last size', '2\r\nab\r\n0\r\r\n', FUNKY],
  ['LF for the last line', '2\r\nab\r\n0\r\n\n', FUNKY],
  ['CR for the last line', '2\r\nab\r\n0\r\n\rX', FUNKY],
  ['LF throughout', '2\nab\n0\n\n', FUNKY],
  ['other octets for the last line', '2\r\nab\r\n0\r\nXX', 'HTTP Garden, server 39; CVE-2023-40175'],
];

const ends = family('chunk-end', [
  ...BAD_ENDS.map(([what, body, source]) => ({
    what,
    source,
    bytes: post([CHUNKED], body),
    expect: 'reject' as const,
  })),
  {
    what: 'a chunk that hides a request behind CR CR',
    source: 'HTTP Garden, server 31 and transducer 36',
    bytes: post([CHUNKED], `${hex(0x41)};a=b\r\r${'X'.repeat(0x41)}\r\n0\r\n\r\n${SMUGGLED}`),
    expect: 'reject',
  },
  {
    what: 'a chunk that hides a request behind LF',
    source: FUNKY,
    bytes: post([CHUNKED], `2;\nxx\r\n${hex(octets(SMUGGLED) + 5)}\r\n0\r\n\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    expect: 'reject',
  },
  {
    what: 'no last chunk',
    source: 'RFC 9112, 8',
    bytes: post([CHUNKED], '2\r\nab\r\n'),
    expect: 'reject',
    unfinished: true,
  },
  {
    what: 'no end of the trailers',
    source: 'RFC 9112, 7.1.2',
    bytes: post([CHUNKED], '2\r\nab\r\n0\r\nX-Sum: 1\r\n'),
    expect: 'reject',
    unfinished: true,
  },
  {
    what: 'a request behind the last chunk',
    source: 'RFC 9112, 7.1',
    bytes: post([CHUNKED], '2\r\nab\r\n0\r\n\r\n') + head(`GET /c/${NONCE}/2 HTTP/1.1`, 'Host: a'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'ab' }, { target: `/c/${NONCE}/2` }],
  },
  {
    what: 'chunks within a chunk',
    source: 'RFC 9112, 7.1',
    bytes: post([CHUNKED], `${hex(12)}\r\n2\r\nxy\r\n0\r\n\r\n\r\n0\r\n\r\n`),
    expect: 'one',
    forwarded: [{ method: 'POST', body: '2\r\nxy\r\n0\r\n\r\n' }],
  },
]);

const EXTENSIONS = 'RFC 9112, 7.1.1: a recipient must ignore extensions that it does not know';

const extensions = family('chunk-extension', [
  ...[';a', ';a=b', ';a="b c"', ';a="\\""', ';a=b;c=d', '; a=b', ' ;a=b', '\t;\ta\t=\tb'].map(
    (extension) => ({
      what: JSON.stringify(extension),
      source: EXTENSIONS,
      bytes: sized(`2${extension}`),
      // Blanks around what is in it are bad whitespace, which one need not take.
      expect: /[ \t]/.test(extension.replaceAll('"b c"', '')) ? ('either' as const) : ('one' as const),
      ...(/[ \t]/.test(extension.replaceAll('"b c"', '')) ? { ours: 'reject' as const } : {}),
      forwarded: [{ method: 'POST', body: 'ab' }],
    }),
  ),
  {
    what: 'on the last chunk',
    source: EXTENSIONS,
    bytes: post([CHUNKED], '2\r\nab\r\n0;a=b\r\n\r\n'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'of 20,000 octets',
    source: 'RFC 9112, 7.1.1: limit the total length; CVE-2023-39326, CVE-2024-22019',
    bytes: sized(`2;${'a'.repeat(20_000)}`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  ...(
    [
      ['a semicolon alone', ';', 'reject'],
      ['no name', ';=b', 'one'],
      ['a quote without an end', ';a="b', 'reject'],
      ['an empty value', ';a=', 'one'],
      ['octets behind a quoted value', ';a="b"c', 'reject'],
    ] as const
  ).map(([what, extension, ours]) => ({
    what,
    source: `${EXTENSIONS}, of which this is none`,
    bytes: sized(`2${extension}`),
    expect: 'either' as const,
    ours,
    forwarded: [{ method: 'POST', body: 'ab' }],
  })),
  ...[0x00, 0x01, 0x0b, 0x1f, 0x7f].map((code) => ({
    what: `with ${octetName(code)}`,
    source: `${EXTENSIONS}, of which this is none; ${FUNKY}`,
    bytes: sized(`2;a=b${String.fromCharCode(code)}c`),
    expect: 'either' as const,
    ours: 'reject' as const,
    forwarded: [{ method: 'POST', body: 'ab' }],
  })),
  ...[0x0a, 0x0d].map((code) => ({
    what: `with ${octetName(code)}`,
    source: `${EXTENSIONS}, of which this is none; ${FUNKY}`,
    bytes: sized(`2;a=b${String.fromCharCode(code)}c`),
    expect: 'reject' as const,
  })),
  {
    what: 'CR in front of the semicolon',
    source: 'HTTP Garden, transducer 3',
    bytes: post([CHUNKED], `2\r\r;a\r\n02\r\n${hex(41)}\r\n0\r\n\r\n${SMUGGLED}`),
    expect: 'reject',
  },
  {
    what: 'LF in a quoted value',
    source: FUNKY,
    bytes: sized('2;a="\n"'),
    expect: 'reject',
  },
  {
    what: 'CRLF in a quoted value',
    source: FUNKY,
    bytes: post([CHUNKED], `2;a="\r\nab\r\n0\r\n\r\n"\r\n${SMUGGLED}`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
]);

const TRAILERS = 'RFC 9110, 6.5.1: nothing that frames, routes or authenticates may come as a trailer';

const trailers = family('trailer', [
  {
    what: 'one',
    source: 'RFC 9112, 7.1.2',
    bytes: post([CHUNKED], '2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'ab', absent: ['X-Sum'] }],
  },
  ...(
    [
      ['the group', 'X-Traffic-Group: INTERNAL'],
      ['a length', `Content-Length: ${octets(SMUGGLED)}`],
      ['a coding', 'Transfer-Encoding: chunked'],
      ['Host', 'Host: evil'],
      ['Connection', 'Connection: close'],
      ['X-Forwarded-For', 'X-Forwarded-For: 1.2.3.4'],
    ] as const
  ).map(([what, line]) => ({
    what,
    source: TRAILERS,
    bytes: post([CHUNKED], `2\r\nab\r\n0\r\n${line}\r\n\r\n`),
    expect: 'either' as const,
    ...(what === 'a length' || what === 'a coding' ? {} : { ours: 'one' as const }),
    // llhttp goes by it.
    ...(what === 'Connection' ? { mayEnd: true as const } : {}),
    never: ['internal'] as const,
    forwarded: [{ method: 'POST', body: 'ab', host: 'a', backend: 'other' as const }],
  })),
  {
    what: 'that looks like a request line',
    source: 'HTTP Garden, server 39; CVE-2023-40175',
    bytes: post([CHUNKED], `0\r\nX:POST /smuggled/${NONCE} HTTP/1.1\r\n\r\n`),
    expect: 'one',
    forwarded: [{ method: 'POST' }],
  },
  ...(
    [
      ['without a colon', 'X-Sum 1'],
      ['with a blank before the colon', 'X-Sum : 1'],
      ['folded', 'X-Sum: 1\r\n 2'],
      ['with a bare CR', 'X-Sum: 1\r2'],
      ['with a NUL', 'X-Sum: 1\x002'],
      ['with no name', ': 1'],
      ['ended by LF', 'X-Sum: 1\nX-Sum: 2'],
      ['that is a request line', `GET /smuggled/${NONCE} HTTP/1.1`],
    ] as const
  ).map(([what, line]) => ({
    what,
    source: 'RFC 9112, 7.1.2: trailers are fields',
    bytes: post([CHUNKED], `2\r\nab\r\n0\r\n${line}\r\n\r\n`),
    expect: 'either' as const,
    ours: 'reject' as const,
    forwarded: [{ method: 'POST', body: 'ab' }],
  })),
  {
    what: 'of 100,000 octets',
    source: 'RFC 9112, 7.1.2: bounded as a head is',
    bytes: post([CHUNKED], `2\r\nab\r\n0\r\nX-Sum: ${'1'.repeat(100_000)}\r\n\r\n`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
]);

export const CHUNKS: readonly RequestCase[] = [...sizes, ...ends, ...extensions, ...trailers];
