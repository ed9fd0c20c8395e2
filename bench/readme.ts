/** Puts the measured tables between the markers of README.md, with what they were measured on. */

import { readFileSync, writeFileSync } from 'node:fs';
import { markdown } from './report.ts';
import type { Results } from './results.ts';
import { PART_TITLES, PARTS } from './standard.ts';

const BEGIN = '<!-- measured: begin -->';
const END = '<!-- measured: end -->';

export function writeReadme(results: Results): void {
  const file = new URL('./README.md', import.meta.url);
  writeFileSync(file, withMeasured(readFileSync(file, 'utf8'), measuredText(results)));
}

export function measuredText(results: Results): string {
  const texts: string[] = [];
  let before = '';
  for (const part of PARTS) {
    const result = results[part];
    if (result === undefined) continue;
    const { machine, run } = result;
    const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
    const place =
      `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, Linux ${machine.kernel}; ${versions.join(', ')}. ` +
      machine.placement;
    texts.push(
      [
        `### ${PART_TITLES[part]}`,
        '',
        `Made on ${machine.date} by \`npm run bench -- --standard --part ${part}\`: medians of ${run.rounds} rounds of ${run.seconds} s.`,
        // The same for all parts of one run.
        ...(place === before ? [] : [place]),
        '',
        result.tables.map(markdown).join('\n\n'),
      ].join('\n'),
    );
    before = place;
  }
  return texts.join('\n\n');
}

export function withMeasured(readme: string, text: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`bench/README.md must hold ${BEGIN} and then ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${readme.slice(end)}`;
}
