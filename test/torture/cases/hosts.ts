/** Host, and targets that name a host themselves. */

import { family, head, NONCE, octetName, type RequestCase } from './case.ts';

const ONE_HOST = 'RFC 9112, 3.2: 400 where Host is missing, comes more than once, or is invalid';
const ABSOLUTE = 'RFC 9112, 3.2.2: the host of an absolute target replaces Host';
const TROUBLES = 'Host of Troubles (Chen et al. 2016)';

const PATH = `/c/${NONCE}`;
const GET = `GET ${PATH} HTTP/1.1`;

const BAD_HOSTS: readonly (readonly [string, string])[] = [
  ['a blank within', 'a b'],
  ['a tab within', 'a\tb'],
  ['a slash', 'a/b'],
  ['a path', 'a/'],
  ['a question mark', 'a?b'],
  ['a fragment', 'a#b'],
  ['user information', 'u@a'],
  ['user and password', 'u:p@a'],
  ['a scheme', 'http://a'],
  ['a backslash', 'a\\b'],
  ['a comma', 'a, b'],
  ['two ports', 'a:80:81'],
  ['a port that is a word', 'a:http'],
  ['a negative port', 'a:-1'],
  ['a port with a sign', 'a:+80'],
  ['a blank in front of the port', 'a :80'],
  ['a blank behind the colon', 'a: 80'],
  ['a bracket without an end', '[::1'],
  ['a bracket without a beginning', '::1]'],
  ['IPv6 without brackets', 'fe80::1'],
  ['a name in brackets', '[evil]'],
  ['something behind brackets', '[::1]evil'],
  ['nothing in brackets', '[]'],
  ['a quote', 'a"b'],
  ['angle brackets', '<a>'],
  ['braces', '{a}'],
  ['a bar', 'a|b'],
  ['a caret', 'a^b'],
  ['a grave accent', 'a`b'],
  ['half an encoding', 'a%2'],
  ['a percent sign', 'a%'],
  ['octets above ASCII', '\xc3\xa9.example'],
  ['0xff around it', '\xffa\xff'],
  ['a port alone', ':80'],
];

const hosts = family('host', [
  { what: 'none', source: ONE_HOST, bytes: head(GET), expect: 'reject' },
  { what: 'none, but another field', source: ONE_HOST, bytes: head(GET, 'X-Host: a'), expect: 'reject' },
  {
    what: 'two that differ',
    source: `${ONE_HOST}; ${TROUBLES}`,
    bytes: head(GET, 'Host: a', 'Host: evil'),
    expect: 'reject',
  },
  { what: 'two that are equal', source: ONE_HOST, bytes: head(GET, 'Host: a', 'Host: a'), expect: 'reject' },
  { what: 'two, the first empty', source: ONE_HOST, bytes: head(GET, 'Host:', 'Host: a'), expect: 'reject' },
  { what: 'two, the second empty', source: ONE_HOST, bytes: head(GET, 'Host: a', 'Host:'), expect: 'reject' },
  {
    what: 'two that differ in case',
    source: ONE_HOST,
    bytes: head(GET, 'Host: a', 'HOST: A'),
    expect: 'reject',
  },
  {
    what: 'three',
    source: ONE_HOST,
    bytes: head(GET, 'Host: a', 'X-A: 1', 'Host: a', 'Host: b'),
    expect: 'reject',
  },
  {
    what: 'two of HTTP/1.0',
    source: ONE_HOST,
    bytes: head(`GET ${PATH} HTTP/1.0`, 'Host: a', 'Host: evil'),
    expect: 'reject',
  },
  ...BAD_HOSTS.map(([what, value]) => ({
    what,
    source: `${ONE_HOST}; ${TROUBLES}`,
    bytes: head(GET, `Host: ${value}`),
    expect: 'reject' as const,
  })),
  ...(
    [
      ['a comma without a blank', 'a,b'],
      ['a port too large', 'a:65536'],
      ['a port far too large', 'a:99999999999'],
    ] as const
  ).map(([what, value]) => ({
    what,
    source: `${TROUBLES}; valid by the letter of RFC 3986, 3.2`,
    bytes: head(GET, `Host: ${value}`),
    expect: 'either' as const,
    ours: 'reject' as const,
  })),
  ...[0x00, 0x01, 0x0b, 0x0d, 0x1f, 0x7f].map((code) => ({
    what: `with ${octetName(code)}`,
    source: `${ONE_HOST}; HTTP Garden, transducer 12`,
    bytes: head(GET, `Host: a${String.fromCharCode(code)}evil`),
    expect: 'reject' as const,
  })),
  { what: 'blank before the colon', source: 'RFC 9112, 5.1', bytes: head(GET, 'Host : a'), expect: 'reject' },
  {
    what: 'blank in front of the name',
    source: `RFC 9112, 2.2; ${TROUBLES}`,
    bytes: head(GET, ' Host: evil', 'Host: a'),
    expect: 'reject',
  },
  {
    what: 'folded',
    source: `RFC 9112, 5.2; ${TROUBLES}`,
    bytes: head(GET, 'Host: a', ' evil'),
    expect: 'reject',
  },
  {
    what: 'in front of a folded line',
    source: TROUBLES,
    bytes: head(GET, 'X-A: 1', ' Host: evil', 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ host: 'a' }],
  },
  {
    what: 'empty',
    source: 'RFC 9112, 3.2: empty where the target has no authority',
    bytes: head(GET, 'Host:'),
    expect: 'either',
  },
  ...(
    [
      ['with a port', 'a:8080'],
      ['with an empty port', 'a:'],
      ['of IPv4', '192.0.2.1'],
      ['of IPv6', '[2001:db8::1]'],
      ['of IPv6 and a port', '[2001:db8::1]:8080'],
      ['with a trailing dot', 'a.example.'],
      ['with an underscore', 'my_service'],
      ['in capitals', 'A.EXAMPLE'],
      ['with sub-delims', "a!$&'()*+;=b"],
      ['with an encoded octet', 'a%41'],
      ['of 253 characters', `${'a'.repeat(49)}.`.repeat(5).slice(0, 253)],
    ] as const
  ).map(([what, value]) => ({
    what,
    source: 'RFC 3986, 3.2.2; RFC 9110, 7.2',
    bytes: head(GET, `Host: ${value}`),
    expect:
      what === 'with sub-delims' || what === 'with an encoded octet' ? ('either' as const) : ('one' as const),
    forwarded: [{ host: value }],
  })),
  {
    what: 'of 5,000 characters',
    source: 'RFC 1035, 2.3.4: 255 octets',
    bytes: head(GET, `Host: ${'a'.repeat(5_000)}`),
    expect: 'either',
    forwarded: [{ host: 'a'.repeat(5_000) }],
  },
  {
    what: 'behind the other fields',
    source: 'RFC 9110, 5.3: order does not matter',
    bytes: head(GET, 'X-A: 1', 'Host: a'),
    expect: 'one',
    forwarded: [{ host: 'a' }],
  },
  {
    what: 'with blanks around it',
    source: 'RFC 9112, 5.1: OWS',
    bytes: head(GET, 'Host: \t a \t'),
    expect: 'one',
    forwarded: [{ host: 'a' }],
  },
  {
    what: 'without a blank',
    source: 'RFC 9112, 5.1: OWS',
    bytes: head(GET, 'Host:a'),
    expect: 'one',
    forwarded: [{ host: 'a' }],
  },
  {
    what: 'X-Forwarded-Host of a client',
    source: 'cache poisoning by unkeyed fields (Kettle 2018)',
    bytes: head(GET, 'Host: a', 'X-Forwarded-Host: evil'),
    expect: 'one',
    forwarded: [{ host: 'a' }],
  },
]);

function absolute(target: string, ...lines: readonly string[]): string {
  return head(`GET ${target} HTTP/1.1`, ...lines);
}

const targets = family('absolute-form', [
  {
    what: 'of the same host',
    source: ABSOLUTE,
    bytes: absolute(`http://a${PATH}`, 'Host: a'),
    expect: 'one',
    forwarded: [{ target: [PATH, `http://a${PATH}`], host: 'a' }],
  },
  {
    what: 'of the same host in another case',
    source: 'RFC 3986, 6.2.2.1',
    bytes: absolute(`HTTP://A${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: [PATH, `HTTP://A${PATH}`, `http://a${PATH}`] }],
  },
  {
    what: 'of the same host, with the default port',
    source: 'RFC 9110, 4.2.3',
    bytes: absolute(`http://a:80${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: [PATH, `http://a:80${PATH}`, `http://a${PATH}`] }],
  },
  {
    what: 'of another host',
    source: `${ABSOLUTE}; ${TROUBLES}`,
    bytes: absolute(`http://evil${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [PATH, `http://evil${PATH}`], host: 'evil' }],
  },
  {
    what: 'of another port',
    source: ABSOLUTE,
    bytes: absolute(`http://a:81${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [PATH, `http://a:81${PATH}`], host: 'a:81' }],
  },
  {
    what: 'without Host',
    source: `${ONE_HOST}; 3.2.2`,
    bytes: absolute(`http://a${PATH}`),
    expect: 'reject',
  },
  {
    what: 'with two Hosts',
    source: ONE_HOST,
    bytes: absolute(`http://a${PATH}`, 'Host: a', 'Host: evil'),
    expect: 'reject',
  },
  {
    what: 'with user information',
    source: 'RFC 9110, 4.2.4: treat as an error',
    bytes: absolute(`http://u@a${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [PATH, `http://u@a${PATH}`], host: 'a' }],
  },
  {
    what: 'with user information that is a host',
    source: 'RFC 9110, 4.2.4',
    bytes: absolute(`http://a@evil${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [PATH, `http://a@evil${PATH}`], host: 'evil' }],
  },
  ...(
    [
      ['no host', `http://${PATH}`],
      ['no host but a port', `http://:80${PATH}`],
      ['a broken bracket', 'http://['],
      ['a broken bracket and a path', `http://[/c/${NONCE}`],
      ['a blank in the host', `http://a b${PATH}`],
      ['a backslash in the host', `http://a\\evil${PATH}`],
      ['a port that is a word', `http://a:x${PATH}`],
      ['a port too large', `http://a:99999${PATH}`],
      ['one slash', `http:/a${PATH}`],
      ['no slashes', `http:${PATH}`],
      ['three slashes', `http:///a${PATH}`],
      ['a scheme alone', 'http:'],
      ['a scheme of nobody', `foo://a${PATH}`],
      ['file', `file://a${PATH}`],
      ['javascript', `javascript:${NONCE}`],
      ['a fragment', `http://a${PATH}#x`],
    ] as const
  ).map(([what, target]) => ({
    what,
    source: 'RFC 9112, 3.2: a target that is none; 400',
    bytes: absolute(target, 'Host: a'),
    expect: 'reject' as const,
  })),
  {
    what: 'https on a plain port',
    source: 'RFC 9110, 7.4: 421 where it is not served here',
    bytes: absolute(`https://a${PATH}`, 'Host: a'),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ target: [PATH, `https://a${PATH}`] }],
  },
  {
    what: 'no path',
    source: 'RFC 9110, 4.2.3: the same as /',
    bytes: head('GET http://a HTTP/1.1', 'Host: a', `X-Nonce: ${NONCE}`),
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: ['/', 'http://a', 'http://a/'] }],
  },
  {
    what: 'a query and no path',
    source: 'RFC 9110, 4.2.3',
    bytes: absolute(`http://a?${NONCE}`, 'Host: a'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: [`/?${NONCE}`, `http://a?${NONCE}`, `http://a/?${NONCE}`] }],
  },
  {
    what: 'of IPv6',
    source: 'RFC 3986, 3.2.2',
    bytes: absolute(`http://[2001:db8::1]:8080${PATH}`, 'Host: [2001:db8::1]:8080'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: [PATH, `http://[2001:db8::1]:8080${PATH}`], host: '[2001:db8::1]:8080' }],
  },
]);

const CONNECT = 'RFC 9112, 3.2.3: authority-form is of CONNECT; a reverse proxy refuses it';

const authority = family('authority-form', [
  ...(
    [
      ['CONNECT', 'CONNECT a:443 HTTP/1.1', 'Host: a:443'],
      ['CONNECT of another host', 'CONNECT evil:443 HTTP/1.1', 'Host: a'],
      ['CONNECT to the admin port', 'CONNECT 127.0.0.1:9901 HTTP/1.1', 'Host: 127.0.0.1:9901'],
      ['CONNECT without a port', 'CONNECT a HTTP/1.1', 'Host: a'],
      ['CONNECT with a path', `CONNECT ${PATH} HTTP/1.1`, 'Host: a'],
      ['CONNECT with a length', 'CONNECT a:443 HTTP/1.1', 'Host: a:443\r\nContent-Length: 0'],
      ['CONNECT with chunks', 'CONNECT a:443 HTTP/1.1', 'Host: a:443\r\nTransfer-Encoding: chunked'],
      ['CONNECT without Host', 'CONNECT a:443 HTTP/1.1', 'X-A: 1'],
      ['of GET', 'GET a:80 HTTP/1.1', 'Host: a'],
      ['of GET, with a path', `GET a:80${PATH} HTTP/1.1`, 'Host: a'],
      ['of OPTIONS', 'OPTIONS a:80 HTTP/1.1', 'Host: a'],
      ['of POST', 'POST a:80 HTTP/1.1', 'Host: a\r\nContent-Length: 0'],
    ] as const
  ).map(([what, line, more]) => ({
    what,
    source: CONNECT,
    bytes: head(line, more),
    expect: 'reject' as const,
  })),
]);

export const HOSTS: readonly RequestCase[] = [...hosts, ...targets, ...authority];
