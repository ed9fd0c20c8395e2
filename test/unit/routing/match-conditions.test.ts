/** Comparisons, lists of values, cookies, parameters, addresses, alternatives and exclusions. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../../src/config/load.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { listValues } from '../../../src/routing/field-values.ts';
import { readGroup } from '../../../src/routing/group.ts';
import { matchRoute, mismatch, type RequestFacts } from '../../../src/routing/match.ts';
import { designTable, facts } from './table.ts';

type MatchInput = NonNullable<ConfigInput['routes'][number]['match']>;

function tableOf(match: MatchInput) {
  return designTable({
    routes: [
      { name: 'special', match, split: { canary: 1 } },
      { name: 'rest', split: { production: 1 } },
    ],
  });
}

function matches(match: MatchInput, some: Partial<RequestFacts>): boolean {
  return matchRoute(tableOf(match), facts(some)).name === 'special';
}

function why(match: MatchInput, some: Partial<RequestFacts>): string | undefined {
  return mismatch(tableOf(match).routes[0]!.match!, facts(some), true);
}

const headers = (...rawHeaders: string[]) => ({ rawHeaders });

describe('comparisons of fields', () => {
  it('take any of a list of values, and all kinds of comparison together of one value', () => {
    const match: MatchInput = { headers: { X: { prefix: ['a-', 'b-'], suffix: '-z', contains: 'mid' } } };
    assert.ok(matches(match, headers('X', 'b-mid-z')));
    assert.ok(!matches(match, headers('X', 'c-mid-z')));
    assert.ok(!matches(match, headers('X', 'a-mid-y')));
    // Not half by one line and half by another.
    assert.ok(!matches(match, headers('X', 'a-mid', 'X', 'mid-z')));
    assert.ok(matches({ headers: { X: ['one', 'two'] } }, headers('x', 'two')));
    assert.ok(matches({ headers: { X: { regex: ['^a$', '^b+$'] } } }, headers('x', 'bbb')));
  });

  it('compare whole lines, or with list each value between commas, as HAProxy does', () => {
    const lines: MatchInput = { headers: { X: 'free' } };
    const list: MatchInput = { headers: { X: { exact: 'free', list: true } } };
    for (const [value, inList] of [
      ['free', true],
      ['a,free', true],
      [' free \t, b', true],
      [',,free', true],
      ['"a,free"', false],
      ['"free"', false],
      ['"a,free,b"', false],
      ['"a\\",free', true],
      ['"a\\",free"', false],
      ['"a\\\\",free', true],
      ['"a,free', true],
      ['a",free', true],
      ['free,"a', true],
      ['"a,b",free,"c', true],
      ['free;q=1', false],
      ['a b,c', false],
      ['\u00a0free', false],
      ['', false],
    ] as const) {
      assert.equal(matches(list, headers('X', value)), inList, value);
      assert.equal(matches(lines, headers('X', value)), value === 'free', value);
    }
  });

  it('compare the bytes of a text of the configuration beyond ASCII', () => {
    const rawHeaders = ['X', Buffer.from('Zürich').toString('latin1')];
    assert.ok(matches({ headers: { X: 'Zürich' } }, { rawHeaders }));
    assert.ok(matches({ headers: { X: { prefix: 'zü', ignoreCase: true } } }, { rawHeaders }));
  });

  it('split lists at commas outside of quotes, and give back every value', () => {
    const value = fc.stringMatching(/^[a-z0-9;=. -]{0,8}$/).map((text) => text.trim());
    const item = fc.oneof(
      value,
      value.map((text) => `"${text},x"`),
    );
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(',', ', ', '\t,'),
        (items, comma) => {
          assert.deepEqual(listValues(items.join(comma)), items);
        },
      ),
    );
    assert.deepEqual(readGroup(['"a,FREE,b"']), { kind: 'one', group: '"a,free,b"' });
  });

  it('splits at every comma outside of a closed string, whatever quotes and escapes a line has', () => {
    const line = fc.array(fc.constantFrom('"', '\\', ',', 'a', ' ', '\\"', '"a,a"'), { maxLength: 24 });
    fc.assert(
      fc.property(line, (parts) => {
        const text = parts.join('');
        const bare = text.replace(/"(?:[^"\\]|\\.)*"/gs, (closed) => '-'.repeat(closed.length));
        let from = 0;
        const expected = bare.split(',').map((value) => {
          const to = from + value.length;
          const original = text.slice(from, to).trim();
          from = to + 1;
          return original;
        });
        assert.deepEqual(listValues(text), expected);
        for (const [i, wanted] of expected.entries()) {
          const match: MatchInput = { headers: { X: { exact: wanted, list: true } } };
          if (wanted !== '') assert.ok(matches(match, headers('X', text)), `value ${i} of ${text}`);
        }
      }),
    );
  });

  it('sees the value behind a quote that is not closed', () => {
    for (const [value, groups] of [
      ['"x,ENTERPRISE', ['"x', 'enterprise']],
      ['x",ENTERPRISE', ['x"', 'enterprise']],
      ['"x\\",ENTERPRISE', ['"x\\"', 'enterprise']],
      ['"x\\\\\\",ENTERPRISE', ['"x\\\\\\"', 'enterprise']],
      ['"x","y,ENTERPRISE', ['"x"', '"y', 'enterprise']],
      ['"x,ENTERPRISE\\', ['"x', 'enterprise\\']],
    ] as const) {
      assert.deepEqual(readGroup([value]), { kind: 'several', groups }, value);
    }
  });
});

describe('paths', () => {
  it('are compared without their query by exact, suffix, contains and regex, in any case if wanted', () => {
    assert.ok(matches({ path: { exact: ['/a', '/b'] } }, { path: '/b?x=/c' }));
    assert.ok(!matches({ path: { exact: '/b' } }, { path: '/b/' }));
    assert.ok(matches({ path: { suffix: '.png', ignoreCase: true } }, { path: '/A.PNG?v=1' }));
    assert.ok(!matches({ path: { contains: 'secret' } }, { path: '/?secret' }));
    assert.ok(matches({ path: { regex: '^/item/\\d+$' } }, { path: '/item/42?q' }));
  });
});

describe('cookies', () => {
  const cookies = (...lines: string[]) => headers(...lines.flatMap((line) => ['Cookie', line]));

  it('are found by their exact name in any pair of any line', () => {
    const match: MatchInput = { cookies: { role: 'tester' } };
    assert.ok(matches(match, cookies('a=b; role=tester')));
    assert.ok(matches(match, cookies('a=b', 'role=x;role=tester')));
    assert.ok(!matches(match, cookies('Role=tester')));
    assert.ok(!matches(match, cookies('xrole=tester; role=testers')));
    assert.ok(!matches(match, headers('X-Cookie', 'role=tester')));
    assert.ok(matches({ cookies: { role: { present: true } } }, cookies('role=')));
    assert.ok(matches({ cookies: { role: { present: false } } }, cookies('other=1')));
  });
});

describe('query parameters', () => {
  it('are compared as sent, by exact name, any of several', () => {
    const match: MatchInput = { query: { v: '2' } };
    assert.ok(matches(match, { path: '/?a=1&v=2' }));
    assert.ok(matches(match, { path: '/?v=1&v=2' }));
    assert.ok(!matches(match, { path: '/?V=2&av=2&v=2x' }));
    assert.ok(!matches(match, { path: '/v=2' }));
    assert.ok(matches({ query: { v: '%32' } }, { path: '/?v=%32' }));
    assert.ok(matches({ query: { v: { present: true } } }, { path: '/?v' }));
    assert.ok(matches({ query: { v: '' } }, { path: '/?v=' }));
    assert.ok(matches({ query: { v: { present: false } } }, { path: '/?w=v' }));
  });
});

describe('client addresses', () => {
  it('lie in one of the ranges, IPv4 and IPv6', () => {
    const match: MatchInput = { client: ['10.0.0.0/8', '192.168.1.7', 'fd00::/8'] };
    for (const client of ['10.255.0.1', '192.168.1.7', 'fd12::1']) assert.ok(matches(match, { client }));
    for (const client of ['11.0.0.1', '192.168.1.8', 'fe80::1', '']) assert.ok(!matches(match, { client }));
  });
});

describe('alternatives and exclusions', () => {
  it('need one of a list of matches', () => {
    const match: MatchInput = [{ group: 'A', method: 'GET' }, { headers: { X: 'b' } }];
    assert.ok(matches(match, { group: 'a' }));
    assert.ok(matches(match, { method: 'POST', rawHeaders: ['X', 'b'] }));
    assert.ok(!matches(match, { group: 'a', method: 'POST' }));
  });

  it('need all of and, and none of not as a whole', () => {
    const match: MatchInput = {
      path: '/api',
      and: { path: { suffix: '.json' } },
      not: [{ headers: { X: 'no' } }, { group: 'BANNED', method: 'POST' }],
    };
    assert.ok(matches(match, { path: '/api/a.json' }));
    assert.ok(!matches(match, { path: '/api/a.xml' }));
    assert.ok(!matches(match, { path: '/api/a.json', rawHeaders: ['X', 'no'] }));
    assert.ok(matches(match, { path: '/api/a.json', group: 'banned' }));
    assert.ok(!matches(match, { path: '/api/a.json', group: 'banned', method: 'POST' }));
  });
});

describe('explain says why a row does not match', () => {
  it('for every kind of condition', () => {
    assert.equal(why({ headers: { X: { suffix: ['a', 'b'] } } }, {}), 'X does not end with "a" or "b"');
    assert.equal(why({ headers: { X: { contains: 'a' } } }, {}), 'X does not hold "a"');
    assert.equal(why({ path: { exact: '/a' } }, {}), 'the path is not "/a"');
    assert.equal(why({ cookies: { c: 'x' } }, {}), 'cookie c is not "x"');
    assert.equal(why({ query: { q: { present: true } } }, {}), 'query parameter q is missing');
    assert.equal(why({ and: { query: { q: 'x' } } }, {}), 'query parameter q is not "x"');
    assert.equal(why({ and: { method: 'POST' } }, {}), 'method GET is not POST');
    assert.equal(
      why({ client: '10.0.0.0/8' }, { client: '11.0.0.1' }),
      'client 11.0.0.1 is not in 10.0.0.0/8',
    );
    assert.equal(
      why({ not: { group: 'A', path: '/x' } }, { group: 'a', path: '/x' }),
      'it has what the row excludes: group a and a path that begins with /x',
    );
    assert.equal(
      why([{ group: 'A' }, { method: 'PUT' }], {}),
      'the request has no group; the row wants a; nor: method GET is not PUT',
    );
    assert.equal(why({ group: 'A' }, { group: 'a' }), undefined);
  });

  it('without what fields, cookies and parameters must be, unless that is asked for', () => {
    const hidden = (match: MatchInput) => mismatch(tableOf(match).routes[0]!.match!, facts({}), false);
    assert.equal(hidden({ headers: { X: 'token' } }), 'X is not what the row wants');
    assert.equal(hidden({ cookies: { c: { regex: 'token' } } }), 'cookie c is not what the row wants');
    assert.equal(hidden({ and: { query: { q: ['token'] } } }), 'query parameter q is not what the row wants');
    assert.equal(hidden({ headers: { X: { present: true } } }), 'X is missing');
    assert.equal(hidden({ path: { exact: '/a' } }), 'the path is not "/a"');
  });
});

describe('the configuration refuses', () => {
  const problem = (match: string) => {
    const text = `backends: { a: { url: http://a } }\nroutes:\n  - { name: one, match: ${match}, split: { a: 1 } }\n  - { name: rest, split: { a: 1 } }\n`;
    const { config, problems } = parseConfig(text, { file: 'f', environment: {} });
    return config === undefined ? `${problems[0]?.keyPath}: ${problems[0]?.message}` : 'nothing';
  };

  it('what compares with nothing, cannot be an expression, or is nested too deep, at its key', () => {
    assert.match(
      problem('{ path: { ignoreCase: true } }'),
      /^routes\[0\]\.match\.path: says nothing to compare/,
    );
    assert.match(
      problem('{ cookies: { c: { present: true, exact: x } } }'),
      /match\.cookies\.c\.present: stands alone/,
    );
    assert.match(
      problem('[{ group: A }, { headers: { X: { regex: [a, "("] } } }]'),
      /match\[1\]\.headers\.X\.regex\[1\]: is not a regular/,
    );
    assert.match(
      problem('{ not: { headers: { X: { regex: "(" } } } }'),
      /match\.not\.headers\.X\.regex: is not a regular/,
    );
    assert.match(problem('{ not: { not: { group: A } } }'), /unknown key "not"/);
    assert.match(problem('{ cookies: { c: { exact: x, list: true } } }'), /unknown key "list"/);
    assert.match(problem('{ client: 10.0.0.0/33 }'), /is not an address range/);
    assert.match(problem('{ query: { q: { exat: x } } }'), /unknown key "exat"; did you mean "exact"/);
    assert.match(problem('[]'), /at least 1 entry/);
  });

  it('a last row that has a match of any form, and warns of rows that cannot be reached', () => {
    const last = (match: string) =>
      parseConfig(
        `backends: { a: { url: http://a } }\nroutes: [{ name: one, match: ${match}, split: { a: 1 } }]\n`,
        {
          file: 'f',
          environment: {},
        },
      );
    assert.equal(last('[{ group: A }, { cookies: { c: x } }]').config, undefined);
    assert.ok(last('[{ group: A }, {}]').config);
    assert.ok(last('{ cookies: {} }').config);
    const twice = parseConfig(
      'backends: { a: { url: http://a } }\nroutes:\n  - { name: one, match: [{ group: A }, { group: B }], split: { a: 1 } }\n  - { name: two, match: { group: b }, split: { a: 1 } }\n  - { name: rest, split: { a: 1 } }\n',
      { file: 'f', environment: {} },
    );
    assert.match(twice.problems[0]?.message ?? '', /^is never reached: routes\[0\]/);
  });
});
