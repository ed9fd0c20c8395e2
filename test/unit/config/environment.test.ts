/** References to the environment: what they become, and what they can never do. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import {
  coreScalar,
  type Environment,
  expandReferences,
  maskReferences,
} from '../../../src/config/environment.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problems.ts';
import { configOf, GOOD, problemsOf } from './fixtures/good.ts';

const expand = (text: string, environment: Environment) => expandReferences(text, environment).text;

/** Whatever a variable may hold. */
const value = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
  fc.constantFrom(
    '{ a: 1 }',
    '[x]',
    'a: b',
    '- a\n- b',
    '# c',
    '"',
    "'",
    '*a',
    '&a',
    '!!int 5',
    '${OTHER}',
    '$$',
    '| x',
  ),
);

suite('expansion', () => {
  test('a reference becomes the value, a default stands in for an unset or empty one', () => {
    assert.equal(expand('a${X}b', { X: 'x' }), 'axb');
    assert.equal(expand('${X:-d}', {}), 'd');
    assert.equal(expand('${X:-d}', { X: '' }), 'd');
    assert.equal(expand('${X:-d}', { X: 'x' }), 'x');
    assert.equal(expand('${X:-}', {}), '');
    assert.equal(expand('[${X}]', { X: '' }), '[]');
    assert.equal(expand('${A}${B:-:-}${_c1}', { A: '1', _c1: '3' }), '1:-3');
  });

  test('$$ is a dollar, and any other dollar stands for itself', () => {
    assert.equal(expand('$${X}', { X: 'x' }), '${X}');
    assert.equal(expand('$$${X}', { X: 'x' }), '$x');
    assert.equal(expand('^/a$|$b$ $5 $', {}), '^/a$|$b$ $5 $');
    assert.equal(expand('cost: 5$$', {}), 'cost: 5$');
  });

  test('what a variable holds is not expanded again', () => {
    assert.equal(expand('${X}', { X: '${Y}$$', Y: 'no' }), '${Y}$$');
  });

  test('names of the prototype of objects are not variables', () => {
    assert.match(expandReferences('${toString}', {}).problems[0]!, /toString is not set/);
    assert.match(expandReferences('${__proto__}', {}).problems[0]!, /__proto__ is not set/);
  });

  test('variables are named once each, in order', () => {
    assert.deepEqual(expandReferences('${B}${A}${B:-x}', { A: 'a', B: 'b' }).variables, ['B', 'A']);
  });

  test('many references to a long value are refused instead of filling memory', () => {
    const { text, problems } = expandReferences('${X}'.repeat(10_000), { X: 'x'.repeat(10_000) });
    assert.ok(text.length <= 65_536);
    assert.match(problems[0]!, /longer than 65536 characters/);
  });
});

suite('types', () => {
  test('a plain value with a reference is typed as YAML types it, a quoted one stays text', () => {
    const text = (workers: string) => `${GOOD}workers: ${workers}\n`;
    assert.equal(configOf(text('${W}'), { W: '3' }).workers, 3);
    assert.equal(configOf(text('${W:-2}')).workers, 2);
    assert.equal(configOf(text('1${W}'), { W: '6' }).workers, 16);
    assert.equal(configOf(text('${W}'), { W: 'auto' }).workers, 'auto');
    assert.match(problemsOf(text('"${W}"'), { W: '3' })[0]!, /found text from \$\{W\}; remove the quotes/);
    assert.match(problemsOf(text('!!str ${W}'), { W: '3' })[0]!, /found text from \$\{W\}/);
    const salted = (salt: string, environment: Environment) =>
      configOf(`${GOOD}pins: { u: { by: [ { header: X } ], salt: ${salt} } }\n`, environment).pins['u']?.salt;
    assert.equal(salted('"${S}"', { S: '007' }), '007');
    assert.equal(salted('a${S}', { S: '007' }), 'a007');
  });

  test('text where a number or nothing came out is told how to be mended', () => {
    const salt = `${GOOD}pins: { u: { by: [ { header: X } ], salt: \${S} } }\n`;
    assert.match(
      problemsOf(salt, { S: '5' })[0]!,
      /^f:3:43: pins\.u\.salt: expected text, found a number from \$\{S\}; put it in quotes$/,
    );
    assert.match(problemsOf(salt, { S: '' })[0]!, /expected text, found nothing \(\$\{S\} is empty\)/);
  });

  test('scalars are typed as the yaml package types them', () => {
    const scalar = fc.oneof(
      fc.stringMatching(/^[-+]?[0-9a-fox.eE_]{1,8}$/),
      fc.constantFrom(
        '',
        '~',
        'null',
        'Null',
        'true',
        'False',
        'yes',
        'no',
        '012',
        '0o14',
        '0xfF',
        '.inf',
        '-.Inf',
        '.NaN',
      ),
    );
    fc.assert(
      fc.property(scalar, (text) => {
        assert.deepEqual(coreScalar(text), parse(`[ ${text === '' ? '~' : text} ]`)[0], text);
      }),
      { numRuns: 2_000 },
    );
  });

  test('references work unquoted in flow collections, with anything but quotes and braces in the default', () => {
    const config = configOf(
      'backends: { a: { url: ${URL:-http://a:8080}, maxPending: ${P} } }\n' +
        'routes: [ { name: all, match: { headers: { X: ${H:-a, [b]: c # d} } }, split: { a: 1 } }, { name: ${N}, split: { a: ${W:-5} } } ]\n',
      { P: '7', N: 'rest' },
    );
    assert.equal(config.backends['a']?.url?.authority, 'a:8080');
    assert.equal(config.backends['a']?.maxPending, 7);
    assert.equal([config.routes[0]?.match].flat()[0]?.headers?.['X'], 'a, [b]: c # d');
    assert.deepEqual([config.routes[1]?.name, config.routes[1]?.split], ['rest', { a: 5 }]);
  });
});

suite('safety', () => {
  test('no value of the environment changes the structure: quoted it is the text itself', () => {
    fc.assert(
      fc.property(value, (X) => {
        const text = `${GOOD}pins: { u: { by: [ { header: X } ], salt: "\${X}" } }\nlog: { level: error }\n`;
        const { config } = parseConfig(text, { file: 'f', environment: { X } });
        if ([...X].length <= 256) assert.equal(config?.pins['u']?.salt, X);
        if (config !== undefined) assert.equal(config.log.level, 'error');
      }),
      { numRuns: 1_000 },
    );
  });

  test('unquoted, in a flow map and in a block map, it is a single scalar', () => {
    const shape = (X: string, line: string) => {
      const text = `${GOOD}${line}`;
      const { config, problems } = parseConfig(text, { file: 'f', environment: { X } });
      // Either the value fits, or there is one problem at the value and none elsewhere.
      if (config === undefined) {
        assert.deepEqual(
          problems.map(({ keyPath }) => keyPath),
          ['redis.keyPrefix'],
        );
      } else assert.equal(config.redis?.keyPrefix, X);
    };
    fc.assert(
      fc.property(value, (X) => {
        shape(X, 'redis: { url: "redis://r", keyPrefix: ${X} }\n');
        shape(X, 'redis:\n  url: redis://r\n  keyPrefix: ${X}\n');
      }),
      { numRuns: 1_000 },
    );
  });

  test('no problem ever shows a value of the environment', () => {
    const SECRET = 'hunter2-Geheim';
    const uses = [
      'workers: ${S}',
      'service: "${S} x"',
      'listen: ${S}',
      'groupHeader: "${S} x"',
      'redis: { url: "http://${S}" }',
      'redis: { url: "redis://r", commandTimeout: ${S} }',
      'log: { level: ${S} }',
      'limits: { headSize: ${S} }',
      'trust: { cidrs: ["${S}"] }',
      'pins: { u: { by: [ { cookie: "${S};" } ], store: ${S} } }',
      'forwarding: { via: "${S}/" }',
      'health: { path: ${S}, status: ["${S}"] }',
    ];
    const rows = [
      'backends: { a: { url: "ftp://${S}" }, b: { url: "http://${S}/x", balance: ${S} }, c: { url: "http://${S}:0" } }',
      'routes:',
      '- { name: "${S} x", match: { headers: { H: { regex: "(${S}" } } }, split: { a: ${S} }, main: ${S}, pin: ${S} }',
      '- { name: "${S}", match: { method: ${S}, host: "${S} x", path: ${S} }, split: { a: 1 } }',
      '- { name: "${S}", split: { a: 1 } }',
      '',
    ].join('\n');
    for (const text of [...uses.map((use) => `${GOOD}${use}\n`), rows]) {
      const problems = problemsOf(text, { S: SECRET });
      assert.ok(problems.length > 0, text);
      for (const problem of problems) {
        assert.ok(!problem.toLowerCase().includes('hunter2'), problem);
      }
    }
    // Numbers too, which bounds quote.
    for (const use of ['workers: ${S}', 'accessLog: { sample: ${S} }', 'listen: ":${S}"']) {
      for (const problem of problemsOf(`${GOOD}${use}\n`, { S: '918273' }))
        assert.ok(!problem.includes('918273'), problem);
    }
  });

  test('warnings show none either', () => {
    const { config, problems } = parseConfig(`${GOOD}health: { timeout: \${S} }\n`, {
      file: 'f',
      environment: { S: '4242ms' },
    });
    assert.ok(config);
    assert.equal(problems.length, 1);
    assert.ok(!formatProblem(problems[0]!).includes('4242'));
  });
});

suite('the mask', () => {
  test('keeps every offset, and unmasking gives the text back', () => {
    const text = fc
      .array(
        fc.oneof(
          fc.constantFrom('${A}', '${A:-x, y}', '$$', '$${', '{', '}', '"', '\n', ': '),
          fc.string({ unit: 'binary' }),
        ),
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (source) => {
        const { masked, unmask } = maskReferences(source);
        assert.equal(masked.length, source.length);
        assert.equal(unmask(masked), source);
      }),
      { numRuns: 1_000 },
    );
  });

  test('private-use characters that the file itself has, also as escapes, survive', () => {
    const salts = configOf(
      `${GOOD}pins: { a: { by: [ { header: X } ], salt: "\ue000\ue003\\ue010\\U0000E011 \${A}" } }\n`,
      { A: 'x' },
    );
    assert.equal(salts.pins['a']?.salt, '\ue000\ue003\ue010\ue011 x');
  });
});
