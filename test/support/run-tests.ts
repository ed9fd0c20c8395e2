/**
 * `node --test` with the arguments given; files with a failed test run once more, alone. Real processes on a small
 * machine that runs two files at once sometimes miss a deadline: what fails twice fails. What passed the second time is
 * told at the end, and is worth a look.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** More than so many failed files are no accident. */
const MOST_AGAIN = 3;

/** Hundreds of processes load the same modules: a third of the time they take is compiling, and stripping types. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/compiled-tests', import.meta.url));

const REPORTER = fileURLToPath(import.meta.resolve('./failed-files.ts'));

function runTests(args: readonly string[]): number {
  const folder = mkdtempSync(path.join(tmpdir(), 'pointsman-failed-'));
  const list = path.join(folder, 'files');
  try {
    const first = nodeTest([
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${REPORTER}`,
      `--test-reporter-destination=${list}`,
      ...args,
    ]);
    if (first === 0) return 0;
    const files = readFileSync(list, 'utf8').split('\n').filter(Boolean);
    // A test that a fixture defines is told with the file of the fixture.
    const isKnown = files.length > 0 && files.every((file) => /\.test\.m?[jt]s$/.test(file));
    if (!isKnown || files.length > MOST_AGAIN) return first;
    console.log(`\nOnce more, alone: ${files.join(', ')}`);
    // Options are written with `=`, so that each is one word.
    const options = args.filter((arg) => arg.startsWith('-') && !arg.startsWith('--test-concurrency'));
    const second = nodeTest([...options, '--test-concurrency=1', ...files]);
    console.log(`${second === 0 ? 'Passed' : 'Failed'} the second time: ${files.join(', ')}`);
    return second;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nodeTest(args: readonly string[]): number {
  const env = { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env };
  return spawnSync(process.execPath, ['--test', ...args], { stdio: 'inherit', env }).status ?? 1;
}

process.exitCode = runTests(process.argv.slice(2));
