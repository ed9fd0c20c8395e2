import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failureOf } from '../../../src/forward/full/undici-failure.ts';
import { failureAnswer, requiredHeaders } from '../../../src/forward/reasons.ts';
import { isIdempotent } from '../../../src/http/methods.ts';

function error(code: string | undefined, message = '', name = 'Error'): Error {
  return Object.assign(new Error(message), code === undefined ? { name } : { code, name });
}

describe('failure answers', () => {
  it('are JSON with status, reason and request id', () => {
    const { contentType, body } = failureAnswer('no_endpoint', '*/*', 'id-1');
    assert.equal(contentType, 'application/json');
    const { error: failure } = JSON.parse(body.toString()) as { error: Record<string, unknown> };
    assert.deepEqual(
      [failure['status'], failure['reason'], failure['requestId']],
      [503, 'no_endpoint', 'id-1'],
    );
  });

  it('are text for a client that takes text and not JSON', () => {
    assert.match(failureAnswer('bad_response', 'text/html', 'id-1').contentType, /^text\/plain/);
    assert.equal(
      failureAnswer('bad_response', 'text/html, application/json', 'x').contentType,
      'application/json',
    );
    assert.equal(failureAnswer('bad_response', undefined, 'x').contentType, 'application/json');
  });
});

describe('requiredHeaders', () => {
  it('has Allow for 405 only', () => {
    assert.deepEqual(requiredHeaders('method_not_allowed', 'GET, PUT'), ['Allow', 'GET, PUT']);
    assert.deepEqual(requiredHeaders('method_not_implemented', 'GET, PUT'), []);
  });
});

describe('an error of an attempt', () => {
  it('before the request was sent is a failed connection, by time or otherwise', () => {
    assert.equal(failureOf(error('ECONNREFUSED'), false, false), 'connect_failed');
    assert.equal(failureOf(error('CONNECT_TIMEOUT'), false, false), 'connect_timeout');
  });

  it('after that is a reset, an invalid response, or a truncated one', () => {
    assert.equal(failureOf(error('ECONNRESET'), true, false), 'upstream_reset');
    assert.equal(failureOf(error('UND_ERR_SOCKET', 'other side closed'), true, false), 'upstream_reset');
    assert.equal(failureOf(error(undefined, 'x', 'HTTPParserError'), true, false), 'bad_response');
    assert.equal(failureOf(error('UND_ERR_HEADERS_OVERFLOW'), true, false), 'bad_response');
    assert.equal(failureOf(error('UND_ERR_SOCKET', 'other side closed'), true, true), 'upstream_truncated');
  });

  it('of a request that undici refuses is nobody else’s fault', () => {
    assert.equal(failureOf(error('UND_ERR_INVALID_ARG'), false, false), 'bad_request');
  });

  it('may lead to a retry only for idempotent methods (RFC 9110, 9.2.2)', () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']) assert.ok(isIdempotent(method), method);
    for (const method of ['POST', 'PATCH', 'CONNECT', 'get']) assert.ok(!isIdempotent(method), method);
  });
});
