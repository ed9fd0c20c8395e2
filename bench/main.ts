/** The bench: the same work through Pointsman, other proxies and no proxy. See README.md beside this file. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureIdle } from './idle-connections.ts';
import { placement } from './launch.ts';
import { machineFacts } from './machine.ts';
import { type Case, measureCase } from './measure-case.ts';
import { type BenchOptions, readBenchOptions, USAGE, UsageError } from './options.ts';
import { writePicture } from './picture.ts';
import { writeReadme } from './readme.ts';
import { hasFailed, plainText, type Section, summariesOf, summarize, type Table, tableOf } from './report.ts';
import { type RunFacts, readResults, writeResults } from './results.ts';
import { CASE_PARTS, type CasePart, casesOf, type Part } from './standard.ts';
import { SUBJECTS } from './subjects/registry.ts';
import { measureTransfer } from './transfer.ts';

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions | 'help';
  try {
    options = readBenchOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-bench-'));
  try {
    return await (options.parts === undefined
      ? measureChosen(options, folder)
      : measureStandard(options, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureChosen(options: BenchOptions, folder: string): Promise<number> {
  const { accessLog } = options;
  const subjects = accessLog ? options.subjects.filter((subject) => subject.logsAccess) : options.subjects;
  if (subjects.length === 0) {
    console.error('none of the chosen subjects can run in this mode');
    return 2;
  }
  const cases = options.scenarios.flatMap((scenario) =>
    options.sizes.flatMap((size) =>
      options.connections.map(
        (connections): Case => ({
          scenario,
          size,
          connections,
          accessLog,
          subjects,
          drivers: options.drivers,
        }),
      ),
    ),
  );
  const { sections, upstreams } = await measureCases(cases, options, folder);
  const facts = machineFacts(subjects, placement(options.pin), upstreams);
  console.log(`\n${facts.placement} ${facts.cpu}, ${facts.cores} cores, Linux ${facts.kernel}.`);
  if (options.json !== undefined) {
    const measured = sections.map((section) => ({ ...section, summary: section.series.map(summarize) }));
    const run = runFacts(options);
    writeFileSync(options.json, `${JSON.stringify({ machine: facts, run, sections: measured }, null, 2)}\n`);
  }
  return hasFailed(sections) ? 1 : 0;
}

async function measureStandard(options: BenchOptions, folder: string): Promise<number> {
  let failed = false;
  for (const part of options.parts!) {
    const partFolder = join(folder, part);
    mkdirSync(partFolder);
    const { tables, sections, upstreams } = await measurePart(part, options, partFolder);
    failed ||= hasFailed(sections);
    if (!options.write) continue;
    const subjects = SUBJECTS.filter((subject) => subject.unavailable() === undefined);
    writeResults(part, {
      machine: machineFacts(subjects, placement(options.pin), upstreams),
      run: runFacts(options),
      tables,
      ratios: sections.flatMap((section) =>
        summariesOf(section).map(({ subject, cpuRatio }) => ({
          title: tableOf(section).title,
          subject,
          ...(cpuRatio === undefined ? {} : { cpu: cpuRatio }),
        })),
      ),
    });
  }
  if (options.write) {
    const results = readResults();
    writeReadme(results);
    writePicture(results);
  }
  return failed ? 1 : 0;
}

async function measurePart(
  part: Part,
  options: BenchOptions,
  folder: string,
): Promise<{ tables: Table[]; sections: Section[]; upstreams: string }> {
  if (isCasePart(part)) {
    const { sections, upstreams } = await measureCases(casesOf(part), options, folder);
    return { tables: sections.map(tableOf), sections, upstreams };
  }
  const measure = part === 'idle' ? measureIdle : measureTransfer;
  const { table, upstreams } = await measure(placement(options.pin), options.rounds, folder);
  console.log(`\n${plainText(table)}`);
  return { tables: [table], sections: [], upstreams };
}

function isCasePart(part: Part): part is CasePart {
  return (CASE_PARTS as readonly Part[]).includes(part);
}

async function measureCases(
  cases: readonly Case[],
  options: BenchOptions,
  folder: string,
): Promise<{ sections: Section[]; upstreams: string }> {
  const sections: Section[] = [];
  let upstreams = '';
  for (const [index, one] of cases.entries()) {
    const caseFolder = join(folder, String(index));
    mkdirSync(caseFolder);
    const cores = placement(options.pin);
    const measured = await measureCase(one, options, cores, caseFolder);
    upstreams = measured.upstreams;
    for (const section of measured.sections) {
      sections.push(section);
      console.log(`\n${plainText(tableOf(section))}`);
    }
  }
  return { sections, upstreams };
}

function runFacts({ rounds, seconds }: BenchOptions): RunFacts {
  return { rounds, seconds };
}

process.exitCode = await main(process.argv.slice(2));
