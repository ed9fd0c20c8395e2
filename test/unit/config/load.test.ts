/** Loading: what is good loads as meant, what is not is refused, and nothing ever throws or takes long. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { MAX_CONFIG_SIZE, parseConfig, readConfig } from '../../../src/config/load.ts';
import { formatKeyPath, formatProblem } from '../../../src/config/problems.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { configInput, escapeDollars } from './fixtures/config-arbitrary.ts';
import { configOf, GOOD, problemsOf } from './fixtures/good.ts';

const EXAMPLE = new URL('../../../deploy/pointsman.example.yaml', import.meta.url).pathname;

suite('a good configuration', () => {
  test('the example in deploy/ loads without a warning and holds the table of the design', async () => {
    const { config, problems } = await readConfig(EXAMPLE, {});
    assert.deepEqual(problems, []);
    assert.deepEqual(
      config?.routes.map(({ name, match, split, pin }) => ({
        name,
        group: [match].flat()[0]?.group,
        split,
        pin,
      })),
      [
        { name: 'internal', group: 'INTERNAL', split: { internal: 100 }, pin: undefined },
        { name: 'free', group: 'FREE', split: { canary: 5, production: 95 }, pin: 'user' },
        { name: 'enterprise', group: 'ENTERPRISE', split: { production: 100 }, pin: undefined },
        { name: 'paid', group: undefined, split: { paid: 5, production: 95 }, pin: 'user' },
      ],
    );
    assert.equal(config?.redis?.url, 'redis://redis:6379');
    assert.equal(config?.health.interval, 2_000);
  });

  test('whatever is printed as YAML loads as the same configuration', () => {
    fc.assert(
      fc.property(configInput, fc.constantFrom(0, 40, 80), (input, lineWidth) => {
        const printed = stringify(escapeDollars(input), { lineWidth });
        const { config, problems } = parseConfig(printed, { file: 'f', environment: {} });
        assert.deepEqual(
          problems.filter(({ severity }) => severity === 'error'),
          [],
        );
        assert.deepEqual(config, configSchema.parse(input));
      }),
      { numRuns: 300 },
    );
  });

  test('flow style and JSON are as good as block style', () => {
    fc.assert(
      fc.property(configInput, (input) => {
        const flow = stringify(escapeDollars(input), { collectionStyle: 'flow', lineWidth: 0 });
        const json = JSON.stringify(escapeDollars(input), null, 1);
        assert.deepEqual(configOf(flow), configOf(json));
      }),
      { numRuns: 100 },
    );
  });

  test('a byte order mark, CRLF and anchors as people use them are fine', () => {
    assert.deepEqual(configOf(`\ufeff${GOOD}`), configOf(GOOD));
    assert.deepEqual(configOf(GOOD.replaceAll('\n', '\r\n')), configOf(GOOD));
    const anchored = configOf(
      `backends:\n  a: { url: http://a, health: &h { rise: 7 } }\n  b: { url: http://b, health: *h }\nroutes: [ { name: all, split: &s { a: 1, b: 1 } } ]\n`,
    );
    assert.equal(anchored.backends['b']?.health?.rise, 7);
  });

  test('keys are text however they look', () => {
    const config = configOf(
      'backends: { 1: { url: http://a }, true: { url: http://b }, 0x10: { url: http://c }, 1e3: { url: http://d } }\n' +
        'routes: [ { name: all, split: { 1: 1, true: 2, 0x10: 3, 1e3: 4 } } ]\n',
    );
    assert.deepEqual(Object.keys(config.backends), ['1', 'true', '0x10', '1e3']);
    assert.deepEqual(config.routes[0]?.split, { 1: 1, true: 2, '0x10': 3, '1e3': 4 });
  });
});

suite('hostile text', () => {
  const laughs = [
    'a: &a [x, x, x, x, x, x, x, x, x, x]',
    ...Array.from({ length: 9 }, (_, i) => {
      const name = (index: number) => String.fromCharCode(97 + index);
      return `${name(i + 1)}: &${name(i + 1)} [${Array(10)
        .fill(`*${name(i)}`)
        .join(', ')}]`;
    }),
  ].join('\n');

  test('a billion laughs is refused at the alias that goes too far, without being expanded', () => {
    const problems = problemsOf(`${GOOD}${laughs}\n`);
    const bomb = problems.filter((problem) => problem.includes('aliases repeat more than 20000 values'));
    assert.equal(bomb.length, 1);
    assert.match(bomb[0]!, /^f:7:\d+: e\[\d\]: /);
  });

  for (const [what, text] of [
    ['flow lists', '['.repeat(MAX_CONFIG_SIZE / 4)],
    ['flow maps', '{a: '.repeat(MAX_CONFIG_SIZE / 8)],
    ['block lists', '- '.repeat(MAX_CONFIG_SIZE / 4)],
    ['explicit keys', '? '.repeat(MAX_CONFIG_SIZE / 4)],
    ['block maps', Array.from({ length: 900 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ] as const) {
    test(`${what} nested without end are refused`, () => {
      const problems = problemsOf(text);
      assert.ok(
        problems.some((problem) => /nested (more than 64 levels|too) deep/.test(problem)),
        problems.join('\n'),
      );
    });
  }

  test('a text over 4 MiB is refused unread', () => {
    assert.deepEqual(problemsOf(`#${'x'.repeat(MAX_CONFIG_SIZE)}`), [
      'f:1:1: is larger than 4 MiB; a configuration is text of some KiB',
    ]);
  });

  test('of thousands of problems the first 500 are told, and how many are left', () => {
    const unknown = Array.from({ length: 3_000 }, (_, i) => `zz${i}: 1\n`).join('');
    const problems = problemsOf(GOOD + unknown);
    assert.equal(problems.length, 501);
    assert.match(problems[500]!, /and 2500 more problems further down$/);
  });

  test('thousands of costly regular expressions are not all compiled', () => {
    const rows = Array.from(
      { length: 900 },
      (_, i) =>
        `- { name: r${i}, match: { headers: { H: { regex: "(?i)a{1,1000}b{1,1000}c{1,1000}${i}" } } }, split: { a: 1 } }\n`,
    );
    const text = `backends: { a: { url: http://a } }\nroutes:\n${rows.join('')}- { name: all, split: { a: 1 } }\n`;
    const started = process.cpuUsage();
    const problems = problemsOf(text);
    const { user } = process.cpuUsage(started);
    assert.match(problems[0]!, /is too large \(\d+ instructions, at most 5000\)/);
    assert.match(problems[499]!, /the regular expressions are too large together/);
    assert.ok(user < 5_000_000, `${user} µs`);
  });

  const junk = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({ unit: fc.constantFrom(...'{}[],:#&*!|>\'"%@`-? \n\tab1$~<\\'), maxLength: 120 }),
    fc
      .array(
        fc.constantFrom(
          'backends:',
          'routes:',
          ' ',
          '\n',
          '  ',
          '- ',
          '{',
          '}',
          ': ',
          'a',
          '${A',
          '${A}',
          '${A:-',
          '*a',
          '&a ',
          '!!str ',
          '"',
          '|\n',
          '? ',
          '<<',
          'name',
          'split',
          '---\n',
          '...\n',
          '%YAML 1.2\n',
        ),
        { maxLength: 40 },
      )
      .map((parts) => parts.join('')),
  );

  test('random text never throws: there is a configuration, or a problem on a line of the text', () => {
    fc.assert(
      fc.property(junk, fc.boolean(), (text, appended) => {
        const whole = appended ? GOOD + text : text;
        const { config, problems } = parseConfig(whole, { file: 'f', environment: { A: '{ b: "c" }\n- d' } });
        const errors = problems.filter(({ severity }) => severity === 'error');
        assert.equal(config === undefined, errors.length > 0);
        const lines = whole.split('\n');
        for (const problem of problems) {
          assert.ok(problem.line >= 1 && problem.line <= lines.length, formatProblem(problem));
          assert.ok(problem.column >= 1 && problem.column <= lines[problem.line - 1]!.length + 1);
          assert.doesNotMatch(formatProblem(problem), /[\n\r\0]/);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('a good configuration with any one value replaced by any other never throws', () => {
    fc.assert(
      fc.property(configInput, fc.nat(), fc.jsonValue({ maxDepth: 2 }), (input, at, value) => {
        const paths = leaves(input);
        const path = paths[at % paths.length]!;
        const changed = replaced(input, path, value);
        const text = stringify(escapeDollars(changed));
        const { config, problems } = parseConfig(text, { file: 'f', environment: {} });
        const lines = text.split('\n').length;
        assert.equal(
          config === undefined,
          problems.some(({ severity }) => severity === 'error'),
        );
        for (const { line, column } of problems) assert.ok(line >= 1 && line <= lines && column >= 1);
      }),
      { numRuns: 500 },
    );
  });
});

suite('files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-load-'));
  after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, content: string | Uint8Array) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  const told = async (path: string) => (await readConfig(path, {})).problems.map(formatProblem);

  test('the hash is the SHA-256 of the content', async () => {
    const read = await readConfig(file('good.yaml', GOOD), {});
    assert.equal(read.hash, createHash('sha256').update(GOOD).digest('hex'));
    assert.equal(read.text, GOOD);
    assert.ok(read.config);
  });

  test('a missing file, a directory and a path through a file are told apart, without a line', async () => {
    const good = file('good.yaml', GOOD);
    assert.deepEqual(await told(`${good}x`), [
      `${good}x: the file does not exist; check the path, and that its volume is mounted`,
    ]);
    assert.deepEqual(await told(directory), [`${directory}: is a directory; name the file in it`]);
    assert.deepEqual(await told(`${good}/x`), [
      `${good}/x: the file does not exist: a part of its path is not a directory`,
    ]);
    assert.equal((await readConfig(directory, {})).hash, '');
  });

  test('a file without the right to read it is told so', async () => {
    const path = file('secret.yaml', GOOD);
    chmodSync(path, 0);
    // Root may read everything, so it becomes nobody for a moment.
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65_534);
    try {
      assert.match((await told(path))[0]!, /permission denied; give this user the right to read it/);
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  test('a file over 4 MiB, and a device without end, are refused', async () => {
    const large = file('large.yaml', Buffer.alloc(MAX_CONFIG_SIZE + 1, '#'));
    assert.deepEqual(await told(large), [
      `${large}: is larger than 4 MiB; a configuration is text of some KiB`,
    ]);
    assert.match((await told('/dev/zero'))[0]!, /larger than 4 MiB/);
    const largest = file('largest.yaml', `${GOOD}#${'x'.repeat(MAX_CONFIG_SIZE - GOOD.length - 1)}`);
    assert.deepEqual(await told(largest), []);
  });

  test('bytes that are no UTF-8 are found at their place', async () => {
    const path = file(
      'latin1.yaml',
      Buffer.concat([Buffer.from(`${GOOD}service: "ü`), Buffer.from([0xfc, 0x22])]),
    );
    assert.deepEqual(await told(path), [`${path}:3:12: is not UTF-8 from here on; save it as UTF-8`]);
    const cut = file('cut.yaml', Buffer.concat([Buffer.from(GOOD), Buffer.from([0xe2, 0x82])]));
    assert.match((await told(cut))[0]!, /:3:\d: is not UTF-8/);
    const utf16 = file('utf16.yaml', Buffer.from(`\ufeff${GOOD}`, 'utf16le'));
    assert.deepEqual(await told(utf16), [`${utf16}:1:1: is UTF-16; save it as UTF-8`]);
  });

  test('random bytes never throw', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const { config, problems, hash } = await readConfig(file('junk.yaml', bytes), {});
        assert.equal(hash.length, 64);
        assert.equal(config === undefined, problems.length > 0);
        assert.ok(problems.every(({ line }) => line >= 1));
      }),
      { numRuns: 200 },
    );
  });
});

suite('how problems are written', () => {
  test('key paths are written as one would write them in code', () => {
    assert.equal(formatKeyPath(['routes', 1, 'split', 'canary']), 'routes[1].split.canary');
    assert.equal(formatKeyPath(['backends', 'a.b c', 'url']), 'backends["a.b c"].url');
  });

  test('a problem is one line, whatever the file holds', () => {
    const [problem] = problemsOf(`${GOOD}"a\\nb\\e[31m\\u2028\\u202e": 1\n`);
    assert.doesNotMatch(problem!, /[\p{Cc}\u2028\u202e]/u);
    assert.match(problem!, /unknown key "a\\u000ab\\u001b\[31m/);
  });

  test('the example keeps its comments short of the limit of a line', () => {
    for (const line of readFileSync(EXAMPLE, 'utf8').split('\n')) assert.ok(line.length <= 120, line);
  });
});

type Path = readonly (string | number)[];

function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, child]) =>
    leaves(child, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return path.length === 0 ? inner : [path, ...inner];
}

function replaced(value: unknown, path: Path, by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  if (Array.isArray(value))
    return value.map((item, index) => (index === key ? replaced(item, rest, by) : item));
  return Object.fromEntries(
    Object.entries(value as object).map(([name, item]) => [
      name,
      name === key ? replaced(item, rest, by) : item,
    ]),
  );
}
