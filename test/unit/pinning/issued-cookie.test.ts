import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CookieIssuer, type CookieSettings } from '../../../src/pinning/issued-cookie.ts';

const SETTINGS: CookieSettings = {
  name: 'pm',
  ttl: 1_000_000,
  sameSite: 'Lax',
  secure: true,
  path: '/',
  domain: undefined,
  keys: ['key-one-key-one-key-one'],
};

const NOW = 1_800_000_000_000;

function issuerAt(
  clock: { now: number },
  some: Partial<CookieSettings> = {},
  service = 'shop',
): CookieIssuer {
  return new CookieIssuer({ ...SETTINGS, ...some }, service, { now: () => clock.now, random: randomBytes });
}

/** The pair that a client sends back. */
function pairOf(setCookie: string | undefined): string {
  assert.ok(setCookie !== undefined);
  return setCookie.slice(0, setCookie.indexOf(';'));
}

describe('an issued cookie', () => {
  it('brings its user back, and is not issued again while most of its time is left', () => {
    const clock = { now: NOW };
    const issuer = issuerAt(clock);
    const first = issuer.identify([]);
    assert.ok(first.fresh);
    assert.match(first.user, /^[A-Za-z0-9_-]{22}$/);
    const pair = pairOf(first.setCookie);
    clock.now += 499_000;
    for (let i = 0; i < 2; i++) {
      const again = issuer.identify(['Cookie', `a=b; ${pair}`]);
      assert.deepEqual(again, { user: first.user, fresh: false, setCookie: undefined });
    }
  });

  it('has the attributes that it is told to have', () => {
    const clock = { now: NOW };
    assert.match(
      issuerAt(clock).identify([]).setCookie!,
      /^pm=1\.[\w-]{22}\.[0-9a-z]+\.[\w-]{22}; Max-Age=1000; Path=\/; SameSite=Lax; Secure; HttpOnly$/,
    );
    const other = issuerAt(clock, { secure: false, sameSite: 'Strict', domain: 'a.test', path: '/x' });
    assert.match(other.identify([]).setCookie!, /; Path=\/x; Domain=a\.test; SameSite=Strict; HttpOnly$/);
  });

  it('is issued anew, with the same id, when half of its time is over', () => {
    const clock = { now: NOW };
    const issuer = issuerAt(clock);
    const { user, setCookie } = issuer.identify([]);
    clock.now += 501_000;
    const renewed = issuer.identify(['Cookie', pairOf(setCookie)]);
    assert.equal(renewed.user, user);
    assert.equal(renewed.fresh, false);
    clock.now += 600_000;
    assert.equal(issuer.identify(['Cookie', pairOf(renewed.setCookie)]).user, user);
  });

  it('counts for nothing when its time is over, also when it was verified before', () => {
    const clock = { now: NOW };
    const issuer = issuerAt(clock);
    const { user, setCookie } = issuer.identify([]);
    issuer.identify(['Cookie', pairOf(setCookie)]);
    clock.now += 1_001_000;
    const later = issuer.identify(['Cookie', pairOf(setCookie)]);
    assert.ok(later.fresh && later.user !== user && later.setCookie !== undefined);
  });

  it('is good under an older key of the list, and then signed by the first', () => {
    const clock = { now: NOW };
    const { user, setCookie } = issuerAt(clock).identify([]);
    const both = issuerAt(clock, { keys: ['key-two-key-two-key-two', ...SETTINGS.keys] });
    const moved = both.identify(['Cookie', pairOf(setCookie)]);
    assert.equal(moved.user, user);
    const onlyNew = issuerAt(clock, { keys: ['key-two-key-two-key-two'] });
    assert.equal(onlyNew.identify(['Cookie', pairOf(moved.setCookie)]).user, user);
    assert.ok(onlyNew.identify(['Cookie', pairOf(setCookie)]).fresh);
  });

  it('of another service, another name or another key is replaced', () => {
    const clock = { now: NOW };
    const pair = pairOf(issuerAt(clock).identify([]).setCookie);
    assert.ok(issuerAt(clock, {}, 'other').identify(['Cookie', pair]).fresh);
    assert.ok(issuerAt(clock, { keys: ['x'.repeat(20)] }).identify(['Cookie', pair]).fresh);
    assert.ok(issuerAt(clock, { name: 'pn' }).identify(['Cookie', pair.replace('pm=', 'pn=')]).fresh);
  });

  it('is found behind a bad one of the same name', () => {
    const clock = { now: NOW };
    const issuer = issuerAt(clock);
    const { user, setCookie } = issuer.identify([]);
    assert.equal(issuer.identify(['Cookie', `pm=old; ${pairOf(setCookie)}`]).user, user);
  });

  it('is refused when any character of it was changed', () => {
    const clock = { now: NOW };
    const issuer = issuerAt(clock);
    const pair = pairOf(issuer.identify([]).setCookie);
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: pair.length - 2 }),
        fc.string({ unit: 'binary', maxLength: 3 }),
        (at, text) => {
          const forged = pair.slice(0, at) + text + pair.slice(at + 1);
          assert.ok(forged === pair || issuer.identify(['Cookie', forged]).fresh);
        },
      ),
      { numRuns: 500 },
    );
  });
});
