/** What deploy/coming-from-haproxy.md says is run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { importHaproxy } from '../../../src/import/import.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const text = readFileSync(`${ROOT}/deploy/coming-from-haproxy.md`, 'utf8');
const run = promisify(execFile);

const DEFAULTS = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
`;

function imported(source: string) {
  return importHaproxy({
    files: [{ name: 'haproxy.cfg', text: source }],
    defines: new Map(),
    environment: {},
    readLines: () => undefined,
    service: undefined,
    frontend: undefined,
  });
}

suite('coming from HAProxy', () => {
  test('its commands run, one after the other', async () => {
    const commands = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((block) => block[1]!).join('');
    assert.match(commands, /pointsman -- import/);
    const { stdout } = await run('sh', ['-ec', commands], { cwd: ROOT });
    assert.match(stdout, /"route": "free"/);
  });

  const examples = [...text.matchAll(/### ([^\n]+)|```haproxy\n([\s\S]*?)```\s+```yaml\n([\s\S]*?)```/g)];
  let heading = 'How rules become rows';
  for (const [, title, source, rows] of examples) {
    if (title !== undefined) heading = title;
    if (source === undefined) continue;
    test(`${heading}: the example becomes these rows`, () => {
      const { yaml, verdicts, report } = imported(DEFAULTS + source);
      assert.ok(yaml, JSON.stringify(verdicts));
      assert.deepEqual(parse(yaml).routes, parse(rows!));
      assert.deepEqual(
        report.filter(({ fate }) => fate === 'not supported'),
        [],
      );
    });
  }

  test('there is an example under each heading', () => {
    assert.ok(examples.filter((example) => example[2] !== undefined).length >= 5);
  });

  const rows = [...text.matchAll(/^\| `([^`]+)` \| (\w+) \| ([a-z ]+) \|/gm)];
  test('the table has the lines that people know', () => {
    assert.ok(rows.length > 50, String(rows.length));
  });
  for (const [, line, section, fate] of rows) {
    test(`${section}: ${line}`, () => {
      const at = (name: string) => (name === section ? `    ${line}\n` : '');
      const uses = /^acl a /.test(line!) ? '    use_backend other if a\n' : '';
      const bind = line!.startsWith('bind') ? '' : '    bind :8080\n';
      const source =
        `global\n    maxconn 100\n${at('global')}${DEFAULTS}${at('defaults')}frontend in\n${bind}${at('frontend')}${uses}    default_backend app\n` +
        `backend app\n    stick-table type string size 1k\n${at('backend')}    server s1 10.0.0.1:80\n    server s2 10.0.0.2:80\nbackend other\n    server o 10.0.0.9:80\n`;
      const { yaml, report, verdicts } = imported(source);
      assert.ok(yaml, JSON.stringify(verdicts));
      const told = report.find(({ statement }) => {
        const number = source.split('\n').indexOf(`    ${line}`) + 1;
        return statement.line === number;
      });
      assert.ok(told, 'the line is accounted for');
      assert.equal(told.fate, fate, told.note);
    });
  }
});
