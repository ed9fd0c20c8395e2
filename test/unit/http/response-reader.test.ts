import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FieldClassifier } from '../../../src/http/fields.ts';
import type { TextHead } from '../../../src/http/response-head.ts';
import { INCOMPLETE, MALFORMED, readResponse } from '../../../src/http/response-reader.ts';

const fields = FieldClassifier.forResponses('X-Request-Id');

const read = (text: string, isHead = false) => {
  const bytes = Buffer.from(text, 'latin1');
  return readResponse(bytes, 0, bytes.length, isHead, fields);
};

function accepted(text: string, isHead = false): TextHead {
  const response = read(text, isHead);
  if (response === INCOMPLETE || response === MALFORMED) {
    assert.fail(`${response === INCOMPLETE ? 'INCOMPLETE' : 'MALFORMED'}: ${JSON.stringify(text)}`);
  }
  return response;
}

const withFields = (...lines: string[]) => answer('200 OK', ...lines);

function answer(status: string, ...lines: string[]): string {
  return `HTTP/1.1 ${status}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

describe('the response reader frames bodies by', () => {
  const cases: readonly (readonly [string, string, boolean, TextHead['framing'], number])[] = [
    ['a length', withFields('Content-Length: 5'), false, 'length', 5],
    ['a length of none', withFields('Content-Length: 0'), false, 'length', 0],
    ['chunks', withFields('Transfer-Encoding: Chunked'), false, 'chunked', -1],
    ['the end of the connection', withFields(), false, 'close', -1],
    ['the status 204', answer('204 No Content'), false, 'none', -1],
    ['the status 204, whatever length it claims', answer('204 x', 'Content-Length: 5'), false, 'none', -1],
    ['the status 304, whatever length it claims', answer('304 x', 'Content-Length: 5'), false, 'none', -1],
    ['the status 304 in chunks', answer('304 x', 'Transfer-Encoding: chunked'), false, 'none', -1],
    ['the status 1xx', answer('103 Early Hints', 'Link: </a>'), false, 'none', -1],
    ['the method HEAD', withFields('Content-Length: 5'), true, 'none', -1],
    ['the method HEAD with chunks', withFields('Transfer-Encoding: chunked'), true, 'none', -1],
    ['the method HEAD without either', withFields(), true, 'none', -1],
  ];
  for (const [what, text, isHead, body, length] of cases) {
    it(what, () => {
      const response = accepted(text, isHead);
      assert.equal(response.framing, body);
      assert.equal(response.contentLength, length);
      assert.equal(response.size, text.length);
    });
  }
});

describe('a connection to the upstream', () => {
  const length = 'Content-Length: 0';
  for (const [what, text, keeps] of [
    ['is kept with HTTP/1.1', withFields(length), true],
    ['is not kept with close', withFields(length, 'Connection: Close'), false],
    ['is not kept with close among others', withFields(length, 'Connection: x, close'), false],
    [
      'is not kept with close in a second line',
      withFields(length, 'Connection: x', 'Connection: close'),
      false,
    ],
    ['is not kept with close and keep-alive', withFields(length, 'Connection: keep-alive, close'), false],
    ['is not kept with HTTP/1.0', `HTTP/1.0 200 OK\r\n${length}\r\n\r\n`, false],
    [
      'is kept with HTTP/1.0 and keep-alive',
      `HTTP/1.0 200 OK\r\n${length}\r\nConnection: Keep-Alive\r\n\r\n`,
      true,
    ],
    ['is not kept when it ends the body', withFields('Connection: keep-alive'), false],
  ] as const) {
    it(what, () => assert.equal(accepted(text).keepsAlive, keeps));
  }

  it('is kept for as long as the upstream says', () => {
    assert.equal(accepted(withFields('Keep-Alive: timeout=5, max=100')).keepAliveMs, 5_000);
    assert.equal(accepted(withFields('keep-alive: max=1, TIMEOUT=12')).keepAliveMs, 12_000);
    for (const value of ['', 'timeout=', 'timeout=x', 'timeout=-1', 'xtimeout=5', 'timeout=9999999']) {
      assert.equal(accepted(withFields(`Keep-Alive: ${value}`)).keepAliveMs, -1, value);
    }
  });
});

describe('the response head for the client', () => {
  it('keeps the reason, names, their case, their order and the blanks of values', () => {
    const text =
      'HTTP/1.1 200 Fine \xe4\r\nset-cookie: a\r\nSet-Cookie:  b \r\nETag: "x"\r\nContent-Length: 1\r\n';
    assert.equal(accepted(`${text}\r\n`).lines(), text);
  });

  it('is HTTP/1.1 whatever the upstream speaks', () => {
    assert.equal(accepted('HTTP/1.0 200 OK\r\nA: b\r\n\r\n').lines(), 'HTTP/1.1 200 OK\r\nA: b\r\n');
  });

  it('may have no reason, with its blank or without', () => {
    assert.equal(accepted('HTTP/1.1 200\r\n\r\n').lines(), 'HTTP/1.1 200\r\n');
    assert.equal(accepted('HTTP/1.1 200 \r\n\r\n').lines(), 'HTTP/1.1 200 \r\n');
  });

  it('loses what belongs to the connection, what Connection names, and the id', () => {
    const response = accepted(
      withFields(
        'X-Hop: 1',
        'Connection: keep-alive, X-HOP, Set-Cookie',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: close',
        'TE: x',
        'Upgrade: h2c',
        'X-Request-Id: upstream',
        'Trailer: X-Sum',
        'Set-Cookie: a=1',
        'Date: today',
        'Transfer-Encoding: chunked',
      ),
    );
    assert.equal(
      response.lines(),
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nDate: today\r\nTransfer-Encoding: chunked\r\n',
    );
    assert.equal(response.hasDate, true);
    assert.equal(response.trailer, 'X-Sum');
  });

  it('has a length only where there may be one', () => {
    assert.equal(accepted(answer('204 x', 'Content-Length: 5')).lines(), 'HTTP/1.1 204 x\r\n');
    assert.equal(accepted(answer('103 x', 'Content-Length: 5')).lines(), 'HTTP/1.1 103 x\r\n');
    assert.equal(
      accepted(answer('304 x', 'Content-Length: 5')).lines(),
      'HTTP/1.1 304 x\r\nContent-Length: 5\r\n',
    );
    assert.equal(accepted(answer('304 x', 'Transfer-Encoding: chunked')).lines(), 'HTTP/1.1 304 x\r\n');
    assert.equal(
      accepted(withFields('Content-Length: 5'), true).lines(),
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n',
    );
  });
});

describe('the response reader refuses', () => {
  const malformed: readonly (readonly [string, string])[] = [
    ['another protocol', 'ICY 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['a lower-case protocol', 'http/1.1 200 OK\r\n\r\n'],
    ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
    ['an empty line in front', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['bytes in front', 'xHTTP/1.1 200 OK\r\n\r\n'],
    ['a version with two digits', 'HTTP/1.10 200 OK\r\n\r\n'],
    ['two blanks before the status', 'HTTP/1.1  200 OK\r\n\r\n'],
    ['a tab before the status', 'HTTP/1.1\t200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK......\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['a signed status', 'HTTP/1.1 +20 OK\r\n\r\n'],
    ['a status with letters', 'HTTP/1.1 2x0 OK\r\n\r\n'],
    ['a reason stuck to the status', 'HTTP/1.1 200OK\r\n\r\n'],
    ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n'],
    ['bare LF behind the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
    ['bare CR behind the status line', 'HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n'],
    ['bare LF behind a field', withFields('A: b\nC: d')],
    ['bare CR in a field', withFields('A: b\rC: d')],
    ['bare LF at the end', 'HTTP/1.1 200 OK\r\nA: b\r\n\n'],
    ['a folded line', withFields('A: b', ' c')],
    ['a blank before the colon', withFields('Content-Length : 5')],
    ['an empty name', withFields(': a')],
    ['a line without a colon', withFields('abc')],
    ['obs-text in a name', withFields('\xe4: a')],
    ['NUL in a value', withFields('A: \0')],
    ['DEL in a value', withFields('A: \x7f')],
    ['two lengths', withFields('Content-Length: 1', 'Content-Length: 2')],
    ['two equal lengths', withFields('Content-Length: 1', 'Content-Length: 1')],
    ['a list of lengths', withFields('Content-Length: 1, 1')],
    ['an empty length', withFields('Content-Length:')],
    ['a signed length', withFields('Content-Length: +5')],
    ['a hexadecimal length', withFields('Content-Length: 0x5')],
    ['a length of 16 digits', withFields('Content-Length: 1000000000000000')],
    ['length and chunks', withFields('Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['chunks and length', withFields('Transfer-Encoding: chunked', 'Content-Length: 0')],
    ['length and chunks of HEAD', withFields('Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['two codings', withFields('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['a list of codings', withFields('Transfer-Encoding: gzip, chunked')],
    ['another coding', withFields('Transfer-Encoding: gzip')],
    ['an empty coding', withFields('Transfer-Encoding:')],
    ['an interim response of HTTP/1.0', 'HTTP/1.0 100 Continue\r\n\r\n'],
    ['an interim response that ends the connection', answer('103 x', 'Connection: close')],
    ['chunks of HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ];
  for (const [what, text] of malformed) {
    it(what, () => {
      assert.equal(read(text), MALFORMED);
      for (let end = 0; end < text.length; end++) {
        const early = read(text.slice(0, end));
        assert.ok(early === INCOMPLETE || early === MALFORMED, `${end} bytes`);
      }
    });
  }
});

const valid = fc
  .record({
    version: fc.constantFrom('1.0', '1.1'),
    status: fc.integer({ min: 200, max: 999 }),
    reason: fc.stringMatching(/^( [\t -~\x80-\xff]{0,12})?$/),
    fields: fc.array(
      fc.tuple(
        fc.stringMatching(/^P-[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/),
        fc.stringMatching(/^[\t -~\x80-\xff]{0,20}$/),
      ),
      { maxLength: 10 },
    ),
    length: fc.option(fc.nat()),
  })
  .map(({ version, status, reason, fields: list, length }) => {
    const lines = list.map(([name, value]) => `${name}: ${value}\r\n`);
    const sized = length === null ? '' : `Content-Length: ${length}\r\n`;
    return { text: `HTTP/${version} ${status}${reason}\r\n${lines.join('')}${sized}\r\n`, status, lines };
  });

describe('any response head', () => {
  it('is read as what it says, and goes on with the same fields', () => {
    fc.assert(
      fc.property(valid, ({ text, status, lines }) => {
        const response = accepted(text);
        assert.equal(response.status, status);
        assert.equal(response.size, text.length);
        const passed = response.lines().slice(response.lines().indexOf('\r\n') + 2);
        assert.ok(passed.startsWith(lines.join('')));
        assert.equal(accepted(`${response.lines()}\r\n`).lines(), response.lines());
      }),
    );
  });

  it('is INCOMPLETE up to its last octet', () => {
    fc.assert(
      fc.property(valid, ({ text }) => {
        for (let end = 0; end < text.length; end++) assert.equal(read(text.slice(0, end)), INCOMPLETE);
      }),
    );
  });
});
