/** Whatever the rules of a frontend are, the rows decide as they do. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { matchRoute } from '../../../src/routing/match.ts';
import { compileTable } from '../../../src/routing/table.ts';
import { facts } from '../routing/table.ts';
import { configOf, rulesText } from './import-text.ts';

const ATOMS = 5;
const BACKENDS = ['alpha', 'beta', 'gamma'];

interface Reference {
  readonly atom: number;
  readonly negated: boolean;
  /** As `{ … }` in the rule, rather than by the name of an ACL. */
  readonly anonymous: boolean;
}

interface Rule {
  readonly backend: string;
  readonly unless: boolean;
  /** One of these lists must hold as a whole. */
  readonly alternatives: readonly (readonly Reference[])[];
}

const reference = fc.record({
  atom: fc.integer({ min: 0, max: ATOMS - 1 }),
  negated: fc.boolean(),
  anonymous: fc.boolean(),
});
const rule: fc.Arbitrary<Rule> = fc.record({
  backend: fc.constantFrom(...BACKENDS),
  unless: fc.boolean(),
  alternatives: fc.array(fc.array(reference, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
});

function write({ backend, unless, alternatives }: Rule): string {
  const condition = alternatives
    .map((references) =>
      references
        .map(({ atom, negated, anonymous }) => {
          const test = anonymous ? `{ ${criterion(atom)} }` : `acl${atom}`;
          return `${negated ? '!' : ''}${test}`;
        })
        .join(' '),
    )
    .join(' or ');
  return `use_backend ${backend} ${unless ? 'unless' : 'if'} ${condition}`;
}

/** Tests of every kind, each true of a request exactly when `requestOf` says so. */
function criterion(atom: number): string {
  return [
    'hdr(X-Zero) -m found',
    'hdr(X-Group) -i one',
    'path_beg /two',
    'method POST',
    'req.cook(four) yes',
  ][atom]!;
}

function requestOf(truth: number) {
  const is = (atom: number) => (truth & (1 << atom)) !== 0;
  const rawHeaders = [
    ...(is(0) ? ['X-Zero', 'x'] : []),
    ...(is(1) ? ['X-Group', 'other, ONE'] : ['X-Group', 'none']),
    ...(is(4) ? ['Cookie', 'a=b; four=yes'] : []),
  ];
  return facts({
    method: is(3) ? 'POST' : 'GET',
    path: is(2) ? '/two/x?y' : '/',
    group: is(1) ? 'other' : 'none',
    groups: is(1) ? ['other', 'one'] : undefined,
    rawHeaders,
  });
}

function decide(rules: readonly Rule[], truth: number): string {
  for (const { backend, unless, alternatives } of rules) {
    const met = alternatives.some((references) =>
      references.every(({ atom, negated }) => ((truth & (1 << atom)) !== 0) !== negated),
    );
    if (met !== unless) return backend;
  }
  return 'rest';
}

suite('rules in order become rows', () => {
  test('that choose the same backend for every request', () => {
    let renamed = 0;
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 8 }), (rules) => {
        const acls = Array.from({ length: ATOMS }, (_, i) => `acl acl${i} ${criterion(i)}`);
        const text = rulesText([...acls, ...rules.map(write), 'default_backend rest'], [...BACKENDS, 'rest']);
        const config = configOf(text);
        const table = compileTable(config);
        for (let truth = 0; truth < 2 ** ATOMS; truth++) {
          const { name, split } = matchRoute(table, requestOf(truth));
          assert.equal(split.names[0], decide(rules, truth), `${text}\n${truth.toString(2)}`);
          if (name !== split.names[0]) renamed++;
        }
      }),
      { numRuns: 400 },
    );
    // A backend has one row of its name, but where that would need a condition that nobody could read.
    assert.ok(renamed < 400, String(renamed));
  });

  test('one for each backend, wherever their order allows', () => {
    const config = configOf(
      rulesText(
        [
          'acl a hdr(X-A) -m found',
          'acl b hdr(X-B) -m found',
          'acl c hdr(X-C) -m found',
          'use_backend alpha if a',
          'use_backend beta if b',
          'use_backend alpha if c',
          'default_backend beta',
        ],
        ['alpha', 'beta'],
      ),
    );
    assert.deepEqual(
      config.routes.map(({ name }) => name),
      ['alpha', 'beta'],
    );
  });

  test('that split by the chances of dice, nested and negated ones too', () => {
    const config = configOf(
      rulesText(
        [
          'acl five rand(100) lt 5',
          'acl rest26 rand(95) lt 26',
          'acl vip hdr(X-Vip) -m found',
          'use_backend canary if five !vip',
          'use_backend beta if !vip rest26',
          'default_backend stable',
        ],
        ['canary', 'beta', 'stable'],
      ),
    );
    assert.deepEqual(
      config.routes.map(({ name, split }) => ({ name, split })),
      [
        { name: 'canary', split: { canary: 5, beta: 26, stable: 69 } },
        { name: 'stable', split: { stable: 1 } },
      ],
    );
  });

  test('whose chances multiply where one rule draws twice', () => {
    const { routes } = configOf(
      rulesText(
        ['acl half rand(2) eq 0', 'use_backend canary if half half', 'default_backend stable'],
        ['canary', 'stable'],
      ),
    );
    assert.deepEqual(
      routes.map(({ split }) => split),
      [{ canary: 1, stable: 3 }],
    );
  });

  test('with the next backend behind one whose servers are asked for', () => {
    const config = configOf(
      rulesText(
        [
          'use_backend canary if { hdr(X-Beta) -m found } { nbsrv(canary) ge 1 }',
          'use_backend spare if { nbsrv(stable) lt 1 }',
          'default_backend stable',
        ],
        ['canary', 'spare', 'stable'],
      ),
    );
    assert.deepEqual(
      config.routes.map(({ name, split }) => ({ name, split: Object.keys(split) })),
      [
        { name: 'canary', split: ['canary', 'stable-backup', 'spare-backup'] },
        { name: 'stable', split: ['stable', 'spare-backup'] },
      ],
    );
    assert.equal(config.backends['stable-backup']?.backup, true);
    assert.equal(config.backends['stable']?.backup, false);
  });
});
