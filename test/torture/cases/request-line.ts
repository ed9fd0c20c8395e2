/** Request lines: methods, blanks, targets, versions, HTTP/0.9 and HTTP/2. */

import { family, head, NONCE, octetName, type RequestCase } from './case.ts';

const LINE = 'RFC 9112, 3: method SP request-target SP HTTP-version';
const LENIENT = 'RFC 9112, 3: refuse, or split at blanks and write the line anew';
const TARGET = 'RFC 9112, 3.2: no blanks or controls; refuse with 400';
const GARDEN = 'HTTP Garden, server 6 and 40: methods are not validated';

const PATH = `/c/${NONCE}`;

function line(text: string): string {
  return head(text, 'Host: a');
}

const methods = family('method', [
  ...(
    [
      ['a quote in it', 'G"T', 'reject'],
      ['a parenthesis in it', 'G(T', 'reject'],
      ['a comma in it', 'GET,POST', 'reject'],
      ['a colon in it', 'GET:', 'reject'],
      ['a semicolon in it', 'GET;', 'reject'],
      ['a slash in it', 'G/T', 'reject'],
      ['brackets', '[GET]', 'reject'],
      ['an at sign', '@GET', 'reject'],
      ['no ASCII', 'G\xc9T', 'reject'],
      ['a NUL', 'G\x00T', 'reject'],
      ['a NUL behind it', 'GET\x00', 'reject'],
      ['a control', 'G\x01T', 'reject'],
      ['DEL', 'GET\x7f', 'reject'],
      ['a backspace', 'GET\x08', 'reject'],
      ['an escape', '\x1bGET', 'reject'],
      ['many kinds of octets', 'G=":<>(e),[T];?"', 'reject'],
    ] as const
  ).map(([what, method]) => ({
    what,
    source: `RFC 9110, 9.1: a method is a token; ${GARDEN}`,
    bytes: line(`${method} ${PATH} HTTP/1.1`),
    expect: 'reject' as const,
  })),
  ...['get', 'Get', 'BREW', 'X', 'MKCOLA', "!#$%&'*+.^_`|~"].map((method) => ({
    what: `${method}, which nobody has to know`,
    source: 'RFC 9110, 9.1: a token, by its case; 501 where it is not known',
    bytes: line(`${method} ${PATH} HTTP/1.1`),
    expect: 'either' as const,
    ours: 'reject' as const,
    forwarded: [{ method }],
  })),
  ...['PURGE', 'PROPFIND', 'REPORT', 'M-SEARCH', 'QUERY'].map((method) => ({
    what: `${method}, which is registered or usual`,
    source: 'IANA: Hypertext Transfer Protocol Method Registry',
    bytes: line(`${method} ${PATH} HTTP/1.1`),
    expect: 'either' as const,
    ours: 'one' as const,
    forwarded: [{ method }],
  })),
  {
    what: 'of 10,000 letters',
    source: LINE,
    bytes: line(`${'A'.repeat(10_000)} ${PATH} HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'A'.repeat(10_000) }],
  },
  { what: 'none', source: LINE, bytes: line(` ${PATH} HTTP/1.1`), expect: 'reject' },
  {
    what: 'TRACE',
    source: 'RFC 9110, 9.3.8: it shows the fields that a proxy adds',
    bytes: line(`TRACE ${PATH} HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
    mayGoOn: true,
    forwarded: [{ method: 'TRACE' }],
  },
]);

const BLANKS: readonly (readonly [string, string])[] = [
  ['two behind the method', `GET  ${PATH} HTTP/1.1`],
  ['two behind the target', `GET ${PATH}  HTTP/1.1`],
  ['a tab behind the method', `GET\t${PATH} HTTP/1.1`],
  ['a tab behind the target', `GET ${PATH}\tHTTP/1.1`],
  ['a vertical tab behind the method', `GET\x0b${PATH} HTTP/1.1`],
  ['a form feed behind the target', `GET ${PATH}\x0cHTTP/1.1`],
  ['a CR behind the target', `GET ${PATH}\rHTTP/1.1`],
  ['one behind the version', `GET ${PATH} HTTP/1.1 `],
  ['a tab behind the version', `GET ${PATH} HTTP/1.1\t`],
  ['a CR behind the version', `GET ${PATH} HTTP/1.1\r`],
  ['one in front of the method', ` GET ${PATH} HTTP/1.1`],
  ['a tab in front of the method', `\tGET ${PATH} HTTP/1.1`],
];

const blanks = family('blank', [
  ...BLANKS.map(([what, text]) => ({
    what,
    source: LENIENT,
    bytes: line(text),
    expect: 'either' as const,
    // Several blanks are split at, as llhttp does, and written as one.
    ours: text.includes('  ') ? ('one' as const) : ('reject' as const),
  })),
  {
    what: 'LF behind the target',
    source: 'HTTP Garden, server 9; RFC 9112, 2.2',
    bytes: line(`GET ${PATH}\nHTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'LF behind the request line',
    source: 'RFC 9112, 2.2: refuse, or take it for a line end and write CRLF',
    bytes: `GET ${PATH} HTTP/1.1\nHost: a\r\n\r\n`,
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'LF throughout',
    source: 'RFC 9112, 2.2; HTTP Garden, transducer 16',
    bytes: `GET ${PATH} HTTP/1.1\nHost: a\n\n`,
    expect: 'either',
    ours: 'reject',
  },
  {
    what: 'CR throughout',
    source: 'RFC 9112, 2.2: a bare CR is no line end',
    bytes: `GET ${PATH} HTTP/1.1\rHost: a\r\r`,
    expect: 'reject',
    unfinished: true,
  },
  {
    what: 'no blank but the version',
    source: LINE,
    bytes: line(`GET${PATH} HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'one empty line in front',
    source: 'RFC 9112, 2.2: ignore at least one',
    bytes: `\r\n${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'one',
  },
  {
    what: 'many empty lines in front',
    source: 'RFC 9112, 2.2',
    bytes: `${'\r\n'.repeat(50)}${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'either',
    ours: 'one',
  },
  {
    what: 'an empty line of LF in front',
    source: 'RFC 9112, 2.2',
    bytes: `\n${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'either',
  },
  {
    what: 'a NUL in front',
    source: LINE,
    bytes: `\x00${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'reject',
  },
  {
    what: 'a byte order mark in front',
    source: LINE,
    bytes: `\xef\xbb\xbf${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'reject',
  },
]);

const REFUSABLE = new Set([
  'encoded dots',
  'an encoded NUL',
  'half an encoding',
  'a percent sign',
  'octets that no URI has',
]);

const targets = family('target', [
  ...[0x00, 0x01, 0x09, 0x0b, 0x0c, 0x1f, 0x20, 0x7f].map((code) => ({
    what: `with ${octetName(code)}`,
    source: TARGET,
    bytes: line(`GET ${PATH}${String.fromCharCode(code)}x HTTP/1.1`),
    expect: 'reject' as const,
  })),
  {
    what: 'with a blank and what looks like a version',
    source: TARGET,
    bytes: line(`GET ${PATH} HTTP/1.1 HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'with a bare CR',
    source: TARGET,
    bytes: line(`GET ${PATH}\rx HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'with octets above ASCII',
    source: 'RFC 3986, 2: percent-encoded; proxies that pass them on unchanged leave two readings',
    bytes: line(`GET ${PATH}/\xc3\xa9 HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [`${PATH}/%C3%A9`, `${PATH}/%c3%a9`] }],
  },
  {
    what: 'with a fragment',
    source: 'RFC 9112, 3.2.1: absolute-path and query alone',
    bytes: line(`GET ${PATH}#x HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'with a fragment in the query',
    source: 'RFC 9112, 3.2.1',
    bytes: line(`GET ${PATH}?a#x HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: 'without a slash',
    source: 'RFC 9112, 3.2',
    bytes: line(`GET c/${NONCE} HTTP/1.1`),
    expect: 'reject',
  },
  { what: 'a query alone', source: 'RFC 9112, 3.2', bytes: line(`GET ?${NONCE} HTTP/1.1`), expect: 'reject' },
  {
    what: 'an exclamation mark',
    source: 'HTTP Garden, server 7',
    bytes: line('GET ! HTTP/1.1'),
    expect: 'reject',
  },
  {
    what: 'a backslash',
    source: 'RFC 9112, 3.2',
    bytes: line(`GET \\c\\${NONCE} HTTP/1.1`),
    expect: 'reject',
  },
  { what: 'dots', source: 'RFC 9112, 3.2', bytes: line(`GET ../${NONCE} HTTP/1.1`), expect: 'reject' },
  {
    what: '* of GET',
    source: 'RFC 9112, 3.2.4: of OPTIONS alone',
    bytes: line('GET * HTTP/1.1'),
    expect: 'reject',
  },
  {
    what: '* and more, of OPTIONS',
    source: 'RFC 9112, 3.2.4',
    bytes: line(`OPTIONS *${NONCE} HTTP/1.1`),
    expect: 'reject',
  },
  {
    what: '* of OPTIONS',
    source: 'RFC 9112, 3.2.4',
    bytes: head('OPTIONS * HTTP/1.1', 'Host: a', `X-Nonce: ${NONCE}`),
    expect: 'one',
    local: true,
    forwarded: [{ method: 'OPTIONS', target: '*' }],
  },
  ...(
    [
      ['two slashes in front', `//c/${NONCE}`],
      ['two slashes and a host', `//evil/c/${NONCE}`],
      ['dot segments', `/a/../c/./${NONCE}`],
      ['encoded dots', `/%2e%2e/c/${NONCE}`],
      ['an encoded slash', `/c%2F${NONCE}`],
      ['an encoded NUL', `/c/${NONCE}%00`],
      ['encoded CR and LF', `/c/${NONCE}%0d%0aX-A:%201`],
      ['half an encoding', `/c/${NONCE}%2`],
      ['a percent sign', `/c/${NONCE}%`],
      ['a second question mark', `/c/${NONCE}?a?b`],
      ['an empty query', `/c/${NONCE}?`],
      ['a semicolon', `/c/${NONCE};a=b`],
      ['a colon', `/c:${NONCE}`],
      ['a URL in the query', `/c/${NONCE}?u=http://evil/`],
      ['octets that no URI has', `/c/${NONCE}/"<>\\^\`{|}`],
    ] as const
  ).map(([what, target]) => ({
    what: `${what}, byte for byte`,
    source: 'RFC 9110, 7.7: a proxy does not transform; RFC 3986, 6.2.2: two readings of one path',
    bytes: line(`GET ${target} HTTP/1.1`),
    // What is no URI, or names what no file can have, may be refused.
    expect: REFUSABLE.has(what) ? ('either' as const) : ('one' as const),
    ours: 'one' as const,
    forwarded: [{ target }],
  })),
  {
    what: 'of 30,000 octets',
    source: 'RFC 9112, 3: at least 8000 octets; 414 beyond what is taken',
    bytes: line(`GET ${PATH}?${'a'.repeat(30_000)} HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: `${PATH}?${'a'.repeat(30_000)}` }],
  },
  {
    what: 'of 8,000 octets',
    source: 'RFC 9112, 3: at least 8000 octets',
    bytes: line(`GET ${PATH}?${'a'.repeat(8_000 - 12)} HTTP/1.1`),
    expect: 'one',
    forwarded: [{ target: `${PATH}?${'a'.repeat(8_000 - 12)}` }],
  },
]);

const VERSION = 'RFC 9112, 2.3: HTTP-name "/" DIGIT "." DIGIT';

const versions = family('version', [
  ...[
    'HTTP/1',
    'HTTP/1.',
    'HTTP/.1',
    'HTTP/1.1.1',
    'HTTP/1.01',
    'HTTP/01.1',
    'HTTP/1.11',
    'HTTP/1.1x',
    'HTTP/1,1',
    'HTTP/1 .1',
    'HTTP/1. 1',
    'HTTP /1.1',
    'HTTP/ 1.1',
    'HTTP/-1.1',
    'HTTP/+1.1',
    'HTTP/0x1.1',
    'HTTP/a.b',
    'HTTP1.1',
    'HTTP\\1.1',
    'HTTP//1.1',
    'HTTP/1.\xb9',
    'http/1.1',
    'Http/1.1',
    'HTTPS/1.1',
    'HTTP/',
    'HTTP',
    'ICE/1.0',
    'SIP/2.0',
    'IHTTP/1.0',
    '1.1',
    'HTTP/1.1\x00',
  ].map((version) => ({
    what: JSON.stringify(version),
    source: `${VERSION}; HTTP Garden, servers 5, 15 and 40; llhttp, invalid requests`,
    bytes: line(`GET ${PATH} ${version}`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  {
    what: 'RTSP/1.0',
    source: `${VERSION}; llhttp takes it for HTTP/1.0, and a proxy writes the line anew`,
    bytes: line(`GET ${PATH} RTSP/1.0`),
    expect: 'either',
    closes: true,
  },
  ...['HTTP/2.0', 'HTTP/3.0', 'HTTP/0.9', 'HTTP/9.9', 'HTTP/0.0'].map((version) => ({
    what: `${version}, another major one`,
    source: 'RFC 9110, 15.6.6: 505',
    bytes: line(`GET ${PATH} ${version}`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  ...['HTTP/1.2', 'HTTP/1.9'].map((version) => ({
    what: `${version}, a higher minor one`,
    source: 'RFC 9110, 2.5: as the highest minor version that is known',
    bytes: line(`GET ${PATH} ${version}`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  {
    what: 'HTTP/1.0',
    source: 'RFC 9112, 2.3',
    bytes: head(`GET ${PATH} HTTP/1.0`, 'Host: a'),
    expect: 'one',
    closes: true,
  },
  {
    what: 'HTTP/1.0 without Host',
    source: 'RFC 9112, 3.2: Host is of HTTP/1.1',
    bytes: head(`GET ${PATH} HTTP/1.0`),
    expect: 'either',
    ours: 'one',
    closes: true,
  },
  {
    what: 'HTTP/1.0 with keep-alive',
    source: 'RFC 9112, C.2.2',
    bytes: head(`GET ${PATH} HTTP/1.0`, 'Host: a', 'Connection: keep-alive'),
    expect: 'one',
  },
  {
    what: 'HTTP/1.0 with a body up to the end of the connection',
    source: 'RFC 9112, 6.3 (7): a request without a length has no body',
    bytes: `${head(`POST ${PATH} HTTP/1.0`, 'Host: a')}abcd`,
    expect: 'either',
    ours: 'one',
    closes: true,
    forwarded: [{ method: 'POST' }],
  },
  {
    what: 'HTTP/1.0 with a length and keep-alive',
    source: 'RFC 9112, C.2.2',
    bytes: `${head(`POST ${PATH} HTTP/1.0`, 'Host: a', 'Connection: keep-alive', 'Content-Length: 4')}abcd`,
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
]);

const NINE = 'RFC 9112, A: HTTP/0.9 is no part of HTTP/1.1';

const nine = family('http-0.9', [
  { what: 'GET', source: NINE, bytes: `GET ${PATH}\r\n\r\n`, expect: 'reject' },
  { what: 'GET, one line end', source: NINE, bytes: `GET ${PATH}\r\n`, expect: 'reject', unfinished: true },
  { what: 'GET, LF', source: NINE, bytes: `GET ${PATH}\n\n`, expect: 'reject' },
  { what: 'GET with Host', source: NINE, bytes: head(`GET ${PATH}`, 'Host: a'), expect: 'reject' },
  {
    what: 'GET with a blank behind it',
    source: NINE,
    bytes: head(`GET ${PATH} `, 'Host: a'),
    expect: 'reject',
  },
  { what: 'POST', source: NINE, bytes: `${head(`POST ${PATH}`, 'Content-Length: 4')}abcd`, expect: 'reject' },
  { what: 'the method alone', source: NINE, bytes: `GET\r\n\r\n`, expect: 'reject' },
  { what: 'the method and a blank', source: NINE, bytes: `GET \r\n\r\n`, expect: 'reject' },
]);

const H2 = 'RFC 9113, 3.4: the preface is made so that HTTP/1.1 servers refuse it';

const others = family('other-protocol', [
  {
    what: 'the preface of HTTP/2',
    source: H2,
    bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
    expect: 'reject',
    isOtherProtocol: true,
  },
  { what: 'PRI with HTTP/1.1', source: H2, bytes: line('PRI * HTTP/1.1'), expect: 'reject' },
  {
    what: 'PRI with HTTP/1.1 and a path',
    source: H2,
    bytes: line(`PRI ${PATH} HTTP/1.1`),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'PRI' }],
  },
  {
    what: 'TLS',
    source: 'RFC 8446, 4.1.2: ClientHello',
    bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    expect: 'reject',
  },
  {
    what: 'SSLv2',
    source: 'RFC 6101, E',
    bytes: '\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\r\n\r\n',
    expect: 'reject',
  },
  { what: 'SMTP', source: 'cross-protocol requests', bytes: 'EHLO a\r\n\r\n', expect: 'reject' },
  {
    what: 'a response',
    source: LINE,
    bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    expect: 'reject',
  },
  {
    what: 'the PROXY protocol, where none was agreed on',
    source: 'proxy-protocol.txt, 2',
    bytes: `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'reject',
  },
  {
    what: 'the PROXY protocol, version 2',
    source: 'proxy-protocol.txt, 2.2',
    bytes: `\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02${line(`GET ${PATH} HTTP/1.1`)}`,
    expect: 'reject',
  },
  { what: 'Redis', source: 'cross-protocol requests', bytes: '*1\r\n$4\r\nPING\r\n\r\n', expect: 'reject' },
]);

export const REQUEST_LINES: readonly RequestCase[] = [
  ...methods,
  ...blanks,
  ...targets,
  ...versions,
  ...nine,
  ...others,
];
