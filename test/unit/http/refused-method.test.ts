import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { isUnknownMethod, type ParserError } from '../../../src/http/refused-method.ts';

const REST = '/ HTTP/1.1\r\nHost: a\r\n\r\n';

describe('isUnknownMethod', () => {
  const server = createServer((_req, res) => res.end());
  before(() => once(server.listen(0, '127.0.0.1'), 'listening'));
  after(() => server.close());

  /** Returns what llhttp says about these bytes. */
  async function errorOf(text: string): Promise<ParserError> {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => {});
    client.resume();
    client.write(text, 'latin1');
    const [error, socket] = await once(server, 'clientError');
    socket.destroy();
    client.destroy();
    return error as ParserError;
  }

  for (const method of ['BREW', 'X', 'get', 'Get', 'GETS', 'PROPFIN', "!#$%&'*+.^_`|~", 'A'.repeat(5_000)]) {
    it(`is true for the method ${method.slice(0, 20)}`, async () => {
      assert.equal(isUnknownMethod(await errorOf(`${method} ${REST}`)), true);
    });
  }

  for (const [what, text] of [
    ['a method behind another request', `GET ${REST}BREW ${REST}`],
    ['a method behind a body', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n=)BREW ${REST}`],
    ['a method behind an empty line', `\r\nBREW ${REST}`],
    ['a method of RTSP', `DESCRIBE ${REST}`],
    ['a line whose end has not come', 'BREW /coffee'],
    ['a line of HTTP/1.0', 'BREW / HTTP/1.0\r\n\r\n'],
  ] as const) {
    it(`is true for ${what}`, async () => assert.equal(isUnknownMethod(await errorOf(text)), true));
  }

  for (const [what, text] of [
    ['TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['the PROXY protocol', `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET ${REST}`],
    ['a word', 'hello\r\n'],
    ['a sentence', 'hello world\r\n'],
    ['a word without an end', 'hello'],
    ['JSON', '{"a": 1}\r\n'],
    ['a space in front', ` GET ${REST}`],
    ['a tab behind the method', 'GET\t/ HTTP/1.1\r\n\r\n'],
    ['a slash in the method', `G/T ${REST}`],
    ['a byte above 127 in the method', `G\xc9T ${REST}`],
    ['NUL behind the method', `GET\0 ${REST}`],
    ['another version', 'BREW / HTTP/2.0\r\n\r\n'],
    ['another protocol', 'BREW / ICY/1.1\r\n\r\n'],
    ['no version', 'BREW /\r\n\r\n'],
    ['a bare LF', 'BREW / HTTP/1.1\nHost: a\n\n'],
    ['a request that is malformed elsewhere', 'GET / HTTP/1.1\r\n: a\r\n\r\n'],
    ['a version that is malformed', 'GET / HTTP/x\r\n\r\n'],
  ] as const) {
    it(`is false for ${what}`, async () => assert.equal(isUnknownMethod(await errorOf(text)), false));
  }
});
