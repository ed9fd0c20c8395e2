import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type FastRequest,
  FOREIGN,
  PARTIAL,
  readRequest,
} from '../../../../src/forward/fast/request-reader.ts';
import { peerAt, policyOf } from '../../../support/forward-policy.ts';

const open = policyOf();
const guarded = policyOf({ trust: { cidrs: ['192.0.2.7/32'] } });
const stranger = peerAt(false);
const friend = peerAt(true);
const LIMIT = 16;

const read = (text: string, policy = open, peer = stranger) => {
  const bytes = Buffer.from(text, 'latin1');
  return readRequest(bytes, 0, bytes.length, LIMIT, policy, peer);
};

function accepted(text: string, policy = open, peer = stranger): FastRequest {
  const request = read(text, policy, peer);
  if (request === PARTIAL || request === FOREIGN) {
    assert.fail(`${request === PARTIAL ? 'PARTIAL' : 'FOREIGN'}: ${JSON.stringify(text)}`);
  }
  return request;
}

const withFields = (...lines: string[]) =>
  `GET / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;

const ID = 'X-Request-Id: id-1\r\n';
const OWN =
  'X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nVia: 1.1 pointsman\r\n';

/** The head for the upstream, with a known id. */
const upstreamHead = (request: FastRequest) => request.upstreamHead.replace(request.requestId, 'id-1');

describe('the request reader takes', () => {
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    it(`${method}`, () => {
      const request = accepted(`${method} /a?b=1 HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(request.facts.method, method);
      assert.equal(request.target, '/a?b=1');
      assert.equal(request.facts.path, '/a?b=1');
      assert.equal(request.contentLength, 0);
      assert.equal(request.closes, false);
    });
  }

  it('only the methods that are configured', () => {
    const policy = policyOf({ forwarding: { methods: ['PUT', 'PURGE'] } });
    assert.equal(accepted('PUT / HTTP/1.1\r\nHost: a\r\n\r\n', policy).facts.method, 'PUT');
    for (const method of ['GET', 'PURGE']) {
      assert.equal(read(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`, policy), FOREIGN);
    }
  });

  it('a target of every visible character but #', () => {
    let target = '/';
    for (let octet = 0x21; octet < 0x7f; octet++) if (octet !== 0x23) target += String.fromCharCode(octet);
    assert.equal(accepted(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).target, target);
  });

  it('values with tabs, blanks within, obs-text, and none at all', () => {
    const request = accepted(withFields('X-A: \t a\tb c\xff \t', 'X-B:', 'X-C:   ', 'X-D:d'));
    assert.deepEqual(request.facts.rawHeaders, [
      'Host',
      'a',
      'X-A',
      'a\tb c\xff',
      'X-B',
      '',
      'X-C',
      '',
      'X-D',
      'd',
    ]);
  });

  it('one length of up to 15 digits, and exactly "chunked" in any case', () => {
    for (const [line, length] of [
      ['Content-Length: 0', 0],
      ['content-length:\t007 ', 7],
      ['Content-Length: 999999999999999', 999_999_999_999_999],
      ['Transfer-Encoding: chunked', -1],
      ['transfer-encoding: CHUNKED', -1],
    ] as const) {
      assert.equal(accepted(withFields(line)).contentLength, length, line);
    }
  });

  it('Connection: close and keep-alive in any case', () => {
    assert.equal(accepted(withFields('Connection: Close')).closes, true);
    assert.equal(accepted(withFields('connection: KEEP-ALIVE')).closes, false);
  });

  it('what stands between other bytes, and says how long it is', () => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n';
    const bytes = Buffer.from(`junk${head}abcGET`, 'latin1');
    const request = readRequest(bytes, 4, bytes.length, LIMIT, open, stranger);
    assert.ok(request !== PARTIAL && request !== FOREIGN);
    assert.equal(request.length, head.length);
    assert.equal(request.contentLength, 3);
    assert.ok(request.upstreamHead.startsWith('POST / HTTP/1.1\r\nHost: a\r\n'));
  });

  it('as many fields as are allowed, and not one more', () => {
    const lines = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: ${i}`);
    accepted(withFields(...lines(LIMIT - 1)));
    assert.equal(read(withFields(...lines(LIMIT))), FOREIGN);
  });
});

describe('the request reader leaves to the full lane', () => {
  const foreign: readonly (readonly [string, string])[] = [
    ['lower-case methods', 'get / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['other methods', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['methods that go on', 'GETS / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an empty line in front', '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a blank in front', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['two blanks before the target', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a tab before the target', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['two blanks behind the target', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['absolute targets', 'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['targets without a slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the target *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an empty target', 'GET  HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['fragments', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['octets above 126 in targets', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['NUL in targets', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['DEL in targets', 'GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['other versions', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'],
    ['lower-case versions', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
    ['other protocols', 'GET / ICY/1.1\r\nHost: a\r\n\r\n'],
    ['bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
    ['bare LF behind a field', 'GET / HTTP/1.1\r\nHost: a\n\r\n'],
    ['bare LF at the end', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
    ['bare CR behind a field', 'GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n'],
    ['bare CR at the end', 'GET / HTTP/1.1\r\nHost: a\r\n\rX'],
    ['two CR behind a field', 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n'],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['two Hosts', withFields('Host: b')],
    ['two equal Hosts', withFields('host: a')],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost: \r\n\r\n'],
    ['IPv6 in Host', 'GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n'],
    ['a blank in Host', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
    ['a user in Host', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n'],
    ['a path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['a list in Host', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n'],
    ['a port alone in Host', 'GET / HTTP/1.1\r\nHost: :80\r\n\r\n'],
    ['a word for a port in Host', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n'],
    ['two ports in Host', 'GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n'],
    ['a port above 65535 in Host', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n'],
    ['two lengths', withFields('Content-Length: 1', 'Content-Length: 2')],
    ['two equal lengths', withFields('Content-Length: 1', 'Content-Length: 1')],
    ['a list of lengths', withFields('Content-Length: 1, 1')],
    ['an empty length', withFields('Content-Length:')],
    ['a signed length', withFields('Content-Length: +5')],
    ['a negative length', withFields('Content-Length: -5')],
    ['a hexadecimal length', withFields('Content-Length: 0x5')],
    ['a length with a blank', withFields('Content-Length: 1 1')],
    ['a length with a fraction', withFields('Content-Length: 5.0')],
    ['a length with an exponent', withFields('Content-Length: 5e1')],
    ['a length with an underscore', withFields('Content-Length: 1_0')],
    ['a length of 16 digits', withFields('Content-Length: 1000000000000000')],
    ['a length above 2^64', withFields('Content-Length: 18446744073709551617')],
    ['length and coding', withFields('Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['coding and length', withFields('Transfer-Encoding: chunked', 'Content-Length: 5')],
    ['a length of none and coding', withFields('Content-Length: 0', 'Transfer-Encoding: chunked')],
    ['two codings', withFields('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['a list of codings', withFields('Transfer-Encoding: gzip, chunked')],
    ['another coding', withFields('Transfer-Encoding: gzip')],
    ['identity', withFields('Transfer-Encoding: identity')],
    ['a parameter of a coding', withFields('Transfer-Encoding: chunked;q=1')],
    ['a vertical tab before a coding', withFields('Transfer-Encoding: \x0bchunked')],
    ['a blank behind a coding', withFields('Transfer-Encoding: chunked ')],
    ['a tab behind a coding', withFields('Transfer-Encoding: chunked\t')],
    ['an empty coding', withFields('Transfer-Encoding:')],
    ['names in Connection', withFields('Connection: close, X-A')],
    ['two Connections', withFields('Connection: close', 'Connection: keep-alive')],
    ['an empty Connection', withFields('Connection:')],
    ['Connection: upgrade', withFields('Connection: Upgrade', 'Upgrade: websocket')],
    ['Upgrade alone', withFields('Upgrade: h2c')],
    ['Expect', withFields('Expect: 100-continue')],
    ['a folded line', withFields('X-A: a', ' b')],
    ['a line folded with a tab', withFields('X-A: a', '\tb')],
    ['a first line that is folded', 'GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n'],
    ['a blank before the colon', withFields('X-A : a')],
    ['a tab before the colon', withFields('Content-Length\t: 5')],
    ['an empty name', withFields(': a')],
    ['a line without a colon', withFields('X-A')],
    ['a blank in a name', withFields('X A: a')],
    ['a control character in a name', withFields('X\x01A: a')],
    ['obs-text in a name', withFields('X\xe4: a')],
    ['a bracket in a name', withFields('X(A): a')],
    ['NUL in a value', withFields('X-A: a\0b')],
    ['ESC in a value', withFields('X-A: \x1b[0m')],
    ['DEL in a value', withFields('X-A: \x7f')],
    ['a list in the group', withFields('X-Traffic-Group: A,B')],
    ['two groups', withFields('X-Traffic-Group: A', 'X-Traffic-Group: A')],
    ['TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['the PROXY protocol', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n'],
  ];
  for (const [what, text] of foreign) {
    it(what, () => {
      assert.equal(read(text), FOREIGN);
      // However much of it has come: never taken for something else meanwhile.
      for (let end = 1; end < text.length; end++) {
        const early = read(text.slice(0, end));
        assert.ok(early === PARTIAL || early === FOREIGN, `${end} bytes`);
      }
    });
  }
});

describe('the head for the upstream', () => {
  it('keeps names, their case, order, and the blanks of values', () => {
    const request = accepted(
      'POST /a HTTP/1.1\r\nx-First:  1 \r\nHOST: a\r\nContent-Length: 3\r\nCookie: a=1; b=2\r\nAccept: */*\r\nVia: 1.0 x\r\n\r\n',
    );
    assert.equal(
      upstreamHead(request),
      `POST /a HTTP/1.1\r\nx-First:  1 \r\nHOST: a\r\nContent-Length: 3\r\nCookie: a=1; b=2\r\nAccept: */*\r\nVia: 1.0 x\r\n${ID}${OWN}`,
    );
  });

  it('loses what belongs to the connection', () => {
    const request = accepted(
      withFields(
        'Connection: keep-alive',
        'Keep-Alive: timeout=5',
        'TE: trailers',
        'Trailer: X-Sum',
        'Proxy-Authorization: Basic eA==',
        'Proxy-Connection: close',
        'HTTP2-Settings: x',
        'X-Last: 1',
      ),
    );
    assert.equal(upstreamHead(request), `GET / HTTP/1.1\r\nHost: a\r\nX-Last: 1\r\n${ID}${OWN}`);
  });

  it('says that a POST, PUT and PATCH without a body has none', () => {
    for (const method of ['POST', 'PUT', 'PATCH']) {
      const request = accepted(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(
        upstreamHead(request),
        `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${ID}${OWN}`,
      );
    }
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
      assert.ok(!accepted(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`).upstreamHead.includes('Content-Length'));
    }
  });

  const claims = [
    'X-Request-Id: mine',
    'X-Forwarded-For: 198.51.100.1',
    'X-Forwarded-For: 198.51.100.2',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: shop.example',
    'X-Forwarded-Port: 443',
    'Forwarded: for=198.51.100.1',
    'X-Traffic-Group: INTERNAL',
  ];

  it('takes nothing that a stranger says of where it came from', () => {
    const request = accepted(withFields(...claims), guarded, stranger);
    assert.equal(upstreamHead(request), `GET / HTTP/1.1\r\nHost: a\r\n${ID}${OWN}`);
    assert.notEqual(request.requestId, 'mine');
    assert.equal(request.facts.group, '');
    assert.equal(request.facts.client, '192.0.2.7');
    assert.ok(!request.facts.rawHeaders.includes('X-Traffic-Group'));
  });

  it('keeps what a trusted peer says, and adds itself', () => {
    const request = accepted(withFields(...claims), guarded, friend);
    assert.equal(
      request.upstreamHead,
      'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 443\r\nForwarded: for=198.51.100.1\r\nX-Traffic-Group: INTERNAL\r\n' +
        'X-Request-Id: mine\r\nX-Forwarded-For: 198.51.100.1, 198.51.100.2, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n' +
        'X-Forwarded-Host: shop.example\r\nVia: 1.1 pointsman\r\n',
    );
    assert.equal(request.requestId, 'mine');
    assert.equal(request.facts.group, 'internal');
  });

  it('has no id that could break a line of the log', () => {
    for (const id of ['', 'a b', '\xe4', 'x'.repeat(129)]) {
      const request = accepted(withFields(`X-Request-Id: ${id}`), guarded, friend);
      assert.notEqual(request.requestId, id);
      assert.match(request.requestId, /^[0-9a-f-]{36}$/);
    }
  });

  it('has Forwarded where it is asked for, and neither X-Forwarded-* nor Via where they are not', () => {
    const policy = policyOf({ forwarding: { forwarded: true, xForwarded: false, via: '' } });
    const request = accepted(withFields('X-Forwarded-For: 1.1.1.1'), policy);
    assert.equal(
      upstreamHead(request),
      `GET / HTTP/1.1\r\nHost: a\r\n${ID}Forwarded: for=192.0.2.7;host="a";proto=http\r\n`,
    );
  });
});

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const value = fc.stringMatching(/^[\t -~\x80-\xff]{0,20}$/);
const valid = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS'),
    target: fc.stringMatching(/^\/[!-"$-~]{0,20}$/),
    host: fc.stringMatching(/^[A-Za-z0-9._-]{1,12}(:[0-9]{1,4})?$/),
    fields: fc.array(fc.tuple(token, value), { maxLength: LIMIT - 8 }),
    framing: fc.constantFrom('', 'Content-Length: 12', 'Transfer-Encoding: chunked'),
    connection: fc.constantFrom('', 'Connection: close', 'connection: Keep-Alive'),
  })
  .map(({ method, target, host, fields, framing, connection }) => {
    // Random names may be special ones, by chance.
    const plain = fields.map(([name, text]) => `P-${name}: ${text}`);
    const lines = [framing, ...plain, `Host: ${host}`, connection].filter((line) => line !== '');
    const text = `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
    const pairs = lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')] as const;
    });
    return { text, method, target, host, pairs };
  });

describe('any head of the grammar', () => {
  it('is read as what it says', () => {
    fc.assert(
      fc.property(valid, ({ text, method, target, host, pairs }) => {
        const request = accepted(text);
        assert.equal(request.facts.method, method);
        assert.equal(request.target, target);
        assert.equal(request.host, host);
        assert.equal(request.length, text.length);
        assert.deepEqual(request.facts.rawHeaders, pairs.flat());
      }),
    );
  });

  it('is PARTIAL up to its last octet', () => {
    fc.assert(
      fc.property(valid, ({ text }) => {
        for (let end = 0; end < text.length; end++) assert.equal(read(text.slice(0, end)), PARTIAL);
      }),
    );
  });

  it('is read the same whatever stands behind it', () => {
    fc.assert(
      fc.property(valid, fc.uint8Array({ maxLength: 8 }), ({ text }, behind) => {
        const bytes = Buffer.concat([Buffer.from(text, 'latin1'), behind]);
        const request = readRequest(bytes, 0, bytes.length, LIMIT, open, stranger);
        assert.ok(request !== PARTIAL && request !== FOREIGN);
        assert.equal(request.length, text.length);
        assert.equal(upstreamHead(request), upstreamHead(accepted(text)));
      }),
    );
  });

  it('goes on as one that has the same reading again', () => {
    fc.assert(
      fc.property(valid, ({ text }) => {
        const first = accepted(text);
        const again = accepted(`${first.upstreamHead}\r\n`);
        assert.equal(again.facts.method, first.facts.method);
        assert.equal(again.target, first.target);
        assert.equal(again.host, first.host);
        assert.equal(again.contentLength, first.contentLength);
      }),
    );
  });
});
