import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { identifyUser } from '../../../src/pinning/identity.ts';
import { designTable } from '../routing/table.ts';

const pin = designTable().routes[1]!.pin!;

describe('who the user is', () => {
  it('takes the first source that has an id', () => {
    assert.equal(identifyUser(pin, ['x-user-id', ' 42 ', 'Cookie', 'uid=7']), '42');
    assert.equal(identifyUser(pin, ['Cookie', 'a=1; uid=7; uid=8']), '7');
    assert.equal(identifyUser(pin, ['X-User-Id', '  ', 'Cookie', 'uid="7"']), '7');
  });

  it('finds none where there is none', () => {
    assert.equal(identifyUser(pin, ['Cookie', 'xuid=7; UID=8; uid; =x']), undefined);
    assert.equal(identifyUser(pin, []), undefined);
    assert.equal(identifyUser(pin, ['Cookie', 'uid=']), undefined);
  });

  it('takes an id of more than 256 characters for none', () => {
    assert.equal(identifyUser(pin, ['X-User-Id', 'x'.repeat(256)]), 'x'.repeat(256));
    assert.equal(identifyUser(pin, ['X-User-Id', 'x'.repeat(257)]), undefined);
  });
});
