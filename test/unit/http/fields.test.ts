import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FieldClassifier } from '../../../src/http/fields.ts';

const requests = FieldClassifier.forRequests('X-Traffic-Group', 'X-Request-Id', undefined, undefined);
const responses = FieldClassifier.forResponses('X-Request-Id');

describe('fields', () => {
  it('have one role in whatever case they come', () => {
    assert.equal(requests.roleOf('x-TRAFFIC-group'), 'group');
    assert.equal(requests.roleOf('Keep-Alive'), 'hopByHop');
    assert.equal(requests.roleOf('X-Forwarded-Port'), 'xForwardedOther');
    assert.equal(requests.roleOf('X-Anything'), 'pass');
    assert.equal(requests.roleOf('Keep-Alive'), 'hopByHop');
  });

  it('that Connection names are dropped, but not those that routing, framing and provenance rest on', () => {
    const named =
      'close, X-Hop ,HOST, x-traffic-group, Content-Length, X-Forwarded-For, Cookie, , x-request-id, Via';
    assert.deepEqual([...(requests.nominated(named) ?? [])], ['x-hop']);
    assert.equal(requests.nominated('keep-alive'), undefined);
    assert.equal(requests.nominated('Keep-Alive, Close'), undefined);
    assert.equal(requests.nominated(undefined), undefined);
  });

  it('are interned by their exact bytes, however many there are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[A-Za-z-]{1,20}$/), { minLength: 1, maxLength: 300 }),
        (names) => {
          for (const name of [...names, ...names]) {
            const known = responses.nameOf(Buffer.from(name, 'latin1'));
            assert.equal(known.text, name);
            assert.equal(known.lower, name.toLowerCase());
            assert.equal(known.role, responses.roleOf(name));
          }
        },
      ),
    );
  });

  it('are interned in a copy: the buffer they came in may be used again', () => {
    const buffer = Buffer.from('X-First');
    assert.equal(responses.nameOf(buffer).text, 'X-First');
    buffer.write('X-Other');
    assert.equal(responses.nameOf(buffer).text, 'X-Other');
    assert.equal(responses.nameOf(Buffer.from('X-First')).text, 'X-First');
  });
});
