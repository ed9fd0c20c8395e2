/** Placeholders, overrides, and the promises of the table. */

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { layOut } from '../../../src/routing/bucket.ts';
import { advance, deploy, initial, rollback } from '../../../src/stages/machine.ts';
import { renderService } from '../../../src/stages/render.ts';
import { InvalidFiles } from '../../../src/stages/strict-yaml.ts';
import { fillTemplate } from '../../../src/stages/template.ts';
import { actor, image, pipeline, problemsOf, shippedTemplates } from './pipeline.ts';

const plainly = { supersede: false, force: false };
const definition = { replicas: {}, values: {} };

suite('placeholders', () => {
  test('are typed as the scalar they stand in', () => {
    const text = 'a: ${n}\nb: "${n}"\nc: ${word}-${n}\nd: |\n  ${word}: ${n}\n';
    assert.deepEqual(parse(fillTemplate(text, 't', { n: 7, word: 'x' })), {
      a: 7,
      b: '7',
      c: 'x-7',
      d: 'x: 7\n',
    });
  });

  test('that are unknown, malformed or for the environment are errors with their place', () => {
    const lines = problemsOf(() =>
      fillTemplate('a: 1\nb: ${replica}\nc: ${HOME}\nd: ${a-b}\ne: ${x\n', 'templates/track/a.yaml', {
        replicas: 1,
      }),
    );
    assert.deepEqual(
      lines.map((line) => line.split(': ')[0]),
      [
        'templates/track/a.yaml:2:4',
        'templates/track/a.yaml:3:4',
        'templates/track/a.yaml:4:4',
        'templates/track/a.yaml:5:4',
      ],
    );
    assert.match(lines[0]!, /unknown placeholder "replica"; did you mean "replicas"\?/);
    assert.match(lines[1]!, /\$\$\{HOME\}/);
  });

  test('are escaped by a second dollar sign', () => {
    assert.equal(fillTemplate('a: "$${REDIS_URL:-x} ${b}"\n', 't', { b: 1 }), 'a: "${REDIS_URL:-x} 1"\n');
  });

  test('never let a value change more than the scalar it stands in', () => {
    const templates = [
      'a: ${v}\nb: 2\n',
      'a: "${v}"\nb: 2\n',
      "a: '${v}'\nb: 2\n",
      'a: |\n  x ${v} y\nb: 2\n',
      'a: { c: ${v}, d: 1 }\nb: 2\n',
      '${v}: 1\nb: 2\n',
    ];
    const nasty = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom(
        'x\nb: 3',
        '"',
        "'",
        '# c',
        ': ',
        '}, e: {',
        '&a',
        '*a',
        '!!int 3',
        '- x',
        '\\n',
        '$&',
        '${v}',
        'zz0p0q',
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...templates), nasty, (text, value) => {
        let filled: string;
        try {
          filled = fillTemplate(text, 't', { v: value });
        } catch (error) {
          assert.ok(error instanceof InvalidFiles, String(error));
          return;
        }
        const got = parse(filled) as Record<string, unknown>;
        assert.equal(got['b'], 2);
        assert.equal(Object.keys(got).length, 2);
      }),
      { numRuns: 2_000 },
    );
  });
});

suite('rendering', () => {
  const baseline = initial(pipeline, image(0), actor());
  const files = shippedTemplates();
  const render = (state = baseline, more: readonly (readonly [string, string])[] = [], values = {}) =>
    renderService({
      service: 'account',
      pipeline,
      definition: { ...definition, values },
      state,
      files: new Map([...files, ...more]),
    });

  test('puts weights of the plan into the table', () => {
    let state = deploy(pipeline, baseline, image(1), actor(), plainly)!.state;
    const free = (now = state) => render(now).table.config.routes.find(({ name }) => name === 'free')?.split;
    assert.deepEqual(free(), { canary: 0, production: 100 });
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      state = advance(pipeline, state, actor(), plainly).state;
      seen.push(free());
    }
    assert.deepEqual(
      seen,
      [5, 10, 25].map((canary) => ({ canary, production: 100 - canary })),
    );
    const drained = rollback(pipeline, state, actor(), { mode: 'drain', reason: 'x' }).state;
    assert.deepEqual(free(drained), { canary: 1, production: 999_999 });
    // Above 0, so that pins hold, and below half a bucket, so that the hash draws nobody.
    assert.deepEqual(layOut(['canary', 'production'], [1, 999_999], 1), {
      kind: 'ranges',
      ranges: [
        { index: 0, from: 0, to: 0 },
        { index: 1, from: 0, to: 10_000 },
      ],
    });
    const evacuated = rollback(pipeline, state, actor(), { mode: 'evacuate', reason: 'x' }).state;
    assert.deepEqual(free(evacuated), { canary: 0, production: 100 });
  });

  test('renders a Deployment only for tracks with a build', () => {
    const state = deploy(pipeline, initial(pipeline, undefined, actor()), image(1), actor(), plainly)!.state;
    const deployments = [...render(state).files.keys()].filter((path) => path.endsWith('/deployment.yaml'));
    assert.deepEqual(deployments, [
      'manifests/account/internal/deployment.yaml',
      'manifests/account/pointsman/deployment.yaml',
    ]);
  });

  test("takes a service's own template instead of the common one", () => {
    const own = [
      'services/account/templates/track/service.yaml',
      'kind: Service\nmetadata: { name: "mine-${track}-${color}" }\n',
    ] as const;
    const text = render(baseline, [own], { color: 'blue' }).files.get('manifests/account/paid/service.yaml')!;
    assert.match(text, /mine-paid-blue/);
    assert.match(text, /# From services\/account\/templates/);
  });

  test('refuses a table that proxies would refuse, at its place', () => {
    const broken = files
      .get('templates/pointsman/configmap.yaml')!
      .replace('split: { production: 100 }', 'splt: { production: 100 }');
    const lines = problemsOf(() => render(baseline, [['templates/pointsman/configmap.yaml', broken]]));
    assert.match(lines.join('\n'), /configmap\.yaml \(pointsman\.yaml\):\d+:\d+: .*unknown key "splt"/);
  });

  for (const [what, from, to, expected] of [
    [
      'an enterprise user reach a canary',
      'split: { production: 100 } }',
      'split: { production: 99, canary: 1 } }',
      /lets the group ENTERPRISE reach canary by the route "enterprise"/,
    ],
    [
      'enterprise fall through to the default row',
      '      - { name: enterprise, match: { group: ENTERPRISE }, split: { production: 100 } }\n',
      '',
      /lets the group ENTERPRISE reach paid by the route "paid"/,
    ],
    [
      'enterprise fall through beside a path',
      'match: { group: ENTERPRISE }',
      'match: { group: ENTERPRISE, path: /api }',
      /lets the group ENTERPRISE reach paid/,
    ],
    [
      'enterprise be caught earlier',
      'match: { group: FREE }',
      'match: { group: [FREE, enterprise] }',
      /lets the group ENTERPRISE reach canary by the route "free"/,
    ],
    [
      'two tracks share an address',
      'http://${service}-canary:8080',
      'http://${service}-production:8080',
      /to the same address/,
    ],
    ['a track be missing', 'canary:     {', 'kanary:     {', /canary/],
  ] as const) {
    test(`never lets ${what}`, () => {
      // Without the promise that the table itself makes: what the templates leave out is looked after here.
      const before = files
        .get('templates/pointsman/configmap.yaml')!
        .replace(/ {4}invariants:[\s\S]*?(?= {4}pins:)/, '');
      assert.ok(!before.includes('never:'));
      const changed = before.replace(from, to);
      assert.notEqual(changed, before);
      assert.match(
        problemsOf(() => render(baseline, [['templates/pointsman/configmap.yaml', changed]])).join('\n'),
        expected,
      );
    });
  }
});
