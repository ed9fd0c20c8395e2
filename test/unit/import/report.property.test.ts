/** No line is lost and none is told twice, whatever stands in a file. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { configOf, DEFAULTS, importText } from './import-text.ts';

const FIXTURES = new URL('../../fixtures/haproxy/', import.meta.url);

/** Every line of every fixture, to be put together anew. */
const LINES = readdirSync(FIXTURES)
  .filter((file) => file.endsWith('.cfg'))
  .flatMap((file) => readFileSync(new URL(file, FIXTURES), 'utf8').split('\n'));
const INSIDE = LINES.filter((line) => /^\s/.test(line));

const SKELETON = `${DEFAULTS}frontend in\n    bind :8080\n@@\n    default_backend rest\nbackend rest\n@@\n    server rest 10.0.0.1:80\n`;

function statements(text: string): number[] {
  return text.split('\n').flatMap((line, i) => (/^\s*(#|\r?$)/.test(line) ? [] : [i + 1]));
}

const FILES = { 'blocked.txt': '192.0.2.0/24', 'tracks.map': 'free rest' };
const isGood = (text: string) => importText(text, FILES).yaml !== undefined;
/** Lines that are good on their own, so that most files made of them are. */
const FRONT = INSIDE.filter((line) => isGood(SKELETON.replace('@@', () => line).replace('@@', '')));
const BACK = INSIDE.filter((line) => isGood(SKELETON.replace('@@', '').replace('@@', () => line)));

function assertAccounted(text: string): void {
  const { report, yaml } = importText(text, FILES);
  // What is written can be loaded, whatever lines it comes from.
  if (yaml !== undefined) configOf(text, FILES);
  assert.deepEqual(
    report.map(({ statement }) => statement.line),
    statements(text),
  );
  for (const { fate, note } of report) if (fate !== 'translated') assert.ok(note.length > 8);
}

suite('the report', () => {
  test('accounts for every line of a frontend and a backend made of lines that others hold', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...FRONT), { maxLength: 12 }),
        fc.uniqueArray(fc.constantFrom(...BACK), { maxLength: 12 }),
        (front, back) => {
          assertAccounted(
            SKELETON.replace('@@', () => front.join('\n')).replace('@@', () => back.join('\n')),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test('accounts for every line of whole files in disorder, and of nonsense', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constantFrom(...LINES),
            fc.string({ unit: 'binary-ascii', maxLength: 30 }).map((text) => text.replace(/[\n\0]/g, '')),
          ),
          {
            maxLength: 40,
          },
        ),
        (lines) => {
          const text = lines.join('\n');
          const { report } = importText(text);
          const told = report.map(({ statement }) => statement.line);
          assert.deepEqual(
            told,
            [...new Set(told)].sort((a, b) => a - b),
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});
