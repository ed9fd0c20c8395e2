/** Puts the measured tables between the markers of README.md, with what they were measured on. */

import { readFileSync, writeFileSync } from 'node:fs';
import type { MachineFacts } from './machine.ts';
import { markdown, type Section, tableOf } from './report.ts';

const BEGIN = '<!-- measured: begin -->';
const END = '<!-- measured: end -->';

export interface RunFacts {
  readonly command: string;
  readonly accessLog: string;
  readonly rounds: number;
  readonly seconds: number;
}

export function writeReadme(facts: MachineFacts, run: RunFacts, sections: readonly Section[]): void {
  const file = new URL('./README.md', import.meta.url);
  writeFileSync(file, withMeasured(readFileSync(file, 'utf8'), measuredText(facts, run, sections)));
}

export function measuredText(facts: MachineFacts, run: RunFacts, sections: readonly Section[]): string {
  const versions = Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `Made on ${facts.date} by \`${run.command}\`: medians of ${run.rounds} rounds of ${run.seconds} s, access log ${run.accessLog}.`,
    `${facts.cpu}, ${facts.cores} cores, ${facts.memoryMiB} MiB, Linux ${facts.kernel}; ${versions.join(', ')}.`,
    facts.placement,
    '',
    sections.map((section) => markdown(tableOf(section))).join('\n\n'),
  ].join('\n');
}

export function withMeasured(readme: string, text: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`bench/README.md must hold ${BEGIN} and then ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${text}\n${readme.slice(end)}`;
}
