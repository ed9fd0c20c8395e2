/** Transfer-Encoding: beside Content-Length, disguised, repeated, of other codings, and in HTTP/1.0. */

import {
  chunked,
  family,
  head,
  NONCE,
  octetName,
  octets,
  post,
  type RequestCase,
  SMUGGLED,
  SMUGGLED_PREFIX,
} from './case.ts';

const BOTH = 'RFC 9112, 6.1: refuse, or go by Transfer-Encoding and close the connection';
const DISGUISE = 'smuggler (defparam), mutations of Transfer-Encoding';
const KETTLE = 'HTTP desync attacks (Kettle 2019)';
const CODINGS = 'RFC 9112, 6.1 and 6.3 (4): chunked must be the last coding, and once';

/** Ends at once for whoever reads chunks, and goes on for whoever counts octets. */
const TE_CL = `0\r\n\r\n${SMUGGLED_PREFIX}`;

const both = family('cl-te', [
  {
    what: 'length first',
    source: `${BOTH}; CL.TE, ${KETTLE}`,
    bytes: post([`Content-Length: ${octets(TE_CL)}`, 'Transfer-Encoding: chunked'], TE_CL),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST' }],
  },
  {
    what: 'coding first',
    source: `${BOTH}; CL.TE, ${KETTLE}`,
    bytes: post(['Transfer-Encoding: chunked', `Content-Length: ${octets(TE_CL)}`], TE_CL),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST' }],
  },
  {
    what: 'a length shorter than the chunks',
    source: `${BOTH}; TE.CL, ${KETTLE}`,
    bytes: post(['Content-Length: 4', 'Transfer-Encoding: chunked'], chunked(SMUGGLED)),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'both saying the same',
    source: BOTH,
    bytes: post(['Content-Length: 12', 'Transfer-Encoding: chunked'], '2\r\nab\r\n0\r\n\r\n'),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: 'ab' }],
  },
  {
    what: 'a length of zero',
    source: `${BOTH}; 0.CL (Kettle 2025)`,
    bytes: post(['Content-Length: 0', 'Transfer-Encoding: chunked'], chunked(SMUGGLED)),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  {
    what: 'of GET',
    source: BOTH,
    bytes:
      head(`GET /c/${NONCE} HTTP/1.1`, 'Host: a', 'Content-Length: 4', 'Transfer-Encoding: chunked') +
      chunked(SMUGGLED),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ body: SMUGGLED }],
  },
  {
    what: 'two lengths',
    source: BOTH,
    bytes: post(['Content-Length: 4', 'Transfer-Encoding: chunked', 'Content-Length: 5'], chunked('abcd')),
    expect: 'reject',
  },
  {
    what: 'an empty coding',
    source: `${BOTH}; the empty list`,
    bytes: post(['Content-Length: 4', 'Transfer-Encoding:'], 'abcd'),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'a length that is bad',
    source: BOTH,
    bytes: post(['Content-Length: x', 'Transfer-Encoding: chunked'], chunked('abcd')),
    expect: 'reject',
  },
  {
    what: 'a coding that nobody knows, and a length',
    source: 'HTTP Garden, transducer 15',
    bytes: post(['Content-Length: 4', 'Transfer-Encoding: xchunked'], 'abcd'),
    expect: 'reject',
  },
  {
    what: 'an empty element in front, and a length',
    source: 'HTTP Garden, transducers 15 and 18',
    bytes: post([`Content-Length: ${octets(TE_CL)}`, 'Transfer-Encoding: ,chunked'], TE_CL),
    expect: 'reject',
  },
]);

/** Lines that some take for `Transfer-Encoding: chunked`, each beside a length that contradicts it. */
const DISGUISES: readonly (readonly [string, string, string])[] = [
  ['blank before the colon', 'Transfer-Encoding : chunked', 'RFC 9112, 5.1: refuse with 400'],
  ['tab before the colon', 'Transfer-Encoding\t: chunked', 'RFC 9112, 5.1'],
  ['blank in front of the name', ' Transfer-Encoding: chunked', 'RFC 9112, 2.2 and 5.2: obs-fold'],
  ['tab in front of the name', '\tTransfer-Encoding: chunked', 'RFC 9112, 5.2: obs-fold'],
  ['blank for the dash', 'Transfer Encoding: chunked', DISGUISE],
  ['a name in two lines', 'Transfer-\r\nEncoding: chunked', 'HTTP Garden, server 37'],
  ['no colon', 'Transfer-Encoding chunked', DISGUISE],
  ['CR in the name', 'Transfer\r-Encoding: chunked', DISGUISE],
  ['CR in front of another field', 'X: X\rTransfer-Encoding: chunked', DISGUISE],
  ['LF in front of another field', 'X: X\nTransfer-Encoding: chunked', `${DISGUISE}; ${KETTLE}`],
  ['behind an empty value and LF', 'X:\nTransfer-Encoding: chunked', 'llhttp, empty headers separated by LF'],
  ['behind an empty value and CR', 'X:\rTransfer-Encoding: chunked', 'llhttp, empty headers separated by CR'],
  ['NUL in front of another field', 'X: X\x00Transfer-Encoding: chunked', DISGUISE],
  ['CR behind the value', 'Transfer-Encoding: chunked\r', DISGUISE],
  ['folded', 'Transfer-Encoding:\r\n chunked', `${DISGUISE}; RFC 9112, 5.2`],
  ['folded by LF', 'Transfer-Encoding:\n chunked', DISGUISE],
  ['folded behind a comma', 'Transfer-Encoding: identity,\r\n chunked', DISGUISE],
  ['vertical tab in front of the value', 'Transfer-Encoding:\x0bchunked', DISGUISE],
  ['0xff in front of the value', 'Transfer-Encoding:\xffchunked', DISGUISE],
  ['0xa0 around the value', 'Transfer-Encoding: \xa0chunked\xa0', 'HTTP Garden, server 12'],
  ['0x85 behind the value', 'Transfer-Encoding: chunked\x85', 'HTTP Garden, server 12'],
  ['an accent in the name', 'Transf\x82r-Encoding: chunked', DISGUISE],
  ['an accent in the value', 'Transfer-Encoding: ch\x96nked', DISGUISE],
  ['quoted', 'Transfer-Encoding: "chunked"', DISGUISE],
  ['apostrophes', "Transfer-Encoding: 'chunked'", DISGUISE],
  ['brackets', 'Transfer-Encoding: [chunked]', DISGUISE],
  ['beginning of the word', 'Transfer-Encoding: chunk', DISGUISE],
  ['one letter too much', 'Transfer-Encoding: chunkedd', DISGUISE],
  ['x in front', 'Transfer-Encoding: xchunked', KETTLE],
  ['parameter', 'Transfer-Encoding: chunked;q=1', 'RFC 9112, 7: chunked has no parameters'],
  ['semicolon', 'Transfer-Encoding: chunked;', DISGUISE],
  ['another word in front', 'Transfer-Encoding: cow chunked', DISGUISE],
  ['between words', 'Transfer-Encoding: cow chunked bar', DISGUISE],
  ['another word behind', 'Transfer-Encoding: chunked bar', DISGUISE],
  ['comma and another behind', 'Transfer-Encoding: chunked, cow', DISGUISE],
  ['another and comma in front', 'Transfer-Encoding: cow, chunked', DISGUISE],
  ['comma behind', 'Transfer-Encoding: chunked,', 'HTTP Garden, transducer 9'],
  ['comma in front', 'Transfer-Encoding: ,chunked', 'HTTP Garden, transducer 9'],
  ['comma and blank in front', 'Transfer-Encoding: , chunked', 'HTTP Garden, transducer 9'],
  ['identity', 'Transfer-Encoding: identity', 'RFC 7230, A.2: removed'],
  ['identity and chunked', 'Transfer-Encoding: identity, chunked', KETTLE],
  ['chunked and identity', 'Transfer-Encoding: chunked, identity', CODINGS],
  ['chunked twice in a list', 'Transfer-Encoding: chunked, chunked', CODINGS],
  ['twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'HTTP Garden, transducer 25'],
  ['with identity in a line of its own', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', KETTLE],
  ['behind another in a line of its own', 'Transfer-Encoding: cow\r\nTransfer-Encoding: chunked', KETTLE],
  ['behind an empty one', 'Transfer-Encoding:\r\nTransfer-Encoding: chunked', KETTLE],
  ['in capitals', 'TRANSFER-ENCODING: CHUNKED', DISGUISE],
  ['in both cases', 'TrAnSFer-EnCODinG: cHuNkeD', DISGUISE],
  ['no blank', 'Transfer-Encoding:chunked', DISGUISE],
  ['two blanks', 'Transfer-Encoding:  chunked', DISGUISE],
  ['tab in front of the value', 'Transfer-Encoding:\tchunked', DISGUISE],
  ['tab behind the value', 'Transfer-Encoding: chunked\t', DISGUISE],
];

/** Those that are valid, or may be made valid: who takes them reads chunks, and closes the connection behind them. */
const CHUNKED_AFTER_ALL = new Set([
  'LF in front of another field',
  'behind an empty value and LF',
  'folded',
  'folded by LF',
  'in capitals',
  'in both cases',
  'no blank',
  'two blanks',
  'tab in front of the value',
  'tab behind the value',
]);

/** Who does not take such a line for a field may drop it, and then counts octets. */
const DROPPED = [{ method: 'POST', body: TE_CL }];

/** Controls that smuggler puts around name and value; tab and blank stand above, CR, LF and NUL behave alike. */
const CONTROLS = [0x00, 0x01, 0x08, 0x0b, 0x0c, 0x0e, 0x1c, 0x1f, 0x7f];

const disguised = family('te-disguised', [
  ...DISGUISES.map(([what, line, source]) => ({
    what,
    source,
    bytes: post([line, `Content-Length: ${octets(TE_CL)}`], TE_CL),
    // RFC 9112, 5.1 leaves no choice there.
    expect: what.endsWith('before the colon') ? ('reject' as const) : ('either' as const),
    ours: 'reject' as const,
    ...(CHUNKED_AFTER_ALL.has(what)
      ? { closes: true as const, forwarded: [{ method: 'POST' }] }
      : { forwarded: DROPPED }),
  })),
  ...CONTROLS.flatMap((code) => {
    const control = String.fromCharCode(code);
    const places: [string, string][] = [
      ['in front of the name', `${control}Transfer-Encoding: chunked`],
      ['behind the name', `Transfer-Encoding${control}: chunked`],
      ['in front of the value', `Transfer-Encoding: ${control}chunked`],
      ['behind the value', `Transfer-Encoding: chunked${control}`],
    ];
    return places.map(([place, line]) => ({
      what: `${octetName(code)} ${place}`,
      source: DISGUISE,
      bytes: post([line, `Content-Length: ${octets(TE_CL)}`], TE_CL),
      expect: 'either' as const,
      ours: 'reject' as const,
      forwarded: DROPPED,
    }));
  }),
  {
    what: 'underscore for the dash',
    source: DISGUISE,
    bytes: post(['Transfer_Encoding: chunked', 'Content-Length: 4'], 'abcd'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'as Content-Encoding',
    source: DISGUISE,
    bytes: post(['Content-Encoding: chunked', 'Content-Length: 4'], 'abcd'),
    expect: 'either',
    ours: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'as X-Transfer-Encoding',
    source: DISGUISE,
    bytes: post(['X-Transfer-Encoding: chunked', 'Content-Length: 4'], 'abcd'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'as TE',
    source: 'RFC 9110, 10.1.4',
    bytes: post(['TE: chunked', 'Content-Length: 4'], 'abcd'),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
]);

/** Alone, without a length. */
const ALONE: readonly (readonly [string, string, string])[] = [
  ['identity', 'Transfer-Encoding: identity', 'RFC 9112, 6.3 (4)'],
  ['gzip', 'Transfer-Encoding: gzip', CODINGS],
  ['chunked, gzip', 'Transfer-Encoding: chunked, gzip', CODINGS],
  ['chunked in two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', CODINGS],
  ['chunked twice', 'Transfer-Encoding: chunked, chunked', CODINGS],
  ['nobody knows it', 'Transfer-Encoding: blegh', 'HTTP Garden, server 44; RFC 9112, 6.1: 501'],
  ['empty', 'Transfer-Encoding:', CODINGS],
  ['a comma', 'Transfer-Encoding: ,', CODINGS],
  ['chunked in quotes', 'Transfer-Encoding: "chunked"', CODINGS],
  ['chunked with a parameter', 'Transfer-Encoding: chunked; a=b', 'RFC 9112, 7'],
  ['0xff around chunked', 'Transfer-Encoding: \xffchunked\xff', 'HTTP Garden, server 46'],
];

const codings = family('te-coding', [
  {
    what: 'chunked with a tab behind it',
    source: 'RFC 9112, 5.1: OWS, which llhttp does not take there; a finding of the fuzzer',
    bytes: post(['Transfer-Encoding: chunked\t'], chunked(SMUGGLED)),
    expect: 'either',
    ours: 'reject',
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  },
  ...ALONE.map(([what, line, source]) => ({
    what,
    source,
    bytes: post([line], chunked(SMUGGLED)),
    expect: 'reject' as const,
  })),
  ...[
    'gzip, chunked',
    'x-gzip, chunked',
    'deflate, chunked',
    'identity, chunked',
    ',chunked',
    'chunked,',
  ].map((value) => ({
    what: `${value}, which a proxy might undo`,
    source: 'RFC 9112, 6.1: 501 where it is not understood',
    bytes: post([`Transfer-Encoding: ${value}`], chunked('abcd')),
    expect: 'either' as const,
    ours: 'reject' as const,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  })),
  ...['Chunked', 'CHUNKED', 'chunked ', '\tchunked'].map((value) => ({
    what: `${JSON.stringify(value)}, which is chunked`,
    source: 'RFC 9112, 7: names of codings in any case; 5.1: OWS',
    bytes: post([`Transfer-Encoding: ${value}`], chunked(SMUGGLED)),
    expect: 'one' as const,
    forwarded: [{ method: 'POST', body: SMUGGLED }],
  })),
  ...['GET', 'DELETE', 'OPTIONS', 'PUT'].map((method) => ({
    what: `chunked, of ${method}`,
    source: 'CVE-2026-29057; RFC 9110, 9.3.1',
    bytes:
      head(`${method} /c/${NONCE} HTTP/1.1`, 'Host: a', 'Transfer-Encoding: chunked') + chunked(SMUGGLED),
    expect: 'either' as const,
    ours: 'one' as const,
    forwarded: [{ method, body: SMUGGLED }],
  })),
  {
    what: 'chunked, of HEAD',
    source: 'RFC 9110, 9.3.2',
    bytes: head(`HEAD /c/${NONCE} HTTP/1.1`, 'Host: a', 'Transfer-Encoding: chunked') + chunked('abcd'),
    expect: 'either',
    ours: 'one',
    isHead: true,
    forwarded: [{ method: 'HEAD', body: 'abcd' }],
  },
]);

const OLD = 'RFC 9112, 6.1: a message of HTTP/1.0 with it is framed faultily; close behind it';

const old = family('te-http-1.0', [
  {
    what: 'chunked',
    source: OLD,
    bytes: head(`POST /c/${NONCE} HTTP/1.0`, 'Host: a', 'Transfer-Encoding: chunked') + chunked('abcd'),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'chunked, and keep-alive',
    source: OLD,
    bytes:
      head(`POST /c/${NONCE} HTTP/1.0`, 'Host: a', 'Connection: keep-alive', 'Transfer-Encoding: chunked') +
      chunked('abcd'),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'chunked, and a length',
    source: OLD,
    bytes:
      head(
        `POST /c/${NONCE} HTTP/1.0`,
        'Host: a',
        'Connection: keep-alive',
        'Content-Length: 14',
        'Transfer-Encoding: chunked',
      ) + chunked('abcd'),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ method: 'POST', body: 'abcd' }],
  },
  {
    what: 'chunked, of GET',
    source: OLD,
    bytes:
      head(`GET /c/${NONCE} HTTP/1.0`, 'Host: a', 'Connection: keep-alive', 'Transfer-Encoding: chunked') +
      chunked(SMUGGLED),
    expect: 'either',
    ours: 'reject',
    closes: true,
    forwarded: [{ body: SMUGGLED }],
  },
  {
    what: 'gzip',
    source: OLD,
    bytes: head(`POST /c/${NONCE} HTTP/1.0`, 'Host: a', 'Transfer-Encoding: gzip') + 'abcd',
    expect: 'reject',
  },
]);

export const TRANSFER_ENCODING: readonly RequestCase[] = [...both, ...disguised, ...codings, ...old];
