/** Warnings: said where they help, and only there. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { GOOD, problemsOf } from './fixtures/good.ts';

const BACKENDS = 'backends: { a: { url: http://a } }\n';
const route = (name: string, match: string) => `- { name: ${name}, match: ${match}, split: { a: 1 } }\n`;
const LAST = '- { name: last, split: { a: 1 } }\n';
const table = (...rows: string[]) => `${BACKENDS}routes:\n${rows.join('')}`;

suite('rows that are never reached', () => {
  test('below a row that matches everything, however that is written', () => {
    for (const all of ['{}', '{ headers: {} }']) {
      assert.deepEqual(problemsOf(table(route('x', all), route('y', '{ group: B }'), LAST)), [
        'f:4:3: warning: routes[1]: is never reached: routes[0] matches everything; move this row above it, or remove it',
        'f:5:3: warning: routes[2]: is never reached: routes[0] matches everything; move this row above it, or remove it',
      ]);
    }
  });

  test('with the same conditions as an earlier row, in another order or case', () => {
    const twice = [
      ['{ group: FREE }', '{ group: [free] }'],
      ['{ group: [A, B], host: X.example }', '{ host: x.example, group: [b, a] }'],
      ['{ headers: { X-A: v, X-B: w } }', '{ headers: { x-b: { exact: w }, x-a: v } }'],
    ] as const;
    for (const [first, second] of twice) {
      const problems = problemsOf(table(route('x', first), route('y', second), LAST));
      assert.equal(problems.length, 1, `${first} ${second}`);
      assert.match(
        problems[0]!,
        /^f:4:3: warning: routes\[1\]: is never reached: routes\[0\] matches the same/,
      );
    }
  });

  test('with groups that earlier rows take one by one', () => {
    const rows = [
      route('x', '{ group: A }'),
      route('y', '{ group: B }'),
      route('z', '{ group: [b, A] }'),
      LAST,
    ];
    assert.match(problemsOf(table(...rows)).join('\n'), /^f:5:3: warning: routes\[2\]: is never reached/);
  });

  test('not where a row merely overlaps with an earlier one', () => {
    const rows = [
      route('r1', '{ group: A, path: /x }'),
      route('r2', '{ group: A }'),
      route('r3', '{ group: [A, B] }'),
      route('r4', '{ path: /x }'),
      route('r5', '{ path: /X }'),
      route('r6', '{ headers: { X-A: v } }'),
      route('r7', '{ headers: { X-A: V } }'),
      LAST,
    ];
    assert.deepEqual(problemsOf(table(...rows)), []);
  });
});

suite('what is written and not used', () => {
  test('backends, pins and Redis that nothing uses', () => {
    const text =
      'backends: { a: { url: http://a }, b: { url: http://b } }\n' +
      'routes: [ { name: all, split: { a: 1 } } ]\n' +
      'pins: { u: { by: [ { header: X } ] } }\n' +
      'redis: { url: redis://r }\n';
    assert.deepEqual(problemsOf(text), [
      'f:1:35: warning: backends.b: no route uses this backend',
      'f:3:9: warning: pins.u: no route uses this pin',
      'f:4:1: warning: redis: no route has a pin, no rate has store: redis, and there are neither sets nor acting nor a guard that acts, so Redis is not used',
    ]);
  });

  test('a backend with weight 0 is used: that is how a track is switched off', () => {
    const text =
      'backends: { a: { url: http://a }, b: { url: http://b } }\n' +
      'routes: [ { name: all, split: { a: 1, b: 0 } } ]\n';
    assert.deepEqual(problemsOf(text), []);
  });

  test('keys of HTTP checks on checks that are TCP', () => {
    assert.deepEqual(problemsOf(`${GOOD}health: { status: [2xx], method: HEAD }\n`), [
      'f:3:11: warning: health.status: has no effect on a TCP check; add path to check with HTTP',
      'f:3:26: warning: health.method: has no effect on a TCP check; add path to check with HTTP',
    ]);
    assert.deepEqual(problemsOf(`${GOOD}health: { path: /, status: [2xx] }\n`), []);
    const own = GOOD.replace('http://a', 'http://a, health: { path: / }');
    assert.deepEqual(problemsOf(`${own}health: { status: [2xx] }\n`), []);
  });
});

suite('checks slower than their interval', () => {
  test('are warned of at the key that says so, for all backends or one', () => {
    assert.match(
      problemsOf(`${GOOD}health: { timeout: 5s }\n`).join('\n'),
      /^f:3:20: warning: health\.timeout: a check may take 5s, longer than the interval of 2s, [^\n]*$/,
    );
    const own = GOOD.replace('http://a', 'http://a, health: { interval: 500ms }');
    assert.match(
      problemsOf(own).join('\n'),
      /^f:1:53: warning: backends\.a\.health\.interval: a check may take 1s/,
    );
    assert.deepEqual(problemsOf(`${GOOD}health: { timeout: 2s }\n`), []);
    assert.deepEqual(problemsOf(`${GOOD}health: { enabled: false, timeout: 5s }\n`), []);
  });
});
