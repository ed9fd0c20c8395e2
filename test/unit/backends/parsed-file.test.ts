import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ParsedFile } from '../../../src/backends/parsed-file.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { waitFor } from '../../support/wait-for.ts';

function place(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'pointsman-file-'));
  cleanUp(() => rmSync(directory, { recursive: true }));
  return path.join(directory, 'file');
}

test('a change is seen also when it keeps size and time of modification', async () => {
  const file = place();
  const parsed = new ParsedFile(file, (text) => text);
  const time = new Date();
  for (const text of ['one', 'two', 'six', 'ten']) {
    writeFileSync(file, text);
    utimesSync(file, time, time);
    assert.equal(await parsed.read(), text);
  }
});

test('a file that is replaced by renaming is read anew, and one that has gone counts as empty', async () => {
  const file = place();
  const parsed = new ParsedFile(file, (text) => text);
  assert.equal(await parsed.read(), '');
  writeFileSync(file, 'first');
  assert.equal(await parsed.read(), 'first');
  writeFileSync(`${file}.next`, 'other');
  renameSync(`${file}.next`, file);
  assert.equal(await parsed.read(), 'other');
  rmSync(file);
  assert.equal(await parsed.read(), '');
});

test('a file that has not changed for long is not parsed again', async () => {
  const file = place();
  writeFileSync(file, 'old');
  let parses = 0;
  const parsed = new ParsedFile(file, (text) => {
    parses++;
    return text;
  });
  // The time of change cannot be set back, so this waits until the file is old enough to be trusted.
  await waitFor('a read that does not parse', async () => {
    const before = parses;
    assert.equal(await parsed.read(), 'old');
    return parses === before;
  });
});

test('the last content stays while the path cannot be read', async () => {
  const file = place();
  const parsed = new ParsedFile(file, (text) => text);
  writeFileSync(file, 'good');
  assert.equal(await parsed.read(), 'good');
  rmSync(file);
  // A directory opens and does not read, for root too, who may read any file.
  mkdirSync(file);
  assert.equal(await parsed.read(), 'good');
});

test('readers at the same time share one reading', async () => {
  const file = place();
  writeFileSync(file, 'text');
  let parses = 0;
  const parsed = new ParsedFile(file, (text) => {
    parses++;
    return text;
  });
  parses = 0;
  assert.deepEqual(await Promise.all([parsed.read(), parsed.read(), parsed.read()]), [
    'text',
    'text',
    'text',
  ]);
  assert.equal(parses, 1);
});
