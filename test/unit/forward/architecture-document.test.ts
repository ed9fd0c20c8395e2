/** The architecture page matches the code: transitions, ports, failure reasons, files, names and keys. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { schemasAt } from '../../../src/config/json-schema.ts';
import { NEXT_PHASES } from '../../../src/forward/phase.ts';
import { FAILURES } from '../../../src/forward/reasons.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const FORWARD = path.join(ROOT, 'src/forward');
const PAGE = path.join(ROOT, 'deploy/docs/contribute/architecture.md');
const PORTS = ['Downstream', 'ResponseWriter', 'DownstreamEvents', 'UpstreamTransport', 'UpstreamEvents'];

const page = readFileSync(PAGE, 'utf8');
const [blocks, text] = splitFences(page);
const quoted = [...new Set(codeOf(text))];
const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(path.join(ROOT, 'src', file), 'utf8'))
  .join('\n');

/** Returns the fenced blocks, and the text without them. */
function splitFences(markdown: string): [string[], string] {
  const found = [...markdown.matchAll(/^```\w*\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  return [found, markdown.replaceAll(/^```\w*\n[\s\S]*?^```$/gm, '')];
}

/** Returns the texts in backticks. */
function codeOf(markdown: string): string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
}

/** Returns the cells of each table line that begins with a name in backticks, by that name. */
function cellsByName(markdown: string): Map<string, string[]> {
  const lines = [...markdown.matchAll(/^\| `(\w+)` \|(.*)\|$/gm)];
  return new Map(lines.map(([, name, cells]) => [name!, cells!.split('|')]));
}

/** Returns the members of an interface in ports.ts. */
function membersOf(name: string): string[] {
  const ports = readFileSync(path.join(FORWARD, 'ports.ts'), 'utf8');
  const [, body] = new RegExp(`^export interface ${name} \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(ports) ?? [];
  assert.ok(body !== undefined, `ports.ts has ${name}`);
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)[?(:]/gm)].map(([, member]) => member!);
}

const sorted = (names: Iterable<string>) => [...names].sort();

suite('the architecture page', () => {
  test('draws the transitions of NEXT_PHASES', () => {
    const drawing = blocks.find((block) => /^reading +→/m.test(block)) ?? '';
    const drawn = [...drawing.matchAll(/^(\w+) +→ (.*)$/gm)].map(([, phase, next]) => [
      phase,
      next === 'nothing' ? [] : next!.split(', '),
    ]);
    assert.deepEqual(Object.fromEntries(drawn), NEXT_PHASES);
  });

  test('describes each phase, with failure reasons that exist', () => {
    const table = cellsByName(text);
    for (const phase of Object.keys(NEXT_PHASES)) {
      const cells = table.get(phase);
      assert.equal(cells?.length, 3, phase);
      for (const reason of codeOf(cells![2]!))
        assert.ok(Object.hasOwn(FAILURES, reason), `${reason} of ${phase}`);
    }
  });

  test('names all failure reasons and no others', () => {
    for (const reason of Object.keys(FAILURES)) assert.ok(quoted.includes(reason), `${reason} is missing`);
    const others = quoted.filter((code) => /^[a-z]+(_[a-z]+)+$/.test(code) && !Object.hasOwn(FAILURES, code));
    for (const metric of others)
      assert.ok(sources.includes(`'${metric}'`), `${metric} is a reason or a metric`);
  });

  test('lists the members of the ports', () => {
    for (const port of PORTS) {
      const [, list = ''] = new RegExp(`^- \`${port}\`: ([\\s\\S]*?)\\.$`, 'm').exec(text) ?? [];
      assert.ok(membersOf(port).length > 5, port);
      assert.deepEqual(sorted(codeOf(list)), sorted(membersOf(port)), port);
    }
  });

  test('names files and folders that exist', () => {
    const named = quoted.filter((code) => /^[\w./-]+(\.ts|\/)$/.test(code));
    assert.ok(named.length > 30);
    for (const name of named) {
      const base = /^(src|test)\//.test(name) ? ROOT : FORWARD;
      assert.ok(existsSync(path.join(base, name)), `${name} exists`);
    }
  });

  test('names classes, interfaces and their members as the code has them', () => {
    const drawn = blocks.flatMap((block) => block.match(/\b([A-Z][a-z]+){2,}\b/g) ?? []);
    const types = [...quoted.filter((code) => /^([A-Z][a-z]+)+(#\w+)?$/.test(code)), ...drawn];
    assert.ok(types.length > 20);
    for (const code of types) {
      const [name, member] = code.split('#');
      assert.match(sources, new RegExp(`\\b(class|interface|type) ${name}\\b`), code);
      if (member !== undefined) assert.match(sources, new RegExp(`[# ]${member}\\(`), code);
    }
  });

  test('names functions and members that the data path has', () => {
    const names = quoted.filter((code) => /^[a-z]+([A-Z][a-z]+)+$/.test(code));
    assert.ok(names.length > 20);
    for (const name of names) assert.match(sources, new RegExp(`\\b${name}\\b`), name);
  });

  test('names keys that the schema has', () => {
    const keys = quoted.filter(
      (code) => /^[a-z]\w*(\.(<name>|[a-z]\w*))+$/.test(code) && !code.endsWith('.ts'),
    );
    assert.ok(keys.length > 8);
    for (const key of keys) assert.ok(schemasAt(key.split('.')).length > 0, `${key} is a key`);
  });

  test('is right that only #enter and a second internal error set the phase', () => {
    const exchange = readFileSync(path.join(FORWARD, 'exchange.ts'), 'utf8');
    const settings = [...exchange.matchAll(/this\.#phase = (.*);/g)].map(([, value]) => value);
    assert.deepEqual(settings, ['next', "'done'"]);
  });
});
