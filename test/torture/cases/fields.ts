/** Field lines: names, values, folding, line ends, sizes; and fields that end with one hop. */

import {
  chunked,
  family,
  get,
  head,
  NONCE,
  octetName,
  octets,
  post,
  type RequestCase,
  SMUGGLED,
} from './case.ts';

const NAME =
  'RFC 9112, 5.1: field-line = field-name ":" OWS field-value OWS; RFC 9110, 5.1: a name is a token';
const VALUE = 'RFC 9110, 5.5: CR, LF and NUL make a value invalid; refuse, or replace them by a blank';
const CONTROL =
  'RFC 9110, 5.5: other controls may be refused, and must not be passed on unless in a safe context';
const FOLD = 'RFC 9112, 5.2: refuse obs-fold, or replace it by blanks';
const BARE = 'RFC 9112, 2.2: a bare CR is no line end; an LF may be taken for one, and leaves as CRLF';

const names = family('field-name', [
  ...[...'"(),/;<=>?@[\\]{}'].map((mark) => ({
    what: `with ${mark}`,
    source: NAME,
    bytes: get(`X${mark}A: 1`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  ...[0x00, 0x01, 0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x1f, 0x20, 0x7f, 0x80, 0x85, 0xa0, 0xff].map((code) => ({
    what: `with ${octetName(code)}`,
    source: `${NAME}; HTTP Garden, servers 8 and 14, transducer 6`,
    bytes: get(`X${String.fromCharCode(code)}A: 1`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  {
    what: 'empty',
    source: `${NAME}; HTTP Garden, server 18`,
    bytes: get(': 1'),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'empty, and nothing else',
    source: 'HTTP Garden, server 18',
    bytes: get(':'),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'empty, behind a blank',
    source: NAME,
    bytes: get('X-A: 1', ' : 1'),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'blank before the colon',
    source: 'RFC 9112, 5.1: refuse with 400',
    bytes: get('X-A : 1'),
    expect: 'reject',
  },
  {
    what: 'tab before the colon',
    source: 'RFC 9112, 5.1: refuse with 400',
    bytes: get('X-A\t: 1'),
    expect: 'reject',
  },
  {
    what: 'blank in front, first line',
    source: 'RFC 9112, 2.2: refuse, or drop the line',
    bytes: head(`GET /c/${NONCE} HTTP/1.1`, ' X-A: 1', 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ absent: ['X-A'] }],
  },
  {
    what: 'tab in front, first line',
    source: 'RFC 9112, 2.2; HTTP Garden, server 4',
    bytes: head(`GET /c/${NONCE} HTTP/1.1`, '\tContent-Length: 1', 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ absent: ['Content-Length'] }],
  },
  { what: 'no colon', source: NAME, bytes: get('X-A'), expect: 'either', ours: 'reject' },
  {
    what: 'no colon, and a value',
    source: 'HTTP Garden, transducer 14',
    bytes: get('X-A 1'),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'a request line',
    source: NAME,
    bytes: get(`GET /smuggled/${NONCE} HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'two colons',
    source: 'RFC 9112, 5.1: the first one ends the name',
    bytes: get('X-A:: 1'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': ': 1' } }],
  },
  {
    what: 'of every mark that a token has',
    source: 'RFC 9110, 5.6.2',
    bytes: get("X!#$%&'*+-.^_`|~9: 1"),
    expect: 'one',
    forwarded: [{ fields: { "X!#$%&'*+-.^_`|~9": '1' } }],
  },
  {
    what: '__proto__',
    source: 'prototype pollution in JavaScript',
    bytes: get('__proto__: 1', 'constructor: 2', 'hasOwnProperty: 3'),
    expect: 'one',
    forwarded: [{ fields: { constructor: '2', hasOwnProperty: '3' } }],
  },
  {
    what: 'of 5,000 octets',
    source: 'RFC 9110, 5.4',
    bytes: get(`${'X'.repeat(5_000)}: 1`),
    expect: 'either',
    ours: 'one',
  },
]);

const values = family('field-value', [
  ...[0x00, 0x0a, 0x0d].flatMap((code) =>
    (
      [
        ['within', `a${String.fromCharCode(code)}b`],
        ['at the end', `a${String.fromCharCode(code)}`],
        ['in front', `${String.fromCharCode(code)}a`],
      ] as const
    ).map(([where, value]) => ({
      what: `${octetName(code)} ${where}`,
      source: `${VALUE}; HTTP Garden, servers 2, 34 and 35, transducers 10 and 12`,
      bytes: get(`X-A: ${value}`),
      expect: 'either' as const,
      ours: 'reject' as const,
    })),
  ),
  ...[0x01, 0x02, 0x07, 0x08, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f, 0x7f].map((code) => ({
    what: `${octetName(code)} within`,
    source: CONTROL,
    bytes: get(`X-A: a${String.fromCharCode(code)}b`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  {
    what: 'CR and another field',
    source: `${BARE}; HTTP Garden, server 13`,
    bytes: get('X-A: :/\rX-Traffic-Group: INTERNAL'),
    expect: 'either',
    ours: 'reject',
    never: ['internal'],
  },
  {
    what: 'CR and an empty line',
    source: `${BARE}; llhttp, headers separated by dummy characters`,
    bytes: `${get('X-A: 1').slice(0, -2)}\rZ${SMUGGLED}`,
    expect: 'reject',
  },
  {
    what: 'CR CR LF',
    source: BARE,
    bytes: get('X-A: 1\r'),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'LF and a length',
    source: `${BARE}; llhttp, missing CR between headers`,
    bytes: `${get(`X-A: x\nContent-Length: ${octets(SMUGGLED)}`)}${SMUGGLED}`,
    expect: 'either',
    ours: 'reject',
    forwarded: [{ body: SMUGGLED }],
  },
  {
    what: 'LF LF',
    source: BARE,
    bytes: `GET /c/${NONCE} HTTP/1.1\r\nHost: a\r\nX-A: 1\n\n`,
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'CR LF LF',
    source: BARE,
    bytes: `GET /c/${NONCE} HTTP/1.1\r\nHost: a\r\n\n`,
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'LF CR LF',
    source: BARE,
    bytes: `GET /c/${NONCE} HTTP/1.1\r\nHost: a\n\r\n`,
    expect: 'either',
    ours: 'reject',
  },
  { what: 'folded by a blank', source: FOLD, bytes: get('X-A: 1', ' 2'), expect: 'either', ours: 'reject' },
  { what: 'folded by a tab', source: FOLD, bytes: get('X-A: 1', '\t2'), expect: 'either', ours: 'reject' },
  {
    what: 'folded by nothing but blanks',
    source: FOLD,
    bytes: get('X-A: 1', '   '),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'folded, what looks like a length',
    source: `${FOLD}; llhttp, spaces before headers`,
    bytes: `${get('X-A: bar', ` Content-Length: ${octets(SMUGGLED)}`)}${head(`GET /c/${NONCE}/2 HTTP/1.1`, 'Host: a')}`,
    expect: 'either',
    ours: 'reject',
    forwarded: [{}, { target: `/c/${NONCE}/2` }],
  },
  { what: 'folded by LF', source: FOLD, bytes: get('X-A: 1\n 2'), expect: 'either', ours: 'reject' },
  { what: 'folded between name and colon', source: NAME, bytes: get('X-A', ' : 1'), expect: 'reject' },
  {
    what: 'octets above ASCII, byte for byte',
    source: 'RFC 9110, 5.5: obs-text is opaque',
    bytes: get('X-A: \x80\x85\xa0\xff'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': '\x80\x85\xa0\xff' } }],
  },
  {
    what: 'a tab within',
    source: 'RFC 9110, 5.5',
    bytes: get('X-A: a\tb'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': 'a\tb' } }],
  },
  {
    what: 'empty',
    source: 'RFC 9110, 5.5',
    bytes: get('X-A:'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': '' } }],
  },
  {
    what: 'of blanks',
    source: 'RFC 9112, 5.1: OWS',
    bytes: get('X-A:  \t '),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': '' } }],
  },
  {
    what: 'several lines of one name',
    source: 'RFC 9110, 5.3: the order of the lines stays',
    bytes: get('X-A: 1', 'X-B: 1', 'X-A: 2'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': ['1', '2'] } }],
  },
  {
    what: 'encoded CR and LF',
    source: 'response splitting by reflection',
    bytes: get('X-A: %0d%0aX-B: 1'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': '%0d%0aX-B: 1' } }],
  },
  {
    what: 'CR and LF in UTF-16, cut down to octets',
    source: 'U+010D and U+010A, node:http 4 (CVE-2016-2216)',
    bytes: get('X-A: \xc4\x8d\xc4\x8aX-B: 1'),
    expect: 'one',
    forwarded: [{ fields: { 'X-A': '\xc4\x8d\xc4\x8aX-B: 1' }, absent: ['X-B'] }],
  },
]);

const SIZE = 'RFC 9110, 5.4: 4xx for more than one takes; RFC 6585, 5: 431';

const sizes = family('size', [
  {
    what: 'a value of 12,000 octets',
    source: SIZE,
    bytes: get(`X-A: ${'a'.repeat(12_000)}`),
    expect: 'either',
    ours: 'one',
  },
  {
    what: 'a value of 100,000 octets',
    source: SIZE,
    bytes: get(`X-A: ${'a'.repeat(100_000)}`),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'a value of 1,000,000 octets',
    source: SIZE,
    bytes: get(`X-A: ${'a'.repeat(1_000_000)}`),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: '100 fields',
    source: SIZE,
    bytes: get(...Array.from({ length: 100 }, (_, i) => `X-${i}: 1`)),
    expect: 'either',
    ours: 'one',
  },
  {
    what: '3,000 fields',
    source: SIZE,
    bytes: get(...Array.from({ length: 3_000 }, (_, i) => `X-${i}: 1`)),
    expect: 'either',
    ours: 'reject',
  },
  {
    what: '10,000 empty fields of one name',
    source: SIZE,
    bytes: get(...new Array<string>(10_000).fill('A:')),
    expect: 'either',
    ours: 'reject',
  },
]);

const HOP = 'RFC 9110, 7.6.1: fields of one connection, and those that Connection names, are not passed on';
const ABUSE = 'abuse of hop-by-hop fields (Davison 2019)';

const hops = family('hop-by-hop', [
  ...(
    [
      ['Keep-Alive', 'timeout=5'],
      ['Proxy-Connection', 'keep-alive'],
      ['Proxy-Authorization', 'Basic eDp5'],
      ['TE', 'trailers'],
      ['Trailer', 'X-Sum'],
    ] as const
  ).map(([name, value]) => ({
    what: name,
    source: HOP,
    bytes: get(`${name}: ${value}`),
    expect: 'one' as const,
    // Of those that Connection does not name the RFC only says SHOULD.
    forwardedByUs: [{ absent: [name] }],
  })),
  {
    what: 'a field that Connection names',
    source: HOP,
    bytes: get('Connection: X-Hop', 'X-Hop: 1'),
    expect: 'one',
    forwarded: [{ absent: ['X-Hop'] }],
  },
  {
    what: 'a field that Connection names in another case',
    source: HOP,
    bytes: get('X-Hop: 1', 'Connection: keep-alive, x-hOP'),
    expect: 'one',
    forwarded: [{ absent: ['X-Hop'] }],
  },
  {
    what: 'fields that several Connection lines name',
    source: HOP,
    bytes: get('Connection: X-One', 'X-One: 1', 'X-Two: 2', 'Connection: X-Two'),
    expect: 'one',
    forwarded: [{ absent: ['X-One', 'X-Two'] }],
  },
  {
    what: 'a field that Connection names among empty elements',
    source: 'RFC 9110, 5.6.1.2: empty elements are ignored',
    bytes: get('Connection: , ,X-Hop, ,', 'X-Hop: 1'),
    expect: 'one',
    forwarded: [{ absent: ['X-Hop'] }],
  },
  {
    what: 'close among other names',
    source: 'RFC 9112, 9.6',
    bytes: get('Connection: X-Hop, close', 'X-Hop: 1'),
    expect: 'one',
    closes: true,
    forwarded: [{ absent: ['X-Hop'] }],
  },
  ...(
    [
      ['the group', 'X-Traffic-Group', 'ENTERPRISE'],
      ['Authorization', 'Authorization', 'Bearer x'],
      ['Cookie', 'Cookie', 'a=b'],
      ['Content-Type', 'Content-Type', 'text/plain'],
    ] as const
  ).map(([what, name, value]) => ({
    what: `${what}, which Connection cannot take away`,
    source: `${ABUSE}; RFC 9110, 7.6.1: never for fields that are meant for all recipients`,
    bytes: get(`Connection: ${name}`, `${name}: ${value}`),
    expect: 'either' as const,
    ours: 'one' as const,
    forwarded: [
      what === 'the group'
        ? { fields: { [name]: value }, backend: 'enterprise' as const }
        : { fields: { [name]: value } },
    ],
  })),
  {
    what: 'Host, which Connection cannot take away',
    source: ABUSE,
    bytes: get('Connection: Host'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ host: 'a' }],
  },
  {
    what: 'a length, which Connection cannot take away',
    source: `${ABUSE}; CVE-2022-26377 family`,
    bytes: post(['Connection: Content-Length', `Content-Length: ${octets(SMUGGLED)}`], SMUGGLED),
    expect: 'either',
    ours: 'one',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'the coding, which Connection cannot take away',
    source: ABUSE,
    bytes: post(['Connection: Transfer-Encoding', 'Transfer-Encoding: chunked'], chunked(SMUGGLED)),
    expect: 'either',
    ours: 'one',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'X-Forwarded-For, which Connection cannot take away',
    source: ABUSE,
    bytes: get('Connection: X-Forwarded-For', 'X-Forwarded-For: 1.2.3.4'),
    expect: 'one',
  },
  {
    what: 'Connection that is no token',
    source: 'RFC 9110, 7.6.1',
    bytes: get('Connection: @@@'),
    expect: 'either',
    ours: 'one',
  },
  {
    what: 'Connection: close and keep-alive',
    source: 'RFC 9112, 9.3: close wins',
    bytes: get('Connection: keep-alive, close'),
    expect: 'one',
    closes: true,
  },
  {
    what: 'Connection of 10,000 names',
    source: ABUSE,
    bytes: get(`Connection: ${Array.from({ length: 2_000 }, (_, i) => `x${i}`).join(',')}`),
    expect: 'either',
    ours: 'one',
  },
]);

const EXPECT = 'RFC 9110, 10.1.1';

const expects = family('expect', [
  {
    what: '100-continue, the body at once',
    source: EXPECT,
    bytes: post(['Expect: 100-continue', 'Content-Length: 4'], 'abcd'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: '100-continue in another case',
    source: EXPECT,
    bytes: post(['Expect: 100-Continue', 'Content-Length: 4'], 'abcd'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: '100-continue without a body',
    source: EXPECT,
    bytes: get('Expect: 100-continue'),
    expect: 'one',
    mayEnd: true,
  },
  {
    what: '100-continue twice',
    source: EXPECT,
    bytes: post(['Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 4'], 'abcd'),
    expect: 'either',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  ...['x', '100-continued', '200-ok', '100-continue, x', '"100-continue"'].map((value) => ({
    what: `${value}, which nobody can meet`,
    source: `${EXPECT}: 417`,
    bytes: post([`Expect: ${value}`, 'Content-Length: 4'], 'abcd'),
    expect: 'either' as const,
    ours: 'reject' as const,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  })),
  {
    what: '100-continue of HTTP/1.0',
    source: `${EXPECT}: ignore it`,
    bytes: `${head(`POST /c/${NONCE} HTTP/1.0`, 'Host: a', 'Expect: 100-continue', 'Content-Length: 4')}abcd`,
    expect: 'either',
    closes: true,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: '100-continue and a request for a body',
    source: 'Expect desync (Kettle 2025)',
    bytes: post(['Expect: 100-continue', `Content-Length: ${octets(SMUGGLED)}`], SMUGGLED),
    expect: 'one',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'y 100-continue, of GET with a body',
    source: 'Expect desync (Kettle 2025)',
    bytes: get('Expect: y 100-continue', `Content-Length: ${octets(SMUGGLED)}`) + SMUGGLED,
    expect: 'either',
    ours: 'reject',
    forwarded: [{ body: SMUGGLED }],
  },
  {
    what: '100-continue and chunks',
    source: EXPECT,
    bytes: post(['Expect: 100-continue', 'Transfer-Encoding: chunked'], chunked(SMUGGLED)),
    expect: 'one',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
]);

const UPGRADE = 'RFC 9110, 7.8: a server may ignore Upgrade';
const H2C = 'h2c smuggling (Bishop Fox 2020)';

// Behind a request under way an upgrade is an ordinary request to Pointsman, the last one of its connection.
const upgrades = family('upgrade', [
  {
    what: 'h2c',
    mayEnd: 'behind',
    source: H2C,
    bytes: get(
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
    ),
    expect: 'one',
    forwarded: [{ absent: ['Upgrade', 'HTTP2-Settings'] }],
  },
  {
    what: 'h2c without the settings in Connection',
    mayEnd: 'behind',
    source: H2C,
    bytes: get('Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'),
    expect: 'one',
    forwarded: [{ absent: ['Upgrade'] }],
  },
  {
    what: 'Upgrade that Connection does not name',
    mayEnd: 'behind',
    source: UPGRADE,
    bytes: get('Upgrade: websocket'),
    expect: 'one',
    forwarded: [{ absent: ['Upgrade'] }],
  },
  {
    what: 'a protocol that nobody knows',
    mayEnd: 'behind',
    source: UPGRADE,
    bytes: get('Connection: Upgrade', 'Upgrade: foo/1'),
    expect: 'one',
    forwarded: [{ absent: ['Upgrade'] }],
  },
  {
    what: 'TLS',
    mayEnd: 'behind',
    source: 'RFC 2817',
    bytes: get('Connection: Upgrade', 'Upgrade: TLS/1.0'),
    expect: 'one',
    forwarded: [{ absent: ['Upgrade'] }],
  },
  {
    what: 'a WebSocket that the upstream refuses, and a request behind it',
    source: 'WebSocket smuggling (0ang3el 2019)',
    bytes: get(
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 1337',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ),
    expect: 'either',
    mayEnd: true,
    forwarded: [{}],
  },
  {
    what: 'a WebSocket with a body',
    mayEnd: 'behind',
    source: 'RFC 6455, 4.1: a GET, which has none',
    bytes:
      get(
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        `Content-Length: ${octets(SMUGGLED)}`,
      ) + SMUGGLED,
    expect: 'either',
    forwarded: [{ body: SMUGGLED }],
  },
  {
    what: 'a WebSocket by POST',
    mayEnd: 'behind',
    source: 'RFC 6455, 4.1',
    bytes: post(['Connection: Upgrade', 'Upgrade: websocket', 'Content-Length: 4'], 'abcd'),
    expect: 'either',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'a WebSocket with chunks',
    mayEnd: 'behind',
    source: 'RFC 6455, 4.1',
    bytes: post(
      ['Connection: Upgrade', 'Upgrade: websocket', 'Transfer-Encoding: chunked'],
      chunked(SMUGGLED),
    ),
    expect: 'either',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'of HTTP/1.0',
    mayEnd: 'behind',
    source: 'RFC 9110, 7.8: ignored in HTTP/1.0',
    bytes: head(`GET /c/${NONCE} HTTP/1.0`, 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket'),
    expect: 'either',
    closes: true,
  },
]);

export const FIELDS: readonly RequestCase[] = [
  ...names,
  ...values,
  ...sizes,
  ...hops,
  ...expects,
  ...upgrades,
];
