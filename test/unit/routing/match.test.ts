import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { readGroup } from '../../../src/routing/group.ts';
import { matchRoute, type RequestFacts } from '../../../src/routing/match.ts';
import { designTable, facts } from './table.ts';

type MatchInput = NonNullable<NonNullable<ConfigInput['routes']>[number]['match']>;

function matches(match: MatchInput, some: Partial<RequestFacts>): boolean {
  const table = designTable({
    routes: [
      { name: 'special', match, split: { canary: 1 } },
      { name: 'rest', split: { production: 1 } },
    ],
  });
  return matchRoute(table, facts(some)).name === 'special';
}

describe('groups', () => {
  it('routes the table of the design by group, everything else as paid', () => {
    const table = designTable();
    const routeOf = (group: string) => matchRoute(table, facts({ group })).name;
    assert.equal(routeOf('internal'), 'internal');
    assert.equal(routeOf('free'), 'free');
    assert.equal(routeOf('enterprise'), 'enterprise');
    for (const other of ['', 'paid', 'internalx', '"free"', 'free;q=1', 'enterprise-eu']) {
      assert.equal(routeOf(other), 'paid', other);
    }
  });

  it('reads one group from equal values in any case, and several from different ones', () => {
    assert.deepEqual(readGroup(['FREE']), { kind: 'one', group: 'free' });
    assert.deepEqual(readGroup([' free\t', 'Free', 'FREE, free']), { kind: 'one', group: 'free' });
    assert.deepEqual(readGroup(['FREE, INTERNAL']), { kind: 'several', groups: ['free', 'internal'] });
    assert.deepEqual(readGroup(['FREE', 'INTERNAL']), { kind: 'several', groups: ['free', 'internal'] });
    assert.deepEqual(readGroup(['', ' , ']), { kind: 'none' });
  });

  it('with several groups takes the first row that wants any of them, as HAProxy does', () => {
    const table = designTable({ ambiguousGroup: 'any' });
    const several = facts({ group: 'free', groups: ['free', 'internal'] });
    assert.equal(matchRoute(table, several).name, 'internal');
  });

  it('first match wins', () => {
    const table = designTable({
      routes: [
        { name: 'one', match: { group: 'A' }, split: { canary: 1 } },
        { name: 'two', match: { group: ['A', 'B'] }, split: { paid: 1 } },
        { name: 'rest', split: { production: 1 } },
      ],
    });
    assert.equal(matchRoute(table, facts({ group: 'a' })).name, 'one');
    assert.equal(matchRoute(table, facts({ group: 'b' })).name, 'two');
  });
});

describe('other matches', () => {
  it('compares hosts in any case and *.example.com with every name below, not with the name itself', () => {
    assert.ok(matches({ host: 'Shop.Example' }, { host: 'shop.example' }));
    assert.ok(matches({ host: '*.shop.example' }, { host: 'a.b.shop.example' }));
    assert.ok(!matches({ host: '*.shop.example' }, { host: 'shop.example' }));
    assert.ok(!matches({ host: '*.shop.example' }, { host: '.shop.example' }));
    assert.ok(!matches({ host: '*.shop.example' }, { host: 'evilshop.example' }));
  });

  it('compares paths by their beginning, byte by byte', () => {
    assert.ok(matches({ path: '/api' }, { path: '/apix?q' }));
    assert.ok(!matches({ path: '/api/' }, { path: '/API/' }));
    assert.ok(matches({ path: ['/a', '/b'] }, { path: '/b' }));
  });

  it('compares methods exactly', () => {
    assert.ok(matches({ method: ['GET', 'HEAD'] }, { method: 'HEAD' }));
    assert.ok(!matches({ method: 'GET' }, { method: 'POST' }));
  });

  it('compares fields exactly, by prefix, by expression, by presence, with and without regard to case', () => {
    const rawHeaders = ['X-Canary', 'True', 'x-canary', 'no', 'User-Agent', 'curl/8.1'];
    assert.ok(matches({ headers: { 'X-CANARY': 'no' } }, { rawHeaders }));
    assert.ok(!matches({ headers: { 'X-Canary': 'true' } }, { rawHeaders }));
    assert.ok(matches({ headers: { 'X-Canary': { exact: 'TRUE', ignoreCase: true } } }, { rawHeaders }));
    assert.ok(matches({ headers: { 'User-Agent': { prefix: 'curl/' } } }, { rawHeaders }));
    assert.ok(
      matches({ headers: { 'User-Agent': { regex: '^CURL/[78]\\.', ignoreCase: true } } }, { rawHeaders }),
    );
    assert.ok(!matches({ headers: { 'User-Agent': { regex: '^wget' } } }, { rawHeaders }));
    assert.ok(matches({ headers: { 'X-Canary': { present: true } } }, { rawHeaders }));
    assert.ok(matches({ headers: { Cookie: { present: false } } }, { rawHeaders }));
    assert.ok(!matches({ headers: { 'X-Canary': { present: false } } }, { rawHeaders }));
  });

  it('needs everything that a row names', () => {
    const match: MatchInput = { group: 'FREE', path: '/api', method: 'GET' };
    assert.ok(matches(match, { group: 'free', path: '/api/x' }));
    assert.ok(!matches(match, { group: 'free', path: '/x' }));
    assert.ok(!matches(match, { group: 'paid', path: '/api/x' }));
  });

  it('matches an expression that makes backtracking engines run for ever, at once', () => {
    const rawHeaders = ['X', `${'a'.repeat(4_000)}!`];
    assert.ok(!matches({ headers: { X: { regex: '^(a+)+$' } } }, { rawHeaders }));
  });
});
