/**
 * The parts of the README that are derived from the code. `npm run docs` writes them; a test fails when they differ.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { replaceReference } from '../../src/config/reference.ts';
import { FAILURES } from '../../src/forward/reasons.ts';

export const README = fileURLToPath(new URL('../../README.md', import.meta.url));

const BEGIN = '<!-- reasons:begin -->';
const END = '<!-- reasons:end -->';

function reasonsTable(): string {
  const rows = Object.entries(FAILURES).map(
    ([reason, { status, termination, message }]) =>
      `| \`${reason}\` | ${status === 0 ? '' : status} | ${termination} | ${message} |`,
  );
  return ['| Reason | Status | Log | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** The README as it should be. */
export function derive(readme: string): string {
  const [before, rest] = readme.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md lacks ${BEGIN} … ${END}`);
  return replaceReference(`${before}${BEGIN}\n${reasonsTable()}\n${END}${after}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(README, derive(readFileSync(README, 'utf8')));
}
