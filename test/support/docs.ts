/**
 * The parts of the README that are derived from the code. `npm run docs` writes them; a test fails when they differ.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { replaceReference } from '../../src/config/reference.ts';
import { FAILURES } from '../../src/forward/reasons.ts';
import { between } from './between-marks.ts';

export const README = fileURLToPath(new URL('../../README.md', import.meta.url));

function reasonsTable(): string {
  const rows = Object.entries(FAILURES).map(
    ([reason, { status, termination, message }]) =>
      `| \`${reason}\` | ${status === 0 ? '' : status} | ${termination} | ${message} |`,
  );
  return ['| Reason | Status | Log | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** The README as it should be. */
export function derive(readme: string): string {
  return replaceReference(between(readme, 'reasons', reasonsTable()));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(README, derive(readFileSync(README, 'utf8')));
}
