/**
 * The parts of documents that are derived from the code. `npm run docs` writes them; a test fails when they differ.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { referenceRows, replaceReference } from '../../src/config/reference.ts';
import { FAILURES } from '../../src/forward/reasons.ts';
import { faultTable } from '../torture/faults/table.ts';
import { between } from './between-marks.ts';

export const README = fileURLToPath(new URL('../../README.md', import.meta.url));
export const SECURITY = fileURLToPath(new URL('../../SECURITY.md', import.meta.url));

/** Keys that bound what somebody else can make the process do or keep. */
const BOUNDS =
  /^(limits\.(?!rates)|limits\.rates\.<name>\.(rate|burst|maxEntries)$|timeouts\.|retries\.(?!budget$)|redis\.commandTimeout$|pins\.<name>\.maxEntries$|backends\.<name>\.(maxConnections|maxPending)$)/;

function boundsTable(): string {
  const rows = referenceRows()
    .filter(({ key }) => BOUNDS.test(key))
    .map(({ key, fallback, meaning }) => `| \`${key}\` | ${fallback} | ${meaning} |`);
  return ['| Key | Default | Meaning |', '|---|---|---|', ...rows].join('\n');
}

/** SECURITY.md as it should be. */
export function deriveSecurity(text: string): string {
  return between(text, 'bounds', boundsTable());
}

function reasonsTable(): string {
  const rows = Object.entries(FAILURES).map(
    ([reason, { status, termination, message }]) =>
      `| \`${reason}\` | ${status === 0 ? '' : status} | ${termination} | ${message} |`,
  );
  return ['| Reason | Status | Log | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}

export const TORTURE_README = fileURLToPath(new URL('../torture/README.md', import.meta.url));

/** The README as it should be. */
export function derive(readme: string): string {
  return replaceReference(between(readme, 'reasons', reasonsTable()));
}

/** That of the torture suite. */
export function deriveTorture(readme: string): string {
  return between(readme, 'faults', faultTable());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(README, derive(readFileSync(README, 'utf8')));
  writeFileSync(SECURITY, deriveSecurity(readFileSync(SECURITY, 'utf8')));
  writeFileSync(TORTURE_README, deriveTorture(readFileSync(TORTURE_README, 'utf8')));
}
