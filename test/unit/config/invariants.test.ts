/** Invariants judged against the table, at their places in the file, and against the table before. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareSteps, violationsOf } from '../../../src/config/invariant-rules.ts';
import { locateViolations, parseConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problems.ts';
import { type Config, type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { routeRequest } from '../../../src/routing/route-request.ts';
import { compileTable } from '../../../src/routing/table.ts';

type Table = Pick<ConfigInput, 'routes'> & Partial<ConfigInput>;

function configOf(table: Table): Config {
  return configSchema.parse({
    backends: {
      internal: { url: 'http://127.0.0.1:1' },
      canary: { url: 'http://127.0.0.1:2' },
      paid: { url: 'http://127.0.0.1:3' },
      production: { url: 'http://127.0.0.1:4' },
    },
    ...table,
  });
}

const NEVER: ConfigInput['invariants'] = [
  { never: { group: 'Enterprise', backend: ['internal', 'canary', 'paid'] } },
];
const rest = { name: 'rest', split: { production: 1 } };

function broken(routes: ConfigInput['routes'], more: Partial<ConfigInput> = {}): string[] {
  return violationsOf(configOf({ routes, invariants: NEVER, ...more })).map(({ path }) => path.join('.'));
}

describe('never', () => {
  it('is kept by a row of the group with other backends, and broken by one with a forbidden one', () => {
    const row = (split: Record<string, number>) => ({ name: 'e', match: { group: 'ENTERPRISE' }, split });
    assert.deepEqual(broken([row({ production: 1 }), rest]), []);
    assert.deepEqual(broken([row({ canary: 1, production: 99 }), rest]), ['routes.0.split.canary']);
    assert.deepEqual(broken([row({ canary: 0, production: 1 }), rest]), [], 'a weight of 0 gets nobody');
  });

  it('is broken by rows that could match the group because they ask for something else', () => {
    const enterprise = { name: 'e', match: { group: 'ENTERPRISE' }, split: { production: 1 } };
    const beta = { name: 'beta', match: { path: '/beta' }, split: { canary: 1 } };
    assert.deepEqual(broken([beta, enterprise, rest]), ['routes.0.split.canary']);
    assert.deepEqual(broken([enterprise, beta, rest]), [], 'no request of the group comes that far');
    const half = { ...enterprise, match: { group: 'ENTERPRISE', method: 'GET' } };
    assert.deepEqual(broken([half, beta, rest]), ['routes.1.split.canary'], 'some do');
    assert.deepEqual(broken([half, { name: 'all', split: { paid: 1 } }]), ['routes.1.split.paid']);
  });

  it('knows alternatives, further conditions and exclusions', () => {
    const but = (match: NonNullable<ConfigInput['routes'][number]['match']>) =>
      broken([{ name: 'x', match, split: { canary: 1 } }, rest]);
    assert.deepEqual(but({ not: { group: ['enterprise', 'other'] } }), []);
    assert.deepEqual(but({ not: { group: 'enterprise', path: '/x' } }), ['routes.0.split.canary']);
    assert.deepEqual(but({ and: [{ group: 'FREE' }] }), []);
    assert.deepEqual(but({ and: [{ group: 'enterprise' }], path: '/x' }), ['routes.0.split.canary']);
    assert.deepEqual(but([{ group: 'FREE' }, { group: 'enterprise', host: 'a.example' }]), [
      'routes.0.split.canary',
    ]);
    const sure = { name: 's', match: [{ path: '/x' }, { group: 'ENTERPRISE' }], split: { production: 1 } };
    assert.deepEqual(broken([sure, { name: 'all', split: { canary: 1 } }]), []);
  });

  it('counts backups, and weights that a roll-back leaves', () => {
    const routes = [{ name: 'all', split: { canary: 5, production: 95 } }];
    assert.deepEqual(broken(routes), ['routes.0.split.canary']);
    assert.deepEqual(broken([{ ...routes[0]!, rollback: { canary: 'evacuate' } }]), []);
    const backends = { canary: { url: 'http://a', backup: true }, production: { url: 'http://b' } };
    const invariants = [{ never: { group: 'ENTERPRISE', backend: 'canary' } }];
    assert.deepEqual(
      broken(routes, { backends, invariants }),
      ['routes.0.split.canary'],
      'it would take over',
    );
  });

  it('holds for groups that no row names, in the row that takes them', () => {
    const routes = [
      { name: 'free', match: { group: 'FREE' }, split: { production: 1 } },
      { name: 'safe', match: { group: 'ENTERPRISE' }, split: { production: 1 } },
      { name: 'rest', split: { paid: 5, production: 95 } },
    ];
    const invariants = [{ never: { group: 'ENTERPRISE-EU', backend: 'paid' } }];
    assert.deepEqual(broken(routes, { invariants }), ['routes.2.split.paid']);
    assert.deepEqual(broken(routes, { invariants, unknownGroup: 'safe' }), []);
    const none = [{ never: { group: 'default', backend: 'paid' } }];
    assert.deepEqual(broken(routes, { invariants: none, unknownGroup: 'safe' }), ['routes.2.split.paid']);
    assert.deepEqual(broken(routes, { invariants: [{ never: { group: '*', backend: 'paid' } }] }), [
      'routes.2.split.paid',
    ]);
  });

  it('agrees with what routing does: a table that is judged good lets no request through, whatever it asks', () => {
    const group = fc.constantFrom('enterprise', 'free', 'other');
    const conditions = fc.record(
      {
        group: fc.oneof(group, fc.uniqueArray(group, { minLength: 1 })),
        path: fc.constantFrom('/a', '/b'),
        method: fc.constantFrom('GET', 'POST'),
      },
      { requiredKeys: [] },
    );
    const alternative = fc
      .tuple(conditions, fc.option(conditions), fc.option(conditions))
      .map(([own, and, not]) => ({
        ...own,
        ...(and === null ? {} : { and }),
        ...(not === null ? {} : { not }),
      }));
    const row = fc.record({
      match: fc.oneof(alternative, fc.array(alternative, { minLength: 1, maxLength: 2 })),
      split: fc.constantFrom({ canary: 1 }, { production: 1 }),
    });
    let good = 0;
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 4 }),
        fc.constantFrom({ canary: 1 }, { production: 1 }),
        fc.boolean(),
        (rows, last, unknown) => {
          const routes = [
            ...rows.map((one, i) => ({ name: `r${i}`, ...one })),
            { name: 'rest', split: last },
          ] as ConfigInput['routes'];
          const config = configOf({
            routes,
            invariants: [{ never: { group: ['enterprise', 'typo'], backend: 'canary' } }],
            ...(unknown ? { unknownGroup: rows.length > 0 ? 'r0' : 'rest' } : {}),
          });
          if (violationsOf(config).length > 0) return;
          good++;
          const table = compileTable({ ...config, invariants: [] });
          for (const name of ['enterprise', 'typo']) {
            for (const path of ['/a', '/b', '/c']) {
              for (const method of ['GET', 'POST', 'PUT']) {
                const facts = {
                  method,
                  path,
                  host: '',
                  group: name,
                  groups: undefined,
                  rawHeaders: [],
                  client: '',
                };
                assert.deepEqual(routeRequest(table, facts).split.names, ['production']);
              }
            }
          }
        },
      ),
      { numRuns: 600 },
    );
    assert.ok(good > 50, `${good} tables were good`);
  });
});

describe('maxShare', () => {
  const invariants: ConfigInput['invariants'] = [
    { maxShare: { group: 'FREE', backend: 'canary', percent: 10 } },
  ];
  const free = (canary: number, production: number) => ({
    name: 'f',
    match: { group: 'FREE' },
    split: { canary, production },
  });

  it('counts proportions, not weights', () => {
    assert.deepEqual(broken([free(10, 90), rest], { invariants }), []);
    assert.deepEqual(broken([free(1, 9), rest], { invariants }), []);
    assert.deepEqual(broken([free(11, 90), rest], { invariants }), ['routes.0.split.canary']);
    assert.deepEqual(broken([free(1, 0), rest], { invariants }), ['routes.0.split.canary']);
  });

  it('is about the group alone', () => {
    const other = { name: 'p', match: { group: 'PAID' }, split: { canary: 1 } };
    assert.deepEqual(broken([other, free(5, 95), rest], { invariants }), []);
  });
});

describe('maxStep', () => {
  const table = (canary: number, more: Partial<ConfigInput> = {}, step: object = { maxStep: 10 }) =>
    configOf({
      routes: [{ name: 'free', match: { group: 'FREE' }, split: { canary, production: 100 - canary } }, rest],
      invariants: [step],
      ...more,
    });
  const over = (before: Config, after: Config) =>
    compareSteps(before, after).violations.map(({ path }) => path.join('.'));

  it('lets steps up to it through, and refuses larger ones for every backend that they change', () => {
    assert.deepEqual(over(table(5), table(15)), []);
    assert.deepEqual(over(table(15), table(5)), []);
    assert.deepEqual(over(table(5), table(16)), ['routes.0.split.canary', 'routes.0.split.production']);
  });

  it('sees a group that gets another row, and rows that come and go', () => {
    const named = table(5, {
      routes: [
        { name: 'free', match: { group: 'FREE' }, split: { canary: 5, production: 95 } },
        { name: 'beta', match: { group: 'BETA' }, split: { canary: 1 } },
        rest,
      ],
    });
    assert.deepEqual(over(table(5), named), ['routes.1.split.canary', 'routes.1.split']);
    assert.equal(over(named, table(5)).length, 2);
    const path = table(5, {
      routes: [
        { name: 'p', match: { path: '/p' }, split: { canary: 1 } },
        { name: 'free', match: { group: 'FREE' }, split: { canary: 5, production: 95 } },
        rest,
      ],
    });
    assert.ok(over(table(5), path).includes('routes.0.split.canary'));
  });

  it('does not stand in the way of rolling back, but in that of coming back from it', () => {
    const rolled = (verb: 'drain' | 'evacuate') =>
      table(50, {
        routes: [
          {
            name: 'free',
            match: { group: 'FREE' },
            split: { canary: 50, production: 50 },
            rollback: { canary: verb },
          },
          rest,
        ],
      });
    for (const verb of ['drain', 'evacuate'] as const) {
      assert.deepEqual(over(table(50), rolled(verb)), []);
      assert.deepEqual(over(rolled(verb), rolled(verb)), []);
      assert.notDeepEqual(over(rolled(verb), table(50)), []);
    }
  });

  it('is passed by a new reason, which is reported, and not by one that was there before', () => {
    const forced = (canary: number, force: string) => table(canary, {}, { maxStep: 10, force });
    const report = compareSteps(table(5), forced(50, 'the old one burns'));
    assert.deepEqual(report.violations, []);
    assert.equal(report.forced[0]?.reason, 'the old one burns');
    assert.match(
      report.forced[0]!.steps[0]!,
      /canary goes from 5 % to 50 % in row free for requests of group FREE/,
    );
    assert.equal(over(forced(50, 'the old one burns'), forced(90, 'the old one burns')).length, 2);
    assert.equal(over(forced(50, 'the old one burns'), forced(90, 'it is out')).length, 0);
  });
});

describe('a file that breaks an invariant', () => {
  const text = `backends:
  canary: { url: http://127.0.0.1:1 }
  production: { url: http://127.0.0.1:2 }
routes:
  - { name: beta, match: { path: /beta }, split: { canary: 1 } }
  - { name: all, split: { canary: 30, production: 70 } }
invariants:
  - never: { group: ENTERPRISE, backend: canary }
  - maxShare: { group: FREE, backend: canary, percent: 50 }
  - maxStep: 10
`;
  const options = { file: 'p.yaml', environment: {} };

  it('is refused with line, column, key, and why the row takes the group', () => {
    const parsed = parseConfig(text, options);
    assert.equal(parsed.config, undefined);
    assert.deepEqual(parsed.problems.map(formatProblem), [
      'p.yaml:5:52: routes[0].split.canary: requests of group ENTERPRISE reach canary here, and invariants[0] says never: this row asks for no group, and none above takes all of these; take canary out of this split, or let a row above take them',
      'p.yaml:5:52: routes[0].split.canary: requests of group FREE reach canary here with 100 %, and invariants[1] allows 50 %: this row asks for no group, and none above takes all of these; lower its weight, or let a row above take them',
      'p.yaml:6:27: routes[1].split.canary: requests of group ENTERPRISE reach canary here, and invariants[0] says never: this row takes whatever no row above takes, and none takes all of these; take canary out of this split, or let a row above take them',
    ]);
    assert.deepEqual(parsed.config === undefined && parsed.broken, ['never', 'maxShare']);
  });

  it('has the places of steps too', () => {
    const read = (source: string) => {
      const parsed = parseConfig(source.replace(/ {2}- (never|maxShare).*\n/g, ''), options);
      assert.ok(parsed.config !== undefined);
      return parsed.config;
    };
    const next = text
      .replace('canary: 30, production: 70', 'canary: 50, production: 50')
      .replace(/ {2}- (never|maxShare).*\n/g, '');
    const { violations } = compareSteps(read(text), read(next));
    const [first] = locateViolations(violations, next, options).map(formatProblem);
    assert.equal(
      first,
      'p.yaml:6:27: routes[1].split.canary: canary goes from 30 % to 50 % in row all for requests of no group that a row names: 20 points, and invariants[0] allows 10 a reload; go there in steps, or say why not in its key force',
    );
  });

  it('tells every mistake in the invariants themselves', () => {
    const wrong = text
      .replace(
        /invariants:[\s\S]*/,
        `unknownGroup: al
invariants:
  - {}
  - { never: { group: A, backend: canry }, maxStep: 1 }
  - { maxShare: { group: ' ', backend: canary, percent: 120 }, force: why }
  - { never: { group: default, backend: [canary, nope] } }
`,
      )
      .replace('{ path: /beta }', '{ group: Default }');
    assert.deepEqual(
      parseConfig(wrong, options).problems.map((problem) => formatProblem(problem).slice(7)),
      [
        '7:15: unknownGroup: there is no route "al"; did you mean "all"?',
        '9:5: invariants[0]: promises nothing; give one of never, maxShare or maxStep',
        '10:5: invariants[1]: has never and maxStep; write them as items of their own',
        '10:35: invariants[1].never.backend: there is no backend "canry"; did you mean "canary"?',
        '11:26: invariants[2].maxShare.group: must not be blank',
        '11:57: invariants[2].maxShare.percent: must be at most 100, found the number 120',
        '11:64: invariants[2].force: belongs beside maxStep; no other promise can be forced',
        '12:23: invariants[3].never.group: could mean the group of that name, which a row asks for, or requests that no row names; rename the group',
        '12:50: invariants[3].never.backend[1]: there is no backend "nope"; backends: canary, production',
      ],
    );
  });
});
