/** Several requests in one packet, and messages behind which something else begins. */

import { chunked, family, get, head, NONCE, octets, post, type RequestCase, SMUGGLED } from './case.ts';

const PIPELINE = 'RFC 9112, 9.3.2';

function nth(number: number, ...lines: readonly string[]): string {
  return head(`GET /c/${NONCE}/${number} HTTP/1.1`, 'Host: a', ...lines);
}

const target = (number: number) => `/c/${NONCE}/${number}`;

export const PIPELINES: readonly RequestCase[] = family('pipeline', [
  {
    what: 'of three',
    source: PIPELINE,
    bytes: nth(1) + nth(2) + nth(3),
    expect: 'one',
    forwarded: [{ target: target(1) }, { target: target(2) }, { target: target(3) }],
  },
  {
    what: 'of twenty',
    source: PIPELINE,
    bytes: Array.from({ length: 20 }, (_, i) => nth(i)).join(''),
    expect: 'one',
    forwarded: Array.from({ length: 20 }, (_, i) => ({ target: target(i) })),
  },
  {
    what: 'of groups: each goes its own way',
    source: PIPELINE,
    bytes: nth(1, 'X-Traffic-Group: INTERNAL') + nth(2) + nth(3, 'X-Traffic-Group: FREE'),
    expect: 'one',
    forwarded: [
      { target: target(1), backend: 'internal' },
      { target: target(2), backend: 'other' },
      { target: target(3), backend: 'free' },
    ],
  },
  {
    what: 'of bodies',
    source: PIPELINE,
    bytes:
      post(['Content-Length: 4'], 'abcd') +
      post(['Transfer-Encoding: chunked'], chunked('efgh')) +
      post(['Content-Length: 0'], ''),
    expect: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }, { method: 'POST', body: 'efgh' }, { method: 'POST' }],
  },
  {
    what: 'with an empty line between',
    source: 'RFC 9112, 2.2',
    bytes: `${nth(1)}\r\n${nth(2)}`,
    expect: 'either',
    ours: 'one',
    forwarded: [{ target: target(1) }, { target: target(2) }],
  },
  {
    what: 'with an empty line behind a body',
    source: 'RFC 9112, 2.2: old clients send one',
    bytes: `${post(['Content-Length: 4'], 'abcd')}\r\n${nth(2)}`,
    expect: 'either',
    ours: 'one',
    forwarded: [{ method: 'POST', body: 'abcd' }, { target: target(2) }],
  },
  {
    what: 'behind close',
    source: 'RFC 9112, 9.6: nothing behind close is processed',
    bytes: nth(1, 'Connection: close') + nth(2),
    expect: 'one',
    closes: true,
    forwarded: [{ target: target(1) }],
  },
  {
    what: 'behind HTTP/1.0',
    source: 'RFC 9112, 9.3',
    bytes: head(`GET ${target(1)} HTTP/1.0`, 'Host: a') + nth(2),
    expect: 'one',
    closes: true,
    forwarded: [{ target: target(1) }],
  },
  {
    what: 'a request in the body of GET',
    source: 'client-side desync (Kettle 2022)',
    bytes: get(`Content-Length: ${octets(SMUGGLED)}`) + SMUGGLED + nth(2),
    expect: 'either',
    ours: 'one',
    forwarded: [{ body: SMUGGLED }, { target: target(2) }],
  },
  {
    what: 'a request in chunks of GET',
    source: 'client-side desync (Kettle 2022)',
    bytes: get('Transfer-Encoding: chunked') + chunked(SMUGGLED) + nth(2),
    expect: 'either',
    ours: 'one',
    forwarded: [{ body: SMUGGLED }, { target: target(2) }],
  },
  {
    what: 'HEAD between',
    source: 'response queue desync: HEAD has a length and no body',
    bytes: head(`HEAD ${target(1)} HTTP/1.1`, 'Host: a') + nth(2) + nth(3),
    expect: 'one',
    isHead: true,
    forwarded: [{ method: 'HEAD', target: target(1) }, { target: target(2) }, { target: target(3) }],
  },
]);
