import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { cookieValue } from '../../../src/pinning/cookie-value.ts';
import { identifyUser } from '../../../src/pinning/identity.ts';
import { userOfText } from '../../../src/pinning/user-id.ts';
import { designTable } from '../routing/table.ts';

type By = NonNullable<ConfigInput['pins']>[string]['by'];

const pinBy = (...by: By) => designTable({ pins: { user: { by } } }).routes[1]!.pin!;
const pin = pinBy({ header: 'X-User-Id' }, { cookie: 'uid' });

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const bearer = (claims: unknown) => [
  'Authorization',
  `Bearer ${encode({ alg: 'none' })}.${encode(claims)}.x`,
];

describe('who the user is', () => {
  it('takes the first source that has an id', () => {
    assert.equal(identifyUser(pin, ['x-user-id', ' 42 ', 'Cookie', 'uid=7']), '42');
    assert.equal(identifyUser(pin, ['Cookie', 'a=1; uid=7; uid=8']), '7');
    assert.equal(identifyUser(pin, ['X-User-Id', '  ', 'Cookie', 'uid="7"']), '7');
    assert.equal(identifyUser(pin, ['Cookie', 'a=1', 'cookie', ' uid = 7 ']), '7');
  });

  it('finds none where there is none', () => {
    assert.equal(identifyUser(pin, ['Cookie', 'xuid=7; UID=8; uid; =x']), undefined);
    assert.equal(identifyUser(pin, []), undefined);
    assert.equal(identifyUser(pin, ['Cookie', 'uid=']), undefined);
  });

  it('takes an id of more than 256 bytes for none', () => {
    assert.equal(identifyUser(pin, ['X-User-Id', 'x'.repeat(256)]), 'x'.repeat(256));
    assert.equal(identifyUser(pin, ['X-User-Id', 'x'.repeat(257)]), undefined);
    assert.equal(identifyUser(pin, ['X-User-Id', 'x'.repeat(65_536), 'Cookie', 'uid=7']), '7');
    assert.equal(userOfText('é'.repeat(128))?.length, 256);
    assert.equal(userOfText('é'.repeat(129)), undefined);
  });

  it('keeps every byte of an id: a no-break space may be the end of a letter', () => {
    const field = Buffer.from('Voilà', 'utf8').toString('latin1');
    assert.equal(identifyUser(pin, ['X-User-Id', field]), field);
    assert.equal(userOfText('Voilà'), field);
  });

  it('survives any cookie line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), fc.nat(4), (line, nth) => {
        const value = cookieValue(['Cookie', `${line}; uid=\r\n7`], 'uid', nth);
        assert.ok(value === undefined || typeof value === 'string');
      }),
    );
    assert.equal(identifyUser(pin, ['Cookie', 'uid=a\r\nSet-Cookie: b']), 'a\r\nSet-Cookie: b');
  });
});

describe('the claim of a bearer token', () => {
  const sub = pinBy({ bearerClaim: 'sub' });

  it('is a text or a number, however deep', () => {
    assert.equal(identifyUser(sub, bearer({ sub: ' u-1 ' })), 'u-1');
    assert.equal(identifyUser(sub, bearer({ sub: 4711 })), '4711');
    assert.equal(
      identifyUser(pinBy({ bearerClaim: 'realm.user.id' }), bearer({ realm: { user: { id: 7 } } })),
      '7',
    );
    const url = 'https://example.com/uid';
    assert.equal(identifyUser(pinBy({ bearerClaim: url }), bearer({ [url]: 'x' })), 'x');
    assert.equal(identifyUser(pinBy({ bearerClaim: 'a.b.c' }), bearer({ a: {}, 'a.b': { c: 'x' } })), 'x');
  });

  it('is the same user as in a field', () => {
    const byBoth = pinBy({ header: 'X-User-Id' }, { bearerClaim: 'sub' });
    const field = Buffer.from('Zoë', 'utf8').toString('latin1');
    assert.equal(identifyUser(byBoth, bearer({ sub: 'Zoë' })), identifyUser(byBoth, ['X-User-Id', field]));
  });

  it('is missing where there is no token that could be read', () => {
    for (const claims of [
      {},
      { sub: null },
      { sub: true },
      { sub: {} },
      { sub: [] },
      { sub: '' },
      [],
      1,
      null,
    ]) {
      assert.equal(identifyUser(sub, bearer(claims)), undefined, JSON.stringify(claims));
    }
    assert.equal(identifyUser(sub, bearer({ sub: 'x'.repeat(257) })), undefined);
    assert.equal(identifyUser(pinBy({ bearerClaim: '__proto__' }), bearer({})), undefined);
    assert.equal(identifyUser(pinBy({ bearerClaim: 'constructor.name' }), bearer({})), undefined);
    const payload = encode({ sub: 'u' });
    for (const value of [
      '',
      'Bearer',
      'Bearer ',
      `Basic a.${payload}.c`,
      `Bearer a.${payload}`,
      `Bearer a.${payload}.c.d.e`,
      `Bearer .${payload}.c`,
      `Bearer a.${payload}=.c`,
      `Bearer a.${payload.slice(0, 3)}+.c`,
      `Bearer a.${'W'.repeat(12_000)}.c`,
      `Bearer a.${encode({ sub: 'u', pad: 'x'.repeat(16_384) })}.c`,
    ]) {
      assert.equal(identifyUser(sub, ['Authorization', value]), undefined, value.slice(0, 40));
    }
    assert.equal(identifyUser(sub, ['authorization', `bEARER a.${payload}.`]), 'u');
  });

  it('is read again when the token is another one', () => {
    for (let i = 0; i < 5_000; i++) {
      assert.equal(identifyUser(sub, bearer({ sub: i % 3_000 })), String(i % 3_000));
    }
  });
});

describe("the client's address", () => {
  const peer = pinBy({ clientAddress: {} });
  const behindOne = pinBy({ clientAddress: { trustedHops: 1 } }, { header: 'X-User-Id' });
  const behindTwo = pinBy({ clientAddress: { trustedHops: 2 } });
  const forwarded = (...lines: string[]) => lines.flatMap((line) => ['X-Forwarded-For', line]);

  it("is the peer's without proxies, whatever X-Forwarded-For says", () => {
    assert.equal(identifyUser(peer, forwarded('1.1.1.1'), '10.0.0.9', true), '10.0.0.9');
    assert.equal(identifyUser(peer, []), undefined);
  });

  it('is counted from the right, over all lines', () => {
    assert.equal(identifyUser(behindOne, forwarded('6.6.6.6, 1.1.1.1'), '10.0.0.9', true), '1.1.1.1');
    assert.equal(
      identifyUser(behindTwo, forwarded('6.6.6.6,1.1.1.1 , 10.0.0.7'), '10.0.0.9', true),
      '1.1.1.1',
    );
    assert.equal(identifyUser(behindTwo, forwarded('1.1.1.1', '10.0.0.7'), '10.0.0.9', true), '1.1.1.1');
  });

  it('is one spelling, without port', () => {
    for (const [text, address] of [
      ['1.1.1.1:443', '1.1.1.1'],
      ['[2001:DB8::1]:443', '2001:db8::1'],
      ['2001:db8::1', '2001:db8::1'],
      ['::ffff:1.1.1.1', '1.1.1.1'],
    ]) {
      assert.equal(identifyUser(behindOne, forwarded(text!), '10.0.0.9', true), address);
    }
  });

  it('is that of a peer who is not trusted', () => {
    assert.equal(identifyUser(behindOne, forwarded('1.1.1.1'), '8.8.8.8', false), '8.8.8.8');
  });

  it('is missing when the proxies did not say', () => {
    for (const lines of [[], [''], ['unknown'], ['_hidden'], [','], ['x'.repeat(9_000)]]) {
      assert.equal(identifyUser(behindOne, forwarded(...lines), '10.0.0.9', true), undefined);
    }
    assert.equal(identifyUser(behindTwo, forwarded('1.1.1.1'), '10.0.0.9', true), undefined);
    assert.equal(identifyUser(behindOne, ['X-User-Id', '7'], '10.0.0.9', true), '7');
  });
});
